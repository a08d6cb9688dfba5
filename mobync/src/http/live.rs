//! The whole live route.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::{Either, Full};

use super::{
    Auth, AuthError, Claim, Credentials, Events, Head, Token, panic::caught, receive::ask, respond,
    respond::not_get,
};
use crate::{
    database::Database,
    engine::{Mobync, log_failure},
    error::Error,
    grant::Grant,
    owner::Owner,
    rules::Rules,
};

/// The live route of a [`Mobync`]: a device that listens here is told when to sync.
///
/// The answer to a `GET` is a stream of Server-Sent Events: at first, and after each sync that
/// brought something new, an event `clock` with the owner's clock. It names no data; a device with a
/// lesser clock syncs. The [`Credentials`] are those of a sync, except that there is no body to have a
/// token in it. Cheap to clone; with feature `tower` it is a `tower::Service`.
///
/// The streams of an owner hold one number in memory between them, however slow they are read. They
/// need a tokio runtime with its time enabled, and have to be [closed](crate::Live::close) for a
/// graceful shutdown.
///
/// ```
/// use http::Request;
/// use http_body_util::BodyExt;
/// use mobync::{Mobync, Owner, http::LiveEndpoint, memory::MemoryDatabase};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mobync = Mobync::new(MemoryDatabase::new());
/// let live = LiveEndpoint::new(mobync, async |credentials| {
///     Ok(Owner::new(credentials.token()?)?)
/// });
///
/// let request = Request::get("/sync/live").header("authorization", "Bearer ada").body(())?;
/// let mut events = live.handle(request).await.into_body();
/// let first = events.frame().await.and_then(|frame| frame.ok()?.into_data().ok());
/// assert_eq!(first.as_deref(), Some(&b"event: clock\ndata: 0\n\n"[..]));
/// # Ok(())
/// # }
/// ```
pub struct LiveEndpoint<D, R, A> {
    mobync: Mobync<D, R>,
    auth: Arc<A>,
    heartbeat: Duration,
    max_age: Duration,
    max_listeners: usize,
}

/// The body of what a [`LiveEndpoint`] answers: events, or a failure as JSON.
pub type LiveBody = Either<Events, Full<Bytes>>;

impl<D, R, A: Auth> LiveEndpoint<D, R, A> {
    /// The route that tells of the clocks of `mobync` to the owners that `auth` names.
    pub fn new(mobync: Mobync<D, R>, auth: A) -> Self {
        Self::with(mobync, auth)
    }
}

impl<D, R> LiveEndpoint<D, R, ()> {
    /// The route for an auth closure of another shape, which each request is then
    /// [answered](Self::answer) with.
    pub fn without_auth(mobync: Mobync<D, R>) -> Self {
        Self::with(mobync, ())
    }
}

impl<D, R, A> LiveEndpoint<D, R, A> {
    fn with(mobync: Mobync<D, R>, auth: A) -> Self {
        Self {
            mobync,
            auth: Arc::new(auth),
            heartbeat: Duration::from_secs(15),
            max_age: Duration::from_hours(1),
            max_listeners: 256,
        }
    }

    /// After how long without an event a comment is sent, so that no proxy takes the connection for
    /// dead, and the server finds out about devices that are gone; 15 seconds unless set.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// When a stream ends at the latest, so that a device must show its credentials again; an hour
    /// unless set.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = age;
        self
    }

    /// The greatest number of streams of one owner at a time; 256 unless set.
    #[must_use]
    pub fn max_listeners(mut self, most: usize) -> Self {
        self.max_listeners = most;
        self
    }
}

impl<D: Database, R: Rules, A: Auth> LiveEndpoint<D, R, A> {
    /// Answers a request: with a stream, or with a failure as a sync's.
    ///
    /// A method other than GET or HEAD is 405 `method_not_allowed`; then come what the auth closure
    /// says, 429 `too_many_listeners`, and 500 or 503 if the database fails.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<LiveBody> {
        let (parts, _) = request.into_parts();
        let method = parts.method.clone();
        let token = Token::from(&parts.headers);
        let head = Head { method: method.as_str(), token, ..Head::default() };
        let auth = |claim| (self.auth)(Credentials::new(parts.clone(), claim));
        let mut response = self.answer(head, auth).await;
        if method == Method::HEAD
            && let Either::Right(failure) = response.body_mut()
        {
            *failure = Full::default();
        }
        response
    }
}

impl<D: Database, R: Rules, A> LiveEndpoint<D, R, A> {
    /// Answers a request as [`handle`](Self::handle) does, by an auth closure of its own, which may
    /// borrow from the request or not be `Send`.
    ///
    /// A failure of a HEAD request has its body, which HTTP servers leave out by themselves.
    pub async fn answer<F, Fut, G>(&self, head: Head<'_>, auth: F) -> Response<LiveBody>
    where
        F: Fn(Claim) -> Fut,
        Fut: Future<Output = Result<G, AuthError>>,
        G: Into<Grant>,
    {
        let is_head = head.method == "HEAD";
        if !is_head && head.method != "GET" {
            return not_get().map(|body| Either::Right(Full::new(body)));
        }
        let listening = async {
            let grant = ask(Claim::from(head.token), auth).await?;
            self.listen(grant.into_owner()).await
        };
        let events = match listening.await {
            Ok(events) if is_head => {
                drop(events);
                Events::empty()
            }
            Ok(events) => events,
            Err(error) => return respond(Err(&error)).map(|body| Either::Right(Full::new(body))),
        };
        let mut response = Response::new(Either::Left(events));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // nginx, and what has learnt from it, would hold events back otherwise.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }

    async fn listen(&self, owner: Owner) -> Result<Events, Error> {
        // Listen first and look then, so that nothing falls between the two.
        let listener = self.mobync.live().listen(&owner, self.max_listeners);
        let listener = listener.inspect_err(log_failure)?;
        let mut asked = pin!(self.mobync.clock(&owner));
        let clock = poll_fn(|context| caught(asked.as_mut(), context)).await;
        let clock = clock.inspect_err(log_failure)?;
        Ok(Events::new(listener, clock, self.heartbeat, self.max_age))
    }
}

impl<D, R, A> Clone for LiveEndpoint<D, R, A> {
    fn clone(&self) -> Self {
        Self { mobync: self.mobync.clone(), auth: Arc::clone(&self.auth), ..*self }
    }
}

impl<D, R, A> fmt::Debug for LiveEndpoint<D, R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveEndpoint")
            .field("heartbeat", &self.heartbeat)
            .field("max_age", &self.max_age)
            .field("max_listeners", &self.max_listeners)
            .finish_non_exhaustive()
    }
}
