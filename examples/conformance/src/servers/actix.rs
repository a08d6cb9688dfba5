//! A server with actix-web.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
};

use actix_web::{App, HttpServer, rt::System};
use mobync::{Database, Mobync, Rules};

use super::{Task, application};

pub(super) fn serve<D, R>(mobync: Mobync<D, R>, task: Task) -> io::Result<()>
where
    D: Database,
    R: Rules<D::Unit>,
{
    let Task { port, ready, stopped, .. } = task;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let _ = ready.send(listener.local_addr()?);
    System::new().block_on(async {
        let server = HttpServer::new(move || {
            App::new().service(mobync_actix::service(mobync.clone(), async |credentials| {
                application::owner(credentials.token()?)
            }))
        });
        let server = server.workers(2).disable_signals().listen(listener)?.run();
        let handle = server.handle();
        tokio::select! {
            ended = server => ended,
            () = async { stopped.await.ok(); handle.stop(false).await } => Ok(()),
        }
    })
}
