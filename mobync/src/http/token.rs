//! The token of a request.

use std::fmt;

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

use super::AuthError;

/// The token of a request: that of its `Authorization: Bearer` header, or, if there is no such header,
/// the `auth_token` of a sync's body.
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use mobync::http::Token;
///
/// let mut headers = HeaderMap::new();
/// assert!(Token::from(&headers).as_str().is_err());
/// headers.insert("authorization", HeaderValue::from_static("Bearer secret"));
/// assert_eq!(Token::from(&headers).as_str()?, "secret");
/// # Ok::<(), mobync::http::AuthError>(())
/// ```
#[derive(Clone, Default)]
pub struct Token(Option<String>);

impl Token {
    /// The token of a request's `Authorization` headers, from any framework's types.
    ///
    /// A bearer header without a token, or with one that is not UTF-8, gives an empty token. So do two
    /// bearer headers. An empty token authenticates nobody, and the body's token is then ignored.
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

    /// The token of a body.
    pub(super) fn of_body(token: Option<String>) -> Self {
        Self(token)
    }

    /// Whether there is a token, even an empty one.
    pub(super) fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// The token's text.
    ///
    /// # Errors
    /// [`AuthError::Unauthenticated`] if there is no token, or an empty one.
    pub fn as_str(&self) -> Result<&str, AuthError> {
        self.0.as_deref().filter(|token| !token.is_empty()).ok_or_else(missing)
    }

    /// The token's text, as [`as_str`](Self::as_str).
    ///
    /// # Errors
    /// [`AuthError::Unauthenticated`] if there is no token, or an empty one.
    pub fn into_string(self) -> Result<String, AuthError> {
        self.0.filter(|token| !token.is_empty()).ok_or_else(missing)
    }
}

/// The token of a request with these headers.
impl From<&HeaderMap> for Token {
    fn from(headers: &HeaderMap) -> Self {
        Self::of_headers(headers.get_all(AUTHORIZATION).iter().map(HeaderValue::as_bytes))
    }
}

fn missing() -> AuthError {
    AuthError::unauthenticated(
        "A token is needed, as an Authorization: Bearer header or as auth_token.",
    )
}

/// The rest of an `Authorization` header after its scheme, if the scheme is Bearer. A scheme ends at the
/// first byte that a name cannot have, and only blanks may be there.
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
