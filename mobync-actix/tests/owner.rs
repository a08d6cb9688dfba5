//! Who is asking, without a sync: extractors for any handler, and an extractor as the auth closure.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::future::{Ready, ready};

use actix_web::{
    App, FromRequest, HttpMessage, HttpRequest,
    dev::{Payload, Service},
    error::{InternalError, UrlencodedError},
    http::StatusCode,
    test::{TestRequest, init_service},
    web::{self, Data, Path},
};
use mobync::{DatabaseError, Owner, http::AuthError};
use mobync_actix::{
    AuthenticatedOwner, BearerToken, Credentials, SharedAuth, SyncError, from_extractor,
};

use self::support::{Seen, auth, mobync, nothing, post, send};

/// What a middleware leaves in the request.
struct Tenant(&'static str);

async fn of_tenant(credentials: Credentials) -> Result<Owner, AuthError> {
    let request = &credentials.request;
    let extensions = request.extensions();
    let Tenant(tenant) = extensions.get().unwrap();
    Ok(Owner::new(format!("{tenant}/{}{}", credentials.token()?, request.path()))?)
}

async fn me(AuthenticatedOwner(owner): AuthenticatedOwner) -> String {
    owner.to_string()
}

#[actix_web::test]
async fn the_closure_sees_the_request_of_a_handler_without_a_body() {
    let app = App::new()
        .app_data(Data::new(SharedAuth::new(of_tenant)))
        .wrap_fn(|request, next| {
            request.extensions_mut().insert(Tenant("acme"));
            next.call(request)
        })
        .route("/me", web::get().to(me));
    let app = init_service(app).await;
    let get = || TestRequest::get().uri("/me");
    let by_ada = send(&app, get().insert_header(("authorization", "bearer ada"))).await;
    assert_eq!(by_ada.body, "acme/ada/me");
    let refused = send(&app, get()).await;
    assert_eq!((refused.status, &*refused.code()), (401, "unauthenticated"));
    let service = init_service(App::new().service(mobync_actix::service(mobync(), auth))).await;
    let nobody = post("/sync", nothing().replace("ada", ""));
    assert_eq!(refused, send(&service, nobody).await, "to the byte");
}

#[actix_web::test]
async fn where_the_auth_closure_is_missing_nobody_is_let_in() {
    let app = init_service(App::new().route("/me", web::get().to(me))).await;
    let request = TestRequest::get().uri("/me").insert_header(("authorization", "Bearer ada"));
    assert_eq!(send(&app, request).await.code(), "internal");
}

async fn with_body(BearerToken(token): BearerToken, body: String) -> String {
    token + &body
}

#[actix_web::test]
async fn a_token_is_taken_in_front_of_a_body_too() {
    let app = init_service(App::new().route("/", web::post().to(with_body))).await;
    let request = TestRequest::post().insert_header(("authorization", "Bearer ada"));
    assert_eq!(send(&app, request.set_payload(" says hi")).await.body, "ada says hi");
    let token = BearerToken("secret".into());
    assert!(!format!("{token:?}").contains("secret"));
}

/// Whom the header `x-user` names; a number in it is the status of an error.
struct User(String);

impl FromRequest for User {
    type Error = actix_web::Error;
    type Future = Ready<actix_web::Result<Self>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let Some(user) = request.headers().get("x-user") else {
            return ready(Err(InternalError::new("sign in", StatusCode::FOUND).into()));
        };
        let user = user.to_str().unwrap().to_owned();
        ready(match (user.parse().map(StatusCode::from_u16), &*user) {
            (Ok(status), _) => Err(InternalError::new("a secret", status.unwrap()).into()),
            (_, "broken") => Err(UrlencodedError::Encoding.into()),
            (_, "expired") => {
                Err(SyncError::from(AuthError::unauthenticated("Your token has expired.")).into())
            }
            (_, "slow") => Err(SyncError::from(DatabaseError::busy("in use")).into()),
            _ => Ok(Self(user)),
        })
    }
}

fn banned(User(name): User) -> Result<Owner, AuthError> {
    match &*name {
        "bob" => Err(AuthError::forbidden("Your account is closed.")),
        _ => Ok(Owner::new(name)?),
    }
}

fn refused(seen: &Seen) -> (u16, String) {
    assert_eq!(seen.header("content-type"), "application/json");
    (seen.status, seen.code())
}

#[actix_web::test]
async fn an_extractor_is_the_auth_closure_and_its_errors_are_told_in_the_protocol_s_words() {
    let auth = from_extractor(banned);
    let app = App::new()
        .app_data(SharedAuth::new(auth.clone()))
        .service(mobync_actix::service(mobync(), auth.clone()))
        .service(mobync_actix::live(mobync(), auth))
        .route("/me", web::get().to(me));
    let app = init_service(app).await;
    let by_ada = post("/sync", nothing()).insert_header(("x-user", "ada"));
    assert_eq!(send(&app, by_ada).await.status, 200);
    let by_ada = TestRequest::get().uri("/me").insert_header(("x-user", "ada"));
    assert_eq!(send(&app, by_ada).await.body, "ada");
    for (user, status, code) in [
        ("bob", 403, "forbidden"),
        ("broken", 401, "unauthenticated"),
        ("expired", 401, "unauthenticated"),
        ("slow", 503, "busy"),
        ("401", 401, "unauthenticated"),
        ("403", 403, "forbidden"),
        ("404", 401, "unauthenticated"),
        ("429", 503, "busy"),
        ("500", 500, "internal"),
        ("503", 503, "busy"),
    ] {
        for request in [
            post("/sync", nothing()),
            TestRequest::get().uri("/sync/live"),
            TestRequest::get().uri("/me"),
        ] {
            let seen = send(&app, request.insert_header(("x-user", user))).await;
            assert_eq!(refused(&seen), (status, code.to_owned()), "{user}");
            let told = seen.json()["message"].as_str().unwrap().to_owned();
            assert_eq!(told == "Your token has expired.", user == "expired", "{told}");
            assert_eq!(seen.headers.contains_key("retry-after"), status == 503, "{user}");
        }
    }
    let redirected = send(&app, post("/sync", nothing())).await;
    assert_eq!(refused(&redirected), (401, "unauthenticated".to_owned()));
}

async fn fails(how: Path<String>) -> Result<String, SyncError> {
    match &**how {
        "busy" => Err(DatabaseError::busy("all connections are in use"))?,
        "conflict" => Err(DatabaseError::conflict("a deadlock"))?,
        "failed" => Err(DatabaseError::failed("a secret"))?,
        _ => Ok(Owner::new("")?.to_string()),
    }
}

#[actix_web::test]
async fn what_a_handler_fails_with_is_told_as_a_sync_s_failure() {
    let app = init_service(App::new().route("/{how}", web::get().to(fails))).await;
    for (path, status, code) in [
        ("/busy", 503, "busy"),
        ("/conflict", 503, "busy"),
        ("/failed", 500, "internal"),
        ("/owner", 401, "unauthenticated"),
    ] {
        let failed = send(&app, TestRequest::get().uri(path)).await;
        assert_eq!(refused(&failed), (status, code.to_owned()));
        assert_eq!(failed.headers.contains_key("retry-after"), status == 503, "{path}");
        assert!(!String::from_utf8_lossy(&failed.body).contains("secret"));
    }
}
