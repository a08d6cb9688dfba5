//! What handlers of your own take.

use axum::extract::{FromRef, FromRequest, Request};
use mobync::{
    Owner, SyncRequest,
    http::{Credentials, Head, Limits, SharedAuth, authenticate, receive},
};

use crate::{SyncError, body::Limited};

/// A sync request and whose it is, by the [`SharedAuth`] in the router's state.
///
/// The body may be as large as axum's [`DefaultBodyLimit`](axum::extract::DefaultBodyLimit) lets it:
/// 2 MB unless another limit is set. Other [`Limits`] than the usual ones are taken from the request's
/// extensions. Mount the handler with [`any`](axum::routing::any), and methods other than POST are
/// answered as the protocol has it, too.
///
/// ```
/// use axum::{Router, extract::{FromRef, State}, routing::any};
/// use mobync::{Mobync, Owner, http::SharedAuth, memory::MemoryDatabase};
/// use mobync_axum::{Answer, Authenticated, SyncError};
///
/// #[derive(Clone, FromRef)]
/// struct App {
///     mobync: Mobync<MemoryDatabase>,
///     auth: SharedAuth,
/// }
///
/// async fn sync(
///     State(mobync): State<Mobync<MemoryDatabase>>,
///     Authenticated { owner, request }: Authenticated,
/// ) -> Result<Answer, SyncError> {
///     let answer = mobync.answer(&owner, &request).await?;
///     Ok(Answer(answer))
/// }
///
/// let app = App {
///     mobync: Mobync::new(MemoryDatabase::new()),
///     auth: SharedAuth::new(async |credentials| Ok(Owner::new(credentials.token()?)?)),
/// };
/// let router: Router = Router::new().route("/sync", any(sync)).with_state(app);
/// ```
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// Who is asking.
    pub owner: Owner,
    /// What the device sent.
    pub request: SyncRequest,
}

impl<S> FromRequest<S> for Authenticated
where
    S: Send + Sync,
    SharedAuth: FromRef<S>,
{
    type Rejection = SyncError;

    async fn from_request(request: Request, state: &S) -> Result<Self, SyncError> {
        let auth = SharedAuth::from_ref(state);
        let limits = limits(&request);
        let (parts, body) = Limited::of(request);
        let of_auth = parts.clone();
        let auth = |token| auth.authenticate(Credentials::new(of_auth, token));
        let (owner, request) = authenticate(Head::from(&parts), body, &limits, auth).await?;
        Ok(Self { owner, request })
    }
}

/// A sync request, for handlers that find out by themselves who is asking.
///
/// Its limit, and how to mount its handler, are as for [`Authenticated`].
///
/// ```
/// use axum::{Extension, Router, extract::State, routing::any};
/// use mobync::{Mobync, Owner, memory::MemoryDatabase};
/// use mobync_axum::{Answer, SyncBody, SyncError};
///
/// async fn sync(
///     State(mobync): State<Mobync<MemoryDatabase>>,
///     Extension(owner): Extension<Owner>, // left there by a middleware
///     SyncBody(request): SyncBody,
/// ) -> Result<Answer, SyncError> {
///     Ok(Answer(mobync.answer(&owner, &request).await?))
/// }
///
/// let mobync = Mobync::new(MemoryDatabase::new());
/// let router: Router = Router::new().route("/sync", any(sync)).with_state(mobync);
/// ```
#[derive(Clone, Debug)]
pub struct SyncBody(pub SyncRequest);

impl<S: Send + Sync> FromRequest<S> for SyncBody {
    type Rejection = SyncError;

    async fn from_request(request: Request, _: &S) -> Result<Self, SyncError> {
        let limits = limits(&request);
        let (parts, body) = Limited::of(request);
        Ok(Self(receive(Head::from(&parts), body, &limits).await?))
    }
}

/// Handlers have axum's own limit of a body's size, and none of the core's.
fn limits(request: &Request) -> Limits {
    let limits = request.extensions().get::<Limits>().cloned().unwrap_or_default();
    limits.max_body_bytes(usize::MAX)
}
