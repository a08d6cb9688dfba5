//! What handlers of your own return.

use actix_web::{
    HttpRequest, HttpResponse, Responder, ResponseError,
    body::{BoxBody, MessageBody, SizedStream},
    http::{StatusCode, header},
};
use http_body::Body;
use http_body_util::BodyExt;
use mobync::{
    DatabaseError, Error, InvalidOwner, SyncResponse,
    http::{AnswerBody, AuthError, failed, respond},
};

/// The response to a successful sync.
///
/// ```
/// use actix_web::{Responder, test::TestRequest};
/// use mobync::SyncResponse;
/// use mobync_actix::Answer;
///
/// let request = TestRequest::post().to_http_request();
/// let response = Answer(SyncResponse::new(7, Vec::new())).respond_to(&request);
/// assert_eq!(response.status(), 200);
/// ```
#[derive(Clone, Debug)]
pub struct Answer(pub SyncResponse);

impl Responder for Answer {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        convert(respond(Ok(&self.0)))
    }
}

/// The error response of a failed request. In a handler, `?` makes it from an [`Error`], an
/// [`AuthError`], an [`InvalidOwner`] or a [`DatabaseError`]. A busy database becomes a 503 with
/// `Retry-After`. The cause is logged, and not sent to the client.
///
/// ```
/// use actix_web::ResponseError;
/// use mobync::Error;
/// use mobync_actix::SyncError;
///
/// let response = SyncError(Error::ClockAhead { device: 9, server: 4 }).error_response();
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

impl ResponseError for SyncError {
    fn status_code(&self) -> StatusCode {
        status(self.0.status())
    }

    fn error_response(&self) -> HttpResponse {
        convert(respond(Err(&self.0)))
    }
}

pub(crate) fn convert(response: http::Response<impl MessageBody + 'static>) -> HttpResponse {
    let (parts, body) = response.into_parts();
    let mut converted = HttpResponse::build(status(parts.status));
    for (name, value) in &parts.headers {
        // actix-web itself sets the length, after its middleware has changed the body.
        if name.as_str() != header::CONTENT_LENGTH.as_str() {
            converted.append_header((name.as_str(), value.as_bytes()));
        }
    }
    converted.body(body)
}

/// A large response is sent in parts. Its length is known.
pub(crate) fn convert_answer(response: http::Response<AnswerBody>) -> HttpResponse {
    let (parts, body) = response.into_parts();
    match body.try_into_bytes() {
        Ok(whole) => convert(http::Response::from_parts(parts, whole)),
        Err(body) => {
            let length = body.size_hint().lower();
            let body = SizedStream::new(length, body.into_data_stream());
            convert(http::Response::from_parts(parts, body))
        }
    }
}

fn status(status: http::StatusCode) -> StatusCode {
    StatusCode::from_u16(status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
