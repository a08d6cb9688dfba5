//! The live route from the outside: who is told what, and when a stream ends.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use mobync::{
    Access, Change, Database, DatabaseError, Mobync, Owner, Record,
    http::{AuthError, Credentials, LiveBody, LiveEndpoint},
    memory::{MemoryDatabase, MemoryUnit},
};
use serde_json::{Value, json};
use support::{ada, create, diffs, owner, update};
use tokio::time::timeout;

async fn auth(credentials: Credentials) -> Result<Owner, AuthError> {
    match credentials.token()? {
        "stranger" => Err(AuthError::unauthenticated("The token is not known.")),
        "banned" => Err(AuthError::forbidden("Your account is closed.")),
        token => Ok(Owner::new(token)?),
    }
}

fn mobync() -> Mobync<MemoryDatabase> {
    Mobync::new(MemoryDatabase::new())
}

fn request(method: &str, token: &str) -> Request<()> {
    let request = Request::builder().method(method).uri("/sync/live");
    request.header("authorization", format!("Bearer {token}")).body(()).unwrap()
}

/// A device that listens.
struct Device(Response<LiveBody>);

impl Device {
    async fn of(mobync: &Mobync<MemoryDatabase>, token: &str) -> Self {
        Self(LiveEndpoint::new(mobync.clone(), auth).handle(request("GET", token)).await)
    }

    /// What comes next; none once the stream has ended.
    async fn hears(&mut self) -> Option<String> {
        let frame = self.0.body_mut().frame().await?.unwrap();
        Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
    }

    async fn hears_nothing(&mut self) {
        assert!(timeout(Duration::from_secs(1), self.hears()).await.is_err());
    }
}

fn clock(clock: i64) -> String {
    format!("event: clock\ndata: {clock}\n\n")
}

async fn failure(response: Response<LiveBody>) -> (u16, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let json: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(json["success"], false);
    (status, json["code"].as_str().unwrap().to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_device_hears_of_the_syncs_of_another() {
    let mobync = mobync();
    let mut device = Device::of(&mobync, "ada").await;
    assert_eq!(device.hears().await.unwrap(), clock(0));
    device.hears_nothing().await;
    mobync.apply(&ada(), 0, diffs([create("t1", json!({}))])).await.unwrap();
    assert_eq!(device.hears().await.unwrap(), clock(1));
    mobync.apply(&ada(), 1, diffs([update("t1", json!({"done": true}))])).await.unwrap();
    assert_eq!(device.hears().await.unwrap(), clock(2));
}

#[tokio::test(start_paused = true)]
async fn a_device_hears_of_what_the_backend_writes() {
    let mobync = mobync();
    let mut device = Device::of(&mobync, "ada").await;
    assert_eq!(device.hears().await.unwrap(), clock(0));
    let change = Change::create("tasks", Record::new("t1"));
    // The rules of a clone are its own, its listeners are not.
    mobync.clone().rules(support::Forbid).write(&ada(), [change]).await.unwrap();
    assert_eq!(device.hears().await.unwrap(), clock(1));
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_brings_nothing_new_is_no_news() {
    let mobync = mobync();
    let sent = diffs([create("t1", json!({}))]);
    mobync.apply(&ada(), 0, sent.clone()).await.unwrap();
    let mut device = Device::of(&mobync, "ada").await;
    assert_eq!(device.hears().await.unwrap(), clock(1));
    mobync.apply(&ada(), 1, Vec::new()).await.unwrap();
    mobync.apply(&ada(), 0, sent).await.unwrap();
    device.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn owners_hear_nothing_of_each_other() {
    let mobync = mobync();
    let mut grace = Device::of(&mobync, "grace").await;
    assert_eq!(grace.hears().await.unwrap(), clock(0));
    mobync.apply(&ada(), 0, diffs([create("t1", json!({}))])).await.unwrap();
    grace.hears_nothing().await;
    assert_eq!(Device::of(&mobync, "grace").await.hears().await.unwrap(), clock(0));
}

#[tokio::test(start_paused = true)]
async fn who_connects_anew_hears_of_what_was_missed() {
    let mobync = mobync();
    let mut device = Device::of(&mobync, "ada").await;
    assert_eq!(device.hears().await.unwrap(), clock(0));
    drop(device);
    mobync.apply(&ada(), 0, diffs([create("t1", json!({}))])).await.unwrap();
    assert_eq!(Device::of(&mobync, "ada").await.hears().await.unwrap(), clock(1));
}

#[tokio::test(start_paused = true)]
async fn a_slow_device_hears_of_the_newest_clock_alone() {
    let mobync = mobync();
    let mut device = Device::of(&mobync, "ada").await;
    for number in 0..50 {
        let sent = diffs([create(&format!("t{number}"), json!({}))]);
        mobync.apply(&ada(), number, sent).await.unwrap();
    }
    assert_eq!(device.hears().await.unwrap(), clock(0));
    assert_eq!(device.hears().await.unwrap(), clock(50));
    device.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn what_other_processes_announce_is_passed_on_once() {
    let mobync = mobync();
    let mut device = Device::of(&mobync, "ada").await;
    assert_eq!(device.hears().await.unwrap(), clock(0));
    mobync.live().announce(&ada(), 7);
    assert_eq!(device.hears().await.unwrap(), clock(7));
    mobync.live().announce(&ada(), 7);
    mobync.live().announce(&ada(), 6);
    device.hears_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_heartbeats() {
    let endpoint = LiveEndpoint::new(mobync(), auth).heartbeat(Duration::from_secs(5));
    let mut device = Device(endpoint.handle(request("GET", "ada")).await);
    assert_eq!(device.hears().await.unwrap(), clock(0));
    for _ in 0..3 {
        let before = tokio::time::Instant::now();
        assert_eq!(device.hears().await.unwrap(), ":\n\n");
        assert_eq!(before.elapsed().as_secs(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_at_its_greatest_age() {
    let endpoint = LiveEndpoint::new(mobync(), auth).max_age(Duration::from_secs(40));
    let mut device = Device(endpoint.handle(request("GET", "ada")).await);
    let mut heard = Vec::new();
    while let Some(event) = device.hears().await {
        heard.push(event);
    }
    assert_eq!(heard, [clock(0), ":\n\n".to_owned(), ":\n\n".to_owned()]);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_the_streams_and_takes_no_new_ones() {
    let mobync = mobync();
    let mut device = Device::of(&mobync, "ada").await;
    assert_eq!(device.hears().await.unwrap(), clock(0));
    mobync.live().close();
    assert_eq!(device.hears().await, None);
    let late = Device::of(&mobync, "ada").await;
    assert_eq!(late.0.headers()["retry-after"], "1");
    assert_eq!(failure(late.0).await, (503, "busy".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_ends_the_streams_and_takes_new_ones() {
    let mobync = mobync();
    let mut device = Device::of(&mobync, "ada").await;
    assert_eq!(device.hears().await.unwrap(), clock(0));
    mobync.live().disconnect();
    assert_eq!(device.hears().await, None);
    assert_eq!(Device::of(&mobync, "ada").await.hears().await.unwrap(), clock(0));
}

#[tokio::test(start_paused = true)]
async fn an_owner_has_so_many_streams_at_a_time_and_others_have_theirs() {
    let mobync = mobync();
    let endpoint = LiveEndpoint::new(mobync.clone(), auth).max_listeners(2);
    let first = endpoint.handle(request("GET", "ada")).await;
    let _second = endpoint.handle(request("GET", "ada")).await;
    let third = endpoint.handle(request("GET", "ada")).await;
    assert_eq!(failure(third).await, (429, "too_many_listeners".to_owned()));
    assert_eq!(endpoint.handle(request("GET", "grace")).await.status(), 200);
    drop(first);
    assert_eq!(endpoint.handle(request("GET", "ada")).await.status(), 200);
}

#[tokio::test]
async fn devices_that_go_take_their_places_along() {
    let mobync = mobync();
    let devices = [Device::of(&mobync, "ada").await, Device::of(&mobync, "grace").await];
    assert_eq!(mobync.live().listeners(), 2);
    drop(devices);
    assert_eq!(mobync.live().listeners(), 0);
}

#[tokio::test]
async fn who_is_not_known_or_not_allowed_hears_nothing() {
    let mobync = mobync();
    let unknown = Device::of(&mobync, "stranger").await;
    assert_eq!(unknown.0.headers()["www-authenticate"], "Bearer");
    assert_eq!(failure(unknown.0).await, (401, "unauthenticated".to_owned()));
    let banned = Device::of(&mobync, "banned").await;
    assert_eq!(failure(banned.0).await, (403, "forbidden".to_owned()));
    let nobody = Device::of(&mobync, "").await;
    assert_eq!(failure(nobody.0).await, (401, "unauthenticated".to_owned()));
    assert_eq!(mobync.live().listeners(), 0);
}

#[tokio::test]
async fn only_get_is_answered_with_a_stream_and_head_with_its_headers() {
    let endpoint = LiveEndpoint::new(mobync(), auth);
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let refused = endpoint.handle(request(method, "ada")).await;
        assert_eq!(refused.headers()["allow"], "GET, HEAD");
        assert_eq!(failure(refused).await, (405, "method_not_allowed".to_owned()));
    }
    let get = endpoint.handle(request("GET", "ada")).await;
    let head = endpoint.handle(request("HEAD", "ada")).await;
    assert_eq!((head.status(), head.headers()), (get.status(), get.headers()));
    assert_eq!(get.headers()["content-type"], "text/event-stream");
    assert!(head.into_body().collect().await.unwrap().to_bytes().is_empty());
}

/// A database that cannot be opened.
#[derive(Debug)]
struct Broken;

impl Database for Broken {
    type Unit = MemoryUnit;

    async fn open(&self, _: &Owner, _: Access) -> Result<MemoryUnit, DatabaseError> {
        Err(DatabaseError::failed("the disk is gone"))
    }
}

#[tokio::test]
async fn a_database_that_fails_is_a_failure_and_no_stream() {
    let mobync = Mobync::new(Broken);
    let response = LiveEndpoint::new(mobync.clone(), auth).handle(request("GET", "ada")).await;
    assert_eq!(failure(response).await, (500, "internal".to_owned()));
    assert_eq!(mobync.live().listeners(), 0);
}

#[tokio::test]
async fn the_clock_counts_the_syncs_that_brought_something() {
    let mobync = mobync();
    assert_eq!(mobync.clock(&ada()).await.unwrap(), 0);
    mobync.apply(&ada(), 0, diffs([create("t1", json!({}))])).await.unwrap();
    mobync.apply(&ada(), 1, Vec::new()).await.unwrap();
    assert_eq!(mobync.clock(&ada()).await.unwrap(), 1);
    assert_eq!(mobync.clock(&owner("grace")).await.unwrap(), 0);
}
