//! *Apart*: no space waits for another one, or fails with it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use mobync::{
    Grant, Mobync, Owner,
    http::{AuthError, Claim, Credentials, Endpoint, Head, Limits},
    memory::MemoryDatabase,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    support::{create, update},
    town::{Role, Town, codes, member, read},
};

const SECOND: Duration = Duration::from_secs(1);

/// A town with that many spaces `0`, `1`, …, whose databases need that many seconds each.
fn slow(spaces: usize, seconds: u32) -> (Town, Vec<Value>) {
    let town = Town::new();
    let space = |space: usize| {
        let owner = format!("space slow {seconds} {space}");
        town.members.join_as(&space.to_string(), "ada", &owner, Role::Writer);
        member(&space.to_string(), 0, [])
    };
    let members = (0..spaces).map(space).collect();
    (town, members)
}

fn all_fine(answers: &[Value]) -> bool {
    codes(answers).iter().all(|code| *code == (200, ""))
}

#[tokio::test(start_paused = true)]
async fn a_slow_space_delays_no_other() {
    let (mut town, mut members) = slow(20, 1);
    town.limits = town.limits.spaces_at_once(2);
    town.members.join_as("slow", "ada", "space slow 60", Role::Writer);
    members.insert(0, member("slow", 0, []));
    let began = Instant::now();
    assert!(all_fine(&town.sync("ada", &members).await));
    assert_eq!(began.elapsed(), 60 * SECOND);
    let opened = town.database.opened.lock().unwrap();
    // One place is taken by the slow one, the other by one after the other.
    for (place, (owner, at)) in opened.iter().enumerate().take(20) {
        assert_eq!(owner, &format!("space slow 1 {place}"));
        assert_eq!(*at - began, SECOND * u32::try_from(place + 1).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn members_run_side_by_side_within_the_limit() {
    for (limits, most, seconds) in [
        (Limits::new(), 8, 3),
        (Limits::new().spaces_at_once(5), 5, 4),
        (Limits::new().spaces_at_once(100), 20, 1),
        (Limits::new().spaces_at_once(0), 1, 20),
    ] {
        let (mut town, members) = slow(20, 1);
        town.limits = limits;
        let began = Instant::now();
        assert!(all_fine(&town.sync("ada", &members).await));
        assert_eq!(began.elapsed(), seconds * SECOND);
        assert_eq!(*town.database.open.lock().unwrap(), (0, most));
    }
}

#[tokio::test(start_paused = true)]
async fn each_member_has_the_whole_time_of_a_sync() {
    let (mut town, mut members) = slow(10, 4);
    town.mobync = town.mobync.time_limit(5 * SECOND);
    town.limits = town.limits.spaces_at_once(2);
    town.members.join_as("slow", "ada", "space slow 6", Role::Writer);
    members.insert(3, member("slow", 0, []));
    let began = Instant::now();
    let mut answers = town.sync("ada", &members).await;
    assert!(began.elapsed() > 20 * SECOND);
    let late = answers.remove(3);
    assert_eq!((&late["status"], &late["code"]), (&json!(503), &json!("busy")));
    assert_eq!(late["retry_after"], 1);
    assert!(all_fine(&answers));
}

#[tokio::test(start_paused = true)]
async fn two_spaces_of_one_owner_run_in_the_order_of_the_request() {
    let town = Town::new();
    for space in ["a", "b", "c"] {
        town.members.join_as(space, "ada", "space slow 1", Role::Writer);
    }
    let name = |name: &str| json!({"name": name});
    let members = [
        member("c", 0, [create("t1", name("of c"))]),
        member("a", 0, [update("t1", name("of a")).at(1)]),
        member("b", 0, []),
    ];
    let answers = town.sync("ada", &members).await;
    assert!(all_fine(&answers));
    let clocks: Vec<_> = answers.iter().map(|answer| &answer["logical_clock"]).collect();
    assert_eq!(clocks, [1, 2, 2]);
    let seen: Vec<_> = answers[2]["diffs"].as_array().unwrap().iter().collect();
    assert_eq!(seen.len(), 1);
    assert!(seen[0]["json_data"].as_str().unwrap().contains("of a"));
    assert_eq!(town.database.open.lock().unwrap().1, 1, "one after another");
}

#[tokio::test]
async fn a_member_that_fails_or_panics_stops_no_other() {
    let town = Town::new();
    for space in ["family", "club", "busy", "failing", "panicking"] {
        town.members.join(space, "ada", Role::Writer);
    }
    let new = |space, name: &str| member(space, 0, [create("t1", json!({"name": name}))]);
    let members = [
        new("panicking", "panicking"),
        new("busy", "x"),
        new("family", "x"),
        new("nobody's", "x"),
        new("failing", "x"),
        member("panic", 0, []),
        json!({"space": "later", "logical_clock": "?"}),
        json!({"logical_clock": "?"}),
        new("club", "x"),
    ];
    let answers = town.sync("ada", &members).await;
    let expected = [
        (500, "internal"),
        (503, "busy"),
        (200, ""),
        (403, "no_member"),
        (500, "internal"),
        (500, "internal"),
        (503, "busy"),
        (400, "invalid_request"),
        (200, ""),
    ];
    assert_eq!(codes(&answers), expected);
    let told = Value::Array(answers).to_string();
    for cause in ["fire", "connections", "locked", "panics"] {
        assert!(!told.contains(cause), "causes are not told: {told}");
    }
    // What panicked is as it was.
    let again = town.sync("ada", &[new("panicking", "fine"), member("family", 0, [])]).await;
    assert_eq!((&again[0]["logical_clock"], &again[1]["logical_clock"]), (&json!(1), &json!(1)));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_leaves_nothing_running() {
    let (town, members) = slow(20, 5);
    assert!(timeout(2 * SECOND, town.sync("ada", &members)).await.is_err());
    assert_eq!(*town.database.open.lock().unwrap(), (0, 8));
    sleep(60 * SECOND).await;
    assert!(town.database.opened.lock().unwrap().is_empty());
}

/// What an auth closure has been asked, and how many calls of it ran at a time, at most.
#[derive(Default)]
struct Asked {
    spaces: Vec<Option<String>>,
    running: usize,
    most: usize,
}

impl Asked {
    fn begin(&mut self, space: Option<String>) {
        self.spaces.push(space);
        self.running += 1;
        self.most = self.most.max(self.running);
    }
}

#[tokio::test(start_paused = true)]
async fn the_auth_closure_is_asked_once_without_a_space_and_once_for_each_within_the_limit() {
    let asked = Arc::new(Mutex::new(Asked::default()));
    let auth = |claim: Claim| {
        let asked = Arc::clone(&asked);
        async move {
            asked.lock().unwrap().begin(claim.space.clone());
            sleep(SECOND).await;
            asked.lock().unwrap().running -= 1;
            let person = claim.token.as_str()?;
            Ok(Owner::new(claim.space.map_or(person.to_owned(), |space| format!("space {space}")))?)
        }
    };
    let endpoint = Endpoint::without_auth(Mobync::new(MemoryDatabase::new()));
    let mut members: Vec<Value> = (0..10).map(|space| member(&space.to_string(), 0, [])).collect();
    members.insert(4, member("", 0, []));
    let body = Full::<Bytes>::from(json!({"auth_token": "ada", "syncs": members}).to_string());
    let head = Head { method: "POST", content_type: Some(b"application/json"), ..Head::default() };
    let limits = Limits::new().spaces_at_once(5);
    let began = Instant::now();
    assert_eq!(endpoint.answer(head, body, &limits, auth).await.status(), 200);
    assert_eq!(began.elapsed(), 3 * SECOND, "first the person, then ten spaces, five at a time");
    let asked = asked.lock().unwrap();
    let mut expected: Vec<_> = (0..10).map(|space| Some(space.to_string())).collect();
    expected.insert(0, None);
    assert_eq!((&asked.spaces, asked.most), (&expected, 5));
}

#[tokio::test(start_paused = true)]
async fn an_auth_closure_that_hangs_for_one_space_is_waited_for_half_a_minute() {
    let auth = |claim: Claim| async move {
        match claim.space.as_deref() {
            Some("hangs") => std::future::pending().await,
            Some(space) => Ok(Owner::new(format!("space {space}"))?),
            None => Ok(Owner::new(claim.token.as_str()?)?),
        }
    };
    let endpoint = Endpoint::without_auth(Mobync::new(MemoryDatabase::new()));
    let members = [member("hangs", 0, []), member("family", 0, []), member("", 0, [])];
    let body = Full::<Bytes>::from(json!({"auth_token": "ada", "syncs": members}).to_string());
    let head = Head { method: "POST", content_type: Some(b"application/json"), ..Head::default() };
    let began = Instant::now();
    let answer = read(endpoint.answer(head, body, &Limits::new(), auth).await).await;
    assert_eq!(began.elapsed(), 30 * SECOND);
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    let statuses: Vec<&Value> =
        answer["syncs"].as_array().unwrap().iter().map(|answer| &answer["status"]).collect();
    assert_eq!(statuses, [503, 200, 200]);
}

/// A whole endpoint may be called from any thread, also for several requests in one.
#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_syncs_spaces_is_a_service_of_any_runtime() {
    let auth = async |credentials: Credentials| -> Result<Grant, AuthError> {
        let person = credentials.token()?;
        let owner = credentials.space().map_or(person.to_owned(), |space| format!("space {space}"));
        Ok(Grant::new(Owner::new(owner)?))
    };
    let endpoint = Endpoint::new(Mobync::new(MemoryDatabase::new()), auth);
    let request = Request::post("/sync")
        .header("content-type", "application/json")
        .header("authorization", "Bearer ada")
        .body(Full::<Bytes>::from(json!({"syncs": [member("family", 0, [])]}).to_string()))
        .unwrap();
    let answered: Response<Bytes> =
        tokio::spawn(async move { endpoint.handle(request).await }).await.unwrap();
    assert_eq!(
        answered.body(),
        r#"{"success":true,"syncs":[{"status":200,"success":true,"message":"","logical_clock":0,"diffs":[]}]}"#
    );
}
