//! The whole sync route.

use std::{fmt, future::Future, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Limited};

use super::{Auth, AuthError, Credentials, Head, Received, Token, receive, respond};
use crate::{Database, Error, Mobync, Owner, Rules, SyncRequest, error::BoxError};

/// The greatest size of a request's body unless another one is set: 16 MiB.
pub const DEFAULT_MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// The sync route of a [`Mobync`]: a request in, a response out. Cheap to clone.
///
/// With feature `tower` it is a `tower::Service`, for axum, hyper and whatever else speaks that.
///
/// ```
/// use bytes::Bytes;
/// use http::Request;
/// use http_body_util::Full;
/// use mobync::{Mobync, Owner, http::Endpoint, memory::MemoryDatabase};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let endpoint = Endpoint::new(Mobync::new(MemoryDatabase::new()), |credentials| async move {
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
    mobync: Mobync<D, R>,
    auth: Arc<A>,
    max_body_bytes: usize,
}

impl<D, R, A, Fut> Endpoint<D, R, A>
where
    A: Fn(Credentials) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Owner, AuthError>> + Send,
{
    /// The route that syncs with `mobync`, for the owners that `auth` names.
    pub fn new(mobync: Mobync<D, R>, auth: A) -> Self {
        Self { mobync, auth: Arc::new(auth), max_body_bytes: DEFAULT_MAX_BODY_BYTES }
    }
}

impl<D, R, A> Endpoint<D, R, A> {
    /// The greatest size of a request's body, in bytes; [`DEFAULT_MAX_BODY_BYTES`] unless set.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }
}

impl<D: Database, R: Rules<D::Unit>, A: Auth> Endpoint<D, R, A> {
    /// Answers a request. Whatever it is, there is an answer, as the protocol has it.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Bytes>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = request.into_parts();
        let is_head = parts.method == Method::HEAD;
        let body =
            async { Ok(Limited::new(body, self.max_body_bytes).collect().await?.to_bytes()) };
        let received = receive(Head::from(&parts), self.max_body_bytes, body).await;
        let auth = |token| self.auth.authenticate(Credentials::new(parts, token));
        let mut response = answer(&self.mobync, received, auth).await;
        if is_head {
            *response.body_mut() = Bytes::new();
        }
        response
    }
}

impl<D, R, A> Clone for Endpoint<D, R, A> {
    fn clone(&self) -> Self {
        Self {
            mobync: self.mobync.clone(),
            auth: Arc::clone(&self.auth),
            max_body_bytes: self.max_body_bytes,
        }
    }
}

impl<D, R, A> fmt::Debug for Endpoint<D, R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("max_body_bytes", &self.max_body_bytes)
            .finish_non_exhaustive()
    }
}

/// Answers what was [received](receive) like an [`Endpoint`], for frameworks in which who is asking is
/// told by more than [`Credentials`]: `auth` is called once, with whatever it has borrowed from the
/// request.
///
/// The answer to a HEAD request has its body, which HTTP servers leave out by themselves.
pub async fn answer<D, R, Fut>(
    mobync: &Mobync<D, R>,
    received: Result<Received, Error>,
    auth: impl FnOnce(Token) -> Fut,
) -> Response<Bytes>
where
    D: Database,
    R: Rules<D::Unit>,
    Fut: Future<Output = Result<Owner, AuthError>>,
{
    // Without a block of its own, which would keep all of this a second time.
    let request = match received {
        Ok(received) => received.authenticate(auth, mobync.settings().max_diffs).await,
        Err(error) => Err(error),
    };
    let outcome = match request {
        Ok((owner, SyncRequest { logical_clock, diffs, .. })) => {
            mobync.apply(logical_clock, diffs, &owner).await
        }
        Err(error) => Err(error),
    };
    respond(outcome.as_ref())
}
