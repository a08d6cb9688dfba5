//! The route, mounted in every way that axum offers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::sync::Arc;

use axum::{Router, extract::State, http::Request, routing::get};
use mobync::{Owner, http::Endpoint};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use self::support::{auth, mobync, nothing, one_task, post, send};

#[tokio::test]
async fn what_one_device_pushes_a_new_one_gets() {
    let app: Router = mobync_axum::router(mobync(), auth);
    let pushed = send(&app, post("/sync", one_task())).await;
    assert_eq!((pushed.status.as_u16(), &pushed.json()["logical_clock"]), (200, &1.into()));

    let pulled = send(&app, post("/sync", nothing())).await.json();
    assert_eq!(pulled["diffs"][0]["json_data"], r#"{"id":"t1","name":"Milk"}"#);
}

#[tokio::test]
async fn the_auth_closure_needs_no_type_annotations() {
    let plain: Router = mobync_axum::router(mobync(), |credentials| async move {
        Ok(Owner::new(credentials.token()?)?)
    });
    let asynchronous: Router =
        mobync_axum::router(mobync(), async |credentials| Ok(Owner::new(credentials.token()?)?));
    let tenant = Arc::new(String::from("acme"));
    let holding: Router = mobync_axum::router(mobync(), move |credentials| {
        let tenant = Arc::clone(&tenant);
        async move { Ok(Owner::new(format!("{tenant}/{}", credentials.token()?))?) }
    });
    for app in [plain, asynchronous, holding] {
        assert_eq!(send(&app, post("/sync", nothing())).await.status, 200);
    }
}

#[tokio::test]
async fn it_nests_under_a_prefix() {
    let app: Router = Router::new().nest("/api", mobync_axum::router(mobync(), auth));
    assert_eq!(send(&app, post("/api/sync", nothing())).await.status, 200);
    assert_eq!(send(&app, post("/sync", nothing())).await.status, 404);
}

#[tokio::test]
async fn it_merges_into_a_router_with_state() {
    let app = Router::new()
        .route("/name", get(async |State(name): State<&'static str>| name))
        .merge(mobync_axum::router(mobync(), auth))
        .with_state("tasks of ada");
    assert_eq!(send(&app, post("/sync", nothing())).await.status, 200);
    let name = send(&app, Request::get("/name").body("".into()).unwrap()).await;
    assert_eq!(name.body, "tasks of ada");
}

#[tokio::test]
async fn its_path_and_its_limit_can_be_chosen() {
    let endpoint = Endpoint::new(mobync(), auth).max_body_bytes(100);
    let app: Router = Router::new().route("/my/path", mobync_axum::route(endpoint));
    assert_eq!(send(&app, post("/my/path", nothing())).await.status, 200);

    let refused = send(&app, post("/my/path", one_task())).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (413, "payload_too_large"));
}

#[tokio::test]
async fn it_answers_every_other_method_by_itself() {
    let app: Router = mobync_axum::router(mobync(), auth);
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "BREW"] {
        let request = Request::builder().method(method).uri("/sync").body("".into()).unwrap();
        let refused = send(&app, request).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.headers["allow"]),
            (405, &"POST".parse().unwrap())
        );
        if method != "HEAD" {
            assert_eq!(refused.code(), "method_not_allowed");
        }
    }
}

#[tokio::test]
async fn a_missing_token_is_answered_with_a_challenge() {
    let app: Router = mobync_axum::router(mobync(), auth);
    let refused = send(&app, post("/sync", r#"{"logical_clock": 0, "diffs": []}"#)).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (401, "unauthenticated"));
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn it_serves_a_real_socket() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app: Router = mobync_axum::router(mobync(), auth);
    tokio::spawn(async move { axum::serve(listener, app).await });

    let body = one_task();
    let request = format!(
        "POST /sync HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len(),
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();

    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.contains("content-type: application/json\r\n"), "{response}");
    let answer = r#"{"success":true,"message":"","logical_clock":1,"diffs":[]}"#;
    assert!(response.ends_with(answer), "{response}");
}
