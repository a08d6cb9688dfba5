//! `GET /records/{model}`: what the server has of an owner, to be looked at with `curl`.

use axum::{Extension, Json, Router, extract::Path, routing::get};
use mobync::{Database, Mobync, Record, Rules, http::SharedAuth};
use mobync_axum::{AuthenticatedOwner, SyncError};

use crate::auth;

/// The route; of the model `diffs` it shows the log.
pub(crate) fn router<D: Database, R: Rules>(mobync: Mobync<D, R>) -> Router {
    Router::new()
        .route("/records/{model}", get(list::<D, R>))
        .layer(Extension(mobync))
        .with_state(SharedAuth::new(auth::grant))
}

async fn list<D: Database, R: Rules>(
    Extension(mobync): Extension<Mobync<D, R>>,
    Path(model): Path<String>,
    AuthenticatedOwner(owner): AuthenticatedOwner,
) -> Result<Json<Vec<Record>>, SyncError> {
    Ok(Json(mobync.read(&owner, &model, &[]).await?))
}
