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
use tokio::time::Instant;

use super::{
    Auth, AuthError, Claim, Credentials, Events, Head,
    events::BoxedAuth,
    panic::caught,
    query::spaces,
    respond,
    respond::not_get,
    spaces::Person,
    watched::{Later, MINUTE, ReadClock, SECOND, Said, Source, Watched},
};
use crate::{
    database::Database,
    engine::{Mobync, log_failure},
    error::Error,
    grant::Grant,
    live::Listener,
    rules::Rules,
};

/// The live route of a [`Mobync`]: a device that listens here is told when to sync.
///
/// The answer to a `GET` is a stream of Server-Sent Events: at first, and after each sync that
/// brought something new, an event `clock` with the owner's clock. It names no data; a device with a
/// lesser clock syncs. The [`Credentials`] are those of a sync, except that there is no body to have a
/// token in it. Cheap to clone; with feature `tower` it is a `tower::Service`.
///
/// If the query names spaces, as in `/sync/live?space=family&space=club`, the events are those of these spaces,
/// each as JSON with the name of its space. The auth closure is asked first about the person, and then about
/// each [space](Credentials::space): before each of its events, and at least [once a minute](Self::ask_every).
/// One that does not answer, or fails, holds up its own space only.
///
/// A [`Grant`] that [holds for](Grant::holds_for) some time is asked for again after it, also without spaces. So
/// the stream keeps the closure, and what it may look at of the request.
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
    ask_every: Duration,
}

/// The body of what a [`LiveEndpoint`] answers: [`Events`], or a failure as JSON.
pub type LiveBody<F = BoxedAuth, Fut = Later<Result<Grant, AuthError>>> =
    Either<Events<F, Fut>, Full<Bytes>>;

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
            ask_every: MINUTE,
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
    ///
    /// A stream over spaces is one of the person's own data, and one of each space. For a space that has as many
    /// already, it waits until there is a place, and sends no events of it before.
    #[must_use]
    pub fn max_listeners(mut self, most: usize) -> Self {
        self.max_listeners = most;
        self
    }

    /// After how long without an event a stream over spaces asks the auth closure again about each of them;
    /// a minute unless set, which is also the most. The least is a second.
    #[must_use]
    pub fn ask_every(mut self, interval: Duration) -> Self {
        self.ask_every = interval.clamp(SECOND, MINUTE);
        self
    }
}

impl<D: Database, R: Rules, A: Auth> LiveEndpoint<D, R, A> {
    /// Answers a request: with a stream, or with a failure as a sync's.
    ///
    /// A method other than GET or HEAD is 405 `method_not_allowed`; then come what the auth closure
    /// says about the person, 400 `invalid_request` for spaces that cannot be, 429 `too_many_listeners`, and 500
    /// or 503 if the database fails.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<LiveBody> {
        let (parts, _) = request.into_parts();
        let parts = Arc::new(parts);
        let (auth, asked) = (Arc::clone(&self.auth), Arc::clone(&parts));
        let auth: BoxedAuth = Box::new(move |claim| {
            let asked = auth(Credentials::new((*asked).clone(), claim));
            Box::pin(async { asked.await.map(Into::into) })
        });
        let mut response = self.answer(Head::from(&*parts), auth).await;
        if parts.method == Method::HEAD
            && let Either::Right(failure) = response.body_mut()
        {
            *failure = Full::default();
        }
        response
    }
}

impl<D: Database, R: Rules, A> LiveEndpoint<D, R, A> {
    /// Answers a request as [`handle`](Self::handle) does, by an auth closure of its own, which may
    /// borrow from the request or not be `Send`. Then the stream borrows from it, too, or is not `Send`.
    ///
    /// A failure of a HEAD request has its body, which HTTP servers leave out by themselves.
    pub async fn answer<F, Fut, G>(&self, head: Head<'_>, auth: F) -> Response<LiveBody<F, Fut>>
    where
        F: Fn(Claim) -> Fut,
        Fut: Future<Output = Result<G, AuthError>>,
        G: Into<Grant>,
    {
        let is_head = head.method == "HEAD";
        if !is_head && head.method != "GET" {
            return not_get().map(|body| Either::Right(Full::new(body)));
        }
        let events = match self.open(head, auth).await {
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

    async fn open<F, Fut, G>(&self, head: Head<'_>, auth: F) -> Result<Events<F, Fut>, Error>
    where
        F: Fn(Claim) -> Fut,
        Fut: Future<Output = Result<G, AuthError>>,
        G: Into<Grant>,
    {
        let Person { own, token } =
            Person::of(head.token, |token| auth(Claim::from(token))).await?;
        let spaces = spaces(head.query)?;
        let mobync = self.mobync.clone();
        let read: ReadClock = Arc::new(move |owner| {
            let mobync = mobync.clone();
            Box::pin(async move { mobync.clock(&owner).await })
        });
        let mut source = Source {
            auth: Some(auth),
            token,
            read,
            live: self.mobync.live().clone(),
            max_listeners: self.max_listeners,
            ask_every: None,
        };
        if spaces.is_empty() {
            return self.open_alone(own?, source).await;
        }
        source.ask_every = Some(self.ask_every);
        let until = source.live.until().inspect_err(log_failure)?;
        let wants_own = spaces.contains(&None);
        let now = Instant::now();
        let (person, first) = match &own {
            Ok(grant) => (Some((grant, self.listen(grant)?)), None),
            Err(Error::NoMember(sentence)) => (None, Some(Said::NoMember(sentence.clone()))),
            Err(_) => (None, None),
        };
        let is_shown = wants_own && person.is_some();
        let mut watched = vec![Watched::person(person, is_shown, &source, now)];
        watched.extend(spaces.into_iter().flatten().map(|name| Watched::space(name, now)));
        let first = first.filter(|_| wants_own);
        let until: Option<Later<()>> = Some(Box::pin(until));
        Ok(Events::new(first, source, watched, until, self.heartbeat, self.max_age))
    }

    /// A stream without spaces.
    async fn open_alone<F, Fut>(
        &self,
        grant: Grant,
        mut source: Source<F>,
    ) -> Result<Events<F, Fut>, Error> {
        // Listen first and look then, so that nothing falls between the two.
        let listener = self.listen(&grant)?;
        let now = Instant::now();
        let mut read = pin!((source.read)(grant.owner().clone()));
        let clock = poll_fn(|context| caught(read.as_mut(), context)).await;
        let clock = clock.inspect_err(log_failure)?;
        if grant.time().is_none() {
            source.auth = None;
        }
        let own = Watched::alone(listener, clock, &grant, now);
        let first = Some(Said::Clock(clock));
        Ok(Events::new(first, source, vec![own], None, self.heartbeat, self.max_age))
    }

    fn listen(&self, grant: &Grant) -> Result<Listener, Error> {
        let listener = self.mobync.live().listen(grant.owner(), self.max_listeners);
        listener.inspect_err(log_failure)
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
            .field("ask_every", &self.ask_every)
            .finish_non_exhaustive()
    }
}
