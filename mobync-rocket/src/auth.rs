//! Who is asking: the application's auth closure, with Rocket's own request at hand.

use std::{fmt, sync::Arc};

use mobync::{
    Owner,
    http::{AuthError, Token},
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

    /// The token of the `Authorization: Bearer` header, else the body's `auth_token`.
    ///
    /// # Errors
    /// [`AuthError::Unauthenticated`] if there is none, or an empty one.
    pub fn token(&self) -> Result<&str, AuthError> {
        self.token.as_str()
    }
}

impl fmt::Debug for Credentials<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither token nor headers: they are secrets.
        f.debug_struct("Credentials")
            .field("method", &self.request.method())
            .field("uri", &self.request.uri().path())
            .finish_non_exhaustive()
    }
}

type Auth = dyn for<'a, 'r> Fn(Credentials<'a, 'r>) -> BoxFuture<'a, Result<Owner, AuthError>>
    + Send
    + Sync;

/// An auth closure with a name, to be managed as state for [`Authenticated`](crate::Authenticated).
/// Cheap to clone.
///
/// ```
/// use mobync::Owner;
/// use mobync_rocket::SharedAuth;
///
/// let auth = SharedAuth::new(|credentials| {
///     Box::pin(async move { Ok(Owner::new(credentials.token()?)?) })
/// });
/// let rocket = rocket::build().manage(auth);
/// # let _ = rocket;
/// ```
#[derive(Clone)]
pub struct SharedAuth(Arc<Auth>);

impl SharedAuth {
    /// Gives the closure a name.
    pub fn new<A>(auth: A) -> Self
    where
        A: for<'a, 'r> Fn(Credentials<'a, 'r>) -> BoxFuture<'a, Result<Owner, AuthError>>
            + Send
            + Sync
            + 'static,
    {
        Self(Arc::new(auth))
    }

    pub(crate) fn authenticate<'a>(
        &self,
        credentials: Credentials<'a, '_>,
    ) -> BoxFuture<'a, Result<Owner, AuthError>> {
        (self.0)(credentials)
    }
}

impl fmt::Debug for SharedAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedAuth")
    }
}
