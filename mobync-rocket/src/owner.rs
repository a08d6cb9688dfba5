//! The owner and the token, for handlers of your own that need no sync request.

use std::fmt;

use mobync::{
    Grant, Owner,
    http::{AuthError, Token, identify},
};
use rocket::{
    Ignite, Request, Rocket, Sentinel,
    outcome::Outcome::{Error, Success},
    request::{FromRequest, Outcome},
};

use crate::{Credentials, SharedAuth, SyncError, data, response};

/// The owner of a request, by the managed [`SharedAuth`], without which Rocket does not ignite. For
/// routes without a body, such as one that reads records.
///
/// Take it as a `Result` and return its error: then a refusal has the same bytes as that of the sync
/// route. Otherwise Rocket's catchers respond. A token in a body (`auth_token`) is not read.
///
/// ```
/// use mobync::Owner;
/// use mobync_rocket::{AuthenticatedOwner, SharedAuth, SyncError};
/// use rocket::{get, routes};
///
/// #[get("/me")]
/// async fn me(owner: Result<AuthenticatedOwner, SyncError>) -> Result<String, SyncError> {
///     let AuthenticatedOwner(owner) = owner?;
///     Ok(owner.to_string())
/// }
///
/// let auth = SharedAuth::new(async |credentials| Ok(Owner::new(credentials.token()?)?));
/// let rocket = rocket::build().manage(auth).mount("/", routes![me]);
/// # let _ = rocket;
/// ```
#[derive(Clone, Debug)]
pub struct AuthenticatedOwner(pub Owner);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for AuthenticatedOwner {
    type Error = SyncError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, SyncError> {
        let auth = |token: Token| ask(Credentials::new(request, token));
        let owner = identify(data::token(request), auth).await;
        outcome(owner.map(Self).map_err(SyncError))
    }
}

impl Sentinel for AuthenticatedOwner {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<SharedAuth>().is_none()
    }
}

/// Calls the application's closure.
pub(crate) async fn ask(credentials: Credentials<'_, '_>) -> Result<Grant, AuthError> {
    match credentials.request.rocket().state::<SharedAuth>() {
        Some(auth) => auth.authenticate(credentials).await,
        None => Err(AuthError::failed("no mobync_rocket::SharedAuth is managed")),
    }
}

/// The token of a request's `Authorization: Bearer` header, for any handler.
///
/// Take it as a `Result` and return its error: without a token that is the sync route's 401, with the
/// same bytes.
///
/// ```
/// use mobync_rocket::{BearerToken, SyncError};
/// use rocket::{delete, http::Status, routes};
///
/// #[delete("/session")]
/// async fn sign_out(token: Result<BearerToken, SyncError>) -> Result<Status, SyncError> {
///     let BearerToken(token) = token?;
///     // forget the token
/// #   let _ = token;
///     Ok(Status::NoContent)
/// }
///
/// let rocket = rocket::build().mount("/", routes![sign_out]);
/// # let _ = rocket;
/// ```
#[derive(Clone)]
pub struct BearerToken(pub String);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for BearerToken {
    type Error = SyncError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, SyncError> {
        outcome(data::token(request).into_string().map(Self).map_err(SyncError::from))
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken") // a secret
    }
}

fn outcome<T>(result: Result<T, SyncError>) -> Outcome<T, SyncError> {
    match result {
        Ok(value) => Success(value),
        Err(error) => Error((response::status(error.0.status()), error)),
    }
}
