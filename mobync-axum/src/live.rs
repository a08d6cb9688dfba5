//! The live route, ready to be mounted.

use axum::{
    Router,
    routing::{MethodRouter, any_service},
};
use mobync::{
    Database, Mobync, Rules,
    http::{Auth, LiveEndpoint},
};

/// `GET /sync/live`, which notifies devices when to sync. Merge or nest it like the
/// [`router`](crate::router).
///
/// With spaces in the query, as in `/sync/live?space=family&space=club`, the stream tells of these. Then `auth` is
/// called again while the stream is open, see [`LiveEndpoint`].
///
/// `mobync` must be a clone of the one that syncs. The streams do not end by themselves when the server
/// shuts down, so close them then:
///
/// ```no_run
/// use axum::Router;
/// use mobync::{Mobync, Owner, http::{AuthError, Credentials}, memory::MemoryDatabase};
///
/// async fn auth(credentials: Credentials) -> Result<Owner, AuthError> {
///     Ok(Owner::new(credentials.token()?)?)
/// }
///
/// # async fn told_to_stop() {}
/// # async fn serve() -> std::io::Result<()> {
/// let mobync = Mobync::new(MemoryDatabase::new());
/// let app: Router = Router::new()
///     .merge(mobync_axum::router(mobync.clone(), auth))
///     .merge(mobync_axum::live(mobync.clone(), auth));
///
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
/// axum::serve(listener, app)
///     .with_graceful_shutdown(async move {
///         told_to_stop().await;
///         mobync.live().close();
///     })
///     .await
/// # }
/// ```
pub fn live<S, D, R, A>(mobync: Mobync<D, R>, auth: A) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
    D: Database,
    R: Rules,
    A: Auth,
{
    Router::new().route("/sync/live", live_route(LiveEndpoint::new(mobync, auth)))
}

/// A live endpoint as a route, for a path and settings of your choice.
///
/// ```
/// use std::time::Duration;
///
/// use axum::Router;
/// use mobync::{Mobync, Owner, http::LiveEndpoint, memory::MemoryDatabase};
///
/// let endpoint = LiveEndpoint::new(Mobync::new(MemoryDatabase::new()), async |credentials| {
///     Ok(Owner::new(credentials.token()?)?)
/// });
/// let live = mobync_axum::live_route(endpoint.heartbeat(Duration::from_secs(25)));
/// let app: Router = Router::new().route("/devices/news", live);
/// ```
pub fn live_route<S, D, R, A>(endpoint: LiveEndpoint<D, R, A>) -> MethodRouter<S>
where
    S: Clone,
    D: Database,
    R: Rules,
    A: Auth,
{
    any_service(endpoint)
}
