//! The whole sync route.

use std::{
    fmt,
    future::{Future, poll_fn},
    io::Write,
    pin::pin,
    sync::Arc,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use tokio::time::timeout;

use super::{
    AnswerBody, Auth, AuthError, Claim, Credentials, Head, Limits, Token,
    body::large,
    budget::Share,
    panic::caught,
    receive::{Admitted, Announced, admit},
    respond::{respond, response},
};
use crate::{
    database::Database,
    engine::{Mobync, log_failure},
    error::{BoxError, Error},
    grant::Grant,
    owner::Owner,
    protocol::{SyncRequest, SyncResponse},
    rules::Rules,
};

/// The sync route of a [`Mobync`]: a request in, a response out. Cheap to clone.
///
/// With feature `tower` it is a `tower::Service`, for axum, hyper and whatever else speaks that.
///
/// # Several requests in one
///
/// A request can sync a person's own data and [spaces](Credentials::space) that they share with others. Each of its
/// members is answered as it would be in a request of its own, with the same errors. None of them fails with another one:
/// [several](Limits::spaces_at_once) run side by side, each with the whole
/// [time of a sync](Mobync::time_limit), and a panic in a rule fails one of them. Those of one owner run one after
/// another. Only a wrong token, or a body that is wrong as a whole, fails them all. Handlers of your own do not take such
/// requests.
///
/// ```
/// use bytes::Bytes;
/// use http::Request;
/// use http_body_util::Full;
/// use mobync::{Mobync, Owner, http::Endpoint, memory::MemoryDatabase};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let endpoint = Endpoint::new(Mobync::new(MemoryDatabase::new()), async |credentials| {
///     Ok(Owner::new(credentials.token()?)?)
/// });
///
/// let request = Request::post("/sync")
///     .header("content-type", "application/json")
///     .header("authorization", "Bearer ada")
///     .body(Full::<Bytes>::from(r#"{"logical_clock": 0, "diffs": []}"#))?;
/// let response = endpoint.handle(request).await;
/// assert_eq!(response.status(), 200);
/// # Ok(())
/// # }
/// ```
pub struct Endpoint<D, R, A> {
    pub(super) mobync: Mobync<D, R>,
    auth: Arc<A>,
    limits: Arc<Limits>,
}

impl<D, R, A: Auth> Endpoint<D, R, A> {
    /// The route that syncs with `mobync`, for the owners that `auth` names.
    pub fn new(mobync: Mobync<D, R>, auth: A) -> Self {
        Self { mobync, auth: Arc::new(auth), limits: Arc::default() }
    }
}

impl<D, R> Endpoint<D, R, ()> {
    /// The route for an auth closure of another shape, which each request is then
    /// [answered](Self::answer) with.
    pub fn without_auth(mobync: Mobync<D, R>) -> Self {
        Self { mobync, auth: Arc::new(()), limits: Arc::default() }
    }
}

impl<D, R, A> Endpoint<D, R, A> {
    /// What requests and answers may take; [`Limits::default`] unless set.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Arc::new(limits);
        self
    }

    /// The greatest size of a request's body, in bytes, as [`Limits::max_body_bytes`].
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        Arc::make_mut(&mut self.limits).max_body_bytes = bytes;
        self
    }
}

impl<D: Database, R: Rules, A: Auth> Endpoint<D, R, A> {
    /// Answers a request. Whatever it is, there is an answer, as the protocol has it.
    ///
    /// The answer is there at once, and so counts as read. Over a network, [`serve`](Self::serve).
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Bytes>
    where
        B: Body<Error: Into<BoxError>>,
    {
        self.serve(request).await.map(AnswerBody::into_bytes)
    }

    /// Answers a request as [`handle`](Self::handle) does, with a body to be written to a network.
    pub async fn serve<B>(&self, request: Request<B>) -> Response<AnswerBody>
    where
        B: Body<Error: Into<BoxError>>,
    {
        let (parts, body) = request.into_parts();
        let is_head = parts.method == Method::HEAD;
        let announced = Announced::new(Head::from(&parts), &self.limits);
        let auth = |claim| (self.auth)(Credentials::new(parts.clone(), claim));
        let mut response = self.respond(&self.limits, announced, body, auth).await;
        if is_head {
            *response.body_mut() = Bytes::new().into();
        }
        response
    }
}

impl<D: Database, R: Rules, A> Endpoint<D, R, A> {
    /// Answers a request as [`serve`](Self::serve) does, but within these limits, and by an auth closure
    /// of its own, which may borrow from the request or not be `Send`.
    ///
    /// The answer to a HEAD request has its body, which HTTP servers leave out by themselves.
    pub async fn answer<B, F, Fut, G>(
        &self,
        head: Head<'_>,
        body: B,
        limits: &Limits,
        auth: F,
    ) -> Response<AnswerBody>
    where
        B: Body<Error: Into<BoxError>>,
        F: Fn(Claim) -> Fut,
        Fut: Future<Output = Result<G, AuthError>>,
        G: Into<Grant>,
    {
        self.respond(limits, Announced::new(head, limits), body, auth).await
    }

    async fn respond<B, F, Fut, G>(
        &self,
        limits: &Limits,
        announced: Announced,
        body: B,
        auth: F,
    ) -> Response<AnswerBody>
    where
        B: Body<Error: Into<BoxError>>,
        F: Fn(Claim) -> Fut,
        Fut: Future<Output = Result<G, AuthError>>,
        G: Into<Grant>,
    {
        let max_diffs = self.mobync.settings().max_diffs;
        let of_person = |token: Token| auth(token.into());
        let answered = match admit(announced, body, limits, max_diffs, of_person).await {
            Ok(Admitted::One(grant, request)) => {
                let mut syncing = pin!(self.sync(limits, grant, request));
                poll_fn(|context| caught(syncing.as_mut(), context)).await
            }
            Ok(Admitted::Several(person, members, owner)) => {
                // On the heap: one request must not take memory for several.
                Ok(Box::pin(self.answer_several(limits, (person, owner), members, &auth)).await)
            }
            Err(error) => Err(error),
        };
        answered.unwrap_or_else(|error| respond(Err(&error)).map(AnswerBody::from))
    }

    async fn sync(
        &self,
        limits: &Limits,
        grant: Grant,
        request: SyncRequest,
    ) -> Result<Response<AnswerBody>, Error> {
        // What is left of the request is dropped when there is an answer: until then it counts as held.
        let (owner, request) = (grant.owner(), request.granted(&grant));
        let answer = self.mobync.answer(owner, &request).await?;
        let Some(size) = large(&answer) else {
            return Ok(respond(Ok(&answer)).map(AnswerBody::from));
        };
        match limits.answers.try_take(size) {
            Some(room) => Ok(held(limits, &answer, room)),
            None => {
                let later = self.answer_later(limits, (answer, size), owner, &request);
                let (answer, room) = Box::pin(later).await?;
                Ok(held(limits, &answer, room))
            }
        }
    }

    /// Waits until others have read their large answers. Whoever waits holds none, but reads it anew:
    /// what the device sent is known by then, and does nothing again.
    pub(super) async fn answer_later(
        &self,
        limits: &Limits,
        (mut answer, size): (SyncResponse, usize),
        owner: &Owner,
        request: &SyncRequest,
    ) -> Result<(SyncResponse, Share), Error> {
        answer.diffs = Vec::new();
        let waited = async {
            let room = timeout(limits.patience, limits.answers.take(size)).await;
            let room = room.map_err(|_| Error::busy("large answers are not read"));
            let room = room.inspect_err(log_failure)?;
            Ok((self.mobync.answer(owner, request).await?, room))
        };
        let waited = waited.await;
        // What the device sent has been applied by now.
        let in_doubt =
            |error: Error| if request.diffs.is_empty() { error } else { error.in_doubt() };
        let (anew, room) = waited.map_err(in_doubt)?;
        // What was refused is told once, and that was the first time.
        Ok((SyncResponse { message: answer.message, refused: answer.refused, ..anew }, room))
    }
}

/// A large answer, written in parts.
fn held(limits: &Limits, answer: &SyncResponse, room: Share) -> Response<AnswerBody> {
    // Strings, integers and booleans: JSON can represent all of them.
    let write = |out: &mut dyn Write| serde_json::to_writer(out, answer).map_err(Into::into);
    let (body, length) = limits.answers.hold(room, write);
    response(StatusCode::OK, body, length)
}

impl<D, R, A> Clone for Endpoint<D, R, A> {
    fn clone(&self) -> Self {
        Self {
            mobync: self.mobync.clone(),
            auth: Arc::clone(&self.auth),
            limits: Arc::clone(&self.limits),
        }
    }
}

impl<D, R, A> fmt::Debug for Endpoint<D, R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("max_body_bytes", &self.limits.max_body_bytes)
            .finish_non_exhaustive()
    }
}
