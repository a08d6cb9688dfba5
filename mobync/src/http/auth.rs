//! Who is asking: the application's auth closure.

use std::{borrow::Cow, fmt, future::Future, pin::Pin, sync::Arc};

use http::{Extensions, HeaderMap, Method, Uri, request::Parts};

use crate::{
    error::{BoxError, DatabaseError, Error},
    owner::{InvalidOwner, NOBODY, Owner},
};

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

/// The token of a request: that of its `Authorization: Bearer` header, or else, if there is no such
/// header, the body's `auth_token`.
#[derive(Clone, Default)]
pub struct Token(Option<String>);

impl Token {
    /// The token of a request's headers `Authorization`, all of them.
    ///
    /// A header of a bearer without a token, or with one that is not UTF-8, is an empty token, which is
    /// taken for none but leaves none to the body either. So are two of them.
    ///
    /// ```
    /// use mobync::http::Token;
    ///
    /// assert_eq!(Token::of_headers([&b"Bearer secret"[..]]).as_str().ok(), Some("secret"));
    /// assert!(Token::of_headers([&b"Bearer \xff"[..]]).as_str().is_err());
    /// ```
    pub fn of_headers<'h>(authorizations: impl IntoIterator<Item = &'h [u8]>) -> Self {
        let mut bearers = authorizations.into_iter().filter_map(bearer);
        let Some(token) = bearers.next() else { return Self(None) };
        let token = if bearers.next().is_some() { &[] } else { token };
        Self(Some(str::from_utf8(token).unwrap_or_default().to_owned()))
    }

    /// That of a body.
    pub(super) fn of_body(token: Option<String>) -> Self {
        Self(token)
    }

    /// Whether there is one, be it empty.
    pub(super) fn is_there(&self) -> bool {
        self.0.is_some()
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

/// What a header `Authorization` has behind its scheme, if that is a bearer's. A scheme ends at the
/// first byte that a name cannot have; only blanks may be there.
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let value = authorization.trim_ascii();
    let end = value.iter().take_while(|byte| is_name(byte)).count();
    let (scheme, token) = value.split_at(end);
    let is_apart = token.first().is_none_or(u8::is_ascii_whitespace);
    let token = if is_apart { token.trim_ascii_start() } else { &[] };
    scheme.eq_ignore_ascii_case(b"bearer").then_some(token)
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
    /// It could not be found out: 500, or 503 if the cause is a database that is busy. The cause is
    /// logged, and not told.
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
        Self::unauthenticated(NOBODY)
    }
}

/// A database that was asked who somebody is, and failed.
impl From<DatabaseError> for AuthError {
    fn from(error: DatabaseError) -> Self {
        Self::failed(error)
    }
}

/// A [`read`](crate::Mobync::read) that was to tell who somebody is, and failed.
impl From<Error> for AuthError {
    fn from(error: Error) -> Self {
        Self::failed(error)
    }
}

/// What failed for it is busy is busy: 503.
impl From<AuthError> for Error {
    fn from(error: AuthError) -> Self {
        let cause = match error {
            AuthError::Unauthenticated(sentence) => return Self::Unauthenticated(sentence),
            AuthError::Forbidden(reason) => return Self::Forbidden { diff_id: None, reason },
            AuthError::Failed(cause) => cause,
        };
        let cause = match cause.downcast::<Self>() {
            Ok(error) if matches!(*error, Self::Busy { .. }) => return *error,
            Ok(other) => return Self::Internal(other),
            Err(cause) => cause,
        };
        match cause.downcast::<DatabaseError>() {
            Ok(error) => Self::of_database(*error),
            Err(cause) => Self::Internal(cause),
        }
    }
}

/// Turns credentials into an owner: any `async` closure or function from [`Credentials`] to
/// `Result<Owner, AuthError>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot say who is asking",
    label = "not `async fn(Credentials) -> Result<Owner, AuthError>`",
    note = "its future must end in `Result<Owner, AuthError>`, and be one that can be sent to another thread"
)]
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
