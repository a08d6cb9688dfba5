//! A server with actix-web.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
};

use actix_web::{App, HttpServer, rt::System};
use mobync::Database;

use super::{Task, application};

pub(super) fn serve<D: Database>(
    database: impl Future<Output = io::Result<D>>,
    task: Task,
) -> io::Result<()> {
    let Task { port, gate, ready, stopped } = task;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    System::new().block_on(async {
        let mobync = application::mobync(database.await?, &gate);
        let _ = ready.send(listener.local_addr()?);
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
