//! The application's auth closure.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use http::{Extensions, HeaderMap, Method, Request, Uri, Version, request::Parts};

use super::{AuthError, Token};
use crate::owner::Owner;

/// What an auth closure decides by.
///
/// ```
/// use mobync::{Owner, http::{AuthError, Credentials}};
///
/// async fn auth(credentials: Credentials) -> Result<Owner, AuthError> {
///     match credentials.token()? {
///         "ada's secret" => Ok(Owner::new("ada")?),
///         _ => Err(AuthError::unauthenticated("The token is not known.")),
///     }
/// }
/// ```
#[non_exhaustive]
pub struct Credentials {
    /// The request's token.
    pub token: Token,
    /// The request's method.
    pub method: Method,
    /// The request's address.
    pub uri: Uri,
    /// The request's headers.
    pub headers: HeaderMap,
    /// What middleware has added to the request, such as a session's user.
    pub extensions: Extensions,
    version: Version,
}

impl Credentials {
    /// The credentials of a request with this head and this token.
    pub fn new(parts: Parts, token: Token) -> Self {
        let Parts { method, uri, headers, extensions, version, .. } = parts;
        Self { token, method, uri, headers, extensions, version }
    }

    /// The token.
    ///
    /// # Errors
    /// [`AuthError::Unauthenticated`] if there is no token, or an empty one.
    pub fn token(&self) -> Result<&str, AuthError> {
        self.token.as_str()
    }

    /// The request's head, for a framework's extractors.
    pub fn into_parts(self) -> Parts {
        let (mut parts, ()) = Request::new(()).into_parts();
        let Self { method, uri, headers, extensions, version, .. } = self;
        (parts.method, parts.uri, parts.version) = (method, uri, version);
        (parts.headers, parts.extensions) = (headers, extensions);
        parts
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token and the headers are secrets.
        f.debug_struct("Credentials")
            .field("method", &self.method)
            .field("uri", &self.uri.path())
            .finish_non_exhaustive()
    }
}

/// An auth closure: any `async` closure or function from [`Credentials`] to `Result<Owner, AuthError>`
/// whose future is `Send`.
///
/// If it captures something, such as a pool, it passes a clone to each call:
///
/// ```
/// use std::{collections::HashMap, sync::Arc};
///
/// use mobync::{Owner, http::{Auth, AuthError}};
///
/// fn by_table(users: Arc<HashMap<String, String>>) -> impl Auth {
///     move |credentials: mobync::http::Credentials| {
///         let users = Arc::clone(&users);
///         async move {
///             let user = users.get(credentials.token()?);
///             let user = user.ok_or_else(|| AuthError::unauthenticated("The token is not known."))?;
///             Ok(Owner::new(user)?)
///         }
///     }
/// }
/// ```
///
/// In the adapters of frameworks with their own request type, `C` is another type than [`Credentials`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an auth closure",
    label = "not an auth closure",
    note = "an auth closure is `async |credentials| Ok(Owner::new(credentials.token()?)?)`, or an \
            `async fn` from `{C}` to `Result<Owner, AuthError>`, whose future is `Send`",
    note = "a closure that captures something hands each call a clone of it: \
            `move |credentials| {{ let users = users.clone(); async move {{ .. }} }}`"
)]
pub trait Auth<C = Credentials>:
    AsyncFn(C) -> Result<Owner, AuthError> + Fn(C) -> Self::Future + Send + Sync + 'static
{
    /// What the closure returns.
    type Future: Future<Output = Result<Owner, AuthError>> + Send;
}

impl<C, F, Fut> Auth<C> for F
where
    F: AsyncFn(C) -> Result<Owner, AuthError> + Fn(C) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Owner, AuthError>> + Send,
{
    type Future = Fut;
}

type Asked = Pin<Box<dyn Future<Output = Result<Owner, AuthError>> + Send>>;

/// An auth closure with a name, to be kept in a framework's state. Cheap to clone.
///
/// ```
/// use mobync::{Owner, http::SharedAuth};
///
/// let auth = SharedAuth::new(async |credentials| Ok(Owner::new(credentials.token()?)?));
/// # let _ = auth;
/// ```
#[derive(Clone)]
pub struct SharedAuth(Arc<dyn Fn(Credentials) -> Asked + Send + Sync>);

impl SharedAuth {
    /// Gives the closure a name.
    pub fn new(auth: impl Auth) -> Self {
        Self(Arc::new(move |credentials| Box::pin(auth(credentials))))
    }

    /// The owner of these credentials.
    ///
    /// # Errors
    /// Those of the closure.
    pub async fn authenticate(&self, credentials: Credentials) -> Result<Owner, AuthError> {
        (self.0)(credentials).await
    }
}

impl fmt::Debug for SharedAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedAuth")
    }
}
