//! Converts an answer or an error to a response.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

use crate::{
    engine::log_failure,
    error::Error,
    protocol::{Failure, SyncResponse},
};

/// The response with the result of a sync, with all its headers.
///
/// ```
/// use mobync::{Error, http::respond};
///
/// let response = respond(Err(&Error::ClockAhead { device: 9, server: 4 }));
/// assert_eq!(response.status(), 409);
/// assert_eq!(response.headers()["content-type"], "application/json");
/// ```
pub fn respond(outcome: Result<&SyncResponse, &Error>) -> Response<Bytes> {
    match outcome {
        Ok(answer) => json(StatusCode::OK, answer),
        Err(error) => failure(error),
    }
}

/// The error that a handler's own work failed with, such as a look into the database. Where the client hears
/// nothing of the cause, it is logged, as that of a sync is.
///
/// ```
/// use mobync::http::{AuthError, failed, respond};
///
/// let error = failed(AuthError::failed("the table of users is gone"));
/// assert_eq!(respond(Err(&error)).status(), 500);
/// ```
pub fn failed(error: impl Into<Error>) -> Error {
    let error = error.into();
    if error.status().is_server_error() {
        log_failure(&error);
    }
    error
}

fn failure(error: &Error) -> Response<Bytes> {
    let mut response = json(error.status(), &Failure::from(error));
    let headers = response.headers_mut();
    match error {
        Error::MethodNotAllowed => {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        Error::Unauthenticated(_) => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    if let Some(seconds) = retry_after(error) {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// After how many seconds the client may try again, if the error says so.
pub(super) fn retry_after(error: &Error) -> Option<u64> {
    match error {
        Error::Busy { retry_after, .. } => {
            // Whole seconds, rounded up: 0 would make clients retry immediately.
            let seconds = retry_after.as_millis().div_ceil(1000).max(1);
            Some(u64::try_from(seconds).unwrap_or(u64::MAX))
        }
        Error::Silent { .. } => Some(1),
        _ => None,
    }
}

/// The response of the live route to a request that is not a GET.
pub(super) fn not_get() -> Response<Bytes> {
    let message = "Only GET is allowed here; it is answered with a stream of events.";
    let failure = Failure::new("method_not_allowed", message);
    let mut response = json(StatusCode::METHOD_NOT_ALLOWED, &failure);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    // Strings, integers and booleans: JSON can represent all of them.
    let body = Bytes::from(serde_json::to_vec(body).unwrap_or_default());
    let length = body.len();
    response(status, body, length)
}

/// A response with this JSON, and its number of bytes.
pub(super) fn response<B>(status: StatusCode, json: B, length: usize) -> Response<B> {
    let mut response = Response::new(json);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CONTENT_LENGTH, length.into());
    // An old answer from a proxy's cache would acknowledge changes that the server has never seen.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
