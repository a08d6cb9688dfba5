//! The guards for handlers of your own.

use mobync::{
    Owner, SyncRequest,
    http::{Token, authenticate, receive},
};
use rocket::{
    Data, Ignite, Request, Rocket, Sentinel,
    data::{FromData, Outcome},
    outcome::Outcome::{Error, Success},
};

use crate::{
    Credentials, SharedAuth, SyncError,
    data::{self, Raw},
    owner::ask,
    response,
};

/// A sync request and its owner, by the managed [`SharedAuth`]. Without a `SharedAuth`, Rocket does not
/// ignite.
///
/// The body may have the size that the limit `mobync` of Rocket's configuration allows: 16 MiB by
/// default. Other [`Limits`](mobync::http::Limits) than the defaults are managed as state. Take it as a
/// `Result` and return its error. Otherwise Rocket's catchers respond.
///
/// ```
/// use mobync::{Mobync, Owner, memory::MemoryDatabase};
/// use mobync_rocket::{Answer, Authenticated, SharedAuth, SyncError};
/// use rocket::{State, post, routes};
///
/// #[post("/sync", data = "<sync>")]
/// async fn sync(
///     mobync: &State<Mobync<MemoryDatabase>>,
///     sync: Result<Authenticated, SyncError>,
/// ) -> Result<Answer, SyncError> {
///     let Authenticated { owner, request } = sync?;
///     let answer = mobync.answer(&owner, &request).await?;
///     Ok(Answer(answer))
/// }
///
/// let auth = SharedAuth::new(async |credentials| Ok(Owner::new(credentials.token()?)?));
/// let rocket = rocket::build()
///     .manage(Mobync::new(MemoryDatabase::new()))
///     .manage(auth)
///     .mount("/", routes![sync]);
/// # let _ = rocket;
/// ```
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// The owner.
    pub owner: Owner,
    /// What the device sent.
    pub request: SyncRequest,
}

#[rocket::async_trait]
impl<'r> FromData<'r> for Authenticated {
    type Error = SyncError;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r, Self> {
        outcome(authenticated(request, data).await)
    }
}

impl Sentinel for Authenticated {
    fn abort(rocket: &Rocket<Ignite>) -> bool {
        rocket.state::<SharedAuth>().is_none()
    }
}

async fn authenticated(request: &Request<'_>, data: Data<'_>) -> Result<Authenticated, SyncError> {
    let auth = |token: Token| ask(Credentials::new(request, token));
    let (head, limits) = (data::head(request), data::limits(request));
    let (owner, request) = authenticate(head, Raw::new(data), &limits, auth).await?;
    Ok(Authenticated { owner, request })
}

/// A sync request, for handlers that find the owner by themselves.
///
/// The limit, and the reason to take it as a `Result`, are those of [`Authenticated`].
///
/// ```
/// use mobync::{Mobync, Owner, http::AuthError, memory::MemoryDatabase};
/// use mobync_rocket::{Answer, SyncBody, SyncError};
/// use rocket::{State, http::CookieJar, post, routes};
///
/// #[post("/sync", data = "<body>")]
/// async fn sync(
///     mobync: &State<Mobync<MemoryDatabase>>,
///     cookies: &CookieJar<'_>,
///     body: Result<SyncBody, SyncError>,
/// ) -> Result<Answer, SyncError> {
///     let user = cookies.get("user");
///     let user = user.ok_or_else(|| AuthError::unauthenticated("Sign in first."))?;
///     let owner = Owner::new(user.value())?;
///     let SyncBody(request) = body?;
///     Ok(Answer(mobync.answer(&owner, &request).await?))
/// }
///
/// let mobync = Mobync::new(MemoryDatabase::new());
/// let rocket = rocket::build().manage(mobync).mount("/", routes![sync]);
/// # let _ = rocket;
/// ```
#[derive(Clone, Debug)]
pub struct SyncBody(pub SyncRequest);

#[rocket::async_trait]
impl<'r> FromData<'r> for SyncBody {
    type Error = SyncError;

    async fn from_data(request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r, Self> {
        outcome(body(request, data).await)
    }
}

async fn body(request: &Request<'_>, data: Data<'_>) -> Result<SyncBody, SyncError> {
    let (head, limits) = (data::head(request), data::limits(request));
    Ok(SyncBody(receive(head, Raw::new(data), &limits).await?))
}

fn outcome<'r, T: FromData<'r, Error = SyncError>>(result: Result<T, SyncError>) -> Outcome<'r, T> {
    match result {
        Ok(value) => Success(value),
        Err(error) => Error((response::status(error.0.status()), error)),
    }
}
