//! What a request shows to the auth closure.

use super::Token;

/// What a request shows to the auth closure, besides what the framework knows of it: a token, and the space that
/// it is for.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Claim {
    /// The token.
    pub token: Token,
    /// The space; `None` for the person's own data.
    pub space: Option<String>,
}

/// The claim to the person's own data.
impl From<Token> for Claim {
    fn from(token: Token) -> Self {
        Self { token, space: None }
    }
}
