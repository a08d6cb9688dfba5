//! Offline-first sync of shared projects, whose members may write.

mod auth;
mod projects;
mod rules;

use std::error::Error;

use actix_web::{
    App, HttpServer,
    web::{self, Data},
};
use clap::Parser;

/// Syncs the tasks of projects between the devices of their members.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The port to listen on; 0 picks a free one.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Where the projects are kept.
    #[arg(long, default_value = "postgres://postgres@localhost/postgres")]
    database: String,
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let projects = projects::open(&args.database).await?;
    let server = HttpServer::new(move || {
        let sync = mobync_actix::service(projects.clone(), auth::project_of_member);
        App::new()
            .app_data(Data::new(projects.clone()))
            .route("/projects", web::post().to(projects::found))
            .service(sync.path("/projects/{project}/sync"))
    });
    let server = server.bind(("127.0.0.1", args.port))?;
    for address in server.addrs() {
        println!("Listening on http://{address} (Ctrl-C stops it).");
    }
    Ok(server.run().await?)
}
