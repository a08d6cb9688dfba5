//! Rocket.

use std::net::{Ipv4Addr, SocketAddr};

use mobync::{Database, Mobync};
use rocket::{
    Build, Config, Rocket, State,
    data::{Limits, ToByteUnit},
    fairing::AdHoc,
    http::Status,
    log::LogLevel,
    post,
    request::{FromRequest, Outcome},
    routes,
    serde::json::Json,
};

use super::{
    bare::{Answer, Bare, MAX_BODY_BYTES, Request},
    bearer, owner, runtime, tell,
};
use crate::Result;

pub(super) fn serve(rocket: impl Future<Output = Result<Rocket<Build>>>) -> Result<()> {
    runtime()?.block_on(async {
        let tell = AdHoc::on_liftoff("tell the port", |rocket| {
            let Config { address, port, .. } = *rocket.config();
            // The parent process reads a line in any case.
            let _ = tell(SocketAddr::new(address, port));
            Box::pin(async {})
        });
        rocket.await?.attach(tell).launch().await.map_err(|error| error.to_string())?;
        Ok(())
    })
}

fn build() -> Rocket<Build> {
    rocket::custom(Config {
        address: Ipv4Addr::LOCALHOST.into(),
        port: 0,
        log_level: LogLevel::Off,
        limits: Limits::default().limit("json", MAX_BODY_BYTES.bytes()),
        // The release profile requires a secret key, if another member of the workspace uses cookies.
        ..Config::debug_default()
    })
}

pub(super) fn ours<D: Database>(mobync: Mobync<D>) -> Rocket<Build> {
    build().attach(mobync_rocket::fairing(mobync, async |credentials| {
        owner(credentials.space(), credentials.token())
    }))
}

pub(super) fn bare(bare: Bare) -> Rocket<Build> {
    build().manage(bare).mount("/", routes![answer])
}

#[post("/sync", data = "<request>")]
async fn answer(
    bare: &State<Bare>,
    token: Token<'_>,
    request: Json<Request>,
) -> Result<Json<Answer>, Status> {
    let answer = bare.answer(token.0, request.into_inner()).await;
    answer.map(Json).map_err(|_| Status::InternalServerError)
}

struct Token<'r>(&'r str);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Token<'r> {
    type Error = ();

    async fn from_request(request: &'r rocket::Request<'_>) -> Outcome<Self, ()> {
        match bearer(request.headers().get_one("Authorization")) {
            Some(token) => Outcome::Success(Self(token)),
            None => Outcome::Error((Status::Unauthorized, ())),
        }
    }
}
