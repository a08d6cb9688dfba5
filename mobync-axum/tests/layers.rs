//! The route behind the layers that applications put in front of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{
    io::{Read, Write},
    time::Duration,
};

use axum::{
    Router,
    extract::Request,
    http::StatusCode,
    middleware::{Next, from_fn},
    response::Response,
};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use mobync::{
    Owner,
    http::{AuthError, Endpoint},
};
use tower_http::{
    compression::CompressionLayer, cors::CorsLayer, decompression::RequestDecompressionLayer,
    limit::RequestBodyLimitLayer, timeout::TimeoutLayer, trace::TraceLayer,
};

use self::support::{auth, mobync, nothing, one_task, post, send};

fn sync() -> Router {
    mobync_axum::router(mobync(), auth)
}

#[tokio::test]
async fn an_answer_compressed_by_a_layer_is_the_same_answer() {
    let app = sync().layer(CompressionLayer::new());
    send(&app, post("/sync", one_task())).await;
    let plain = send(&app, post("/sync", nothing())).await;

    let mut request = post("/sync", nothing());
    request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
    let compressed = send(&app, request).await;
    assert_eq!(compressed.headers["content-encoding"], "gzip");
    let mut body = Vec::new();
    GzDecoder::new(&*compressed.body).read_to_end(&mut body).unwrap();
    assert_eq!(body, plain.body);
}

#[tokio::test]
async fn a_compressed_request_needs_a_layer_that_decodes_it() {
    let compressed = || {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(one_task().as_bytes()).unwrap();
        let mut request = post("/sync", encoder.finish().unwrap());
        request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        request
    };
    let refused = send(&sync(), compressed()).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (415, "unsupported_media_type"));

    let decoding = sync().layer(RequestDecompressionLayer::new());
    let accepted = send(&decoding, compressed()).await;
    assert_eq!((accepted.status.as_u16(), &accepted.json()["logical_clock"]), (200, &1.into()));
}

#[tokio::test]
async fn a_small_body_that_unpacks_to_a_large_one_is_too_large() {
    let endpoint = Endpoint::new(mobync(), auth).max_body_bytes(10_000);
    let app: Router = Router::new()
        .route("/sync", mobync_axum::route(endpoint))
        .layer(RequestDecompressionLayer::new());
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&vec![b' '; 1_000_000]).unwrap();
    let mut request = post("/sync", encoder.finish().unwrap());
    request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    let refused = send(&app, request).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (413, "payload_too_large"));
}

#[tokio::test]
async fn a_preflight_is_answered_by_the_cors_layer() {
    let app = sync().layer(CorsLayer::very_permissive());
    let preflight = Request::builder()
        .method("OPTIONS")
        .uri("/sync")
        .header("origin", "https://tasks.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type")
        .body("".into())
        .unwrap();
    let allowed = send(&app, preflight).await;
    assert_eq!(allowed.status, 200);
    assert_eq!(allowed.headers["access-control-allow-origin"], "https://tasks.example");
    assert_eq!(allowed.headers["access-control-allow-methods"], "POST");

    let mut request = post("/sync", "no JSON");
    request.headers_mut().insert("origin", "https://tasks.example".parse().unwrap());
    let refused = send(&app, request).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.headers["access-control-allow-origin"], "https://tasks.example");
}

#[tokio::test]
async fn a_sync_that_a_timeout_ends_has_changed_nothing() {
    let database = mobync();
    let slow = mobync_axum::router(database.clone(), async |credentials| {
        tokio::time::sleep(Duration::from_mins(1)).await;
        Ok(Owner::new(credentials.token()?)?)
    });
    let limit = Duration::from_millis(20);
    let slow = slow.layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, limit));
    assert_eq!(send(&slow, post("/sync", one_task())).await.status, 503);

    let app: Router = mobync_axum::router(database, auth);
    assert_eq!(send(&app, post("/sync", nothing())).await.json()["logical_clock"], 0);
    assert_eq!(send(&app, post("/sync", one_task())).await.json()["logical_clock"], 1);
}

#[tokio::test]
async fn a_layer_that_traces_changes_nothing() {
    let answer = send(&sync().layer(TraceLayer::new_for_http()), post("/sync", nothing())).await;
    assert_eq!(answer, send(&sync(), post("/sync", nothing())).await);
}

#[tokio::test]
async fn a_body_that_a_limit_in_front_cuts_off_is_too_large() {
    let app = sync().layer(RequestBodyLimitLayer::new(100));
    assert_eq!(send(&app, post("/sync", nothing())).await.status, 200);
    let refused = send(&app, post("/sync", one_task())).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (413, "payload_too_large"));
    assert_eq!(refused.headers["content-type"], "application/json");

    // Where the layer sees it beforehand, it answers in its own words.
    let mut request = post("/sync", one_task());
    request.headers_mut().insert("content-length", one_task().len().into());
    assert_eq!(send(&app, request).await.status, 413);
}

/// What a session layer leaves in a request.
#[derive(Clone)]
struct User(&'static str);

async fn session(mut request: Request, next: Next) -> Response {
    if request.headers().get("cookie").is_some_and(|cookie| cookie == "session=42") {
        request.extensions_mut().insert(User("ada"));
    }
    next.run(request).await
}

#[tokio::test]
async fn the_auth_closure_sees_the_user_whom_a_middleware_found() {
    let app: Router =
        mobync_axum::router(mobync(), async |credentials| match credentials.extensions.get() {
            Some(User(name)) => Ok(Owner::new(name)?),
            None => Err(AuthError::forbidden("Sign in first.")),
        });
    let app = app.layer(from_fn(session));

    let mut request = post("/sync", one_task());
    request.headers_mut().insert("cookie", "session=42".parse().unwrap());
    assert_eq!(send(&app, request).await.status, 200);

    let refused = send(&app, post("/sync", one_task())).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["message"]),
        (403, &"Sign in first.".into())
    );
}
