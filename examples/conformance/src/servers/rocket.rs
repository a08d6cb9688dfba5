//! A server with Rocket.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use mobync::Database;
use rocket::{Config, fairing::AdHoc, figment::Figment, log::LogLevel};

use super::{Task, application};

pub(super) fn serve<D: Database>(
    database: impl Future<Output = io::Result<D>>,
    task: Task,
) -> io::Result<()> {
    let Task { port, gate, ready, stopped } = task;
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
        let sync = mobync_rocket::fairing(mobync, |credentials| {
            Box::pin(async move { application::owner(credentials.token()?) })
        });
        let rocket = rocket::custom(figment).attach(sync).attach(tell);
        tokio::select! {
            ended = rocket.launch() => match ended {
                Ok(_) => Ok(()),
                Err(error) => Err(io::Error::other(error.to_string())),
            },
            _ = stopped => Ok(()),
        }
    })
}
