//! The application's auth closure.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use http::{Extensions, HeaderMap, Method, Request, Uri, Version, request::Parts};

use super::{AuthError, Claim, Token};
use crate::grant::Grant;

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
    /// The space that the request is for; `None` for the person's own data.
    pub space: Option<String>,
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
    /// The credentials of a request with this head.
    pub fn new(parts: Parts, claim: impl Into<Claim>) -> Self {
        let Claim { token, space } = claim.into();
        let Parts { method, uri, headers, extensions, version, .. } = parts;
        Self { token, space, method, uri, headers, extensions, version }
    }

    /// The token.
    ///
    /// # Errors
    /// [`AuthError::Unauthenticated`] if there is no token, or an empty one.
    pub fn token(&self) -> Result<&str, AuthError> {
        self.token.as_str()
    }

    /// The name of the space that the request is for; `None` for the person's own data.
    ///
    /// Decide by it whose data that is, and whether the person is a member. One request can sync the person's own
    /// data and many spaces, see [sharing](crate::sharing). Then the closure is called several times for it: at
    /// first without a space, and if it does not refuse that (other than with [`AuthError::no_member`], for somebody
    /// without data of their own), once for each space, [several at a time](super::Limits::spaces_at_once). What it
    /// says of a space counts for this space alone: the other ones are synced.
    ///
    /// - Give the owners of spaces names that no person has. A space whose owner turns out to be the person's own is
    ///   refused with `no_member`, because that is what a closure says that does not look at the space.
    /// - Say [`AuthError::no_member`] also of a space that does not exist. A device that hears it drops what it has of
    ///   the space. If the membership cannot be looked up now, return the error of the database instead.
    /// - A [`Grant`] can be read-only, and it names the member for the [rules](crate::View::member).
    ///
    /// Clients name spaces only in requests that are several in one, which servers without spaces refuse. So in all
    /// other requests, and in handlers of your own, this is `None`.
    ///
    /// ```
    /// use mobync::{Grant, Owner, http::{AuthError, Credentials}};
    ///
    /// async fn auth(credentials: Credentials) -> Result<Grant, AuthError> {
    ///     let person = credentials.token()?;
    ///     match credentials.space() {
    ///         None => Ok(Owner::new(person)?.into()),
    ///         // Owners of spaces have names that nobody's own data has.
    ///         Some("family") if person != "mallory" => Ok(Grant::new(Owner::new("space family")?).member(person)),
    ///         Some(_) => Err(AuthError::no_member("You are not a member of this list.")),
    ///     }
    /// }
    /// ```
    pub fn space(&self) -> Option<&str> {
        self.space.as_deref()
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

/// An auth closure: any `async` closure or function from [`Credentials`] to `Result<Owner, AuthError>` or
/// `Result<Grant, AuthError>` whose future is `Send`.
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
            `async fn` from `{C}` to `Result<Owner, AuthError>` or `Result<Grant, AuthError>`, whose future \
            is `Send`",
    note = "a closure that captures something hands each call a clone of it: \
            `move |credentials| {{ let users = users.clone(); async move {{ .. }} }}`"
)]
pub trait Auth<C = Credentials>:
    AsyncFn(C) -> Result<Self::Grant, AuthError> + Fn(C) -> Self::Future + Send + Sync + 'static
{
    /// What the closure grants: an [`Owner`](crate::Owner), or a [`Grant`].
    type Grant: Into<Grant> + Send;
    /// What the closure returns.
    type Future: Future<Output = Result<Self::Grant, AuthError>> + Send;
}

impl<C, F, Fut, G> Auth<C> for F
where
    F: AsyncFn(C) -> Result<G, AuthError> + Fn(C) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<G, AuthError>> + Send,
    G: Into<Grant> + Send,
{
    type Grant = G;
    type Future = Fut;
}

type Asked = Pin<Box<dyn Future<Output = Result<Grant, AuthError>> + Send>>;

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
        Self(Arc::new(move |credentials| {
            let asked = auth(credentials);
            Box::pin(async { asked.await.map(Into::into) })
        }))
    }

    /// What the closure grants for these credentials.
    ///
    /// # Errors
    /// Those of the closure.
    pub async fn authenticate(&self, credentials: Credentials) -> Result<Grant, AuthError> {
        (self.0)(credentials).await
    }
}

impl fmt::Debug for SharedAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedAuth")
    }
}
