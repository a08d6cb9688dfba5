//! The sync routes, ready to be mounted.

use mobync::{Database, Mobync, Rules, http::Endpoint};
use rocket::{
    Data, Request, Route,
    http::{Method, Status},
    route::{Handler, Outcome},
};

use crate::{
    Auth, Credentials, SharedAuth,
    data::{self, Raw},
    response,
};

/// Every method but HEAD, which Rocket converts to GET.
const METHODS: [Method; 8] = [
    Method::Post,
    Method::Get,
    Method::Put,
    Method::Delete,
    Method::Options,
    Method::Patch,
    Method::Trace,
    Method::Connect,
];

/// The sync routes, for `mount` at a path of your choice.
///
/// `auth` determines the owner from a request's [`Credentials`]. The greatest size of a request's body
/// is the limit `mobync` of Rocket's configuration, 16 MiB by default. Other
/// [`Limits`](mobync::http::Limits) than the defaults are managed as state.
///
/// They respond at exactly that path: not at `/devices/exchange/`, which Rocket would also route to
/// them. (A slash at the end of the mount point does not count.) Methods other than POST get the
/// responses of the protocol, unless the application has routes of its own for them, such as an
/// `#[options("/<_..>")]` for the preflight requests of browsers.
///
/// ```
/// use mobync::{Mobync, Owner, memory::MemoryDatabase};
///
/// let mobync = Mobync::new(MemoryDatabase::new());
/// let sync = mobync_rocket::routes(mobync, async |credentials| {
///     Ok(Owner::new(credentials.token()?)?)
/// });
/// let rocket = rocket::build().mount("/devices/exchange", sync);
/// # let _ = rocket;
/// ```
pub fn routes<D, R, A>(mobync: Mobync<D, R>, auth: A) -> Vec<Route>
where
    D: Database,
    R: Rules,
    A: Auth,
{
    routes_of(&SyncRoutes::new(mobync, auth), Method::Post)
}

/// A handler for every method. All but one rank after the application's own routes.
pub(crate) fn routes_of(handler: &(impl Handler + Clone), own: Method) -> Vec<Route> {
    let route = |method| {
        let mut route = Route::new(method, "/", handler.clone());
        route.name = Some("mobync".into());
        if method != own {
            route.rank = isize::MAX;
        }
        route
    };
    METHODS.map(route).into()
}

/// Whether the path is exactly the route's. Rocket also routes `/sync/` to `/sync`, which other
/// frameworks do not.
pub(crate) fn is_exact(request: &Request<'_>) -> bool {
    request.route().is_none_or(|route| request.uri().path() == route.uri.path())
}

/// The handler of the routes.
pub(crate) struct SyncRoutes<D, R> {
    endpoint: Endpoint<D, R, ()>,
    auth: SharedAuth,
}

impl<D: Database, R: Rules> SyncRoutes<D, R> {
    pub(crate) fn new<A>(mobync: Mobync<D, R>, auth: A) -> Self
    where
        A: Auth,
    {
        Self { endpoint: Endpoint::without_auth(mobync), auth: SharedAuth::new(auth) }
    }
}

#[rocket::async_trait]
impl<D: Database, R: Rules> Handler for SyncRoutes<D, R> {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r> {
        if !is_exact(request) {
            return Outcome::forward(data, Status::NotFound);
        }
        let auth = |claim| self.auth.authenticate(Credentials::new(request, claim));
        let (head, limits) = (data::head(request), data::limits(request));
        let answered = self.endpoint.answer(head, Raw::new(data), &limits, auth).await;
        // To Rocket, a failure is a success. Otherwise a catcher would respond.
        Outcome::Success(response::convert_answer(answered))
    }
}

impl<D, R> Clone for SyncRoutes<D, R> {
    fn clone(&self) -> Self {
        Self { endpoint: self.endpoint.clone(), auth: self.auth.clone() }
    }
}
