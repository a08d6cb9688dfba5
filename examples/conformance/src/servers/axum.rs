//! A server with axum.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
};

use mobync::{Database, Mobync, Rules};

use super::{Task, application};

pub(super) fn serve<D, R>(mobync: Mobync<D, R>, task: Task) -> io::Result<()>
where
    D: Database,
    R: Rules<D::Unit>,
{
    let Task { port, ready, stopped, .. } = task;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    let _ = ready.send(listener.local_addr()?);
    let app =
        mobync_axum::router(mobync, async |credentials| application::owner(credentials.token()?));
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tokio::select! {
            ended = axum::serve(listener, app) => ended,
            _ = stopped => Ok(()),
        }
    })
}
