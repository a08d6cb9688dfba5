//! From a request's bytes to its meaning: method, media type, size, token, body, JSON, members.

use std::{
    future::{Future, poll_fn},
    pin::pin,
};

use http_body::Body;

use super::{
    AuthError, Head, Held, Limits, Token,
    panic::caught,
    read::{Reader, too_large},
    spaces::Person,
};
use crate::{
    engine::log_failure,
    error::{BoxError, Error},
    grant::Grant,
    owner::Owner,
    protocol::{Envelope, Member, Requests, SyncRequest, not_several},
};

/// Reads a request, for a handler that finds the owner by itself.
///
/// The bytes read count as [held](Limits::body_bytes_at_once) until the request is dropped. Several requests in
/// one (`syncs`) are refused with 400, as by a server that does not know spaces: only an
/// [`Endpoint`](super::Endpoint) takes them.
///
/// `body` is polled only if the head is valid. If a request is refused, some more of its body is read,
/// so that the client receives the reason. The body's error may be [`OverLimit`](super::OverLimit) or
/// `http_body_util::LengthLimitError`, if the framework has its own limit. Set
/// [`max_body_bytes`](Limits::max_body_bytes) to `usize::MAX` to use that limit alone.
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
/// [`Error::Busy`] or [`Error::Silent`] if the body does not arrive in time, or there is no memory for it;
/// [`Error::InvalidJson`]; [`Error::InvalidRequest`], also if the body ends too early; or
/// [`Error::InvalidDiff`].
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
    // The application authenticates the sender, before or after this.
    match reader.read(limits, true).await {
        Ok((body, share)) => Ok(SyncRequest::from_slice(&body)?.holding(share)),
        Err(error) => {
            refuse(&mut reader, false, limits).await;
            Err(error)
        }
    }
}

/// Finds the owner of a request, and reads it as [`receive`] does.
///
/// `auth` is called once: before the body is read, if a header has a token; otherwise with the body's
/// token. A panic in it is an [`Error::Internal`]. It is never asked about a space: several requests in one
/// (`syncs`) are refused as by [`receive`].
///
/// # Errors
/// As [`receive`]. The errors of [`AuthError`] come before those of the body. If the body has the token,
/// they come after [`Error::InvalidJson`].
pub async fn authenticate<B, Fut, G>(
    head: Head<'_>,
    body: B,
    limits: &Limits,
    auth: impl FnOnce(Token) -> Fut,
) -> Result<(Owner, SyncRequest), Error>
where
    B: Body<Error: Into<BoxError>>,
    Fut: Future<Output = Result<G, AuthError>>,
    G: Into<Grant>,
{
    let announced = Announced::new(head, limits);
    // The `Mobync` that the handler calls checks the number of diffs.
    match admit(announced, body, limits, usize::MAX, auth).await? {
        Admitted::One(grant, request) => {
            let request = request.granted(&grant);
            Ok((grant.into_owner(), request))
        }
        Admitted::Several(person, ..) => person.own.and_then(|_| Err(not_several())),
    }
}

/// What a request's head says about the body.
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

/// What can be applied.
pub(super) enum Admitted {
    One(Grant, SyncRequest),
    /// With the owner of the person's own data, if the answer is to name it.
    Several(Person, Vec<Member>, Option<Owner>),
}

/// Reads a request, and finds its owner.
pub(super) async fn admit<B, Fut, G>(
    announced: Announced,
    body: B,
    limits: &Limits,
    max_diffs: usize,
    auth: impl FnOnce(Token) -> Fut,
) -> Result<Admitted, Error>
where
    B: Body<Error: Into<BoxError>>,
    Fut: Future<Output = Result<G, AuthError>>,
    G: Into<Grant>,
{
    let Announced { token, mut expects, verdict } = announced;
    let mut body = pin!(body);
    let mut reader = Reader::new(body.as_mut());
    let admitted = async {
        verdict?;
        let (person, auth) = if token.is_there() {
            (Some(Person::of(token, auth).await?), None)
        } else {
            (None, Some(auth))
        };
        expects = false;
        let is_known = person.as_ref().is_some_and(|person| person.own.is_ok());
        let (body, share) = match reader.read(limits, is_known).await {
            Ok(read) => read,
            Err(error) => return Err(sooner(person, error)),
        };
        let envelope = match <Envelope<'_>>::from_slice(&body) {
            Ok(envelope) => envelope,
            Err(error) => return Err(sooner(person, error)),
        };
        let person = match (person, auth) {
            (None, Some(auth)) => Person::of(Token::of_body(envelope.auth_token()), auth).await?,
            (Some(person), _) => person,
            (None, None) => return Err(Error::Internal("nobody was asked".into())),
        };
        let (is_several, held) = (envelope.is_several(), Held::from(share));
        match envelope.into_requests(max_diffs) {
            Ok(Requests::One(request)) => Ok(Admitted::One(person.own?, request.holding(held))),
            Ok(Requests::Several(members, named)) => {
                let owner = person.check(named.as_deref())?;
                let members = members.into_iter().map(|member| member.holding(held.clone()));
                Ok(Admitted::Several(person, members.collect(), owner))
            }
            Err(error) if is_several => Err(error),
            Err(error) => Err(sooner(Some(person), error)),
        }
    };
    let admitted = admitted.await;
    if admitted.is_err() {
        refuse(&mut reader, expects, limits).await;
    }
    admitted
}

/// The error of a body, unless the auth closure has refused the person's own data before.
fn sooner(person: Option<Person>, error: Error) -> Error {
    match person {
        Some(Person { own: Err(refusal), .. }) => refusal,
        _ => error,
    }
}

/// Finds the owner of a request by its head alone: for routes other than the sync, such as one that
/// reads records.
///
/// `auth` is called once. Its failures are logged if an operator should know them. A panic in it is an
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
pub async fn identify<Fut, G>(token: Token, auth: impl FnOnce(Token) -> Fut) -> Result<Owner, Error>
where
    Fut: Future<Output = Result<G, AuthError>>,
    G: Into<Grant>,
{
    ask(token, auth).await.map(Grant::into_owner)
}

/// What an auth closure grants. Its failures are logged if an operator should know them.
pub(super) async fn ask<C, Fut, G>(claim: C, auth: impl FnOnce(C) -> Fut) -> Result<Grant, Error>
where
    Fut: Future<Output = Result<G, AuthError>>,
    G: Into<Grant>,
{
    let mut asked = pin!(async {
        let granted = auth(claim).await.map(Into::into).map_err(Error::from);
        granted.inspect_err(log_failure)
    });
    poll_fn(|context| caught(asked.as_mut(), context)).await
}

/// Reads more of a refused body, unless the client waits to be asked for it.
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
