//! Handlers written by hand, from the extractors and responses.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::{cell::Cell, rc::Rc, task::Poll, time::Duration};

use actix_web::{
    App, HttpRequest,
    body::to_bytes,
    dev::Service,
    test::{TestRequest, init_service},
    web::{self, Bytes, Data, PayloadConfig, ServiceConfig},
};
use futures_util::stream;
use mobync::{
    Error, Mobync, Owner,
    http::{AuthError, Limits},
    memory::MemoryDatabase,
};
use mobync_actix::{Answer, Authenticated, Credentials, SharedAuth, SyncBody, SyncError};
use serde_json::json;

use self::support::{auth, mobync, nothing, one_task, post, send};

async fn authenticated(
    mobync: Data<Mobync<MemoryDatabase>>,
    Authenticated { owner, request }: Authenticated,
) -> Result<Answer, SyncError> {
    Ok(Answer(mobync.answer(&owner, &request).await?))
}

/// Finds the owner by itself.
async fn by_header(
    mobync: Data<Mobync<MemoryDatabase>>,
    http: HttpRequest,
    SyncBody(request): SyncBody,
) -> Result<Answer, SyncError> {
    let user = http.headers().get("x-user").and_then(|user| user.to_str().ok());
    let user = user.ok_or_else(|| AuthError::unauthenticated("Say who you are."))?;
    let owner = Owner::new(user).map_err(AuthError::from)?;
    Ok(Answer(mobync.answer(&owner, &request).await?))
}

fn app(config: &mut ServiceConfig) {
    config
        .app_data(Data::new(mobync()))
        .route("/sync", web::to(authenticated))
        .route("/by-header", web::to(by_header));
}

#[actix_web::test]
async fn a_handler_with_an_owner_answers_like_the_service_to_the_byte() {
    let by_hand = init_service(App::new().app_data(SharedAuth::new(auth)).configure(app)).await;
    let service = init_service(App::new().service(mobync_actix::service(mobync(), auth))).await;
    let unknown_model = one_task().replace("d1", "d2").replace("tasks", "teapots");
    for request in [
        || post("/sync", one_task()),
        || post("/sync", one_task()),
        || post("/sync", nothing()),
        || post("/sync", "no JSON"),
        || post("/sync", "[]"),
        || post("/sync", r#"{"logical_clock": 0, "diffs": []}"#),
        || post("/sync", r#"{"auth_token": "ada", "logical_clock": 9, "diffs": []}"#),
        || post("/sync", nothing().replace('{', r#"{"head": "", "limit": 1, "#)),
        || post("/sync", r#"{"auth_token": "ada", "logical_clock": 1, "head": "x", "diffs": []}"#),
        || TestRequest::post().uri("/sync").set_payload("{}"),
        || TestRequest::get().uri("/sync"),
    ] {
        assert_eq!(send(&by_hand, request()).await, send(&service, request()).await);
    }
    let refused = send(&by_hand, post("/sync", unknown_model.clone())).await;
    assert_eq!(refused, send(&service, post("/sync", unknown_model)).await);
    assert_eq!(refused.code(), "unknown_model");
}

#[actix_web::test]
async fn the_auth_closure_may_be_kept_as_data() {
    let auth = Data::new(SharedAuth::new(auth));
    let app = init_service(App::new().app_data(auth).configure(app)).await;
    assert_eq!(send(&app, post("/sync", nothing())).await.status, 200);
}

#[actix_web::test]
async fn where_the_auth_closure_is_missing_nobody_is_let_in() {
    let app = init_service(App::new().configure(app)).await;
    let refused = send(&app, post("/sync", nothing())).await;
    assert_eq!((refused.status, &*refused.code()), (500, "internal"));
}

#[actix_web::test]
async fn a_handler_can_find_the_owner_by_itself() {
    let app = init_service(App::new().configure(app)).await;
    let request = post("/by-header", one_task()).insert_header(("x-user", "grace"));
    assert_eq!(send(&app, request).await.json()["logical_clock"], 1);

    let refused = send(&app, post("/by-header", one_task())).await;
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.json(),
        json!({"success": false, "message": "Say who you are.", "code": "unauthenticated"})
    );
    assert_eq!(refused.header("www-authenticate"), "Bearer");

    let broken = send(&app, post("/by-header", "{}")).await;
    assert_eq!((broken.status, &*broken.code()), (400, "invalid_request"));
}

#[actix_web::test]
async fn actix_webs_own_payload_limit_counts() {
    let small = App::new().app_data(PayloadConfig::new(100)).app_data(SharedAuth::new(auth));
    let app = init_service(small.configure(app)).await;
    for path in ["/sync", "/by-header"] {
        let refused = send(&app, post(path, one_task())).await;
        assert_eq!((refused.status, &*refused.code()), (413, "payload_too_large"));
    }
    assert_eq!(send(&app, post("/sync", nothing())).await.status, 200);
}

#[actix_web::test]
async fn its_256_kibibytes_are_the_limit_until_another_is_set() {
    let large = nothing() + &" ".repeat(300_000);
    let of_default = App::new().app_data(SharedAuth::new(auth));
    let of_default = init_service(of_default.configure(app)).await;
    assert_eq!(send(&of_default, post("/sync", large.clone())).await.code(), "payload_too_large");
    let set = App::new().app_data(PayloadConfig::new(400_000)).app_data(SharedAuth::new(auth));
    let set = init_service(set.configure(app)).await;
    assert_eq!(send(&set, post("/sync", large)).await.status, 200);
}

#[actix_web::test]
async fn method_and_media_type_are_looked_at_before_the_size() {
    let app = init_service(App::new().app_data(SharedAuth::new(auth)).configure(app)).await;
    let large = || " ".repeat(300_000);
    let text = TestRequest::post().uri("/sync").set_payload(large());
    assert_eq!(send(&app, text).await.code(), "unsupported_media_type");
    let put = TestRequest::put().uri("/sync").set_payload(large());
    assert_eq!(send(&app, put).await.code(), "method_not_allowed");
}

/// A request whose body has so many chunks of 64 KiB of spaces, and then goes silent.
fn endless(path: &str, left: &Rc<Cell<usize>>) -> actix_http::Request {
    let left = Rc::clone(left);
    let chunks = stream::poll_fn(move |_| match left.get() {
        0 => Poll::Pending,
        some => {
            left.set(some - 1);
            Poll::Ready(Some(Ok(Bytes::from(vec![b' '; 64 * 1024]))))
        }
    });
    let payload = actix_http::Payload::Stream { payload: Box::pin(chunks) as _ };
    post(path, "").to_request().replace_payload(payload).0
}

#[actix_web::test]
async fn a_body_that_is_too_large_or_silent_is_treated_as_by_the_service() {
    let limits = || Limits::new().silence(Duration::from_secs(1)).body_bytes_at_once(1024 * 1024);
    let config = |config: &mut ServiceConfig| {
        config.app_data(SharedAuth::new(auth)).configure(app);
        config.service(mobync_actix::service(mobync(), auth).path("/service"));
    };
    let within = |most| App::new().app_data(PayloadConfig::new(most)).configure(config);
    let large = init_service(within(64 * 1024 * 1024).app_data(limits())).await;
    let small = init_service(within(256 * 1024).app_data(Data::new(limits()))).await;
    for path in ["/sync", "/by-header", "/service"] {
        for (app, chunks, status, code) in [
            (&large, 0, 503, "busy"),
            (&large, 4, 503, "busy"),
            (&small, 4, 503, "busy"),
            (&small, 300, 413, "payload_too_large"),
        ] {
            let left = Rc::new(Cell::new(chunks));
            let response = app.call(endless(path, &left)).await;
            let response = response.unwrap_or_else(|_| unreachable!());
            assert_eq!(response.status(), status, "{path}, {chunks}");
            let body = to_bytes(response.into_body()).await.unwrap_or_else(|_| unreachable!());
            let text = std::str::from_utf8(&body).unwrap();
            assert!(text.contains(code), "{text}");
            assert_eq!(text.contains("1 seconds"), status == 503, "{text}");
            assert_eq!(left.get(), 0, "it is read on, to be heard");
        }
    }
}

#[actix_web::test]
async fn a_header_s_token_is_looked_at_before_the_body() {
    let app = init_service(App::new().app_data(SharedAuth::new(auth)).configure(app)).await;
    for (token, body, status) in
        [("Bearer", "no JSON", 401), ("Bearer ada", "no JSON", 400), ("Basic x", "{}", 401)]
    {
        let request = post("/sync", body).insert_header(("authorization", token));
        assert_eq!(send(&app, request).await.status, status, "{token}");
    }
}

async fn panics(_: Credentials) -> Result<Owner, AuthError> {
    panic!("it does")
}

#[actix_web::test]
async fn an_auth_closure_that_panics_is_a_500() {
    let auth = SharedAuth::new(panics);
    let app = init_service(App::new().app_data(auth).configure(app)).await;
    for token in ["Bearer ada", "Basic x"] {
        let request = post("/sync", nothing()).insert_header(("authorization", token));
        let failed = send(&app, request).await;
        assert_eq!((failed.status, &*failed.code()), (500, "internal"));
    }
}

#[test]
fn an_error_reads_like_the_one_it_wraps() {
    let error = Error::ClockAhead { device: 9, server: 4 };
    let sentence = error.to_string();
    assert_eq!(SyncError::from(error).to_string(), sentence);
}
