//! The application's auth closure, which can use actix-web's own request.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use actix_web::HttpRequest;
use mobync::{
    Grant,
    http::{AuthError, Claim},
};

/// What an auth closure decides by.
///
/// ```
/// use actix_web::HttpMessage;
/// use mobync::{Owner, http::AuthError};
/// use mobync_actix::Credentials;
///
/// /// What a middleware of yours leaves in the request's extensions.
/// struct User(String);
///
/// async fn auth(credentials: Credentials) -> Result<Owner, AuthError> {
///     if let Some(User(name)) = credentials.request.extensions().get() {
///         return Ok(Owner::new(name)?);
///     }
///     Ok(Owner::new(credentials.token()?)?)
/// }
/// ```
#[non_exhaustive]
pub struct Credentials {
    /// The request: its cookies, its extensions, the `app_data`, its session or identity.
    pub request: HttpRequest,
    claim: Claim,
}

impl Credentials {
    pub(crate) fn new(request: HttpRequest, claim: impl Into<Claim>) -> Self {
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

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token and the headers are secrets.
        f.debug_struct("Credentials")
            .field("method", self.request.method())
            .field("uri", &self.request.path())
            .finish_non_exhaustive()
    }
}

/// An auth closure: any `async` closure or function from [`Credentials`] to `Result<Owner, AuthError>` or
/// `Result<Grant, AuthError>`. Its future need not be `Send`.
///
/// If it captures something, such as a pool, it passes a clone to each call. It can also find such
/// things in the request's `app_data`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an auth closure",
    label = "not an auth closure",
    note = "an auth closure is `async |credentials| Ok(Owner::new(credentials.token()?)?)`, or an \
            `async fn` from `mobync_actix::Credentials` to `Result<Owner, AuthError>`",
    note = "a closure that captures something hands each call a clone of it: \
            `move |credentials| {{ let users = users.clone(); async move {{ .. }} }}`"
)]
pub trait Auth:
    AsyncFn(Credentials) -> Result<Self::Grant, AuthError> + Fn(Credentials) -> Self::Future + 'static
{
    /// What the closure grants: an [`Owner`](mobync::Owner), or a [`Grant`].
    type Grant: Into<Grant>;
    /// What the closure returns.
    type Future: Future<Output = Result<Self::Grant, AuthError>>;
}

impl<F, Fut, G> Auth for F
where
    F: AsyncFn(Credentials) -> Result<G, AuthError> + Fn(Credentials) -> Fut + 'static,
    Fut: Future<Output = Result<G, AuthError>>,
    G: Into<Grant>,
{
    type Grant = G;
    type Future = Fut;
}

type LocalBoxFuture = Pin<Box<dyn Future<Output = Result<Grant, AuthError>>>>;

/// An auth closure with a name, kept in the `app_data` for [`Authenticated`](crate::Authenticated) and
/// [`AuthenticatedOwner`](crate::AuthenticatedOwner). It is cheap to clone, and one serves all workers.
///
/// ```
/// use mobync::Owner;
/// use mobync_actix::SharedAuth;
///
/// let auth = SharedAuth::new(async |credentials| Ok(Owner::new(credentials.token()?)?));
/// # let _ = auth;
/// ```
#[derive(Clone)]
pub struct SharedAuth(Arc<dyn Fn(Credentials) -> LocalBoxFuture + Send + Sync>);

impl SharedAuth {
    /// Gives the closure a name.
    pub fn new(auth: impl Auth + Send + Sync) -> Self {
        Self(Arc::new(move |credentials| {
            let asked = auth(credentials);
            Box::pin(async { asked.await.map(Into::into) })
        }))
    }

    pub(crate) async fn authenticate(&self, credentials: Credentials) -> Result<Grant, AuthError> {
        (self.0)(credentials).await
    }
}

impl fmt::Debug for SharedAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedAuth")
    }
}
