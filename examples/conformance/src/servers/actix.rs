//! A server with actix-web.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
};

use actix_web::{App, HttpServer, rt::System, web};
use mobync::Database;
use mobync_actix::{AuthenticatedOwner, BearerToken, Credentials, SharedAuth};

use super::{Task, application};

pub(super) fn serve<D: Database + Clone>(
    database: impl Future<Output = io::Result<D>>,
    task: Task,
) -> io::Result<()> {
    let Task { port, limits, gate, ready, stopped } = task;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    System::new().block_on(async {
        let mobync = application::mobync(database.await?, &gate);
        let _ = ready.send(listener.local_addr()?);
        let server = HttpServer::new(move || {
            let auth = async |credentials: Credentials| {
                application::grant(credentials.token()?, credentials.space())
            };
            let sync = mobync_actix::service(mobync.clone(), auth).limits(limits.clone());
            App::new()
                .app_data(SharedAuth::new(auth))
                .route("/owner", web::get().to(owner))
                .route("/token", web::get().to(token))
                .service(sync)
                .service(mobync_actix::live(mobync.clone(), auth))
        });
        // A client that is gone is not waited for.
        let server = server.h1_allow_half_closed(false);
        let server = server.workers(2).disable_signals().listen(listener)?.run();
        let handle = server.handle();
        tokio::select! {
            ended = server => ended,
            () = async { stopped.await.ok(); handle.stop(false).await } => Ok(()),
        }
    })
}

async fn owner(AuthenticatedOwner(owner): AuthenticatedOwner) -> String {
    owner.to_string()
}

async fn token(BearerToken(token): BearerToken) -> String {
    token
}
