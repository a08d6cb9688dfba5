//! The live route, ready to be mounted.

use std::{fmt, rc::Rc, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    body::BodyStream,
    dev::{AppService, HttpServiceFactory},
    web,
};
use http::Response;
use http_body_util::{BodyExt, Either};
use mobync::{Database, Mobync, Rules, http::LiveEndpoint};

use crate::{Auth, Credentials, payload, response};

/// `GET /sync/live`, which notifies devices when to sync. Mount it beside the
/// [`service`](crate::service).
///
/// With spaces in the query, as in `/sync/live?space=family&space=club`, the stream tells of these. Then `auth` is
/// called again while the stream is open, see [`LiveEndpoint`], and the request is kept as long.
///
/// `mobync` must be a clone of the one that syncs. The streams do not end by themselves when the server
/// shuts down, so close them then:
///
/// ```no_run
/// use actix_web::{App, HttpServer};
/// use mobync::{Mobync, Owner, http::AuthError, memory::MemoryDatabase};
/// use mobync_actix::Credentials;
///
/// async fn auth(credentials: Credentials) -> Result<Owner, AuthError> {
///     Ok(Owner::new(credentials.token()?)?)
/// }
///
/// # async fn told_to_stop() {}
/// # async fn serve() -> std::io::Result<()> {
/// let mobync = Mobync::new(MemoryDatabase::new());
/// let live = mobync.live().clone();
///
/// HttpServer::new(move || {
///     App::new()
///         .service(mobync_actix::service(mobync.clone(), auth))
///         .service(mobync_actix::live(mobync.clone(), auth))
/// })
/// .shutdown_signal(async move {
///     told_to_stop().await;
///     live.close();
/// })
/// .bind(("127.0.0.1", 8000))?
/// .run()
/// .await
/// # }
/// ```
pub fn live<D, R, A>(mobync: Mobync<D, R>, auth: A) -> LiveService<D, R, A>
where
    D: Database,
    R: Rules,
    A: Auth,
{
    let endpoint = LiveEndpoint::without_auth(mobync);
    LiveService { endpoint, auth, path: "/sync/live".to_owned() }
}

/// The live route, made by [`live`].
///
/// It accepts every method, and responds to those other than GET and HEAD as the protocol says.
///
/// ```
/// use std::time::Duration;
///
/// use actix_web::App;
/// use mobync::{Mobync, Owner, memory::MemoryDatabase};
///
/// let mobync = Mobync::new(MemoryDatabase::new());
/// let live = mobync_actix::live(mobync, async |credentials| Ok(Owner::new(credentials.token()?)?));
/// let app = App::new().service(live.path("/devices/news").heartbeat(Duration::from_secs(25)));
/// # let _ = app;
/// ```
#[must_use = "it does nothing until an App, a scope or a ServiceConfig has it as a service"]
pub struct LiveService<D, R, A> {
    endpoint: LiveEndpoint<D, R, ()>,
    auth: A,
    path: String,
}

impl<D, R, A> LiveService<D, R, A> {
    /// Sets the path. The default is `/sync/live`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
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

impl<D, R, A> HttpServiceFactory for LiveService<D, R, A>
where
    D: Database,
    R: Rules,
    A: Auth,
{
    fn register(self, config: &mut AppService) {
        let resource = web::resource(self.path.clone());
        let service = Rc::new(self);
        let handler = move |request| {
            let service = Rc::clone(&service);
            async move { answer(service, request).await }
        };
        resource.to(handler).register(config);
    }
}

/// The stream keeps the request: its auth closure is asked again while it is open.
async fn answer<D, R, A>(service: Rc<LiveService<D, R, A>>, request: HttpRequest) -> HttpResponse
where
    D: Database,
    R: Rules,
    A: Auth,
{
    let (asked, kept) = (Rc::clone(&service), request.clone());
    let auth = move |claim| (asked.auth)(Credentials::new(kept.clone(), claim));
    let answered = service.endpoint.answer(payload::head(&request), auth).await;
    let (parts, body) = answered.into_parts();
    match body {
        Either::Left(events) => {
            let events = BodyStream::new(events.into_data_stream());
            response::convert(Response::from_parts(parts, events))
        }
        Either::Right(failure) => {
            let Ok(failure) = failure.collect().await;
            response::convert(Response::from_parts(parts, failure.to_bytes()))
        }
    }
}

impl<D, R, A> fmt::Debug for LiveService<D, R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveService")
            .field("path", &self.path)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
