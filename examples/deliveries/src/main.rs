//! A dispatcher's admin page, and drivers whose phones have the same rounds, with a network or without.

mod admin;
mod database;
mod guard;
mod page;
mod sync;
mod webhook;

use std::{error::Error, net::Ipv4Addr, process::ExitCode};

use axum::Router;
use clap::Parser;
use tokio::net::TcpListener;

use crate::guard::Guard;

/// Serves an admin page for deliveries, and syncs them with the drivers' phones.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The port to listen on; 0 picks a free one.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// The database, a file of SQLite.
    #[arg(long, default_value = "sqlite://deliveries.sqlite")]
    database: String,
    /// The password of the admin page; a random one unless set.
    #[arg(long, env = "ADMIN_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Who is told of each delivery, by a POST to this address.
    #[arg(long)]
    webhook: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match serve(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("The server cannot run: {error}.");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: Args) -> Result<(), Box<dyn Error>> {
    let pool = database::open(&args.database).await?;
    let guard = Guard::new(args.password)?;
    let mobync = sync::start(pool.clone(), args.webhook).await?;
    let app = Router::new()
        .merge(guard.protect(admin::router(pool.clone())))
        .merge(sync::router(mobync.clone(), pool));

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await?;
    println!("Listening on http://{} (Ctrl-C stops it).", listener.local_addr()?);
    println!("The admin page is yours as \"admin\", with the password {}", guard.password());
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            let _ = tokio::signal::ctrl_c().await;
            mobync.live().close();
        })
        .await?;
    Ok(())
}
