//! The service behind the middleware that applications put in front of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::Read;

use actix_cors::Cors;
use actix_session::{SessionExt, SessionMiddleware, storage::CookieSessionStore};
use actix_web::{
    App, HttpMessage, HttpResponse,
    cookie::{Cookie, Key},
    dev::ServiceRequest,
    http::Method,
    middleware::{Compress, Logger, Next, from_fn},
    test::{TestRequest, init_service},
    web,
};
use flate2::read::GzDecoder;
use mobync::{Owner, http::AuthError};

use self::support::{auth, mobync, nothing, one_task, post, send};

#[actix_web::test]
async fn an_answer_that_compress_has_compressed_is_the_same_answer() {
    let sync = mobync_actix::service(mobync(), auth);
    let app = init_service(App::new().wrap(Compress::default()).service(sync)).await;
    send(&app, post("/sync", one_task())).await;
    let plain = send(&app, post("/sync", nothing())).await;

    let request = post("/sync", nothing()).insert_header(("accept-encoding", "gzip"));
    let compressed = send(&app, request).await;
    assert_eq!(compressed.header("content-encoding"), "gzip");
    assert!(!compressed.headers.contains_key("content-length"));
    let mut body = Vec::new();
    GzDecoder::new(&*compressed.body).read_to_end(&mut body).unwrap();
    assert_eq!(body, plain.body);
}

#[actix_web::test]
async fn a_compressed_request_is_refused() {
    let sync = mobync_actix::service(mobync(), auth);
    let app = init_service(App::new().wrap(Compress::default()).service(sync)).await;
    let request = post("/sync", nothing()).insert_header(("content-encoding", "gzip"));
    let refused = send(&app, request).await;
    assert_eq!((refused.status, &*refused.code()), (415, "unsupported_media_type"));
}

#[actix_web::test]
async fn a_preflight_is_answered_by_cors() {
    let sync = mobync_actix::service(mobync(), auth);
    let app = init_service(App::new().wrap(Cors::permissive()).service(sync)).await;
    let preflight = TestRequest::with_uri("/sync")
        .method(Method::OPTIONS)
        .insert_header(("origin", "https://tasks.example"))
        .insert_header(("access-control-request-method", "POST"))
        .insert_header(("access-control-request-headers", "authorization,content-type"));
    let allowed = send(&app, preflight).await;
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.header("access-control-allow-origin"), "https://tasks.example");

    let request = post("/sync", "no JSON").insert_header(("origin", "https://tasks.example"));
    let refused = send(&app, request).await;
    assert_eq!((refused.status, &*refused.code()), (400, "invalid_json"));
    assert_eq!(refused.header("access-control-allow-origin"), "https://tasks.example");
}

#[actix_web::test]
async fn a_logger_changes_nothing() {
    let sync = || mobync_actix::service(mobync(), auth);
    let logged = init_service(App::new().wrap(Logger::default()).service(sync())).await;
    let plain = init_service(App::new().service(sync())).await;
    for body in [one_task(), nothing(), "no JSON".to_owned()] {
        let answer = send(&logged, post("/sync", body.clone())).await;
        assert_eq!(answer, send(&plain, post("/sync", body)).await);
    }
}

/// What a middleware leaves in a request.
struct User(&'static str);

#[actix_web::test]
async fn the_auth_closure_sees_the_user_whom_a_middleware_found() {
    let sync = mobync_actix::service(mobync(), async |credentials| {
        match credentials.request.extensions().get() {
            Some(User(name)) => Ok(Owner::new(name)?),
            None => Err(AuthError::forbidden("Sign in first.")),
        }
    });
    let middleware = from_fn(async |request: ServiceRequest, next: Next<_>| {
        if request.headers().contains_key("x-internal") {
            request.extensions_mut().insert(User("ada"));
        }
        next.call(request).await
    });
    let app = init_service(App::new().service(web::scope("").wrap(middleware).service(sync))).await;

    let request = post("/sync", one_task()).insert_header(("x-internal", "1"));
    assert_eq!(send(&app, request).await.status, 200);
    let refused = send(&app, post("/sync", one_task())).await;
    assert_eq!((refused.status, &refused.json()["message"]), (403, &"Sign in first.".into()));
}

#[actix_web::test]
async fn the_auth_closure_sees_cookies() {
    let sync = mobync_actix::service(mobync(), async |credentials| {
        let cookie = credentials.request.cookie("user");
        let cookie = cookie.ok_or_else(|| AuthError::unauthenticated("Sign in first."))?;
        Ok(Owner::new(cookie.value())?)
    });
    let app = init_service(App::new().service(sync)).await;
    let request = post("/sync", nothing()).cookie(Cookie::new("user", "ada"));
    assert_eq!(send(&app, request).await.status, 200);
    assert_eq!(send(&app, post("/sync", nothing())).await.code(), "unauthenticated");
}

#[actix_web::test]
async fn the_auth_closure_sees_the_session() {
    let sync = mobync_actix::service(mobync(), async |credentials| {
        let user = credentials.request.get_session().get::<String>("user");
        let user = user.map_err(|error| AuthError::failed(error.to_string()))?;
        Ok(Owner::new(user.ok_or_else(|| AuthError::unauthenticated("Sign in first."))?)?)
    });
    let sign_in = async |session: actix_session::Session| {
        session.insert("user", "ada").unwrap();
        HttpResponse::Ok().finish()
    };
    let app = App::new()
        .wrap(SessionMiddleware::new(CookieSessionStore::default(), Key::from(&[7; 64])))
        .route("/sign-in", web::post().to(sign_in))
        .service(sync);
    let app = init_service(app).await;

    assert_eq!(send(&app, post("/sync", nothing())).await.status, 401);
    let signed_in = send(&app, TestRequest::post().uri("/sign-in")).await;
    let cookie = signed_in.header("set-cookie").split(';').next().unwrap();
    let request = post("/sync", nothing()).insert_header(("cookie", cookie));
    assert_eq!(send(&app, request).await.status, 200);
}
