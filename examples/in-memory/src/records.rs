//! `GET /records/{model}`: what the server has of an owner, to be looked at with `curl`.

use axum::{
    Json,
    extract::{Path, State},
};
use mobync::{Access, Database as _, Record, UnitOfWork};
use mobync_axum::{AuthenticatedOwner, SyncError};

use crate::App;

pub(crate) async fn list(
    State(app): State<App>,
    Path(model): Path<String>,
    AuthenticatedOwner(owner): AuthenticatedOwner,
) -> Result<Json<Vec<Record>>, SyncError> {
    let mut unit = app.mobync.database().open(&owner, Access::Read).await?;
    Ok(Json(unit.read(&owner, &model, &[]).await?))
}
