//! A server that syncs the table `tasks`.

use mobync::{Mobync, Owner, sqlite::SqliteDatabase};

const TASKS: &str = "CREATE TABLE IF NOT EXISTS tasks (
    id text, owner text, name text NOT NULL DEFAULT '', done boolean NOT NULL DEFAULT false, PRIMARY KEY (owner, id))";

#[rocket::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let database = SqliteDatabase::builder().run_first(TASKS).table("tasks");
    let database = database.connect("sqlite://app.sqlite").await?;
    database.set_up().await?;
    let sync = mobync_rocket::fairing(Mobync::new(database), async |credentials| {
        Ok(Owner::new(credentials.token()?)?) // the token itself is the owner: look yours up here
    });
    rocket::build().attach(sync).launch().await?;
    Ok(())
}
