//! What handlers of your own return.

use std::io::Cursor;

use bytes::Bytes;
use http::header;
use mobync::{
    Error, SyncResponse,
    http::{AuthError, respond},
};
use rocket::{
    Request, Response,
    http::{Header, Status},
    response::{self, Builder, Responder},
};

/// The answer to a sync that went well, as a response.
#[derive(Clone, Debug)]
pub struct Answer(pub SyncResponse);

impl<'r> Responder<'r, 'static> for Answer {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        Ok(convert(respond(Ok(&self.0))))
    }
}

/// Why a sync failed, as a response. In a handler, `?` makes it from an [`Error`] or an [`AuthError`].
///
/// It is a response like any other: no catcher is asked.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SyncError(#[from] pub Error);

impl From<AuthError> for SyncError {
    fn from(error: AuthError) -> Self {
        Self(error.into())
    }
}

impl<'r> Responder<'r, 'static> for SyncError {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        Ok(convert(respond(Err(&self.0))))
    }
}

pub(crate) fn convert(response: http::Response<Bytes>) -> Response<'static> {
    let (parts, body) = response.into_parts();
    convert_head(&parts).sized_body(body.len(), Cursor::new(body)).finalize()
}

pub(crate) fn convert_head(parts: &http::response::Parts) -> Builder<'static> {
    let mut converted = Response::build();
    converted.status(status(parts.status));
    for (name, value) in &parts.headers {
        // Rocket tells the length by itself, of what its fairings have made of the body.
        if name != header::CONTENT_LENGTH {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            converted.header_adjoin(Header::new(name.as_str().to_owned(), value));
        }
    }
    converted
}

pub(crate) fn status(status: http::StatusCode) -> Status {
    Status::new(status.as_u16())
}
