//! What the tests share: a server with tasks, requests of devices, and answers to look at.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use mobync::{
    Mobync, Owner,
    http::{AuthError, Credentials},
    memory::MemoryDatabase,
};
use serde_json::{Value, json};
use tower::ServiceExt;

pub fn mobync() -> Mobync<MemoryDatabase> {
    Mobync::new(MemoryDatabase::new().model("tasks", ["name", "done"]))
}

/// The token is the owner.
pub async fn auth(credentials: Credentials) -> Result<Owner, AuthError> {
    Ok(Owner::new(credentials.token()?)?)
}

/// The body of a device that has never synced, and has made one task.
pub fn one_task() -> String {
    let diff = json!({
        "id": "d1", "owner": "", "logical_clock": 0, "utc_timestamp": 1_700_000_000_000_i64,
        "type": "create", "model": "tasks",
        "json_data": json!({"id": "t1", "name": "Milk"}).to_string(),
    });
    json!({"auth_token": "ada", "logical_clock": 0, "diffs": [diff]}).to_string()
}

pub fn nothing() -> String {
    json!({"auth_token": "ada", "logical_clock": 0, "diffs": []}).to_string()
}

/// Without a `Content-Length`, as for a body that is streamed.
pub fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path).header("content-type", "application/json").body(body.into()).unwrap()
}

/// A response with its whole body.
#[derive(Debug, PartialEq)]
pub struct Seen {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap().to_owned()
    }
}

pub async fn send(app: &Router, request: Request<Body>) -> Seen {
    let (parts, body) = app.clone().oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Seen { status: parts.status, headers: parts.headers, body }
}
