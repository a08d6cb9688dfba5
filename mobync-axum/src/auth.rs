//! An extractor of the application's own as the auth closure.

use std::{any::Any, pin::Pin, sync::Arc};

use axum::{extract::FromRequestParts, response::IntoResponse};
use mobync::{
    Grant,
    http::{Auth, AuthError, Credentials},
};

use crate::SyncError;

type Asked = Pin<Box<dyn Future<Output = Result<Grant, AuthError>> + Send>>;

/// Makes an auth closure from an extractor. The closure gets the extracted value and returns the owner.
///
/// The extractor sees the request's head, with everything that your middleware has added to it, but not
/// the `auth_token` of a body. A rejection becomes an error of the protocol: a [`SyncError`] as it is,
/// any other rejection by its status, see [`AuthError::of_status`]. So a redirect to a login page
/// becomes a 401.
///
/// ```
/// use axum::{Router, extract::FromRequestParts, http::{StatusCode, request::Parts}};
/// use mobync::{Mobync, Owner, memory::MemoryDatabase};
/// use mobync_axum::from_extractor;
///
/// /// Who has signed in: what the handlers of the application take already.
/// struct CurrentUser {
///     name: String,
/// }
///
/// impl<S: Send + Sync> FromRequestParts<S> for CurrentUser {
///     type Rejection = StatusCode;
///
///     async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
///         let name = parts.headers.get("x-user").and_then(|name| name.to_str().ok());
///         Ok(Self { name: name.ok_or(StatusCode::UNAUTHORIZED)?.to_owned() })
///     }
/// }
///
/// let mobync = Mobync::new(MemoryDatabase::new());
/// let auth = from_extractor(|user: CurrentUser| Owner::new(user.name));
/// let router: Router = mobync_axum::router(mobync, auth);
/// ```
pub fn from_extractor<T, F, E, G>(owner: F) -> impl Auth + Clone
where
    T: FromRequestParts<(), Rejection: 'static> + 'static,
    F: Fn(T) -> Result<G, E> + Send + Sync + 'static,
    E: Into<AuthError> + 'static,
    G: Into<Grant> + 'static,
{
    from_extractor_with_state((), owner)
}

/// As [`from_extractor`], for an extractor that needs the application's state.
///
/// ```
/// use axum::{
///     Router,
///     extract::{FromRequestParts, State},
///     http::{StatusCode, request::Parts},
/// };
/// use mobync::{Mobync, Owner, memory::MemoryDatabase};
/// use mobync_axum::from_extractor_with_state;
///
/// #[derive(Clone)]
/// struct App { /* a table of sessions */ }
///
/// struct CurrentUser(String);
///
/// impl FromRequestParts<App> for CurrentUser {
///     type Rejection = StatusCode;
///
///     async fn from_request_parts(_: &mut Parts, app: &App) -> Result<Self, StatusCode> {
///         // look it up
/// #       let _ = app;
/// #       Err(StatusCode::UNAUTHORIZED)
///     }
/// }
///
/// let app = App {};
/// let auth = from_extractor_with_state(app.clone(), |user: CurrentUser| Owner::new(user.0));
/// let sync = mobync_axum::router(Mobync::new(MemoryDatabase::new()), auth);
/// let router: Router = Router::new().merge(sync).with_state(app);
/// ```
pub fn from_extractor_with_state<S, T, F, E, G>(state: S, owner: F) -> impl Auth + Clone
where
    S: Send + Sync + 'static,
    T: FromRequestParts<S, Rejection: 'static> + 'static,
    F: Fn(T) -> Result<G, E> + Send + Sync + 'static,
    E: Into<AuthError> + 'static,
    G: Into<Grant> + 'static,
{
    let shared = Arc::new((state, owner));
    move |credentials: Credentials| -> Asked {
        let shared = Arc::clone(&shared);
        Box::pin(async move {
            let (state, owner) = &*shared;
            let mut parts = credentials.into_parts();
            let extracted = T::from_request_parts(&mut parts, state).await.map_err(explain)?;
            owner(extracted).map(Into::into).map_err(Into::into)
        })
    }
}

fn explain(rejection: impl IntoResponse + 'static) -> AuthError {
    let mut rejection = Some(rejection);
    // The source is not copied, because errors cannot be cloned.
    let known = (&mut rejection as &mut dyn Any).downcast_mut::<Option<SyncError>>();
    if let Some(SyncError(error)) = known.and_then(Option::take) {
        return error.into();
    }
    let status = rejection.map(|rejection| rejection.into_response().status().as_u16());
    AuthError::of_status(status.unwrap_or(500))
}
