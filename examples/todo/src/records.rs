//! `GET /records/{model}`: what the server has of an owner, to be looked at with `curl`.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::HeaderMap,
    routing::get,
};
use mobync::{Database, Mobync, Record, Rules, http::AuthError};
use mobync_axum::SyncError;

use crate::auth;

/// The route; of the model `diffs` it shows the log.
pub(crate) fn router<D: Database, R: Rules>(mobync: Mobync<D, R>) -> Router {
    Router::new().route("/records/{model}", get(list::<D, R>)).with_state(mobync)
}

async fn list<D: Database, R: Rules>(
    State(mobync): State<Mobync<D, R>>,
    Path(model): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Vec<Record>>, SyncError> {
    let bearer = headers.get("authorization").and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer "));
    let unknown = || AuthError::unauthenticated("Say who you are: Authorization: Bearer ada.");
    let owner = auth::owner_named(token.ok_or_else(unknown)?)?;
    Ok(Json(mobync.read(&owner, &model, &[]).await?))
}
