//! What handlers of your own extract.

use axum::extract::{FromRef, FromRequest, Request};
use mobync::{
    Owner, SyncRequest,
    http::{Credentials, Head, Limits, SharedAuth, Token, authenticate, receive},
};

use crate::{SyncError, body::Limited};

/// A sync request and its owner, by the [`SharedAuth`] in the router's state.
///
/// The body may have the size that axum's [`DefaultBodyLimit`](axum::extract::DefaultBodyLimit) allows:
/// 2 MB by default. Other [`Limits`] than the defaults are taken from the request's extensions. Mount
/// the handler with [`any`](axum::routing::any), so that it also responds to methods other than POST as
/// the protocol says.
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
    /// The owner.
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
        let auth = |token: Token| auth.authenticate(Credentials::new(of_auth, token));
        let (owner, request) = authenticate(Head::from(&parts), body, &limits, auth).await?;
        Ok(Self { owner, request })
    }
}

/// A sync request, for handlers that find the owner by themselves.
///
/// The limit and the way to mount the handler are those of [`Authenticated`].
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

/// In handlers, axum's own limit on the size of a body replaces the core's.
fn limits(request: &Request) -> Limits {
    let limits = request.extensions().get::<Limits>().cloned().unwrap_or_default();
    limits.max_body_bytes(usize::MAX)
}
