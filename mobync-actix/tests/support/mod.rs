//! What the tests share: a server with tasks, requests of devices, and answers to look at.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use actix_http::Request;
use actix_web::{
    Error,
    body::{MessageBody, to_bytes},
    dev::{Service, ServiceResponse},
    http::header::HeaderMap,
    test::TestRequest,
    web::Bytes,
};
use mobync::{Mobync, Owner, http::AuthError, memory::MemoryDatabase};
use mobync_actix::Credentials;
use serde_json::{Value, json};

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
pub fn post(path: &str, body: impl Into<Bytes>) -> TestRequest {
    let request = TestRequest::post().uri(path).insert_header(("content-type", "application/json"));
    request.set_payload(body)
}

/// A response with its whole body.
#[derive(Debug)]
pub struct Seen {
    pub status: u16,
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

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }
}

/// What goes over the wire, to be compared.
impl PartialEq for Seen {
    fn eq(&self, other: &Self) -> bool {
        let headers = |seen: &Self| {
            let mut lines: Vec<String> =
                seen.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
            lines.sort();
            lines
        };
        (self.status, headers(self), &self.body) == (other.status, headers(other), &other.body)
    }
}

pub async fn send<B: MessageBody>(
    app: &impl Service<Request, Response = ServiceResponse<B>, Error = Error>,
    request: TestRequest,
) -> Seen {
    let (head, body) = match app.call(request.to_request()).await {
        Ok(response) => {
            let (head, body) = response.into_parts().1.into_parts();
            (head, to_bytes(body).await.ok().unwrap())
        }
        Err(error) => {
            let (head, body) = error.error_response().into_parts();
            (head, to_bytes(body).await.unwrap())
        }
    };
    Seen { status: head.status().as_u16(), headers: head.headers().clone(), body }
}
