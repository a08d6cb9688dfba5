//! Who is asking: the application's auth closure.

use std::{borrow::Cow, fmt, future::Future, pin::Pin, sync::Arc};

use http::{Extensions, HeaderMap, Method, Uri, request::Parts};

use crate::{Error, InvalidOwner, Owner, error::BoxError};

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
    /// What middleware in front has left in the request, such as a session's user.
    pub extensions: Extensions,
}

impl Credentials {
    /// Those of a request with that head and that token.
    pub fn new(parts: Parts, token: Token) -> Self {
        let Parts { method, uri, headers, extensions, .. } = parts;
        Self { token, method, uri, headers, extensions }
    }

    /// The token.
    ///
    /// # Errors
    /// [`AuthError::Unauthenticated`] if there is none, or an empty one.
    pub fn token(&self) -> Result<&str, AuthError> {
        self.token.as_str()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither token nor headers: they are secrets.
        f.debug_struct("Credentials")
            .field("method", &self.method)
            .field("uri", &self.uri.path())
            .finish_non_exhaustive()
    }
}

/// The token of a request: that of its `Authorization: Bearer` header, else the body's `auth_token`.
#[derive(Clone, Default)]
pub struct Token(Option<String>);

impl Token {
    /// The token of a header `Authorization`, if that is one of a bearer.
    pub(super) fn of_header(authorization: Option<&[u8]>) -> Self {
        let bearer = |value: &[u8]| {
            let (scheme, token) = match value.iter().position(|byte| *byte == b' ') {
                Some(space) => value.split_at(space),
                None => (value, &[][..]),
            };
            let token = || String::from_utf8_lossy(token).trim().to_owned();
            scheme.eq_ignore_ascii_case(b"bearer").then(token)
        };
        Self(authorization.and_then(bearer))
    }

    /// This one, or else that of the body.
    pub(super) fn or(self, body_token: impl FnOnce() -> Option<String>) -> Self {
        Self(self.0.or_else(body_token))
    }

    /// The token's text.
    ///
    /// # Errors
    /// [`AuthError::Unauthenticated`] if there is none, or an empty one.
    pub fn as_str(&self) -> Result<&str, AuthError> {
        match self.0.as_deref() {
            None | Some("") => Err(AuthError::unauthenticated(
                "A token is needed, as an Authorization: Bearer header or as auth_token.",
            )),
            Some(token) => Ok(token),
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token") // a secret
    }
}

/// Why an auth closure does not name an owner.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuthError {
    /// Who is asking is not known: 401.
    Unauthenticated(Cow<'static, str>),
    /// Who is asking may not sync here: 403.
    Forbidden(Cow<'static, str>),
    /// It could not be found out: 500. The cause is logged, and not told.
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

impl AuthError {
    /// Who is asking is not known; `sentence` is what the person reads.
    pub fn unauthenticated(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::Unauthenticated(sentence.into())
    }

    /// Who is asking may not sync here; `sentence` is what the person reads.
    pub fn forbidden(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::Forbidden(sentence.into())
    }

    /// It could not be found out, for this cause.
    pub fn failed(cause: impl Into<BoxError>) -> Self {
        Self::Failed(cause.into())
    }
}

impl From<InvalidOwner> for AuthError {
    fn from(_: InvalidOwner) -> Self {
        Self::unauthenticated("The token names nobody who could own data here.")
    }
}

impl From<AuthError> for Error {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unauthenticated(sentence) => Self::Unauthenticated(sentence),
            AuthError::Forbidden(reason) => Self::Forbidden { diff_id: None, reason },
            AuthError::Failed(cause) => Self::Internal(cause),
        }
    }
}

/// Turns credentials into an owner: any `async` closure or function from [`Credentials`] to
/// `Result<Owner, AuthError>`.
pub trait Auth: Send + Sync + 'static {
    /// The owner of those credentials.
    ///
    /// # Errors
    /// [`AuthError`] if they name nobody, or it cannot be found out.
    fn authenticate(
        &self,
        credentials: Credentials,
    ) -> impl Future<Output = Result<Owner, AuthError>> + Send;
}

impl<F, Fut> Auth for F
where
    F: Fn(Credentials) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Owner, AuthError>> + Send,
{
    fn authenticate(
        &self,
        credentials: Credentials,
    ) -> impl Future<Output = Result<Owner, AuthError>> + Send {
        self(credentials)
    }
}

type BoxedAuth = dyn Fn(Credentials) -> Pin<Box<dyn Future<Output = Result<Owner, AuthError>> + Send>>
    + Send
    + Sync;

/// An auth closure with a name, to be kept in a framework's state. Cheap to clone.
///
/// ```
/// use mobync::{Owner, http::SharedAuth};
///
/// let auth = SharedAuth::new(|credentials| async move { Ok(Owner::new(credentials.token()?)?) });
/// # let _ = auth;
/// ```
#[derive(Clone)]
pub struct SharedAuth(Arc<BoxedAuth>);

impl SharedAuth {
    /// Gives the closure a name.
    pub fn new<F, Fut>(auth: F) -> Self
    where
        F: Fn(Credentials) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Owner, AuthError>> + Send + 'static,
    {
        Self(Arc::new(move |credentials| Box::pin(auth(credentials))))
    }
}

impl Auth for SharedAuth {
    fn authenticate(
        &self,
        credentials: Credentials,
    ) -> impl Future<Output = Result<Owner, AuthError>> + Send {
        (self.0)(credentials)
    }
}

impl fmt::Debug for SharedAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedAuth")
    }
}
