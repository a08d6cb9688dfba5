//! What handlers of your own return.

use std::{
    io::{self, Cursor, SeekFrom},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::header;
use http_body::Body;
use mobync::{
    DatabaseError, Error, InvalidOwner, SyncResponse,
    http::{AnswerBody, AuthError, failed, respond},
};
use rocket::{
    Request, Response,
    http::{Header, Status},
    response::{self, Builder, Responder},
    tokio::io::{AsyncRead, AsyncSeek, ReadBuf},
};

/// The response to a successful sync.
#[derive(Clone, Debug)]
pub struct Answer(pub SyncResponse);

impl<'r> Responder<'r, 'static> for Answer {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        Ok(convert(respond(Ok(&self.0))))
    }
}

/// The error response of a failed request. In a handler, `?` makes it from an [`Error`], an
/// [`AuthError`], an [`InvalidOwner`] or a [`DatabaseError`]. A busy database becomes a 503 with
/// `Retry-After`. The cause is logged, and not sent to the client.
///
/// It is an ordinary response: no catcher is called.
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

impl<'r> Responder<'r, 'static> for SyncError {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        Ok(convert(respond(Err(&self.0))))
    }
}

pub(crate) fn convert(response: http::Response<Bytes>) -> Response<'static> {
    let (parts, body) = response.into_parts();
    convert_head(&parts).sized_body(body.len(), Cursor::new(body)).finalize()
}

/// A large response is sent in parts. Its length is known.
pub(crate) fn convert_answer(response: http::Response<AnswerBody>) -> Response<'static> {
    let (parts, body) = response.into_parts();
    match body.try_into_bytes() {
        Ok(whole) => convert(http::Response::from_parts(parts, whole)),
        Err(body) => {
            let length = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
            let body = InParts { body, part: Bytes::new() };
            convert_head(&parts).sized_body(length, body).finalize()
        }
    }
}

/// A large response, as Rocket reads it.
struct InParts {
    body: AnswerBody,
    part: Bytes,
}

impl AsyncRead for InParts {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.part.is_empty() {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
            let Some(frame) = frame else { return Poll::Ready(Ok(())) };
            self.part = frame.map_err(io::Error::other)?.into_data().unwrap_or_default();
        }
        let length = self.part.len().min(buffer.remaining());
        buffer.put_slice(&self.part.split_to(length));
        Poll::Ready(Ok(()))
    }
}

/// Rocket would seek only to find the length, which is given.
impl AsyncSeek for InParts {
    fn start_seek(self: Pin<&mut Self>, _: SeekFrom) -> io::Result<()> {
        Err(io::ErrorKind::NotSeekable.into())
    }

    fn poll_complete(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Poll::Ready(Err(io::ErrorKind::NotSeekable.into()))
    }
}

pub(crate) fn convert_head(parts: &http::response::Parts) -> Builder<'static> {
    let mut converted = Response::build();
    converted.status(status(parts.status));
    for (name, value) in &parts.headers {
        // Rocket itself sets the length, after its fairings have changed the body.
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
