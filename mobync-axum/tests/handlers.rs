//! Handlers written by hand, from the extractors and responses.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Extension, Router,
    body::Body,
    extract::{DefaultBodyLimit, FromRef, State},
    http::{HeaderMap, Request},
    routing::any,
};
use bytes::Bytes;
use http_body::Frame;
use mobync::{
    Error, Mobync, Owner,
    http::{AuthError, Credentials, Limits, SharedAuth},
    memory::MemoryDatabase,
};
use mobync_axum::{Answer, Authenticated, SyncBody, SyncError};
use serde_json::json;

use self::support::{auth, mobync, nothing, one_task, post, send};

#[derive(Clone, FromRef)]
struct App {
    mobync: Mobync<MemoryDatabase>,
    auth: SharedAuth,
}

async fn authenticated(
    State(mobync): State<Mobync<MemoryDatabase>>,
    Authenticated { owner, request }: Authenticated,
) -> Result<Answer, SyncError> {
    Ok(Answer(mobync.answer(&owner, &request).await?))
}

/// Finds the owner by itself.
async fn by_header(
    State(mobync): State<Mobync<MemoryDatabase>>,
    headers: HeaderMap,
    SyncBody(request): SyncBody,
) -> Result<Answer, SyncError> {
    let user = headers.get("x-user").and_then(|user| user.to_str().ok());
    let user = user.ok_or_else(|| AuthError::unauthenticated("Say who you are."))?;
    let owner = Owner::new(user).map_err(AuthError::from)?;
    Ok(Answer(mobync.answer(&owner, &request).await?))
}

fn app() -> Router {
    Router::new()
        .route("/sync", any(authenticated))
        .route("/by-header", any(by_header))
        .with_state(App { mobync: mobync(), auth: SharedAuth::new(auth) })
}

#[tokio::test]
async fn a_handler_with_an_owner_answers_like_the_route_to_the_byte() {
    let (by_hand, route): (_, Router) = (app(), mobync_axum::router(mobync(), auth));
    let unknown_model = one_task().replace("d1", "d2").replace("tasks", "teapots");
    let get = || Request::get("/sync").body("".into()).unwrap();
    for request in [
        || post("/sync", one_task()),
        || post("/sync", nothing()),
        || post("/sync", "no JSON"),
        || post("/sync", "[]"),
        || post("/sync", r#"{"logical_clock": 0, "diffs": []}"#),
        || post("/sync", r#"{"auth_token": "ada", "logical_clock": 9, "diffs": []}"#),
        || post("/sync", nothing().replace('{', r#"{"head": "", "limit": 1, "#)),
        || post("/sync", r#"{"auth_token": "ada", "logical_clock": 1, "head": "x", "diffs": []}"#),
        || Request::post("/sync").body("{}".into()).unwrap(),
    ] {
        assert_eq!(send(&by_hand, request()).await, send(&route, request()).await);
    }
    assert_eq!(send(&by_hand, get()).await, send(&route, get()).await);
    let refused = send(&by_hand, post("/sync", unknown_model.clone())).await;
    assert_eq!(refused, send(&route, post("/sync", unknown_model)).await);
    assert_eq!(refused.code(), "unknown_model");
}

#[tokio::test]
async fn a_handler_can_find_the_owner_by_itself() {
    let app = app();
    let mut request = post("/by-header", one_task());
    request.headers_mut().insert("x-user", "grace".parse().unwrap());
    assert_eq!(send(&app, request).await.json()["logical_clock"], 1);

    let refused = send(&app, post("/by-header", one_task())).await;
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.json(),
        json!({"success": false, "message": "Say who you are.", "code": "unauthenticated"})
    );
    assert_eq!(refused.headers["www-authenticate"], "Bearer");

    let broken = send(&app, post("/by-header", "{}")).await;
    assert_eq!((broken.status.as_u16(), &*broken.code()), (400, "invalid_request"));
}

#[tokio::test]
async fn axums_own_body_limit_counts() {
    let app = app().layer(DefaultBodyLimit::max(100));
    for path in ["/sync", "/by-header"] {
        let refused = send(&app, post(path, one_task())).await;
        assert_eq!((refused.status.as_u16(), &*refused.code()), (413, "payload_too_large"));
    }
    assert_eq!(send(&app, post("/sync", nothing())).await.status, 200);
}

#[tokio::test]
async fn two_megabytes_are_axums_limit_until_another_is_set() {
    let large = nothing() + &" ".repeat(3 * 1024 * 1024);
    assert_eq!(send(&app(), post("/sync", large.clone())).await.status, 413);
    let app = app().layer(DefaultBodyLimit::max(4 * 1024 * 1024));
    assert_eq!(send(&app, post("/sync", large)).await.status, 200);
}

/// So many chunks of 64 KiB of spaces; more is not to come, and nothing says so.
struct Endless(Arc<AtomicUsize>);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.load(Ordering::SeqCst) {
            0 => Poll::Pending,
            left => {
                self.0.store(left - 1, Ordering::SeqCst);
                Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b' '; 64 * 1024])))))
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_or_silent_is_treated_as_by_the_route() {
    let limits = Limits::new().silence(Duration::from_secs(7)).body_bytes_at_once(1024 * 1024);
    let app = app().layer(Extension(limits));
    for path in ["/sync", "/by-header"] {
        for (chunks, status, code) in
            [(0, 503, "busy"), (4, 503, "busy"), (20, 503, "busy"), (300, 413, "payload_too_large")]
        {
            let left = Arc::new(AtomicUsize::new(chunks));
            let app = if status == 413 { self::app() } else { app.clone() };
            let body = Body::new(Endless(Arc::clone(&left)));
            let refused = send(&app, post(path, body)).await;
            assert_eq!((refused.status.as_u16(), &*refused.code()), (status, code));
            assert_eq!(left.load(Ordering::SeqCst), 0, "it is read on, to be heard");
            let is_silent = refused.json()["message"].as_str().unwrap().contains("7 seconds");
            assert_eq!(is_silent, status == 503, "{chunks}");
        }
    }
}

#[tokio::test]
async fn a_header_s_token_is_looked_at_before_the_body() {
    let app = app();
    for (token, body, status) in
        [("Bearer", "no JSON", 401), ("Bearer ada", "no JSON", 400), ("Basic x", "{}", 401)]
    {
        let mut request = post("/sync", body);
        request.headers_mut().insert("authorization", token.parse().unwrap());
        assert_eq!(send(&app, request).await.status, status, "{token}");
    }
}

async fn panics(_: Credentials) -> Result<Owner, AuthError> {
    panic!("it does")
}

#[tokio::test]
async fn an_auth_closure_that_panics_is_a_500() {
    let auth = SharedAuth::new(panics);
    let app = Router::new().route("/sync", any(authenticated));
    let app = app.with_state(App { mobync: mobync(), auth });
    for token in ["Bearer ada", "Basic x"] {
        let mut request = post("/sync", nothing());
        request.headers_mut().insert("authorization", token.parse().unwrap());
        let failed = send(&app, request).await;
        assert_eq!((failed.status.as_u16(), &*failed.code()), (500, "internal"));
    }
}

#[test]
fn an_error_reads_like_the_one_it_wraps() {
    let error = Error::ClockAhead { device: 9, server: 4 };
    let sentence = error.to_string();
    assert_eq!(SyncError::from(error).to_string(), sentence);
}
