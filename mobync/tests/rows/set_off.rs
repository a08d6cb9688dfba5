//! The effects of a sync's own writes are returned in the same response, and in the response to a retry.

use std::time::Duration;

use mobync::Mobync;
use serde_json::json;

use super::{
    Device, put, put_in, remove, server,
    support::{
        Server, T0, ada,
        captured::{Captured, Features, Mutant},
        create, delete, lines, update,
    },
};

const UPPER: Features =
    Features { upper: true, serial: false, touched: false, cascade: false, counts: false };

#[tokio::test]
async fn what_a_column_makes_of_a_value_comes_back_in_the_same_answer_and_in_a_retrys() {
    let database = Captured::new(UPPER);
    let server = server(&database);
    let sent = || [create("t1", json!({"a": "milk", "b": "as it is"})).id("c")];
    let answer = server.sync(0, sent()).await;
    assert_eq!(lines(&answer.diffs), [r#"update t1 {"a":"MILK"}"#]);
    assert_eq!(
        server.log_lines().await,
        [r#"0: create t1 {"a":"milk","b":"as it is"}"#, r#"0: update t1 {"a":"MILK"}"#]
    );
    assert_eq!(server.log().await[1].utc_timestamp, T0 + 1, "a millisecond after the diff");

    let again = server.sync(0, sent()).await;
    assert_eq!((again.logical_clock, lines(&again.diffs)), (1, lines(&answer.diffs)));
    assert!(server.back(1, [update("t1", json!({"a": "SOY"}))]).await.is_empty(), "Quiet");
    let back = server.back(2, [update("t1", json!({"a": "oat", "b": "x"}))]).await;
    assert_eq!(back, [r#"update t1 {"a":"OAT"}"#]);
    let new = server.back(0, []).await;
    assert_eq!(new, [r#"create t1 {"a":"OAT","b":"x"}"#]);
}

#[tokio::test]
async fn a_model_without_a_will_is_not_looked_at_and_one_with_costs_one_read() {
    let database = Captured::new(UPPER);
    let server = server(&database);
    server.sync(0, [create("t1", json!({"a": "A"})), create("t2", json!({"a": "A"}))]).await;
    let calls = database.take_calls();
    assert_eq!(calls, ["window", "write", "set_off", "rows", "append", "commit"]);
    server.sync(1, [update("t1", json!({"a": "B"}))]).await;
    let calls = database.take_calls();
    assert_eq!(
        calls,
        ["window", "write", "set_off", "rows", "append", "commit"],
        "no look at the log"
    );
}

#[tokio::test]
async fn serial_numbers_and_what_a_trigger_writes_beside_come_back() {
    let database = Captured::new(Features { serial: true, touched: true, ..Features::default() });
    let server = server(&database);
    let mut device = Device::default();
    let back = device.sync(&server, vec![create("t1", json!({"a": "x"}))]).await;
    assert_eq!(back, [r#"update t1 {"n":1,"touched":1}"#]);
    device.check(&database);
    // For an object that is older than the window, the log is read.
    let back = device.sync(&server, vec![update("t1", json!({"a": "y"}))]).await;
    assert_eq!(back, [r#"update t1 {"touched":2}"#]);
    device.check(&database);
    let back = device.sync(&server, vec![create("t2", json!({"a": "x", "n": 9}))]).await;
    assert_eq!(back, [r#"update t2 {"touched":1}"#]);
    device.check(&database);
}

#[tokio::test]
async fn a_cascade_of_a_sync_goes_back_with_its_answer() {
    let database = Captured::new(Features { cascade: true, counts: true, ..Features::default() });
    let server = server(&database);
    let mut device = Device::default();
    let note = |id: &str, of: &str| create(id, json!({"b": of})).model("notes");
    let sent = vec![create("t1", json!({})), note("n1", "t1"), note("n2", "t2"), note("n3", "t1")];
    let back = device.sync(&server, sent).await;
    assert_eq!(back, [r#"create all {"a":null,"b":null,"c":null,"n":1}"#]);
    device.check(&database);
    let mut back = device.sync(&server, vec![delete("t1").id("d")]).await;
    back.sort();
    assert_eq!(back, ["delete n1", "delete n3", r#"update all {"n":0}"#]);
    device.check(&database);
    // Also to a retry, and to others.
    let again = server.sync(1, [delete("t1").id("d")]).await;
    assert_eq!((again.logical_clock, again.diffs.len()), (2, 3));
    assert_eq!(server.sync(1, []).await.diffs.len(), 4);
}

#[tokio::test]
async fn a_diff_of_what_the_requests_own_delete_took_along_is_refused_and_all_are_equal() {
    let database = Captured::new(Features { cascade: true, ..Features::default() });
    let server = server(&database);
    let mut device = Device::default();
    let sent = vec![
        create("t1", json!({})),
        create("n1", json!({"b": "t1"})).model("notes"),
        delete("t1").at(1),
        update("n1", json!({"a": "x"})).at(2).model("notes"),
    ];
    device.sync(&server, sent).await;
    device.sync(&server, vec![]).await;
    device.check(&database);
    assert!(device.objects.is_empty());
}

/// Two devices write one field offline, and the column changes the first one's value.
async fn later_edit_wins(database: Captured) -> bool {
    let server = server(&database);
    database.set_time(T0 + 60_000);
    server.sync(0, [create("t1", json!({"a": "0"}))]).await;
    server.sync(1, [update("t1", json!({"a": "first"})).at(100)]).await;
    let back = server.back(1, [update("t1", json!({"a": "SECOND"})).at(200)]).await;
    back.is_empty() && database.row("ada", "tasks", "t1").unwrap()["a"] == "SECOND"
}

#[tokio::test]
async fn a_later_edit_of_another_device_wins_over_what_the_column_made_of_an_earlier_one() {
    assert!(later_edit_wins(Captured::new(UPPER)).await);
    assert!(!later_edit_wins(Captured::new(UPPER).mutant(Mutant::SetOffNow)).await, "found out");
    // And an earlier one loses to it.
    let database = Captured::new(UPPER);
    let server = server(&database);
    server.sync(0, [create("t1", json!({"a": "0"}))]).await;
    server.sync(1, [update("t1", json!({"a": "first"})).at(100)]).await;
    let back = server.back(1, [update("t1", json!({"a": "earlier"})).at(50)]).await;
    assert_eq!(back, [r#"update t1 {"a":"FIRST"}"#]);
}

#[tokio::test]
async fn a_sync_that_does_not_look_at_what_it_has_set_off_is_found_out() {
    let features = Features { cascade: true, ..UPPER };
    let equal = async |database: Captured| {
        let server = server(&database);
        let mut device = Device::default();
        let note = create("n1", json!({"b": "t1"})).model("notes");
        device.sync(&server, vec![create("t1", json!({"a": "x"})), note]).await;
        device.sync(&server, vec![delete("t1"), create("t2", json!({"a": "y"}))]).await;
        device.sync(&server, vec![]).await;
        device.objects.len() == 1 && device.objects.values().all(|row| row["a"] == "Y")
    };
    assert!(equal(Captured::new(features)).await);
    assert!(!equal(Captured::new(features).mutant(Mutant::NothingSetOff)).await);
}

#[tokio::test]
async fn what_is_set_off_for_another_owner_waits_for_that_owners_sync() {
    let database = Captured::new(Features { counts: true, ..Features::default() });
    let server: Server<Captured> = server(&database);
    database.run(&[put("t1", json!({})), put_in("bob", "tasks", "t1", json!({}))]);
    server.sync(0, [create("t2", json!({}))]).await;
    assert!(database.marks() > 0, "Bob's");
    database.run(&[remove("t1")]);
    let bob = server.mobync.apply(&super::owner("bob"), 0, Vec::new()).await.unwrap();
    assert_eq!(bob.diffs.len(), 2);
    let mut device = Device::default();
    device.sync(&server, vec![]).await;
    device.check(&database);
}

#[tokio::test]
async fn any_mobync_does_all_of_it_too() {
    let database = Captured::new(Features { cascade: true, counts: true, ..UPPER });
    let mobync = Mobync::new(database.clone()).time(|| T0 + 60_000).erase();
    database.run(&[put("t1", json!({"a": "x"}))]);
    let ada = ada();
    let sent = create("t2", json!({"a": "milk"})).0;
    let mut back = lines(&mobync.apply(&ada, 0, vec![sent]).await.unwrap().diffs);
    back.sort();
    let [a, b, c] = [
        r#"create all {"a":null,"b":null,"c":null,"n":2}"#,
        r#"create t1 {"a":"X","b":null,"c":null,"n":null}"#,
        r#"update t2 {"a":"MILK"}"#,
    ];
    assert_eq!(back, [a, b, c]);
    assert_eq!(mobync.reconcile_all(None, |_, _| {}).await.unwrap().differences(), 0);
    database.run(&[remove("t1")]);
    tokio::select! {
        () = async {
            while mobync.clock(&ada).await.unwrap() < 3 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        } => {}
        _ = mobync.watch() => {}
    }
}
