//! `GET /records/{model}`: what the server has of an owner, to be looked at with `curl`.

use axum::{
    Json,
    extract::{Path, State},
};
use mobync::Record;
use mobync_axum::{AuthenticatedOwner, SyncError};

use crate::App;

pub(crate) async fn list(
    State(app): State<App>,
    Path(model): Path<String>,
    AuthenticatedOwner(owner): AuthenticatedOwner,
) -> Result<Json<Vec<Record>>, SyncError> {
    Ok(Json(app.mobync.read(&owner, &model, &[]).await?))
}
