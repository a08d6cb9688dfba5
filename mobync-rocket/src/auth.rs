//! The application's auth closure, which can use Rocket's own request.

use std::{fmt, sync::Arc};

use mobync::{
    Owner,
    http::{self, AuthError, Token},
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
    token: Token,
}

impl<'a, 'r> Credentials<'a, 'r> {
    pub(crate) fn new(request: &'a Request<'r>, token: Token) -> Self {
        Self { request, token }
    }

    /// The token of the `Authorization: Bearer` header, or else the body's `auth_token`.
    ///
    /// # Errors
    /// [`AuthError::Unauthenticated`] if there is no token, or an empty one.
    pub fn token(&self) -> Result<&str, AuthError> {
        self.token.as_str()
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

/// An auth closure: any `async` closure or function from [`Credentials`] to `Result<Owner, AuthError>` whose
/// future is `Send`.
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
pub trait Auth: for<'a, 'r> http::Auth<Credentials<'a, 'r>> {}

impl<A> Auth for A where A: for<'a, 'r> http::Auth<Credentials<'a, 'r>> {}

type Shared = dyn for<'a, 'r> Fn(Credentials<'a, 'r>) -> BoxFuture<'a, Result<Owner, AuthError>>
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
    ) -> BoxFuture<'a, Result<Owner, AuthError>> {
        (self.0)(credentials)
    }
}

fn boxed<'a, 'r, A>(
    auth: &A,
    credentials: Credentials<'a, 'r>,
) -> BoxFuture<'a, Result<Owner, AuthError>>
where
    A: http::Auth<Credentials<'a, 'r>>,
{
    Box::pin(auth(credentials))
}

impl fmt::Debug for SharedAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedAuth")
    }
}
