//! The sync route as a fairing, which can be configured in Rocket's configuration.

use mobync::{Database, Mobync, Rules};
use rocket::{
    Build, Rocket, error,
    fairing::{self, Fairing, Info, Kind},
    figment,
    http::{Method, uri::Origin},
};
use serde::Deserialize;

use crate::{
    Auth,
    route::{SyncRoutes, routes_of},
};

/// `POST /sync`, for `rocket::build().attach(..)`.
///
/// `auth` determines the owner from a request's [`Credentials`](crate::Credentials). If you already have
/// a guard for the user, use [`from_guard`](crate::from_guard). Path and limit come from Rocket's
/// configuration, for example from `Rocket.toml`:
///
/// ```toml
/// [default.mobync]
/// path = "/devices/exchange" # "/sync" unless set
///
/// [default.limits]
/// mobync = "1 MiB" # 16 MiB unless set
/// ```
///
/// Other [`Limits`](mobync::http::Limits) of time and memory than the defaults are managed as state:
/// `rocket::build().manage(Limits::new().silence(..))`.
///
/// An invalid configuration, or a path that collides with another route, fails the ignition. Everything
/// else is as for [`routes`](crate::routes).
///
/// ```
/// use mobync::{Mobync, Owner, memory::MemoryDatabase};
///
/// let mobync = Mobync::new(MemoryDatabase::new());
/// let sync = mobync_rocket::fairing(mobync, async |credentials| {
///     Ok(Owner::new(credentials.token()?)?)
/// });
/// let rocket = rocket::build().attach(sync);
/// # let _ = rocket;
/// ```
///
/// An `async fn` can be the auth closure, too. It can look up anything in Rocket:
///
/// ```
/// use std::collections::HashMap;
///
/// use mobync::{Mobync, Owner, http::AuthError, memory::MemoryDatabase};
/// use mobync_rocket::Credentials;
///
/// type Users = HashMap<&'static str, &'static str>;
///
/// async fn auth(credentials: Credentials<'_, '_>) -> Result<Owner, AuthError> {
///     let users = credentials.request.rocket().state::<Users>();
///     let user = users.and_then(|users| users.get(credentials.token().ok()?));
///     let user = user.ok_or_else(|| AuthError::unauthenticated("The token is not known."))?;
///     Ok(Owner::new(user)?)
/// }
///
/// let mobync = Mobync::new(MemoryDatabase::new());
/// let rocket = rocket::build()
///     .manage(HashMap::from([("ada's secret", "ada")]))
///     .attach(mobync_rocket::fairing(mobync, auth));
/// # let _ = rocket;
/// ```
pub fn fairing<D, R, A>(mobync: Mobync<D, R>, auth: A) -> impl Fairing
where
    D: Database,
    R: Rules,
    A: Auth,
{
    SyncRoutes::new(mobync, auth)
}

/// The table `mobync` of Rocket's configuration.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    path: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { path: "/sync".to_owned() }
    }
}

#[rocket::async_trait]
impl<D: Database, R: Rules> Fairing for SyncRoutes<D, R> {
    fn info(&self) -> Info {
        Info { name: "mobync", kind: Kind::Ignite }
    }

    async fn on_ignite(&self, rocket: Rocket<Build>) -> fairing::Result {
        match path(&rocket) {
            Ok(path) => Ok(rocket.mount(path, routes_of(self, Method::Post))),
            Err(reason) => {
                error!("mobync cannot be mounted: {reason}");
                Err(rocket)
            }
        }
    }
}

/// Where to mount, according to the configuration.
fn path(rocket: &Rocket<Build>) -> Result<Origin<'static>, String> {
    let config = match rocket.figment().extract_inner("mobync") {
        Ok(config) => config,
        Err(error) if is_missing(&error) => Config::default(),
        Err(error) => return Err(error.to_string()),
    };
    mount_point(config.path)
}

/// A path in the form in which routes can be mounted.
pub(crate) fn mount_point(path: String) -> Result<Origin<'static>, String> {
    match Origin::parse_owned(path) {
        Ok(path) if path.query().is_none() => Ok(path),
        Ok(path) => Err(format!("the path \"{path}\" must not have a query")),
        Err(error) => Err(format!("the path must be one like \"/sync\" ({error})")),
    }
}

fn is_missing(error: &figment::Error) -> bool {
    matches!(&error.kind, figment::error::Kind::MissingField(field) if field == "mobync")
}
