//! A guard of the application's own as the auth closure.

use std::{any::Any, sync::Arc};

use mobync::{Grant, http::AuthError};
use rocket::{
    futures::future::BoxFuture,
    http::Status,
    outcome::Outcome::{Error, Forward, Success},
    request::FromRequest,
};

use crate::{Auth, Credentials, SyncError};

/// Makes an auth closure from a guard. The closure gets the guard's value and returns the owner.
///
/// The guard sees the request, but not the `auth_token` of a body. A failure becomes an error of the
/// protocol: a [`SyncError`] as it is, any other error or a forward by its status, see
/// [`AuthError::of_status`].
///
/// ```
/// use mobync::{Mobync, Owner, memory::MemoryDatabase};
/// use mobync_rocket::from_guard;
/// use rocket::{async_trait, http::Status, outcome::Outcome, request::{self, FromRequest, Request}};
///
/// /// Who has signed in: what the handlers of the application take already.
/// struct User {
///     name: String,
/// }
///
/// #[async_trait]
/// impl<'r> FromRequest<'r> for User {
///     type Error = ();
///
///     async fn from_request(request: &'r Request<'_>) -> request::Outcome<Self, ()> {
///         match request.cookies().get("user") {
///             Some(cookie) => Outcome::Success(Self { name: cookie.value().to_owned() }),
///             None => Outcome::Error((Status::Unauthorized, ())),
///         }
///     }
/// }
///
/// let mobync = Mobync::new(MemoryDatabase::new());
/// let sync = mobync_rocket::fairing(mobync, from_guard(|user: User| Owner::new(user.name)));
/// let rocket = rocket::build().attach(sync);
/// # let _ = rocket;
/// ```
///
/// A guard that borrows from the request, such as `&User`, needs an `async fn`:
///
/// ```
/// use mobync::{Owner, http::AuthError};
/// use mobync_rocket::Credentials;
/// use rocket::http::CookieJar;
///
/// async fn auth(credentials: Credentials<'_, '_>) -> Result<Owner, AuthError> {
///     let cookies = credentials.request.guard::<&CookieJar<'_>>().await.succeeded();
///     let user = cookies.and_then(|cookies| cookies.get("user"));
///     let user = user.ok_or_else(|| AuthError::unauthenticated("Sign in first."))?;
///     Ok(Owner::new(user.value())?)
/// }
/// # mobync_rocket::SharedAuth::new(auth);
/// ```
pub fn from_guard<T, X, F, E, G>(owner: F) -> impl Auth + Clone
where
    T: for<'r> FromRequest<'r, Error = X> + Send + 'static,
    X: 'static,
    F: Fn(T) -> Result<G, E> + Send + Sync + 'static,
    E: Into<AuthError> + 'static,
    G: Into<Grant> + 'static,
{
    let owner = Arc::new(owner);
    boxed(move |credentials| {
        let owner = Arc::clone(&owner);
        Box::pin(async move {
            match credentials.request.guard::<T>().await {
                Success(guard) => owner(guard).map(Into::into).map_err(Into::into),
                Error((status, error)) => Err(explain(status, error)),
                Forward(status) => Err(AuthError::of_status(status.code)),
            }
        })
    })
}

/// Tells the compiler how long the future lives, which it does not infer.
fn boxed<F>(closure: F) -> F
where
    F: for<'a, 'r> Fn(Credentials<'a, 'r>) -> BoxFuture<'a, Result<Grant, AuthError>>,
{
    closure
}

fn explain<X: 'static>(status: Status, error: X) -> AuthError {
    // The source is not copied, because errors cannot be cloned.
    let mut error = Some(error);
    let known = (&mut error as &mut dyn Any).downcast_mut::<Option<SyncError>>();
    match known.and_then(Option::take) {
        Some(SyncError(error)) => error.into(),
        None => AuthError::of_status(status.code),
    }
}
