//! axum.

use std::{net::Ipv4Addr, sync::Arc};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    routing::post,
};
use mobync::{Database, Mobync};
use tokio::net::TcpListener;

use super::{
    bare::{Answer, Bare, MAX_BODY_BYTES, Request},
    bearer, owner, runtime, tell,
};
use crate::Result;

pub(super) fn serve(app: impl Future<Output = Result<Router>>) -> Result<()> {
    runtime()?.block_on(async {
        let app = app.await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        tell(listener.local_addr()?)?;
        Ok(axum::serve(listener, app).await?)
    })
}

pub(super) fn ours<D: Database>(mobync: Mobync<D>) -> Router {
    mobync_axum::router(mobync, async |credentials| owner(credentials.space(), credentials.token()))
}

pub(super) fn bare(bare: Bare) -> Router {
    let route = post(answer).layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
    Router::new().route("/sync", route).with_state(Arc::new(bare))
}

async fn answer(
    State(bare): State<Arc<Bare>>,
    headers: HeaderMap,
    Json(request): Json<Request>,
) -> Result<Json<Answer>, StatusCode> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let owner = bearer(header).ok_or(StatusCode::UNAUTHORIZED)?;
    let answer = bare.answer(owner, request).await;
    answer.map(Json).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
