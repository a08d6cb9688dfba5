//! A server with axum.

use std::{io, net::Ipv4Addr};

use mobync::Database;
use tokio::net::TcpListener;

use super::{Task, application};

pub(super) fn serve<D: Database>(
    database: impl Future<Output = io::Result<D>>,
    task: Task,
) -> io::Result<()> {
    let Task { port, gate, ready, stopped } = task;
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let mobync = application::mobync(database.await?, &gate);
        let app = mobync_axum::router(mobync, async |credentials| {
            application::owner(credentials.token()?)
        });
        let _ = ready.send(listener.local_addr()?);
        tokio::select! {
            ended = axum::serve(listener, app) => ended,
            _ = stopped => Ok(()),
        }
    })
}
