//! An offline-first todo app: a page that works without a network, and the server that it syncs with.

mod auth;
mod client;
mod database;
mod page;
mod records;
mod rules;
mod shutdown;

use std::{
    io::{self, IsTerminal},
    net::Ipv4Addr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use axum::Router;
use clap::Parser;
use mobync::{Database, Mobync, Retention};
use tokio::net::TcpListener;
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt::format::FmtSpan};

use crate::rules::TasksHaveTitles;

const A_DAY: Duration = Duration::from_hours(24);

/// So that looking at the logs of few owners takes no time, and of many no computer.
const OWNERS_AN_HOUR: u32 = 36_000;

/// Serves a todo app that works offline, and syncs it between devices.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The port to listen on; 0 picks a free one.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Where the tasks are: a file of SQLite, or PostgreSQL as in <postgres://user@localhost/app>.
    #[arg(long, default_value = "sqlite://todo.sqlite")]
    database: String,
    /// A directory with files that are served in place of the page's own, such as those of an earlier version.
    #[arg(long, value_name = "DIRECTORY")]
    web: Option<PathBuf>,
    /// How long a device can be away without having to fetch everything again, in days or a part of one.
    /// What only older devices need is removed from the log.
    #[arg(long, value_name = "DAYS", default_value = "180", value_parser = days)]
    keep: Duration,
}

fn days(text: &str) -> Result<Duration, &'static str> {
    let days = text.parse::<f64>().ok();
    days.and_then(|days| Duration::try_from_secs_f64(days * 24.0 * 60.0 * 60.0).ok())
        .filter(|keep| !keep.is_zero())
        .ok_or("it must be a number of days greater than 0 and at most 1e14")
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    log();
    match serve(&args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", explain(args.port, &error));
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: &Args) -> io::Result<()> {
    if args.database.starts_with("postgres") {
        let mobync = Mobync::new(database::postgres(&args.database).await?);
        // Devices on other servers hear of what is synced here, and the other way round.
        let (database, live) = (mobync.database().clone(), mobync.live().clone());
        tokio::spawn(async move { database.hear_clocks(&live).await });
        serve_on(mobync, args).await
    } else {
        serve_on(Mobync::new(database::sqlite(&args.database).await?), args).await
    }
}

async fn serve_on<D: Database>(mobync: Mobync<D>, args: &Args) -> io::Result<()> {
    let stop = shutdown::requested()?;
    let mobync = mobync.rules(TasksHaveTitles);
    let (live, keeper) = (mobync.live().clone(), mobync.clone());
    let app: Router = page::router(args.web.as_deref())?
        .merge(records::router(mobync.clone()))
        .merge(mobync_axum::router(mobync.clone(), auth::grant))
        .merge(mobync_axum::live(mobync, auth::grant));

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await?;
    greet(listener.local_addr()?.port(), &args.database);
    let retention = Retention::new(args.keep).every(args.keep.min(A_DAY));
    tokio::spawn(async move { keeper.retain(retention.owners_an_hour(OWNERS_AN_HOUR)).await });
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            stop.await;
            live.close();
        })
        .await
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

fn greet(port: u16, database: &str) {
    println!(
        "Listening on http://127.0.0.1:{port} (Ctrl-C stops it).\n\n\
         The app:              http://127.0.0.1:{port}/\n\
         Two devices at once:  http://127.0.0.1:{port}/devices.html\n\n\
         Tasks are kept in {}.",
        database.rsplit_once('@').map_or(database, |(_, place)| place)
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
