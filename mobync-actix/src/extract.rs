//! What handlers of your own extract.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpRequest, dev};
use mobync::{
    Owner, SyncRequest,
    http::{Limits, Token, authenticate, receive},
};

use crate::{
    Credentials, SyncError,
    owner::ask,
    payload::{Configured, head, limits},
};

type Extraction<T> = Pin<Box<dyn Future<Output = Result<T, SyncError>>>>;

/// A sync request and its owner, by the [`SharedAuth`](crate::SharedAuth) in the `app_data`.
///
/// The body may have the size that actix-web's [`PayloadConfig`](actix_web::web::PayloadConfig) in the
/// `app_data` allows: 256 KiB by default. Other [`Limits`] than the defaults are taken from the
/// `app_data`, too. Mount the handler with [`web::to`](actix_web::web::to) or `Resource::to`, so that it
/// also responds to methods other than POST as the protocol says.
///
/// ```
/// use actix_web::{App, web::{self, Data}};
/// use mobync::{Mobync, Owner, memory::MemoryDatabase};
/// use mobync_actix::{Answer, Authenticated, SharedAuth, SyncError};
///
/// async fn sync(
///     mobync: Data<Mobync<MemoryDatabase>>,
///     Authenticated { owner, request }: Authenticated,
/// ) -> Result<Answer, SyncError> {
///     let answer = mobync.answer(&owner, &request).await?;
///     Ok(Answer(answer))
/// }
///
/// let auth = SharedAuth::new(async |credentials| Ok(Owner::new(credentials.token()?)?));
/// let app = App::new()
///     .app_data(Data::new(Mobync::new(MemoryDatabase::new())))
///     .app_data(auth)
///     .app_data(web::PayloadConfig::new(4 * 1024 * 1024))
///     .route("/sync", web::to(sync));
/// # let _ = app;
/// ```
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// The owner.
    pub owner: Owner,
    /// What the device sent.
    pub request: SyncRequest,
}

impl FromRequest for Authenticated {
    type Error = SyncError;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let (http, body, limits) = taken(request, payload);
        Box::pin(async move {
            let auth = |token: Token| ask(Credentials::new(http.clone(), token));
            let (owner, request) = authenticate(head(&http), body, &limits, auth).await?;
            Ok(Self { owner, request })
        })
    }
}

/// A sync request, for handlers that find the owner by themselves.
///
/// The limit and the way to mount the handler are those of [`Authenticated`].
///
/// ```
/// use actix_web::{App, web::{self, Data, ReqData}};
/// use mobync::{Mobync, Owner, memory::MemoryDatabase};
/// use mobync_actix::{Answer, SyncBody, SyncError};
///
/// async fn sync(
///     mobync: Data<Mobync<MemoryDatabase>>,
///     owner: ReqData<Owner>, // left there by a middleware
///     SyncBody(request): SyncBody,
/// ) -> Result<Answer, SyncError> {
///     Ok(Answer(mobync.answer(&owner, &request).await?))
/// }
///
/// let app = App::new()
///     .app_data(Data::new(Mobync::new(MemoryDatabase::new())))
///     .route("/sync", web::to(sync));
/// # let _ = app;
/// ```
#[derive(Clone, Debug)]
pub struct SyncBody(pub SyncRequest);

impl FromRequest for SyncBody {
    type Error = SyncError;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let (http, body, limits) = taken(request, payload);
        Box::pin(async move { Ok(Self(receive(head(&http), body, &limits).await?)) })
    }
}

/// Here actix-web's own limit on the size of a body replaces the core's.
fn taken(request: &HttpRequest, payload: &mut dev::Payload) -> (HttpRequest, Configured, Limits) {
    let body = Configured::new(request, payload.take());
    (request.clone(), body, limits(request).max_body_bytes(usize::MAX))
}
