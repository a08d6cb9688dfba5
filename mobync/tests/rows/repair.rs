//! Reconciling all rows, for changes that no mark has recorded; and watching for marks.

use std::time::Duration;

use mobync::{Change, Mobync, Owner, Record, Synchronizer, memory::MemoryDatabase};
use serde_json::json;

use super::{
    Device, put, put_in, remove, server,
    support::{
        Plain, T0, ada,
        captured::{Captured, Features, Statement},
        create, lines, owner, update,
    },
};

/// A database whose rows others write without marks.
fn unmarked() -> Captured {
    Captured::new(Features::default()).without_capture()
}

#[tokio::test]
async fn what_no_mark_has_told_of_is_found_told_and_mended() {
    let database = unmarked();
    let server = server(&database);
    let mut device = Device::default();
    let sent = ["same", "changed", "lost"].map(|id| create(id, json!({"a": id})));
    device.sync(&server, sent.to_vec()).await;
    database.run(&[
        put("changed", json!({"a": "by hand"})),
        remove("lost"),
        put("new", json!({"b": 1})),
        put_in("ada", "notes", "n1", json!({})),
    ]);
    database.set_time(T0 + 60_000);
    assert!(device.sync(&server, vec![]).await.is_empty());

    let differs = server.mobync.differences(&ada()).await.unwrap();
    assert_eq!(differs.differences(), 4);
    let tasks = &differs.models["tasks"];
    assert_eq!((tasks.rows, tasks.creates, tasks.updates, tasks.deletes), (3, 1, 1, 1));
    assert_eq!(tasks.objects, ["changed", "new", "lost"]);
    assert_eq!(differs.models["notes"].creates, 1);
    assert_eq!(device.sync(&server, vec![]).await.len(), 0, "a dry run writes nothing");
    assert_eq!(server.mobync.differences(&ada()).await.unwrap(), differs);

    assert_eq!(server.mobync.reconcile(&ada()).await.unwrap(), differs);
    device.sync(&server, vec![]).await;
    device.check(&database);
    let clock = device.clock;
    assert_eq!(server.mobync.reconcile(&ada()).await.unwrap().differences(), 0, "Once");
    assert_eq!(server.mobync.clock(&ada()).await.unwrap(), clock, "Quiet");
}

#[tokio::test]
async fn a_database_of_seven_methods_is_reconciled_by_its_reads() {
    let database = Plain::default();
    let server = super::Server::new(database.clone());
    server.sync(0, ["t1", "t2"].map(|id| create(id, json!({"a": "x", "b": "y"})))).await;
    // Somebody writes without sync.
    let mut hand = database.clone();
    let ada = ada();
    let changed = Record::new("t1").with("a", "by hand");
    Synchronizer::update(&mut hand, &ada, "tasks", changed).await.unwrap();
    Synchronizer::delete(&mut hand, &ada, "tasks", "t2").await.unwrap();
    let new = Record::new("t3").with("a", "new");
    Synchronizer::create(&mut hand, &ada, "tasks", new).await.unwrap();
    Synchronizer::commit(hand).await.unwrap();

    assert_eq!(server.mobync.differences(&ada).await.unwrap().differences(), 3);
    assert_eq!(server.mobync.reconcile(&ada).await.unwrap().differences(), 3);
    let mut back = server.back(1, []).await;
    back.sort();
    assert_eq!(back, [r#"create t3 {"a":"new"}"#, "delete t2", r#"update t1 {"a":"by hand"}"#]);
    assert_eq!(server.mobync.reconcile(&ada).await.unwrap().differences(), 0);
    // It cannot list its owners.
    let error = server.mobync.reconcile_all(None, |_, _| {}).await.unwrap_err();
    assert_eq!(error.code(), "internal");
}

#[tokio::test]
async fn what_a_database_without_columns_leaves_out_is_null_on_devices() {
    let server = super::Server::new(MemoryDatabase::new());
    server.sync(0, [create("t1", json!({"a": "x", "b": null}))]).await;
    assert_eq!(server.mobync.reconcile(&ada()).await.unwrap().differences(), 0, "as it is");

    let database = Plain::default();
    let server = super::Server::new(database.clone());
    server.sync(0, [create("t1", json!({"a": "x", "b": "y"}))]).await;
    let mut hand = database.clone();
    let ada = ada();
    Synchronizer::delete(&mut hand, &ada, "tasks", "t1").await.unwrap();
    let less = Record::new("t1").with("a", "x");
    Synchronizer::create(&mut hand, &ada, "tasks", less).await.unwrap();
    Synchronizer::commit(hand).await.unwrap();
    server.mobync.reconcile(&ada).await.unwrap();
    assert_eq!(server.back(1, []).await, [r#"update t1 {"b":null}"#]);
    assert_eq!(server.mobync.reconcile(&ada).await.unwrap().differences(), 0, "Once");
}

#[tokio::test]
async fn all_owners_are_reconciled_and_what_was_stopped_goes_on() {
    let database = unmarked();
    let mobync = Mobync::new(database.clone());
    let names = ["ada", "bob", "cyd", "dan"];
    for name in names {
        database.run(&[put_in(name, "tasks", "t1", json!({"a": name}))]);
    }
    let nobodys = put_in("", "tasks", "nobody's", json!({}));
    database.run(&[nobodys, put_in(&"x".repeat(1025), "notes", "n", json!({}))]);
    database
        .run(&[put_in("cyd", "tasks", "", json!({})), put_in("cyd", "tasks", "a\0", json!({}))]);

    let mut told = Vec::new();
    let dry = mobync.differences_of_all(None, |owner, _| told.push(owner.clone())).await.unwrap();
    assert_eq!(told, names.map(owner));
    assert_eq!(dry.differences(), 4);
    let mut first = Vec::new();
    let bob = owner("bob");
    let all = mobync.reconcile_all(Some(&bob), |owner, of_owner| {
        first.push((owner.clone(), of_owner.differences(), of_owner.skipped_rows));
    });
    let all = all.await.unwrap();
    assert_eq!(first, [(owner("cyd"), 1, 2), (owner("dan"), 1, 0)]);
    assert_eq!((all.differences(), all.skipped_rows), (2, 4), "{:?}", all.skipped);
    let reasons: Vec<&str> = all.skipped.iter().map(|row| &*row.reason).collect();
    assert!(reasons.iter().any(|reason| reason.contains("NUL")), "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.contains("owner must not be empty")), "{reasons:?}");
    assert_eq!(mobync.reconcile_all(None, |_, _| {}).await.unwrap().differences(), 2);
    for name in names {
        let back = mobync.apply(&owner(name), 0, Vec::new()).await.unwrap();
        assert_eq!(back.diffs.len(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_row_that_becomes_one_that_no_diff_can_bring_goes_from_devices() {
    let database = unmarked();
    let server = server(&database);
    server.sync(0, [create("t1", json!({"a": "x"}))]).await;
    // An integer that not every reader reads exactly, which no JSON of the protocol has.
    database.run(&[put("t1", json!({"a": u64::MAX}))]);
    let done = server.mobync.reconcile(&ada()).await.unwrap();
    assert_eq!((done.models["tasks"].deletes, done.skipped_rows), (1, 1));
    assert_eq!(server.back(1, []).await, ["delete t1"]);
    database.run(&[put("t1", json!({"a": "mended"}))]);
    server.mobync.reconcile(&ada()).await.unwrap();
    assert_eq!(server.back(2, []).await, [r#"create t1 {"a":"mended","b":null,"c":null}"#]);
}

#[tokio::test]
async fn a_model_that_cannot_be_read_is_told_of_and_left_as_it_is() {
    let database = unmarked();
    let server = server(&database);
    server.sync(0, [create("t1", json!({})), create("n1", json!({})).model("notes")]).await;
    database.run(&[put("t2", json!({}))]);
    database.break_table("notes", true);
    let done = server.mobync.reconcile(&ada()).await.unwrap();
    assert_eq!((done.unreadable, done.models["tasks"].creates), (vec!["notes".to_owned()], 1));
    assert_eq!(server.back(1, []).await.len(), 1);
}

#[tokio::test]
async fn many_rows_are_gone_through_in_pages_while_devices_sync() {
    let database = unmarked();
    let server = server(&database);
    let rows: Vec<Statement> =
        (0..2_500).map(|n| put(&format!("t{n:04}"), json!({"a": n}))).collect();
    database.run(&rows);
    let ada = ada();
    let reconcile = server.mobync.reconcile(&ada);
    let syncs = async {
        for n in 0..5 {
            server.sync(0, [create(&format!("device{n}"), json!({"a": n}))]).await;
            tokio::task::yield_now().await;
        }
    };
    let (done, ()) = tokio::join!(async { reconcile.await.unwrap() }, syncs);
    assert!(done.differences() >= 2_500, "{done:?}");
    let mut device = Device::default();
    device.sync(&server, vec![]).await;
    device.check(&database);
}

#[tokio::test]
async fn objects_older_than_the_log_are_brought_in_whole_and_go_with_their_rows() {
    let database = unmarked();
    let server = server(&database);
    database.run(&[put("old", json!({"a": "x", "b": "y"})), put("gone", json!({"a": "x"}))]);
    let change = |id: &str| Change::update("tasks", Record::new(id).with("c", "z"));
    server.mobync.write(&ada(), [change("old"), change("gone")]).await.unwrap();
    let mut device = Device::default();
    device.sync(&server, vec![]).await;
    device.check(&database);
    database.run(&[put("old", json!({"b": "by hand"})), remove("gone")]);
    server.mobync.reconcile(&ada()).await.unwrap();
    device.sync(&server, vec![]).await;
    device.check(&database);
    let mut new = Device::default();
    new.sync(&server, vec![]).await;
    new.check(&database);
    assert_eq!(server.mobync.reconcile(&ada()).await.unwrap().differences(), 0);
}

#[tokio::test]
async fn the_watcher_drains_and_tells_those_who_listen() {
    let database = Captured::new(Features::default());
    let mobync = Mobync::new(database.clone()).watch_every(Duration::from_millis(5));
    let watcher = tokio::spawn({
        let mobync = mobync.clone();
        async move { mobync.watch().await }
    });
    database.run(&[put("t1", json!({"a": "x"})), put_in("bob", "tasks", "t1", json!({}))]);
    let came_to = async |owner: &Owner, clock: i64| {
        for _ in 0..1_000 {
            if mobync.clock(owner).await.unwrap() == clock {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("the watcher did not drain");
    };
    came_to(&ada(), 1).await;
    came_to(&owner("bob"), 1).await;
    // A model that cannot be read delays nobody else, and is not read without a pause.
    database.break_table("notes", true);
    database
        .run(&[put_in("ada", "notes", "n1", json!({})), put_in("bob", "tasks", "t2", json!({}))]);
    came_to(&owner("bob"), 2).await;
    database.take_calls();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(database.take_calls().len() < 200);
    database.break_table("notes", false);
    came_to(&ada(), 2).await;
    watcher.abort();
    let answer = mobync.apply(&ada(), 1, Vec::new()).await.unwrap();
    assert_eq!(lines(&answer.diffs), [r#"create n1 {"a":null,"b":null,"c":null}"#]);
    let sent = update("t1", json!({"b": "y"})).0;
    assert_eq!(mobync.apply(&ada(), 2, vec![sent]).await.unwrap().logical_clock, 3);
}
