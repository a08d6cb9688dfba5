//! A server that syncs the table `tasks`.

use actix_web::{App, HttpServer};
use mobync::{Mobync, Owner, sqlite::SqliteDatabase};

const TASKS: &str = "CREATE TABLE IF NOT EXISTS tasks (
    id text, owner text, name text NOT NULL DEFAULT '', done boolean NOT NULL DEFAULT false, PRIMARY KEY (owner, id))";

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = SqliteDatabase::builder().run_first(TASKS).table("tasks");
    let database = database.connect("sqlite://app.sqlite").await?;
    database.set_up().await?;
    let mobync = Mobync::new(database);
    let server = HttpServer::new(move || {
        App::new().service(mobync_actix::service(mobync.clone(), async |credentials| {
            Ok(Owner::new(credentials.token()?)?) // the token itself is the owner: look yours up here
        }))
    });
    Ok(server.bind(("127.0.0.1", quick_start::port()))?.run().await?)
}
