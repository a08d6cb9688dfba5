//! The sync route, ready to be mounted.

use std::{fmt, rc::Rc};

use actix_web::{
    HttpRequest, HttpResponse,
    dev::{AppService, HttpServiceFactory},
    web,
};
use mobync::{
    Database, Mobync, Rules,
    http::{Endpoint, Limits},
};

use crate::{
    Auth, Credentials,
    payload::{self, Configured, Raw},
    response,
};

/// `POST /sync`, for `App::new().service(..)`, a scope, or a function that `configure`s.
///
/// `auth` determines the owner from a request's [`Credentials`]. Make one [`Mobync`], and give each
/// worker a clone of it. If you already have an extractor for the user, use
/// [`from_extractor`](crate::from_extractor).
///
/// ```
/// use actix_web::{App, web};
/// use mobync::{Mobync, Owner, memory::MemoryDatabase};
///
/// let mobync = Mobync::new(MemoryDatabase::new());
/// let sync = mobync_actix::service(mobync, async |credentials| {
///     Ok(Owner::new(credentials.token()?)?)
/// });
/// let app = App::new().service(web::scope("/api").service(sync)); // POST /api/sync
/// # let _ = app;
/// ```
///
/// A closure that captures something, such as a pool, passes a clone of it to each request. It can also
/// find it in the request's `app_data`:
///
/// ```
/// use std::collections::HashMap;
///
/// use actix_web::{App, web::Data};
/// use mobync::{Mobync, Owner, http::AuthError, memory::MemoryDatabase};
/// use mobync_actix::Credentials;
///
/// type Users = HashMap<&'static str, &'static str>;
///
/// async fn auth(credentials: Credentials) -> Result<Owner, AuthError> {
///     let users = credentials.request.app_data::<Data<Users>>();
///     let user = users.and_then(|users| users.get(credentials.token().ok()?));
///     let user = user.ok_or_else(|| AuthError::unauthenticated("The token is not known."))?;
///     Ok(Owner::new(user)?)
/// }
///
/// let app = App::new()
///     .app_data(Data::new(HashMap::from([("ada's secret", "ada")])))
///     .service(mobync_actix::service(Mobync::new(MemoryDatabase::new()), auth));
/// # let _ = app;
/// ```
pub fn service<D, R, A>(mobync: Mobync<D, R>, auth: A) -> SyncService<D, R, A>
where
    D: Database,
    R: Rules,
    A: Auth,
{
    let endpoint = Endpoint::without_auth(mobync);
    SyncService { endpoint, auth, path: "/sync".to_owned(), limits: None, max_body_bytes: None }
}

/// The sync route, made by [`service`].
///
/// It accepts every method, and responds to those other than POST as the protocol says.
///
/// ```
/// use actix_web::App;
/// use mobync::{Mobync, Owner, memory::MemoryDatabase};
///
/// let mobync = Mobync::new(MemoryDatabase::new());
/// let sync = mobync_actix::service(mobync, async |credentials| Ok(Owner::new(credentials.token()?)?));
/// let app = App::new().service(sync.path("/devices/exchange").max_body_bytes(1024 * 1024));
/// # let _ = app;
/// ```
#[must_use = "it does nothing until an App, a scope or a ServiceConfig has it as a service"]
pub struct SyncService<D, R, A> {
    endpoint: Endpoint<D, R, ()>,
    auth: A,
    path: String,
    limits: Option<Limits>,
    max_body_bytes: Option<usize>,
}

impl<D, R, A> SyncService<D, R, A> {
    /// Sets the path. The default is `/sync`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Sets the limits of requests and responses. The default is the [`Limits`] in the `app_data`, or
    /// else [`Limits::default`]. Make them outside the application's factory. Otherwise each worker has
    /// budgets of its own.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Sets the greatest size of a request's body, in bytes. The default is that of the
    /// [`PayloadConfig`](web::PayloadConfig) in the `app_data`, or else that of the
    /// [limits](Self::limits).
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = Some(bytes);
        self
    }
}

impl<D, R, A> HttpServiceFactory for SyncService<D, R, A>
where
    D: Database,
    R: Rules,
    A: Auth,
{
    fn register(self, config: &mut AppService) {
        let resource = web::resource(self.path.clone());
        let service = Rc::new(self);
        let handler = move |request, payload| {
            let service = Rc::clone(&service);
            async move { service.answer(request, payload).await }
        };
        resource.to(handler).register(config);
    }
}

impl<D, R, A> SyncService<D, R, A>
where
    D: Database,
    R: Rules,
    A: Auth,
{
    async fn answer(&self, request: HttpRequest, payload: web::Payload) -> HttpResponse {
        let payload = payload.into_inner();
        let limits = self.limits.clone().unwrap_or_else(|| payload::limits(&request));
        let head = payload::head(&request);
        let auth = |claim| (self.auth)(Credentials::new(request.clone(), claim));
        response::convert_answer(match self.max_body_bytes {
            None if payload::has_config(&request) => {
                let limits = limits.max_body_bytes(usize::MAX);
                let body = Configured::new(&request, payload);
                self.endpoint.answer(head, body, &limits, auth).await
            }
            None => self.endpoint.answer(head, Raw::new(payload), &limits, auth).await,
            Some(bytes) => {
                let limits = limits.max_body_bytes(bytes);
                self.endpoint.answer(head, Raw::new(payload), &limits, auth).await
            }
        })
    }
}

impl<D, R, A> fmt::Debug for SyncService<D, R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncService")
            .field("path", &self.path)
            .field("max_body_bytes", &self.max_body_bytes)
            .finish_non_exhaustive()
    }
}
