//! Projects that several people share: they work offline, in roles, and come and go.

mod auth;
mod page;
mod projects;
mod rules;
mod teams;

use std::error::Error;

use actix_web::{App, HttpServer, web::Data};
use clap::Parser;

use crate::projects::Projects;

/// Syncs the tasks of projects between the devices of their members.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The port to listen on; 0 picks a free one.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Where the projects are: a file of SQLite, or PostgreSQL as in <postgres://user@localhost/app>.
    #[arg(long, default_value = "sqlite://projects.sqlite?mode=rwc")]
    database: String,
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let projects = Projects::open(&args.database).await?;
    let live = projects.mobync.live().clone();
    let server = HttpServer::new(move || {
        let asked = projects.clone();
        let auth = move |credentials| auth::grant(asked.clone(), credentials);
        App::new()
            .app_data(Data::new(projects.clone()))
            .configure(page::files)
            .configure(teams::routes)
            .service(mobync_actix::service(projects.mobync.clone(), auth.clone()))
            .service(mobync_actix::live(projects.mobync.clone(), auth))
    });
    let server = server.bind(("127.0.0.1", args.port))?;
    for address in server.addrs() {
        println!("Listening on http://{address} (Ctrl-C stops it).");
    }
    // A graceful shutdown waits for live streams to end.
    let stop = async move {
        let _ = tokio::signal::ctrl_c().await;
        live.close();
    };
    Ok(server.shutdown_signal(stop).run().await?)
}
