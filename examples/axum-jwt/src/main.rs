//! Offline-first sync with JSON Web Tokens.

mod tokens;

use std::{io, process::ExitCode};

use axum::{Router, routing::post};
use clap::Parser;
use mobync::{Mobync, memory::MemoryDatabase};
use tokio::net::TcpListener;

use crate::tokens::Tokens;

/// Syncs tasks between the devices of people who have signed in.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The port to listen on; 0 picks a free one.
    #[arg(long, default_value_t = 8000)]
    port: u16,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: &Args) -> io::Result<()> {
    let tokens = Tokens::new()?;
    let listener = TcpListener::bind(("127.0.0.1", args.port)).await?;
    println!("Listening on http://{} (Ctrl-C stops it).", listener.local_addr()?);
    axum::serve(listener, app(tokens)).await
}

fn app(tokens: Tokens) -> Router {
    let mobync = Mobync::new(MemoryDatabase::new().model("tasks", ["name", "done"]));
    let by_token = tokens.clone();
    let sync = mobync_axum::router(mobync, move |credentials| {
        let tokens = by_token.clone();
        async move { tokens.owner(&credentials) }
    });
    Router::new().route("/session", post(tokens::sign_in)).with_state(tokens).merge(sync)
}
