//! The application's auth closure, which can use Rocket's own request.

use std::{fmt, sync::Arc};

use mobync::{
    Grant,
    http::{AuthError, Claim},
};
use rocket::{Request, futures::future::BoxFuture};

/// What an auth closure decides by.
///
/// ```
/// use mobync::{Owner, http::AuthError};
/// use mobync_rocket::Credentials;
///
/// async fn auth(credentials: Credentials<'_, '_>) -> Result<Owner, AuthError> {
///     if let Some(user) = credentials.request.cookies().get("user") {
///         return Ok(Owner::new(user.value())?);
///     }
///     Ok(Owner::new(credentials.token()?)?)
/// }
/// ```
#[non_exhaustive]
pub struct Credentials<'a, 'r> {
    /// The request: its cookies (private ones too, with Rocket's feature `secrets`), its local cache,
    /// its guards by [`Request::guard`], the managed state by [`Request::rocket`].
    pub request: &'a Request<'r>,
    claim: Claim,
}

impl<'a, 'r> Credentials<'a, 'r> {
    pub(crate) fn new(request: &'a Request<'r>, claim: impl Into<Claim>) -> Self {
        Self { request, claim: claim.into() }
    }

    /// The token of the `Authorization: Bearer` header, or else the body's `auth_token`.
    ///
    /// # Errors
    /// [`AuthError::Unauthenticated`] if there is no token, or an empty one.
    pub fn token(&self) -> Result<&str, AuthError> {
        self.claim.token.as_str()
    }

    /// The name of the space that the request is for; `None` for the person's own data. See
    /// [`mobync::http::Credentials::space`].
    pub fn space(&self) -> Option<&str> {
        self.claim.space.as_deref()
    }
}

impl fmt::Debug for Credentials<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token and the headers are secrets.
        f.debug_struct("Credentials")
            .field("method", &self.request.method())
            .field("uri", &self.request.uri().path())
            .finish_non_exhaustive()
    }
}

/// An auth closure: any `async` closure or function from [`Credentials`] to `Result<Owner, AuthError>` or
/// `Result<Grant, AuthError>` whose future is `Send`.
///
/// Rocket's requests are borrowed, so an `async` closure cannot also borrow what it captures. Put such
/// things into [managed state](rocket::Rocket::manage) and look them up:
/// `credentials.request.rocket().state::<Users>()`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an auth closure",
    label = "not an auth closure",
    note = "an auth closure is `async |credentials| Ok(Owner::new(credentials.token()?)?)`, or an \
            `async fn` from `mobync_rocket::Credentials<'_, '_>` to `Result<Owner, AuthError>`, whose \
            future is `Send`",
    note = "it captures nothing: manage what it needs as state, and look it up with \
            `credentials.request.rocket().state()`"
)]
pub trait Auth:
    for<'a, 'r> Returns<Credentials<'a, 'r>, Self::Grant> + Send + Sync + 'static
{
    /// What the closure grants: an [`Owner`](mobync::Owner), or a [`Grant`].
    type Grant: Into<Grant> + Send + 'static;
}

impl<A, G> Auth for A
where
    A: for<'a, 'r> AsyncFn(Credentials<'a, 'r>) -> Result<G, AuthError>
        + for<'a, 'r> Returns<Credentials<'a, 'r>, G>
        + Send
        + Sync
        + 'static,
    G: Into<Grant> + Send + 'static,
{
    type Grant = G;
}

/// What an auth closure returns for credentials of one lifetime.
pub trait Returns<C, G>: AsyncFn(C) -> Result<G, AuthError> + Fn(C) -> Self::Future {
    /// The future.
    type Future: Future<Output = Result<G, AuthError>> + Send;
}

impl<C, G, F, Fut> Returns<C, G> for F
where
    F: AsyncFn(C) -> Result<G, AuthError> + Fn(C) -> Fut,
    Fut: Future<Output = Result<G, AuthError>> + Send,
{
    type Future = Fut;
}

type Shared = dyn for<'a, 'r> Fn(Credentials<'a, 'r>) -> BoxFuture<'a, Result<Grant, AuthError>>
    + Send
    + Sync;

/// An auth closure with a name, managed as state for [`Authenticated`](crate::Authenticated) and
/// [`AuthenticatedOwner`](crate::AuthenticatedOwner). It is cheap to clone.
///
/// ```
/// use mobync::Owner;
/// use mobync_rocket::SharedAuth;
///
/// let auth = SharedAuth::new(async |credentials| Ok(Owner::new(credentials.token()?)?));
/// let rocket = rocket::build().manage(auth);
/// # let _ = rocket;
/// ```
#[derive(Clone)]
pub struct SharedAuth(Arc<Shared>);

impl SharedAuth {
    /// Gives the closure a name.
    pub fn new(auth: impl Auth) -> Self {
        Self(Arc::new(move |credentials| boxed(&auth, credentials)))
    }

    pub(crate) fn authenticate<'a>(
        &self,
        credentials: Credentials<'a, '_>,
    ) -> BoxFuture<'a, Result<Grant, AuthError>> {
        (self.0)(credentials)
    }
}

fn boxed<'a, 'r, A, G>(
    auth: &A,
    credentials: Credentials<'a, 'r>,
) -> BoxFuture<'a, Result<Grant, AuthError>>
where
    A: Returns<Credentials<'a, 'r>, G, Future: 'a>,
    G: Into<Grant> + Send + 'a,
{
    let asked = auth(credentials);
    Box::pin(async { asked.await.map(Into::into) })
}

impl fmt::Debug for SharedAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedAuth")
    }
}
