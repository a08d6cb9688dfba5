//! An extractor of the application's own as the auth closure.

use std::{future::Future, pin::Pin, sync::Arc};

use actix_web::FromRequest;
use mobync::{Error, Grant, http::AuthError};

use crate::{Auth, Credentials, SyncError};

type Asked = Pin<Box<dyn Future<Output = Result<Grant, AuthError>>>>;

/// Makes an auth closure from an extractor. The closure gets the extracted value and returns the owner.
///
/// The extractor sees the request, with everything that your middleware has added to it, but not the
/// `auth_token` of a body. A rejection becomes an error of the protocol: a [`SyncError`] as it is, any
/// other error by its status, see [`AuthError::of_status`]. So a redirect to a login page becomes a 401.
///
/// ```
/// use std::future::{Ready, ready};
///
/// use actix_web::{App, FromRequest, HttpRequest, dev::Payload, error::ErrorUnauthorized};
/// use mobync::{Mobync, Owner, memory::MemoryDatabase};
/// use mobync_actix::from_extractor;
///
/// /// Who has signed in: what the handlers of the application take already.
/// struct CurrentUser {
///     name: String,
/// }
///
/// impl FromRequest for CurrentUser {
///     type Error = actix_web::Error;
///     type Future = Ready<Result<Self, actix_web::Error>>;
///
///     fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
///         let name = request.headers().get("x-user").and_then(|name| name.to_str().ok());
///         let user = name.map(|name| Self { name: name.to_owned() });
///         ready(user.ok_or_else(|| ErrorUnauthorized("Sign in first.")))
///     }
/// }
///
/// let mobync = Mobync::new(MemoryDatabase::new());
/// let auth = from_extractor(|user: CurrentUser| Owner::new(user.name));
/// let app = App::new().service(mobync_actix::service(mobync, auth));
/// # let _ = app;
/// ```
pub fn from_extractor<T, F, E, G>(owner: F) -> impl Auth + Clone + Send + Sync
where
    T: FromRequest + 'static,
    F: Fn(T) -> Result<G, E> + Send + Sync + 'static,
    E: Into<AuthError> + 'static,
    G: Into<Grant> + 'static,
{
    let owner = Arc::new(owner);
    move |credentials: Credentials| -> Asked {
        let owner = Arc::clone(&owner);
        Box::pin(async move {
            let extracted = T::extract(&credentials.request).await;
            let extracted = extracted.map_err(|error| explain(&error.into()))?;
            owner(extracted).map(Into::into).map_err(Into::into)
        })
    }
}

fn explain(error: &actix_web::Error) -> AuthError {
    match error.as_error::<SyncError>() {
        Some(SyncError(Error::Unauthenticated(sentence))) => {
            AuthError::unauthenticated(sentence.clone())
        }
        Some(SyncError(Error::Forbidden { reason, .. })) => AuthError::forbidden(reason.clone()),
        _ => AuthError::of_status(error.as_response_error().status_code().as_u16()),
    }
}
