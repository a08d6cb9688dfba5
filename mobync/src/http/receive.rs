//! From a request's bytes to what they ask: method, media type, size, JSON, token, members.

use std::future::Future;

use bytes::Bytes;
use http_body_util::LengthLimitError;

use super::{AuthError, Head, Token};
use crate::{Error, Owner, SyncRequest, engine::log_failure, error::BoxError, protocol::Envelope};

/// A request whose method, media type and size are right, with its whole body.
#[derive(Debug)]
pub struct Received {
    token: Token,
    body: Bytes,
}

/// What a body fails with where a limit of the framework has cut it off, so that the answer is 413.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body is over the limit")]
pub struct OverLimit;

/// Reads a request's `body`, if it is a POST of JSON of at most `max_bytes`.
///
/// `body` is not polled unless the head is right. It sees to the limit itself: a longer one fails with
/// [`OverLimit`] or `http_body_util::LengthLimitError`. `usize::MAX` is for a limit that only the
/// framework knows.
///
/// ```
/// use bytes::Bytes;
/// use mobync::http::{Head, receive};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), mobync::Error> {
/// let head =
///     Head { method: "POST", content_type: Some(b"application/json"), ..Head::default() };
/// let body = async { Ok(Bytes::from(r#"{"logical_clock": 0, "diffs": []}"#)) };
/// let request = receive(head, 1024, body).await?.into_request()?;
/// assert_eq!(request.logical_clock, 0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::MethodNotAllowed`], [`Error::UnsupportedMediaType`], [`Error::PayloadTooLarge`], or
/// [`Error::InvalidRequest`] if the body breaks off.
pub async fn receive(
    head: Head<'_>,
    max_bytes: usize,
    body: impl Future<Output = Result<Bytes, BoxError>>,
) -> Result<Received, Error> {
    if head.method != "POST" {
        return Err(Error::MethodNotAllowed);
    }
    check_media_type(&head)?;
    let length = head.content_length.and_then(|length| str::from_utf8(length).ok());
    if length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > max_bytes)
    {
        return Err(too_large(max_bytes));
    }
    match body.await {
        Ok(body) => Ok(Received { token: Token::of_header(head.authorization), body }),
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
        auth: impl FnOnce(Token) -> Fut,
        max_diffs: usize,
    ) -> Result<(Owner, SyncRequest), Error>
    where
        Fut: Future<Output = Result<Owner, AuthError>>,
    {
        let Self { token, body } = self;
        let envelope = Envelope::from_slice(&body)?;
        let owner = auth(token.or(|| envelope.auth_token())).await.map_err(Error::from);
        let owner = owner.inspect_err(log_failure)?;
        Ok((owner, envelope.into_request(max_diffs)?))
    }
}

fn check_media_type(head: &Head<'_>) -> Result<(), Error> {
    let media_type = head.content_type.unwrap_or_default();
    let essence = media_type.split(|byte| *byte == b';').next().unwrap_or_default();
    if !essence.trim_ascii().eq_ignore_ascii_case(b"application/json") {
        return Err(Error::UnsupportedMediaType("The Content-Type must be application/json."));
    }
    if head.content_encodings.iter().all(|encoding| encoding.eq_ignore_ascii_case(b"identity")) {
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
