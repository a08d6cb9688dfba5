//! What the tests share: a server with tasks, requests of devices, and answers to look at.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use mobync::{Mobync, Owner, http::AuthError, memory::MemoryDatabase};
use mobync_rocket::Credentials;
use rocket::{
    Build, Config, Rocket,
    fairing::Fairing,
    figment::{Figment, value::Value as Setting},
    http::{ContentType, Method},
    local::blocking::{Client, LocalRequest},
    log::LogLevel,
};
use serde_json::{Value, json};

pub fn mobync() -> Mobync<MemoryDatabase> {
    Mobync::new(MemoryDatabase::new().model("tasks", ["name", "done"]))
}

/// The token is the owner.
pub async fn auth(credentials: Credentials<'_, '_>) -> Result<Owner, AuthError> {
    Ok(Owner::new(credentials.token()?)?)
}

pub fn fairing() -> impl Fairing {
    mobync_rocket::fairing(mobync(), auth)
}

/// Rocket's defaults without a `Rocket.toml`, and without its log.
pub fn figment() -> Figment {
    Figment::from(Config::debug_default()).merge((Config::LOG_LEVEL, LogLevel::Off))
}

pub fn rocket() -> Rocket<Build> {
    rocket::custom(figment())
}

/// With a value in the configuration.
pub fn configured(key: &str, value: impl Into<Setting>) -> Rocket<Build> {
    rocket::custom(figment().merge((key, value.into())))
}

pub fn client(rocket: Rocket<Build>) -> Client {
    Client::untracked(rocket).unwrap()
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

pub fn post<'c>(client: &'c Client, path: &'c str, body: impl AsRef<[u8]>) -> LocalRequest<'c> {
    client.post(path).header(ContentType::JSON).body(body)
}

pub fn request<'c>(client: &'c Client, method: Method, path: &'c str) -> LocalRequest<'c> {
    client.req(method, path)
}

/// A response with its whole body.
#[derive(Debug, PartialEq)]
pub struct Seen {
    pub status: u16,
    /// A line each, in the order of the alphabet.
    pub headers: Vec<String>,
    pub body: String,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap().to_owned()
    }

    pub fn has(&self, header: &str) -> bool {
        self.headers.iter().any(|line| line == header)
    }
}

pub fn send(request: LocalRequest<'_>) -> Seen {
    let response = request.dispatch();
    let mut headers: Vec<String> = response.headers().iter().map(|line| line.to_string()).collect();
    headers.sort();
    Seen {
        status: response.status().code,
        headers,
        body: response.into_string().unwrap_or_default(),
    }
}
