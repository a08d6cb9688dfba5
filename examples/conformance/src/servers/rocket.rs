//! A server with Rocket.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use mobync::{Database, Mobync, Rules};
use rocket::{Config, fairing::AdHoc, figment::Figment, log::LogLevel};

use super::{Task, application};

pub(super) fn serve<D, R>(mobync: Mobync<D, R>, task: Task) -> io::Result<()>
where
    D: Database,
    R: Rules<D::Unit>,
{
    let Task { port, ready, stopped, .. } = task;
    let sync = mobync_rocket::fairing(mobync, |credentials| {
        Box::pin(async move { application::owner(credentials.token()?) })
    });
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
    let rocket = rocket::custom(figment).attach(sync).attach(tell);
    tokio::runtime::Runtime::new()?.block_on(async {
        tokio::select! {
            ended = rocket.launch() => match ended {
                Ok(_) => Ok(()),
                Err(error) => Err(io::Error::other(error.to_string())),
            },
            _ = stopped => Ok(()),
        }
    })
}
