//! What devices send, and what they read of the answer.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use conformance::{
    Server,
    http::{Answer, Connection, Request},
};
use serde_json::{Value, json};

/// A diff that makes a task.
pub fn create(id: &str) -> Value {
    json!({
        "id": format!("create-{id}"), "owner": "", "logical_clock": 0, "utc_timestamp": 1000,
        "type": "create", "model": "tasks", "json_data": json!({"id": id, "name": "Milk"}).to_string(),
    })
}

/// A sync request.
pub fn request(owner: &str, clock: i64, diffs: &[Value]) -> Request {
    let body = json!({"auth_token": owner, "logical_clock": clock, "diffs": diffs});
    Request::post(body.to_string())
}

/// Sends it on a connection of its own.
pub fn send(server: &Server, request: &Request) -> Answer {
    connect(server).send(request).unwrap()
}

pub fn connect(server: &Server) -> Connection {
    Connection::open(server.address).unwrap()
}

/// The clock and the number of diffs of a sync that went well.
pub fn seen(answer: &Answer) -> (i64, usize) {
    let json = answer.json();
    assert_eq!(answer.status, 200, "{json}");
    let diffs = json.get("diffs").and_then(Value::as_array).unwrap().len();
    (json.get("logical_clock").and_then(Value::as_i64).unwrap(), diffs)
}

/// What a device that has never synced gets.
pub fn all(server: &Server, owner: &str) -> (i64, usize) {
    seen(&send(server, &request(owner, 0, &[])))
}

/// Waits until it is so, which must not take long.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < patience, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
