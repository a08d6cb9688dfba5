//! The owner and the token, for handlers of your own that need no sync request.

use std::fmt;

use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
};
use mobync::{
    Owner,
    http::{Credentials, SharedAuth, Token, identify},
};

use crate::SyncError;

/// The owner of a request, by the [`SharedAuth`] in the router's state. For routes without a body, such
/// as one that reads records.
///
/// If the closure refuses, the response has the same bytes as that of the sync route. A token in a body
/// (`auth_token`) is not read.
///
/// ```
/// use axum::{Router, extract::FromRef, routing::get};
/// use mobync::{Owner, http::SharedAuth};
/// use mobync_axum::AuthenticatedOwner;
///
/// #[derive(Clone, FromRef)]
/// struct App {
///     auth: SharedAuth,
/// }
///
/// async fn me(AuthenticatedOwner(owner): AuthenticatedOwner) -> String {
///     owner.to_string()
/// }
///
/// let auth = SharedAuth::new(async |credentials| Ok(Owner::new(credentials.token()?)?));
/// let router: Router = Router::new().route("/me", get(me)).with_state(App { auth });
/// ```
#[derive(Clone, Debug)]
pub struct AuthenticatedOwner(pub Owner);

impl<S> FromRequestParts<S> for AuthenticatedOwner
where
    S: Send + Sync,
    SharedAuth: FromRef<S>,
{
    type Rejection = SyncError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, SyncError> {
        let auth = SharedAuth::from_ref(state);
        let of_auth = parts.clone();
        let auth = |token: Token| auth.authenticate(Credentials::new(of_auth, token));
        Ok(Self(identify(Token::from(&parts.headers), auth).await?))
    }
}

/// The token of a request's `Authorization: Bearer` header, for any handler.
///
/// Without a token, the response is the sync route's 401, with the same bytes.
///
/// ```
/// use axum::{Router, routing::delete};
/// use mobync_axum::BearerToken;
///
/// async fn sign_out(BearerToken(token): BearerToken) {
///     // forget the token
/// #   let _ = token;
/// }
///
/// let router: Router = Router::new().route("/session", delete(sign_out));
/// ```
#[derive(Clone)]
pub struct BearerToken(pub String);

impl<S: Send + Sync> FromRequestParts<S> for BearerToken {
    type Rejection = SyncError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SyncError> {
        Ok(Self(Token::from(&parts.headers).into_string()?))
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken") // a secret
    }
}
