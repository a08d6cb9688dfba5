//! What handlers of your own take.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpRequest, dev, web};
use mobync::{
    Error, Owner, SyncRequest,
    http::{AuthError, Received, receive},
};

use crate::{
    Credentials, SharedAuth, SyncError,
    payload::{extract, head},
};

type Extraction<T> = Pin<Box<dyn Future<Output = Result<T, SyncError>>>>;

/// A sync request and whose it is, by the [`SharedAuth`] in the `app_data`.
///
/// The body may be as large as actix-web's [`PayloadConfig`](web::PayloadConfig) in the `app_data` lets
/// it: 256 KiB unless another limit is set. Mount the handler with [`web::to`] or `Resource::to`, and
/// methods other than POST are answered as the protocol has it, too.
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
///     let answer = mobync.apply(request.logical_clock, request.diffs, &owner).await?;
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
    /// Who is asking.
    pub owner: Owner,
    /// What the device sent.
    pub request: SyncRequest,
}

impl FromRequest for Authenticated {
    type Error = SyncError;
    type Future = Extraction<Self>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let received = receive_limited(request, payload);
        let http = request.clone();
        Box::pin(async move {
            let auth = |token| authenticate(Credentials::new(http, token));
            // How many diffs are too many is for the `Mobync` to say, which the handler calls.
            let (owner, request) = received.await?.authenticate(auth, usize::MAX).await?;
            Ok(Self { owner, request })
        })
    }
}

/// A sync request, for handlers that find out by themselves who is asking.
///
/// Its limit, and how to mount its handler, are as for [`Authenticated`].
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
///     Ok(Answer(mobync.apply(request.logical_clock, request.diffs, &owner).await?))
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
        let received = receive_limited(request, payload);
        Box::pin(async move { Ok(Self(received.await?.into_request()?)) })
    }
}

/// Receives within actix-web's own limit, which is all that counts here.
fn receive_limited(
    request: &HttpRequest,
    payload: &mut dev::Payload,
) -> impl Future<Output = Result<Received, Error>> + use<> {
    let (request, body) = (request.clone(), extract(request, payload));
    async move { receive(head(&request), usize::MAX, body).await }
}

/// Asks the application's closure, which may be kept in one of actix-web's two usual ways.
async fn authenticate(credentials: Credentials) -> Result<Owner, AuthError> {
    let request = credentials.request.clone();
    let shared = || request.app_data::<web::Data<SharedAuth>>().map(|auth| &***auth);
    match request.app_data::<SharedAuth>().or_else(shared) {
        Some(auth) => auth.authenticate(credentials).await,
        None => Err(AuthError::failed(
            "a handler takes mobync_actix::Authenticated, but there is no SharedAuth in the app_data",
        )),
    }
}
