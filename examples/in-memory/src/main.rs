//! Offline-first sync over a database of your own: seven methods, a rule, and who is asking.

mod auth;
mod database;
mod models;
mod records;
mod rules;
mod shutdown;

use std::{
    io::{self, IsTerminal},
    net::Ipv4Addr,
    process::ExitCode,
};

use axum::{Router, extract::FromRef, routing::get};
use clap::Parser;
use mobync::{Mobync, http::SharedAuth};
use tokio::net::TcpListener;
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt::format::FmtSpan};

use crate::{database::Database, rules::TasksHaveNames};

/// Syncs tasks between devices, and keeps them in memory while it runs.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The port to listen on; 0 picks a free one.
    #[arg(long, default_value_t = 8000)]
    port: u16,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    log();
    match serve(args.port).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", explain(args.port, &error));
            ExitCode::FAILURE
        }
    }
}

/// What handlers work with.
#[derive(Clone, FromRef)]
struct App {
    mobync: Mobync<Database, TasksHaveNames>,
    auth: SharedAuth,
}

/// The whole application: one database, under the sync route and under the route that shows it.
fn app() -> Router {
    let mobync = Mobync::new(Database::default()).rules(TasksHaveNames);
    Router::new()
        .route("/records/{model}", get(records::list))
        .merge(mobync_axum::router(mobync.clone(), auth::owner_of))
        .with_state(App { mobync, auth: SharedAuth::new(auth::owner_of) })
}

async fn serve(port: u16) -> io::Result<()> {
    let stop = shutdown::requested()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    greet(listener.local_addr()?.port());
    axum::serve(listener, app()).with_graceful_shutdown(stop).await
}

/// One line for each sync, on stderr; `RUST_LOG=debug` tells more.
fn log() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter.from_env_lossy())
        .with_span_events(FmtSpan::CLOSE)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

fn greet(port: u16) {
    println!(
        r#"Listening on http://127.0.0.1:{port} (Ctrl-C stops it, and then everything is forgotten).

A device that was offline sends what it did; the token is the owner:
  curl http://127.0.0.1:{port}/sync -H 'Authorization: Bearer ada' -H 'Content-Type: application/json' -d '{{"logical_clock": 0, "diffs": [{{"id": "d1", "owner": "", "logical_clock": 0, "utc_timestamp": 1700000000000, "type": "create", "model": "tasks", "json_data": "{{\"id\": \"t1\", \"name\": \"Buy milk\", \"done\": false}}"}}]}}'

What the server has now:
  curl http://127.0.0.1:{port}/records/tasks -H 'Authorization: Bearer ada'"#
    );
}

fn explain(port: u16, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("Port {port} is in use by another program: choose another one with --port.")
        }
        io::ErrorKind::PermissionDenied => {
            format!("Port {port} is not yours to listen on: choose one above 1023 with --port.")
        }
        _ => format!("The server cannot run: {error}."),
    }
}
