//! From a request's bytes to what they ask: method, media type, size, JSON, token, members.

use std::future::Future;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, header, request::Parts};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{AuthError, Credentials};
use crate::{Error, Owner, SyncRequest, engine::log_failure, error::BoxError, protocol::Envelope};

/// A request whose method, media type and size are right, with its whole body.
#[derive(Debug)]
pub struct Received {
    parts: Parts,
    body: Bytes,
}

/// What a body fails with where a limit of the framework has cut it off, so that the answer is 413.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body is over the limit")]
pub struct OverLimit;

/// Reads a request's body, if it is a POST of JSON of at most `max_bytes`.
///
/// `usize::MAX` leaves the limit to the framework, whose body fails with [`OverLimit`] or
/// `http_body_util::LengthLimitError` then.
///
/// # Errors
/// [`Error::MethodNotAllowed`], [`Error::UnsupportedMediaType`], [`Error::PayloadTooLarge`], or
/// [`Error::InvalidRequest`] if the body breaks off.
pub async fn receive<B>(request: Request<B>, max_bytes: usize) -> Result<Received, Error>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let (parts, body) = request.into_parts();
    if parts.method != Method::POST {
        return Err(Error::MethodNotAllowed);
    }
    check_media_type(&parts.headers)?;
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > max_bytes)
    {
        return Err(too_large(max_bytes));
    }
    match Limited::new(body, max_bytes).collect().await {
        Ok(body) => Ok(Received { parts, body: body.to_bytes() }),
        Err(cause) if is_too_large(&*cause) => Err(too_large(max_bytes)),
        Err(_) => Err(Error::InvalidRequest("the body broke off before its end".to_owned())),
    }
}

impl Received {
    /// The parsed request, for a handler that finds the owner by itself.
    ///
    /// # Errors
    /// [`Error::InvalidJson`], [`Error::InvalidRequest`] or [`Error::InvalidDiff`].
    pub fn into_request(self) -> Result<SyncRequest, Error> {
        SyncRequest::from_slice(&self.body)
    }

    /// Finds out whose request it is, and parses it.
    ///
    /// # Errors
    /// [`Error::InvalidJson`]; then those of [`AuthError`]; then
    /// [`Error::InvalidRequest`] or [`Error::InvalidDiff`], or [`Error::PayloadTooLarge`] for more
    /// than `max_diffs` diffs.
    pub async fn authenticate<Fut>(
        self,
        auth: impl FnOnce(Credentials) -> Fut,
        max_diffs: usize,
    ) -> Result<(Owner, SyncRequest), Error>
    where
        Fut: Future<Output = Result<Owner, AuthError>>,
    {
        let Self { parts, body } = self;
        let envelope = Envelope::from_slice(&body)?;
        let credentials = Credentials::new(parts, envelope.auth_token());
        let owner = auth(credentials).await.map_err(Error::from);
        let owner = owner.inspect_err(log_failure)?;
        Ok((owner, envelope.into_request(max_diffs)?))
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Error> {
    let media_type = headers.get(header::CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
    let essence = media_type.split(|byte| *byte == b';').next().unwrap_or_default();
    if !essence.trim_ascii().eq_ignore_ascii_case(b"application/json") {
        return Err(Error::UnsupportedMediaType("The Content-Type must be application/json."));
    }
    let encodings = headers.get_all(header::CONTENT_ENCODING);
    if encodings.iter().all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    Err(Error::UnsupportedMediaType("The body must be sent without a Content-Encoding."))
}

fn too_large(max_bytes: usize) -> Error {
    let limit = match max_bytes {
        usize::MAX => "this server takes".to_owned(), // the framework does not tell its limit
        _ => format!("{max_bytes} bytes"),
    };
    Error::PayloadTooLarge(format!("The body is larger than {limit}: send fewer diffs at once."))
}

/// A limit of ours, or one of the framework's.
fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<LengthLimitError>()
        || error.is::<OverLimit>()
        || error.source().is_some_and(is_too_large)
}
