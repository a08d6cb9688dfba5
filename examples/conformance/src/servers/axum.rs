//! A server with axum.

use std::{io, net::Ipv4Addr};

use axum::{Router, routing::get};
use mobync::{
    Database,
    http::{Credentials, Endpoint, SharedAuth},
};
use mobync_axum::{AuthenticatedOwner, BearerToken};
use tokio::net::TcpListener;

use super::{Task, application};

pub(super) fn serve<D: Database + Clone>(
    database: impl Future<Output = io::Result<D>>,
    task: Task,
) -> io::Result<()> {
    let Task { port, limits, gate, ready, stopped } = task;
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let mobync = application::mobync(database.await?, &gate);
        let auth = async |credentials: Credentials| {
            application::grant(credentials.token()?, credentials.space())
        };
        let sync = Endpoint::new(mobync.clone(), auth).limits(limits);
        let app = Router::new()
            .route("/owner", get(owner))
            .route("/token", get(token))
            .with_state(SharedAuth::new(auth))
            .route("/sync", mobync_axum::route(sync))
            .merge(mobync_axum::live(mobync, auth));
        let _ = ready.send(listener.local_addr()?);
        tokio::select! {
            ended = axum::serve(listener, app) => ended,
            _ = stopped => Ok(()),
        }
    })
}

async fn owner(AuthenticatedOwner(owner): AuthenticatedOwner) -> String {
    owner.to_string()
}

async fn token(BearerToken(token): BearerToken) -> String {
    token
}
