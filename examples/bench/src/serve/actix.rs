//! actix-web.

use std::net::{Ipv4Addr, TcpListener};

use actix_web::{
    App, HttpRequest, HttpServer,
    error::{ErrorInternalServerError, ErrorUnauthorized},
    http::header,
    rt::System,
    web::{self, Data, Json, JsonConfig},
};
use mobync::{Database, Mobync};

use super::{
    WORKERS,
    bare::{Answer, Bare, MAX_BODY_BYTES, Request},
    bearer, owner, tell,
};
use crate::Result;

/// Each worker creates its own application, whose type cannot be named, so only the code around it is
/// shared.
macro_rules! serve {
    ($state:expr, $app:expr) => {
        System::new().block_on(async {
            let app = ($app)($state.await?);
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            tell(listener.local_addr()?)?;
            Ok(HttpServer::new(app).workers(WORKERS).listen(listener)?.run().await?)
        })
    };
}

pub(super) fn ours<D: Database>(mobync: impl Future<Output = Result<Mobync<D>>>) -> Result<()> {
    serve!(mobync, |mobync: Mobync<D>| move || {
        let sync = mobync_actix::service(mobync.clone(), async |credentials| {
            owner(credentials.space(), credentials.token())
        });
        App::new().service(sync)
    })
}

pub(super) fn bare(bare: impl Future<Output = Result<Bare>>) -> Result<()> {
    serve!(bare, |bare: Bare| {
        let bare = Data::new(bare);
        move || {
            App::new()
                .app_data(bare.clone())
                .app_data(JsonConfig::default().limit(MAX_BODY_BYTES))
                .route("/sync", web::post().to(answer))
        }
    })
}

async fn answer(
    bare: Data<Bare>,
    http: HttpRequest,
    Json(request): Json<Request>,
) -> actix_web::Result<Json<Answer>> {
    let header = http.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let owner = bearer(header).ok_or_else(|| ErrorUnauthorized("no token"))?;
    let answer = bare.answer(owner, request).await;
    answer.map(Json).map_err(ErrorInternalServerError)
}
