//! The sync route, ready to be mounted.

use axum::{
    Router,
    routing::{MethodRouter, any_service},
};
use mobync::{
    Database, Mobync, Rules,
    http::{Auth, Endpoint},
};

/// `POST /sync`, to be merged or nested into a `Router` with any state.
///
/// `auth` determines the owner from a request's [`Credentials`](mobync::http::Credentials). For another
/// path or another limit on the body, mount a [`route`]. If you already have an extractor for the user,
/// use [`from_extractor`](crate::from_extractor).
///
/// ```
/// use axum::Router;
/// use mobync::{Mobync, Owner, memory::MemoryDatabase};
///
/// let mobync = Mobync::new(MemoryDatabase::new());
/// let sync = mobync_axum::router(mobync, async |credentials| {
///     Ok(Owner::new(credentials.token()?)?)
/// });
/// let app: Router = Router::new().nest("/api", sync); // POST /api/sync
/// ```
///
/// A closure that captures something, such as a pool, passes a clone of it to each request:
///
/// ```
/// use std::{collections::HashMap, sync::Arc};
///
/// use axum::Router;
/// use mobync::{Mobync, Owner, http::AuthError, memory::MemoryDatabase};
///
/// let users = Arc::new(HashMap::from([("ada's secret", "ada")]));
/// let sync: Router = mobync_axum::router(Mobync::new(MemoryDatabase::new()), move |credentials| {
///     let users = Arc::clone(&users);
///     async move {
///         let user = users.get(credentials.token()?);
///         let user = user.ok_or_else(|| AuthError::unauthenticated("The token is not known."))?;
///         Ok(Owner::new(user)?)
///     }
/// });
/// ```
pub fn router<S, D, R, A>(mobync: Mobync<D, R>, auth: A) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    D: Database,
    R: Rules,
    A: Auth,
{
    Router::new().route("/sync", route(Endpoint::new(mobync, auth)))
}

/// An endpoint as a route, for a path of your choice.
///
/// It accepts every method, and responds to those other than POST as the protocol says. Its limit is
/// [`Endpoint::max_body_bytes`]. axum's `DefaultBodyLimit` applies to extractors only, and does not
/// change it.
///
/// ```
/// use axum::Router;
/// use mobync::{Mobync, Owner, http::Endpoint, memory::MemoryDatabase};
///
/// let endpoint = Endpoint::new(Mobync::new(MemoryDatabase::new()), async |credentials| {
///     Ok(Owner::new(credentials.token()?)?)
/// });
/// let sync = mobync_axum::route(endpoint.max_body_bytes(1024 * 1024));
/// let app: Router = Router::new().route("/devices/exchange", sync);
/// ```
pub fn route<S, D, R, A>(endpoint: Endpoint<D, R, A>) -> MethodRouter<S>
where
    S: Clone,
    D: Database,
    R: Rules,
    A: Auth,
{
    any_service(endpoint)
}
