//! What comes back is not an answer to what was sent.

use fastrand::Rng;
use mobync::{
    Record, SyncResponse,
    client::{Device, DeviceError, MemoryStore, Reply, SyncFailure},
};
use serde_json::{Value, json};

use super::way::{Way, add, device, reply};

/// Two devices of Ada that have both synced, so that the clock is 2, and one has a change to send.
async fn apart() -> (Way, Device<MemoryStore>) {
    let way = Way::new();
    let (a, b) = (device(&["a"]).await, device(&["b"]).await);
    way.client(&a).sync_now().await.unwrap();
    way.client(&b).sync_now().await.unwrap();
    way.client(&a).sync_now().await.unwrap();
    assert_eq!(a.clock().await.unwrap(), 2);
    add(&a, "new").await;
    way.sent.lock().unwrap().clear();
    (way, a)
}

/// Nothing has changed by it, and the next true answer makes all good.
async fn is_no_answer(what: &str, bad: impl AsyncFnOnce(&Device<MemoryStore>) -> Reply) {
    let (way, device) = apart().await;
    let pending = device.pending().await.unwrap();
    way.fate(Ok(bad(&device).await));
    // Whom the server answers for is asked once, before anything is sent.
    let client = way.client(&device);
    let Err(failure) = client.sync_now().await else {
        // A token that is not taken, by whomever, is renewed, and all goes well.
        assert_eq!(
            (way.sizes(), &*way.rows("ada")),
            (vec![0, 0, 1], &["a", "b", "new"].map(String::from)[..]),
            "{what}"
        );
        return;
    };
    let is_other = matches!(&failure, SyncFailure::Device(DeviceError::OtherOwner { .. }));
    assert!(failure.is_temporary() || is_other, "{what}: {failure}");
    assert_eq!(device.clock().await.unwrap(), 2, "{what}");
    let diffs = |pending: Vec<mobync::client::Pending>| -> Vec<mobync::Diff> {
        pending.into_iter().map(|pending| pending.diff).collect()
    };
    assert_eq!(diffs(device.pending().await.unwrap()), diffs(pending), "{what}");
    assert_eq!(device.all("tasks").await.unwrap().len(), 3, "{what}");
    client.sync_now().await.unwrap();
    assert_eq!(way.rows("ada"), ["a", "b", "new"], "{what}");
    assert!(!device.has_pending().await.unwrap(), "{what}");
}

/// The same, where it comes to the request with the change.
async fn is_no_answer_to_a_change(what: &str, body: Value) {
    let (way, device) = apart().await;
    let client = way.client(&device);
    // The question is answered truly.
    let question = mobync::SyncRequest::new(1, Vec::new());
    way.fate(Ok(way.post(&question).await));
    way.fate(Ok(reply(200, body.to_string())));
    let failure = client.sync_now().await.unwrap_err();
    let is_other = matches!(&failure, SyncFailure::Device(DeviceError::OtherOwner { .. }));
    assert!(failure.is_temporary() || is_other, "{what}: {failure}");
    assert_eq!((device.clock().await.unwrap(), way.sizes()), (2, vec![0, 1]), "{what}");
    assert!(device.has_pending().await.unwrap(), "{what}");
    assert_eq!(device.all("tasks").await.unwrap().len(), 3, "{what}");
    client.sync_now().await.unwrap();
    assert_eq!(way.rows("ada"), ["a", "b", "new"], "{what}");
}

fn diff(id: &str, owner: &str, tick: i64) -> Value {
    json!({"id": id, "owner": owner, "logical_clock": tick, "utc_timestamp": 1, "type": "create",
           "model": "tasks", "json_data": "{\"id\":\"x\"}"})
}

fn answer(clock: impl Into<Value>, diffs: Value) -> Value {
    json!({"success": true, "message": "", "logical_clock": clock.into(), "diffs": diffs})
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_one_to_the_change_is_none() {
    let theirs = diff("x", "ada", 1);
    let mut cases = vec![
        ("the same clock", answer(2, json!([]))),
        ("the same clock, with a change", answer(2, json!([theirs]))),
        ("a clock before", answer(1, json!([]))),
        ("the first clock", answer(0, json!([]))),
        ("a negative clock", answer(-1, json!([]))),
        ("the least clock", answer(i64::MIN, json!([]))),
        ("a clock beyond 64 bits", answer(1_u64 << 63, json!([]))),
        ("a clock that is a float", answer(3.0, json!([]))),
        ("a clock in words", answer("three", json!([]))),
        ("no clock", answer(Value::Null, json!([]))),
        ("a tick that has not been", answer(3, json!([diff("x", "ada", 3)]))),
        ("a tick long after", answer(3, json!([diff("x", "ada", i64::MAX)]))),
        ("a tick before all", answer(3, json!([diff("x", "ada", -1)]))),
        ("another owner's", answer(3, json!([diff("x", "grace", 2)]))),
        ("two owners'", answer(3, json!([theirs, diff("y", "grace", 2)]))),
        ("the first is another's", answer(3, json!([diff("y", "grace", 2), theirs]))),
        ("no diffs", answer(3, Value::Null)),
        ("json_data of another kind", {
            let mut bad = theirs.clone();
            bad["json_data"] = "[]".into();
            answer(3, json!([bad]))
        }),
    ];
    let mut refused = answer(3, json!([]));
    refused["refused"] =
        json!([{"diff_id": "of another request", "code": "forbidden", "message": ""}]);
    cases.push(("what it refuses was not sent", refused));
    let mut failed = answer(3, json!([]));
    failed["success"] = false.into();
    cases.push(("it says that it failed", failed));
    for (what, body) in cases {
        is_no_answer_to_a_change(what, body).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_broke_off_anywhere_is_none() {
    let whole = answer(3, json!([diff("x", "ada", 1)])).to_string();
    for end in (0..whole.len()).step_by(3).chain([whole.len() - 1]) {
        let broken = &whole[..end];
        is_no_answer(broken, async |_| reply(200, broken.to_owned())).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_speak_the_protocol_is_no_answer_whatever_its_status() {
    let mut rng = Rng::with_seed(7);
    let bodies = [
        "",
        "<html>Sign in to our hotel</html>",
        "null",
        "[]",
        "{}",
        r#"{"message":"Forbidden"}"#,
        r#"{"message":"Forbidden","code":"forbidden"}"#,
        r#"{"success":true,"message":"","code":"forbidden"}"#,
        r#"{"success":false,"message":"Blocked.","code":"waf_rule_949110"}"#,
        r#"{"success":false,"message":"Blocked.","code":1020}"#,
        r#"{"success":false,"errors":[{"code":10000,"message":"Authentication error"}]}"#,
        r#"{"success":false,"message":"","code":"clock_ahead_of"}"#,
    ];
    for status in [
        200, 201, 202, 204, 206, 300, 301, 302, 304, 307, 308, 400, 401, 402, 403, 404, 405, 407,
        408, 409, 410, 415, 418, 421, 422, 425, 426, 429, 431, 444, 451, 499, 500, 501, 502, 503,
        504, 511, 520, 530, 599,
    ] {
        for _ in 0..3 {
            let body = bodies[rng.usize(..bodies.len())];
            // That would be one of this protocol.
            if (status, body) != (403, bodies[6]) {
                is_no_answer(&format!("{status} {body}"), async |_| reply(status, body)).await;
            }
        }
    }
    // A code of this protocol under the status of another is none.
    for (status, code) in [(403, "unauthenticated"), (404, "forbidden"), (422, "clock_ahead")] {
        let body = format!(r#"{{"success":false,"message":"No.","code":"{code}"}}"#);
        is_no_answer(&body, async |_| reply(status, body.clone())).await;
    }
}

/// A proxy that answers with what it has heard before, to whomever and whatever it was.
#[tokio::test(start_paused = true)]
async fn a_proxy_that_replays_loses_nothing() {
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let way = Way::new();
        let devices = [device(&["a"]).await, device(&["b"]).await];
        let clients = [way.client(&devices[0]), way.client(&devices[1])];
        let mut heard: Vec<Reply> = Vec::new();
        let mut made = 2;
        for step in 0..30 {
            let at = rng.usize(..2);
            match rng.u8(..4) {
                0 => {
                    add(&devices[at], &format!("t{step}")).await;
                    made += 1;
                }
                // The same answer as to an earlier request of a device at its clock, or before.
                1 => {
                    let clock = devices[at].clock().await.unwrap();
                    let old = heard.iter().filter(|reply| {
                        let answer: SyncResponse = serde_json::from_slice(&reply.body).unwrap();
                        answer.logical_clock <= clock
                    });
                    if let Some(old) = old.last() {
                        way.fate(Ok(old.clone()));
                        let _ = clients[at].sync_now().await;
                        way.fates.lock().unwrap().clear();
                    }
                }
                // The answer is lost, and then replayed to what is sent next.
                2 => {
                    let request = devices[at].request(100).await.unwrap();
                    let lost = way.post(request.body()).await;
                    if rng.bool() {
                        add(&devices[at], &format!("t{step}")).await;
                        made += 1;
                    }
                    way.fate(Ok(lost.clone()));
                    let _ = clients[at].sync_now().await;
                    way.fates.lock().unwrap().clear();
                    heard.push(lost);
                }
                _ => {
                    let clock = devices[at].clock().await.unwrap();
                    heard.push(way.post(&mobync::SyncRequest::new(clock, Vec::new())).await);
                    clients[at].sync_now().await.unwrap();
                }
            }
        }
        for client in clients.iter().chain(&clients) {
            client.sync_now().await.unwrap();
        }
        assert_eq!(way.rows("ada").len(), made, "seed {seed}");
        for device in &devices {
            assert_eq!(device.all("tasks").await.unwrap().len(), made, "seed {seed}");
        }
    }
}

/// A device that was restored from a backup, whose changes the server knows since before its clock.
#[tokio::test(start_paused = true)]
async fn a_device_restored_from_a_backup_goes_on_though_the_server_knows_its_changes() {
    for most in 1..=4 {
        for known in 1..=4 {
            let way = Way::new();
            let store = MemoryStore::new();
            let device = Device::new(store.clone());
            for task in 0..known {
                add(&device, &format!("t{task}")).await;
            }
            let backup = store.copy().await;
            way.client(&device).most_diffs(1).sync().await.unwrap();
            let restored = Device::new(backup);
            restored.update("tasks", Record::new("t0").with("name", "Bread")).await.unwrap();
            way.client(&restored).most_diffs(most).sync().await.unwrap();
            assert!(!restored.has_pending().await.unwrap(), "{most} {known}");
            way.client(&device).sync().await.unwrap();
            let all = restored.all("tasks").await.unwrap();
            assert_eq!(device.all("tasks").await.unwrap(), all, "{most} {known}");
            assert_eq!(all.len(), known, "{most} {known}");
        }
    }
}
