//! From a request's bytes to what they ask: method, media type, size, token, body, JSON, members.

use std::{
    future::{Future, poll_fn},
    pin::pin,
};

use http_body::Body;

use super::{
    AuthError, Head, Limits, Token,
    panic::caught,
    read::{Reader, too_large},
};
use crate::{
    engine::log_failure,
    error::{BoxError, Error},
    owner::Owner,
    protocol::{Envelope, SyncRequest},
};

/// Reads a request, for a handler that finds the owner by itself.
///
/// What it has read counts as [held](Limits::body_bytes_at_once) until the request is dropped.
///
/// `body` is not polled unless the head is right; of one that is refused a little is read, so that the
/// client hears why. Its error may be [`OverLimit`](super::OverLimit) or
/// `http_body_util::LengthLimitError`, where the framework has a limit of its own: then
/// [`max_body_bytes`](Limits::max_body_bytes) of `usize::MAX` leaves it all to the framework.
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use mobync::http::{Head, Limits, receive};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), mobync::Error> {
/// let head =
///     Head { method: "POST", content_type: Some(b"application/json"), ..Head::default() };
/// let body = Full::<Bytes>::from(r#"{"logical_clock": 0, "diffs": []}"#);
/// let request = receive(head, body, &Limits::default()).await?;
/// assert_eq!(request.logical_clock, 0);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::MethodNotAllowed`], [`Error::UnsupportedMediaType`], [`Error::PayloadTooLarge`];
/// [`Error::Busy`] or [`Error::Silent`] if the body cannot be had now; [`Error::InvalidJson`];
/// [`Error::InvalidRequest`], also if the body breaks off, or [`Error::InvalidDiff`].
pub async fn receive<B>(head: Head<'_>, body: B, limits: &Limits) -> Result<SyncRequest, Error>
where
    B: Body<Error: Into<BoxError>>,
{
    let Announced { expects, verdict, .. } = Announced::new(head, limits);
    let mut body = pin!(body);
    let mut reader = Reader::new(body.as_mut());
    if let Err(error) = verdict {
        refuse(&mut reader, expects, limits).await;
        return Err(error);
    }
    // The application has looked at who sends it, or will do so.
    match reader.read(limits, true).await {
        Ok((body, share)) => Ok(SyncRequest::from_slice(&body)?.holding(share)),
        Err(error) => {
            refuse(&mut reader, false, limits).await;
            Err(error)
        }
    }
}

/// Finds out whose request it is, and reads it as [`receive`] does.
///
/// `auth` is called once: before the body is read, if a header has a token; and with the body's token
/// else. A panic in it is an [`Error::Internal`].
///
/// # Errors
/// As [`receive`]. Those of [`AuthError`] come before whatever is wrong with the body, or, where the body
/// has the token, behind [`Error::InvalidJson`].
pub async fn authenticate<B, Fut>(
    head: Head<'_>,
    body: B,
    limits: &Limits,
    auth: impl FnOnce(Token) -> Fut,
) -> Result<(Owner, SyncRequest), Error>
where
    B: Body<Error: Into<BoxError>>,
    Fut: Future<Output = Result<Owner, AuthError>>,
{
    let announced = Announced::new(head, limits);
    // How many diffs are too many is for the `Mobync` to say, which the handler calls.
    let admitted = admit(announced, body, limits, usize::MAX, auth).await?;
    Ok((admitted.owner, admitted.request))
}

/// What a request's head says of it.
pub(super) struct Announced {
    token: Token,
    expects: bool,
    verdict: Result<(), Error>,
}

impl Announced {
    pub(super) fn new(head: Head<'_>, limits: &Limits) -> Self {
        let verdict = check(&head, limits);
        Self { token: head.token, expects: head.expects, verdict }
    }
}

/// A request that can be applied.
pub(super) struct Admitted {
    pub(super) owner: Owner,
    pub(super) request: SyncRequest,
}

/// Reads a request, and finds out whose it is.
pub(super) async fn admit<B, Fut>(
    announced: Announced,
    body: B,
    limits: &Limits,
    max_diffs: usize,
    auth: impl FnOnce(Token) -> Fut,
) -> Result<Admitted, Error>
where
    B: Body<Error: Into<BoxError>>,
    Fut: Future<Output = Result<Owner, AuthError>>,
{
    let Announced { token, mut expects, verdict } = announced;
    let mut body = pin!(body);
    let mut reader = Reader::new(body.as_mut());
    let admitted = async {
        verdict?;
        let (owner, auth) = if token.is_there() {
            (Some(identify(token, auth).await?), None)
        } else {
            (None, Some(auth))
        };
        expects = false;
        let (body, share) = reader.read(limits, owner.is_some()).await?;
        let envelope = Envelope::from_slice(&body)?;
        let owner = match (owner, auth) {
            (None, Some(auth)) => identify(Token::of_body(envelope.auth_token()), auth).await?,
            (Some(owner), _) => owner,
            (None, None) => return Err(Error::Internal("nobody was asked".into())),
        };
        Ok(Admitted { owner, request: envelope.into_request(max_diffs)?.holding(share) })
    };
    let admitted = admitted.await;
    if admitted.is_err() {
        refuse(&mut reader, expects, limits).await;
    }
    admitted
}

/// Finds out whose request it is, by its head alone: for routes other than the sync, such as one that
/// reads records.
///
/// `auth` is called once. What it refuses is logged where an operator should know; a panic in it is an
/// [`Error::Internal`].
///
/// ```
/// use http::Request;
/// use mobync::{Owner, http::{Token, identify, respond}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let auth = async |token: Token| Ok(Owner::new(token.as_str()?)?);
///
/// let request = Request::get("/records").header("authorization", "Bearer ada").body(())?;
/// assert_eq!(identify(Token::from(request.headers()), auth).await?.as_str(), "ada");
///
/// let request = Request::get("/records").body(())?;
/// let error = identify(Token::from(request.headers()), auth).await.unwrap_err();
/// assert_eq!(respond(Err(&error)).status(), 401);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of [`AuthError`].
pub async fn identify<Fut>(token: Token, auth: impl FnOnce(Token) -> Fut) -> Result<Owner, Error>
where
    Fut: Future<Output = Result<Owner, AuthError>>,
{
    let mut asked = pin!(async { auth(token).await.map_err(Error::from).inspect_err(log_failure) });
    poll_fn(|context| caught(asked.as_mut(), context)).await
}

/// Reads on in a body that is refused, unless the client waits to be asked for it.
async fn refuse<B>(reader: &mut Reader<'_, B>, expects: bool, limits: &Limits)
where
    B: Body<Error: Into<BoxError>>,
{
    if !expects {
        reader.read_on(limits).await;
    }
}

fn check(head: &Head<'_>, limits: &Limits) -> Result<(), Error> {
    if head.method != "POST" {
        return Err(Error::MethodNotAllowed);
    }
    check_media_type(head)?;
    let length = head.content_length.and_then(|length| str::from_utf8(length).ok());
    let length = length.and_then(|length| length.parse::<usize>().ok());
    if length.is_some_and(|length| length > limits.max_body_bytes) {
        return Err(too_large(limits));
    }
    Ok(())
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
