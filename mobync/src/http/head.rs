//! What the core reads of a request, apart from its body.

use std::fmt;

use http::{HeaderName, HeaderValue, header, request::Parts};

use super::Token;

/// A request's method, query, and the headers that a sync depends on, from any framework's types.
///
/// ```
/// use http::Request;
/// use mobync::http::Head;
///
/// let (parts, ()) = Request::post("/sync").header("content-length", 33).body(())?.into_parts();
/// let head = Head::from(&parts);
/// assert_eq!((head.method, head.content_length), ("POST", Some(&b"33"[..])));
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Head<'r> {
    /// The method.
    pub method: &'r str,
    /// The query of the address, as it was sent.
    pub query: Option<&'r [u8]>,
    /// The token of the headers `Authorization`.
    pub token: Token,
    /// The value of the header `Content-Type`.
    pub content_type: Option<&'r [u8]>,
    /// The value of the header `Content-Length`.
    pub content_length: Option<&'r [u8]>,
    /// The values of all headers `Content-Encoding`.
    pub content_encodings: Vec<&'r [u8]>,
    /// Whether there is a header `Expect`: then the client does not send the body before it is asked for
    /// it.
    pub expects: bool,
}

impl<'r> From<&'r Parts> for Head<'r> {
    fn from(parts: &'r Parts) -> Self {
        let value = |name: HeaderName| parts.headers.get(name).map(HeaderValue::as_bytes);
        let encodings = parts.headers.get_all(header::CONTENT_ENCODING);
        Self {
            method: parts.method.as_str(),
            query: parts.uri.query().map(str::as_bytes),
            token: Token::from(&parts.headers),
            content_type: value(header::CONTENT_TYPE),
            content_length: value(header::CONTENT_LENGTH),
            content_encodings: encodings.iter().map(HeaderValue::as_bytes).collect(),
            expects: parts.headers.contains_key(header::EXPECT),
        }
    }
}

impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The token is a secret.
        f.debug_struct("Head").field("method", &self.method).finish_non_exhaustive()
    }
}
