//! The live route as a fairing, which ends the streams when Rocket shuts down.

use std::{fmt, io::Cursor, sync::Arc, time::Duration};

use http::Response;
use http_body_util::{BodyExt, Either};
use mobync::{Database, Mobync, Rules, http::LiveEndpoint};
use rocket::{
    Build, Data, Orbit, Request, Rocket, error,
    fairing::{self, Fairing, Info, Kind},
    futures::StreamExt,
    http::{Method, Status},
    response::stream::ReaderStream,
    route::{Handler, Outcome},
};

use crate::{
    Auth, Credentials, SharedAuth, data,
    fairing::mount_point,
    response,
    route::{is_exact, routes_of},
};

/// `GET /sync/live`, which notifies devices when to sync, for `rocket::build().attach(..)`.
///
/// With spaces in the query, as in `/sync/live?space=family&space=club`, the stream tells of these. Then `auth` is
/// called again while the stream is open, see [`LiveEndpoint`].
///
/// `mobync` must be a clone of the one that syncs. When Rocket shuts down, the streams end.
///
/// ```
/// use mobync::{Mobync, Owner, http::AuthError, memory::MemoryDatabase};
/// use mobync_rocket::Credentials;
///
/// async fn auth(credentials: Credentials<'_, '_>) -> Result<Owner, AuthError> {
///     Ok(Owner::new(credentials.token()?)?)
/// }
///
/// let mobync = Mobync::new(MemoryDatabase::new());
/// let rocket = rocket::build()
///     .attach(mobync_rocket::fairing(mobync.clone(), auth))
///     .attach(mobync_rocket::live(mobync, auth));
/// # let _ = rocket;
/// ```
pub fn live<D, R, A>(mobync: Mobync<D, R>, auth: A) -> LiveFairing<D, R>
where
    D: Database,
    R: Rules,
    A: Auth,
{
    LiveFairing {
        endpoint: LiveEndpoint::without_auth(mobync.clone()),
        mobync,
        auth: SharedAuth::new(auth),
        path: "/sync/live".into(),
    }
}

/// The live route, made by [`live`].
///
/// An invalid path, or one that collides with another route, fails the ignition. Methods other than GET
/// and HEAD get the responses of the protocol, unless the application has routes of its own for them.
///
/// ```
/// use std::time::Duration;
///
/// use mobync::{Mobync, Owner, memory::MemoryDatabase};
///
/// let live = mobync_rocket::live(Mobync::new(MemoryDatabase::new()), async |credentials| {
///     Ok(Owner::new(credentials.token()?)?)
/// });
/// let live = live.path("/devices/news").heartbeat(Duration::from_secs(25));
/// let rocket = rocket::build().attach(live);
/// # let _ = rocket;
/// ```
#[must_use = "it does nothing until it is attached"]
pub struct LiveFairing<D, R> {
    endpoint: LiveEndpoint<D, R, ()>,
    mobync: Mobync<D, R>,
    auth: SharedAuth,
    path: Arc<str>,
}

impl<D, R> LiveFairing<D, R> {
    /// Sets the path. The default is `/sync/live`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into().into();
        self
    }

    /// See [`LiveEndpoint::heartbeat`]. The default is 15 seconds.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.endpoint = self.endpoint.heartbeat(interval);
        self
    }

    /// See [`LiveEndpoint::max_age`]. The default is one hour.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.endpoint = self.endpoint.max_age(age);
        self
    }

    /// See [`LiveEndpoint::max_listeners`]. The default is 256 for each owner.
    pub fn max_listeners(mut self, most: usize) -> Self {
        self.endpoint = self.endpoint.max_listeners(most);
        self
    }

    /// See [`LiveEndpoint::ask_every`]. The default is one minute.
    pub fn ask_every(mut self, interval: Duration) -> Self {
        self.endpoint = self.endpoint.ask_every(interval);
        self
    }
}

#[rocket::async_trait]
impl<D: Database, R: Rules> Fairing for LiveFairing<D, R> {
    fn info(&self) -> Info {
        Info { name: "mobync live", kind: Kind::Ignite | Kind::Shutdown }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        match mount_point(self.path.to_string()) {
            Ok(path) => Ok(rocket.mount(path, routes_of(self, Method::Get))),
            Err(reason) => {
                error!("mobync's live route cannot be mounted: {reason}");
                Err(rocket)
            }
        }
    }

    async fn on_shutdown(&self, _: &Rocket<Orbit>) {
        self.mobync.live().close();
    }
}

#[rocket::async_trait]
impl<D: Database, R: Rules> Handler for LiveFairing<D, R> {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r> {
        if !is_exact(request) {
            return Outcome::forward(data, Status::NotFound);
        }
        // The stream keeps the closure: it is asked again while the stream is open.
        let auth = self.auth.clone();
        let auth = move |claim| auth.authenticate(Credentials::new(request, claim));
        let answered = self.endpoint.answer(data::head(request), auth).await;
        let (parts, body) = answered.into_parts();
        Outcome::Success(match body {
            Either::Left(events) => {
                let chunks = events.into_data_stream().map(|chunk| {
                    let Ok(bytes) = chunk;
                    Cursor::new(bytes)
                });
                let mut converted = response::convert_head(&parts);
                converted.streamed_body(ReaderStream::from(chunks)).finalize()
            }
            Either::Right(failure) => {
                let Ok(failure) = failure.collect().await;
                response::convert(Response::from_parts(parts, failure.to_bytes()))
            }
        })
    }
}

impl<D, R> Clone for LiveFairing<D, R> {
    fn clone(&self) -> Self {
        Self {
            endpoint: self.endpoint.clone(),
            mobync: self.mobync.clone(),
            auth: self.auth.clone(),
            path: Arc::clone(&self.path),
        }
    }
}

impl<D, R> fmt::Debug for LiveFairing<D, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveFairing")
            .field("path", &self.path)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
