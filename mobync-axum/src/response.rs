//! What handlers of your own return.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use mobync::{
    DatabaseError, Error, InvalidOwner, SyncResponse,
    http::{AuthError, failed, respond},
};

/// The response to a successful sync.
///
/// ```
/// use axum::response::IntoResponse;
/// use mobync::SyncResponse;
/// use mobync_axum::Answer;
///
/// let response = Answer(SyncResponse::new(7, Vec::new())).into_response();
/// assert_eq!(response.status(), 200);
/// ```
#[derive(Clone, Debug)]
pub struct Answer(pub SyncResponse);

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        respond(Ok(&self.0)).map(Body::from)
    }
}

/// The error response of a failed request. In a handler, `?` makes it from an [`Error`], an
/// [`AuthError`], an [`InvalidOwner`] or a [`DatabaseError`]. A busy database becomes a 503 with
/// `Retry-After`. The cause is logged, and not sent to the client.
///
/// ```
/// use axum::response::IntoResponse;
/// use mobync::Error;
/// use mobync_axum::SyncError;
///
/// let response = SyncError(Error::ClockAhead { device: 9, server: 4 }).into_response();
/// assert_eq!(response.status(), 409);
/// ```
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SyncError(#[from] pub Error);

impl From<AuthError> for SyncError {
    fn from(error: AuthError) -> Self {
        Self(failed(error))
    }
}

impl From<DatabaseError> for SyncError {
    fn from(error: DatabaseError) -> Self {
        Self(failed(error))
    }
}

impl From<InvalidOwner> for SyncError {
    fn from(error: InvalidOwner) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for SyncError {
    fn into_response(self) -> Response {
        respond(Err(&self.0)).map(Body::from)
    }
}
