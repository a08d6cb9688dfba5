//! What others have written between two syncs is logged by the next one.

use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use mobync::{
    Error, Mobync,
    http::{AuthError, Credentials, LiveBody, LiveEndpoint},
};
use serde_json::json;

use super::{
    Device, put, put_in, remove, server,
    support::{
        Faulty, Hooked, Server, T0, ada,
        captured::{Captured, Features, Mutant, Statement},
        create, delete, lines, owner, update,
    },
};

#[tokio::test]
async fn rows_that_others_write_come_to_a_device_and_go_from_it() {
    let database = Captured::new(Features::default());
    let server = server(&database);
    let mut device = Device::default();

    database.run(&[put("t1", json!({"a": "x"})), put("t2", json!({"a": "y"}))]);
    let back = device.sync(&server, vec![]).await;
    assert_eq!(back.len(), 2, "{back:?}");
    device.check(&database);

    database.set_time(T0 + 5);
    database.run(&[put("t1", json!({"b": 7})), remove("t2")]);
    assert_eq!(device.sync(&server, vec![]).await, [r#"update t1 {"b":7}"#, "delete t2"]);
    device.check(&database);
    assert!(
        server.log().await.iter().all(|entry| entry.utc_timestamp <= T0 + 5),
        "the marks' times"
    );
    assert_eq!(database.marks(), 0);
}

#[tokio::test]
async fn a_row_goes_from_one_owners_devices_and_comes_to_the_others() {
    let database = Captured::new(Features::default());
    let server = server(&database);
    database.run(&[put("t1", json!({"a": "x"}))]);
    let clock = server.sync(0, []).await.logical_clock;
    let [from, to] = ["ada", "bob"].map(str::to_owned);
    let (model, id) = ("tasks".to_owned(), "t1".to_owned());
    database.run(&[Statement::Give { owner: from, model, id, to }]);
    assert_eq!(server.back(clock, []).await, ["delete t1"]);
    let bob = server.mobync.apply(&owner("bob"), 0, Vec::new()).await.unwrap();
    assert_eq!(lines(&bob.diffs), [r#"create t1 {"a":"x","b":null,"c":null}"#]);
}

#[tokio::test]
async fn what_a_device_did_offline_meets_what_others_wrote() {
    let database = Captured::new(Features::default());
    let server = server(&database);
    let clock = server.sync(0, [create("t1", json!({"a": "0", "b": "0", "c": "0"}))]).await;
    database.set_time(T0 + 50);
    database.run(&[put("t1", json!({"a": "sql", "b": "sql"}))]);
    // One change is older than the statement, the other is not.
    let sent = [update("t1", json!({"a": "old"})).at(40), update("t1", json!({"b": "new"})).at(60)];
    let answer = server.sync(clock.logical_clock, sent).await;
    assert_eq!(lines(&answer.diffs), [r#"update t1 {"a":"sql"}"#]);
    assert_eq!(answer.logical_clock, 3, "a tick of its own, before that of the sync");
    assert_eq!(database.row("ada", "tasks", "t1").unwrap()["b"], "new");

    // A delete wins over a concurrent update, whoever makes them.
    database.run(&[put("t1", json!({"a": "again"}))]);
    assert!(server.back(3, [delete("t1").at(1)]).await.is_empty());
    assert_eq!(database.row("ada", "tasks", "t1"), None);
    database.run(&[put("t1", json!({"a": "back"}))]);
    assert_eq!(server.back(5, []).await, [r#"create t1 {"a":"back","b":null,"c":null}"#]);
    database.run(&[remove("t1")]);
    assert_eq!(server.back(6, [update("t1", json!({"a": "late"})).at(999)]).await, ["delete t1"]);
}

#[tokio::test]
async fn the_backend_sees_what_others_wrote() {
    let database = Captured::new(Features::default());
    let server = server(&database);
    database.run(&[put("t1", json!({"a": "sql"}))]);
    let record = mobync::Record::new("t1").with("a", "backend");
    server.mobync.write(&ada(), [mobync::Change::update("tasks", record)]).await.unwrap();
    assert_eq!(
        server.log_lines().await,
        [r#"0: create t1 {"a":"sql","b":null,"c":null}"#, r#"1: update t1 {"a":"backend"}"#]
    );
}

#[tokio::test]
async fn a_change_is_logged_once_however_often_it_is_marked_and_drained() {
    let database = Captured::new(Features::default());
    let server = server(&database);
    for value in ["x", "y", "z"] {
        database.run(&[put("t1", json!({"a": value}))]);
    }
    let clock = server.sync(0, []).await.logical_clock;
    let log = server.log_lines().await;
    assert_eq!(log, [r#"0: create t1 {"a":"z","b":null,"c":null}"#]);
    // *Quiet*: a row that ends as it was changes nothing.
    database.run(&[put("t1", json!({"a": "other"})), put("t1", json!({"a": "z"}))]);
    database.run(&[put("t2", json!({"a": "new"})), remove("t2")]);
    assert_eq!(server.sync(clock, []).await.logical_clock, clock);
    assert_eq!(server.log_lines().await, log);
    assert_eq!(database.marks(), 0, "and the marks are gone");
}

#[tokio::test]
async fn whoever_dies_in_between_a_change_is_logged_once() {
    for busy in [false, true] {
        for calls in 0..20 {
            let database = Captured::new(Features::default());
            let healthy = server(&database);
            healthy.sync(0, [create("t1", json!({"a": "0"}))]).await;
            database.run(&[put("t1", json!({"b": "sql"}))]);
            let hook = if busy { Faulty::busy_after(calls) } else { Faulty::after(calls) };
            let faulty = Server::new(Hooked { inner: database.clone(), hook: hook.clone() });
            let sent = update("t1", json!({"c": "device"})).id("d");
            let answer = faulty.try_sync(1, [sent.clone()]).await;
            assert_eq!(answer.is_err(), hook.has_struck(), "{calls}");
            let again = healthy.sync(1, [sent]).await;
            assert_eq!(lines(&again.diffs), [r#"update t1 {"b":"sql"}"#], "{calls}");
            let log = healthy.log_lines().await;
            assert_eq!(log[1..], [r#"1: update t1 {"b":"sql"}"#, r#"2: update t1 {"c":"device"}"#]);
        }
    }
}

#[tokio::test]
async fn the_devices_clock_is_checked_before_anything_is_drained() {
    let database = Captured::new(Features::default());
    let server = server(&database);
    database.run(&[put("t1", json!({"a": "x"}))]);
    for sent in [vec![], vec![create("t2", json!({}))]] {
        let error = server.try_sync(5, sent).await.unwrap_err();
        assert!(matches!(error, Error::ClockAhead { device: 5, server: 0 }), "{error:?}");
    }
    assert_eq!(database.marks(), 1);
}

#[tokio::test]
async fn an_idle_sync_is_one_call_and_one_that_pushes_has_one_more() {
    let database = Captured::new(Features::default());
    let server = server(&database);
    database.run(&[put("t1", json!({"a": "x"}))]);
    server.sync(0, []).await;
    database.take_calls();
    server.sync(1, []).await;
    assert_eq!(database.take_calls(), ["window"], "Quiet");
    server.sync(1, [update("t1", json!({"a": "y"}))]).await;
    assert_eq!(database.take_calls(), ["window", "write", "set_off", "append", "commit"]);
    // A database whose rows only syncs write does none of this.
    let plain = Captured::new(Features::default()).without_capture();
    let server = super::server(&plain);
    server.sync(0, [create("t1", json!({"a": "x"}))]).await;
    assert_eq!(plain.take_calls(), ["window", "write", "append", "commit"]);
    server.sync(0, []).await;
    assert_eq!(plain.take_calls(), ["window"], "the snapshot");
}

#[tokio::test]
async fn where_others_write_between_drain_and_commit_the_sync_begins_again() {
    let update_t1 = || vec![update("t1", json!({"a": "device"})).at(10).id("d")];
    for calls in 0..14 {
        let database = Captured::new(Features::default());
        let server = server(&database);
        let mut device = Device::default();
        device.sync(&server, vec![create("t1", json!({"a": "0"}))]).await;
        database.set_time(T0 + 50);
        database.run(&[put("t2", json!({"a": "sql"}))]);
        for (others, statement) in [
            ("update", put("t1", json!({"a": "others"}))),
            ("delete", remove("t1")),
            ("create", put("t3", json!({"a": "others"}))),
        ] {
            database.run_in_calls(calls, &[statement]);
            let mut sent = update_t1();
            sent.push(create("t3", json!({"a": "device"})).at(90).id(&format!("c{others}")));
            sent[0].0.id = format!("d{others}");
            let sent = if device.objects.contains_key(&("tasks".into(), "t3".into())) {
                vec![sent.remove(0)]
            } else {
                sent
            };
            device.sync(&server, sent).await;
            database.forget_injected();
            device.sync(&server, vec![]).await;
            device.check(&database);
        }
    }
}

#[tokio::test]
async fn a_sync_that_keeps_meeting_others_locks_its_rows_and_comes_to_an_end() {
    let database = Captured::new(Features::default());
    let server = server(&database);
    server.sync(0, [create("t1", json!({"a": "0"}))]).await;
    for calls in 0..200 {
        database.run_in_calls(calls, &[put("t1", json!({"b": calls}))]);
    }
    database.take_calls();
    let answer = server.sync(1, [update("t1", json!({"a": "1"}))]).await;
    assert!(answer.logical_clock >= 2);
    assert!(database.take_calls().contains(&"lock_rows"));
    assert_eq!(database.row("ada", "tasks", "t1").unwrap()["a"], "1");
}

#[tokio::test]
async fn a_mark_whose_table_cannot_be_read_or_is_gone_blocks_nobody() {
    let database = Captured::new(Features::default());
    let server = server(&database);
    database.run(&[put("t1", json!({"a": "x"})), put_in("ada", "notes", "n1", json!({"a": "y"}))]);
    database.break_table("notes", true);
    let answer = server.sync(0, [create("t2", json!({"a": "z"}))]).await;
    assert_eq!(lines(&answer.diffs), [r#"create t1 {"a":"x","b":null,"c":null}"#]);
    assert_eq!(database.marks(), 1, "for when it can be read again");
    assert!(server.back(answer.logical_clock, []).await.is_empty());
    database.break_table("notes", false);
    let back = server.back(answer.logical_clock, []).await;
    assert_eq!(back, [r#"create n1 {"a":"y","b":null,"c":null}"#]);

    database.run(&[put_in("ada", "notes", "n1", json!({"a": "w"}))]);
    database.drop_table("notes");
    assert!(server.back(answer.logical_clock + 1, []).await.is_empty());
    assert_eq!(database.marks(), 0);
}

#[tokio::test]
async fn more_than_a_tick_of_changes_comes_in_several_ticks() {
    let database = Captured::new(Features::default());
    let server = server(&database);
    let rows: Vec<Statement> = (0..10_001).map(|n| put(&format!("t{n}"), json!({}))).collect();
    database.run(&rows);
    let answer = server.sync(0, []).await;
    assert_eq!((answer.logical_clock, answer.diffs.len()), (2, 10_001));
}

/// The example of the protocol's text.
#[tokio::test]
async fn what_is_typed_meets_what_was_done_offline_as_the_text_says() {
    let database = Captured::new(Features::default());
    let server = server(&database);
    let milk = json!({"a": "Oat milk", "b": true});
    let clock = server.sync(0, [create("t1", milk)]).await.logical_clock;
    database.set_time(T0 + 10);
    database.run(&[put("t1", json!({"a": "Rice milk", "b": false}))]);
    let sent = update("t1", json!({"a": "Soy milk", "c": "a note"})).at(9);
    let answer = server.sync(clock, [sent]).await;
    assert_eq!(answer.logical_clock, clock + 2);
    assert_eq!(lines(&answer.diffs), [r#"update t1 {"a":"Rice milk","b":false}"#]);
    let log = server.log_lines().await;
    assert_eq!(
        log[1..],
        [r#"1: update t1 {"a":"Rice milk","b":false}"#, r#"2: update t1 {"c":"a note"}"#]
    );
    let others = server.back(clock, []).await;
    assert_eq!(others, [r#"update t1 {"a":"Rice milk","b":false,"c":"a note"}"#]);
}

/// A device that listens.
struct Listener(Response<LiveBody>);

impl Listener {
    async fn of(mobync: &Mobync<Captured>) -> Self {
        let auth = async |_: Credentials| Ok::<_, AuthError>(ada());
        let request = Request::get("/sync/live").header("authorization", "Bearer ada");
        let endpoint = LiveEndpoint::new(mobync.clone(), auth);
        Self(endpoint.handle(request.body(()).unwrap()).await)
    }

    async fn hears(&mut self) -> String {
        let frame = self.0.body_mut().frame().await.unwrap().unwrap();
        String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
    }
}

#[tokio::test]
async fn live_listeners_learn_of_drains_by_syncs_and_by_watchers() {
    let database = Captured::new(Features::default());
    let server = server(&database);
    let mobync = server.mobync.clone().watch_every(Duration::from_millis(5));
    let mut listener = Listener::of(&mobync).await;
    assert_eq!(listener.hears().await, "event: clock\ndata: 0\n\n");
    database.run(&[put("t1", json!({"a": "x"}))]);
    server.sync(0, []).await;
    assert_eq!(listener.hears().await, "event: clock\ndata: 1\n\n");
    database.run(&[put("t1", json!({"a": "y"}))]);
    tokio::select! {
        heard = listener.hears() => assert_eq!(heard, "event: clock\ndata: 2\n\n"),
        _ = mobync.watch() => {}
    }
}

#[tokio::test]
async fn a_drain_that_takes_captured_values_or_loses_marks_is_found_out() {
    let broken = async |mutant| {
        let database = Captured::new(Features::default()).mutant(mutant);
        let server = server(&database);
        let mut device = Device::default();
        device.sync(&server, vec![create("t1", json!({"a": "0"}))]).await;
        database.run(&[put("t1", json!({"a": "1"}))]);
        database.run(&[put("t1", json!({"a": "2"}))]);
        database.run_in_calls(4, &[put("t2", json!({"a": "meanwhile"}))]);
        device.sync(&server, vec![update("t1", json!({"b": "device"}))]).await;
        device.sync(&server, vec![]).await;
        let held = device.objects.values().map(|row| row["a"].clone()).collect::<Vec<_>>();
        held != [json!("2"), json!("meanwhile")]
    };
    assert!(broken(Mutant::CapturedValue).await);
    assert!(broken(Mutant::MarksForgotten).await);
}
