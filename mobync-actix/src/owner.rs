//! The owner and the token, for handlers of your own that need no sync request.

use std::{
    fmt,
    future::{Future, Ready, ready},
    pin::Pin,
};

use actix_web::{FromRequest, HttpRequest, dev, web};
use mobync::{
    Grant, Owner,
    http::{AuthError, Token, identify},
};

use crate::{Credentials, SharedAuth, SyncError, payload};

/// The owner of a request, by the [`SharedAuth`] in the `app_data`. For routes without a body, such as
/// one that reads records.
///
/// If the closure refuses, the response has the same bytes as that of the sync route. A token in a body
/// (`auth_token`) is not read.
///
/// ```
/// use actix_web::{App, web};
/// use mobync::Owner;
/// use mobync_actix::{AuthenticatedOwner, SharedAuth};
///
/// async fn me(AuthenticatedOwner(owner): AuthenticatedOwner) -> String {
///     owner.to_string()
/// }
///
/// let auth = SharedAuth::new(async |credentials| Ok(Owner::new(credentials.token()?)?));
/// let app = App::new().app_data(auth).route("/me", web::get().to(me));
/// # let _ = app;
/// ```
#[derive(Clone, Debug)]
pub struct AuthenticatedOwner(pub Owner);

impl FromRequest for AuthenticatedOwner {
    type Error = SyncError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, SyncError>>>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let token = payload::token(&request);
            Ok(Self(identify(token, |token: Token| ask(Credentials::new(request, token))).await?))
        })
    }
}

/// Calls the application's closure, which may be stored in either of actix-web's two usual ways.
pub(crate) async fn ask(credentials: Credentials) -> Result<Grant, AuthError> {
    let request = credentials.request.clone();
    let shared = || request.app_data::<web::Data<SharedAuth>>().map(|auth| &***auth);
    match request.app_data::<SharedAuth>().or_else(shared) {
        Some(auth) => auth.authenticate(credentials).await,
        None => Err(AuthError::failed(
            "a handler asks whose request it is, but there is no mobync_actix::SharedAuth in the app_data",
        )),
    }
}

/// The token of a request's `Authorization: Bearer` header, for any handler.
///
/// Without a token, the response is the sync route's 401, with the same bytes.
///
/// ```
/// use actix_web::{App, HttpResponse, web};
/// use mobync_actix::BearerToken;
///
/// async fn sign_out(BearerToken(token): BearerToken) -> HttpResponse {
///     // forget the token
/// #   let _ = token;
///     HttpResponse::NoContent().finish()
/// }
///
/// let app = App::new().route("/session", web::delete().to(sign_out));
/// # let _ = app;
/// ```
#[derive(Clone)]
pub struct BearerToken(pub String);

impl FromRequest for BearerToken {
    type Error = SyncError;
    type Future = Ready<Result<Self, SyncError>>;

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        ready(payload::token(request).into_string().map(Self).map_err(SyncError::from))
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken") // a secret
    }
}
