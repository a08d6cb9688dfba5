//! A server with Rocket.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use mobync::{Database, Grant, http::AuthError};
use mobync_rocket::{AuthenticatedOwner, BearerToken, Credentials, SharedAuth, SyncError};
use rocket::{Config, fairing::AdHoc, figment::Figment, get, log::LogLevel, routes};

use super::{Task, application};

async fn auth(credentials: Credentials<'_, '_>) -> Result<Grant, AuthError> {
    application::grant(credentials.token()?, credentials.space())
}

#[get("/owner")]
fn owner(owner: Result<AuthenticatedOwner, SyncError>) -> Result<String, SyncError> {
    owner.map(|AuthenticatedOwner(owner)| owner.to_string())
}

#[get("/token")]
fn token(token: Result<BearerToken, SyncError>) -> Result<String, SyncError> {
    token.map(|BearerToken(token)| token)
}

pub(super) fn serve<D: Database + Clone>(
    database: impl Future<Output = io::Result<D>>,
    task: Task,
) -> io::Result<()> {
    let Task { port, limits, gate, ready, stopped } = task;
    let tell = AdHoc::on_liftoff("tell the address", move |rocket| {
        let Config { address, port, .. } = *rocket.config();
        Box::pin(async move {
            let _ = ready.send(SocketAddr::new(address, port));
        })
    });
    let figment = Figment::from(Config::debug_default())
        .merge((Config::ADDRESS, Ipv4Addr::LOCALHOST))
        .merge((Config::PORT, port))
        .merge((Config::LOG_LEVEL, LogLevel::Off))
        .merge(("shutdown.ctrlc", false));
    tokio::runtime::Runtime::new()?.block_on(async {
        let mobync = application::mobync(database.await?, &gate);
        let sync = mobync_rocket::fairing(mobync.clone(), auth);
        let live = mobync_rocket::live(mobync, auth);
        let rocket = rocket::custom(figment)
            .manage(limits)
            .manage(SharedAuth::new(auth))
            .mount("/", routes![owner, token])
            .attach(sync)
            .attach(live)
            .attach(tell);
        tokio::select! {
            ended = rocket.launch() => match ended {
                Ok(_) => Ok(()),
                Err(error) => Err(io::Error::other(error.to_string())),
            },
            _ = stopped => Ok(()),
        }
    })
}
