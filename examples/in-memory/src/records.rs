//! `GET /records/{model}`: the server's records of an owner, to view in a browser.

use axum::{
    Json,
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use mobync::{DatabaseError, Owner, Record, Synchronizer, http::AuthError};
use mobync_axum::SyncError;
use serde::Deserialize;
use serde_json::json;

use crate::{auth, database::Database};

#[derive(Deserialize)]
pub(crate) struct Asked {
    auth_token: Option<String>,
}

pub(crate) async fn list(
    State(mut database): State<Database>,
    Path(model): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Json<Vec<Record>>, Failure> {
    let token = auth::token(&headers, asked.auth_token)?;
    let owner = Owner::new(token).map_err(AuthError::from)?;
    // The state is a clone for this request, and so a unit of work like that of a sync.
    Ok(Json(database.read(&owner, &model, &[]).await?))
}

/// Why there is no record to show, in the same JSON as a sync's failures.
pub(crate) enum Failure {
    Auth(AuthError),
    Database(DatabaseError),
}

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        Self::Auth(error)
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Auth(error) => SyncError::from(error).into_response(),
            Self::Database(error @ DatabaseError::UnknownModel { .. }) => {
                let message = format!("Nothing to see: {error}.");
                let body = json!({"success": false, "message": message, "code": "unknown_model"});
                (StatusCode::NOT_FOUND, Json(body)).into_response()
            }
            Self::Database(error) => {
                SyncError(mobync::Error::Internal(error.into())).into_response()
            }
        }
    }
}
