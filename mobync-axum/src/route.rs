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
/// `auth` tells from a request's [`Credentials`](mobync::http::Credentials) who the owner is. For another path or another
/// greatest body size, mount a [`route`]; where an extractor of yours knows who is asking, the closure is
/// [`from_extractor`](crate::from_extractor).
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
/// A closure that holds something, such as a pool of connections, hands each request a clone of it:
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
/// It takes every method, and answers those other than POST by itself, as the protocol has it. Its
/// limit is [`Endpoint::max_body_bytes`]; axum's `DefaultBodyLimit` is for extractors, and does not
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
