//! What others have overridden, and checksums of what exists, on every database.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use mobync::{
    Access, Change, Database, Mobync, Record, Rules, SyncRequest, SyncResponse, UnitOfWork,
    memory::MemoryDatabase, sqlite::SqliteDatabase,
};
use serde_json::{Value, json};
use support::{
    Hooked, Sent, Server, ada, create, databases::on_every_database, delete, diffs, hooked::Hook,
    make, update,
};

on_every_database! {
    super::Server::new;
    a_value_that_lost_is_told_with_the_one_that_stands
    where_a_delete_won_nothing_stands
    the_last_diff_of_the_request_that_names_a_field_is_told
    what_was_taken_seen_equal_or_refused_is_not_told
    what_stands_by_a_diff_of_the_same_sync_is_not_told
    what_comes_before_the_requests_delete_is_not_told
    a_create_that_met_another_one_is_told
    a_write_of_the_backend_is_told
    who_does_not_ask_is_not_told
    checksums_are_those_of_the_rows
    checksums_are_of_what_is_alive_at_the_clock_of_the_answer
    objects_older_than_the_log_are_read_from_their_rows
    a_check_beside_diffs_is_ignored
}

async fn answer<D: Database, R: Rules>(
    mobync: &Mobync<D, R>,
    clock: i64,
    sent: impl IntoIterator<Item = Sent>,
) -> SyncResponse {
    let mut request = SyncRequest::new(clock, diffs(sent));
    (request.report, request.check) = (true, true);
    mobync.answer(&ada(), &request).await.unwrap()
}

/// What is overridden, of the request and of its retry.
async fn overridden<D: Database, R: Rules>(
    server: &Server<D, R>,
    clock: i64,
    sent: impl IntoIterator<Item = Sent>,
) -> Value {
    let sent: Vec<Sent> = sent.into_iter().collect();
    let first = answer(&server.mobync, clock, sent.clone()).await;
    let again = answer(&server.mobync, clock, sent).await;
    assert_eq!(first.overridden, again.overridden, "on a retry, too");
    serde_json::to_value(first.overridden).unwrap()
}

async fn a_value_that_lost_is_told_with_the_one_that_stands(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 0, "b": 0}))]).await;
    server.sync(1, [update("t1", json!({"a": "theirs", "b": 1})).id("ada").at(50)]).await;
    let mine = update("t1", json!({"a": "mine", "b": 2, "c": 3})).id("mine").at(10);
    let told = json!([{"diff_id": "mine", "fields": {
        "a": {"sent": "mine", "stands": "theirs", "by": "ada"},
        "b": {"sent": 2, "stands": 1, "by": "ada"},
    }}]);
    assert_eq!(overridden(&server, 1, [mine]).await, told);
}

async fn where_a_delete_won_nothing_stands(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 0}))]).await;
    server.sync(1, [delete("t1").id("gone"), create("t1", json!({"a": 5})).at(1)]).await;
    let mine = [update("t1", json!({"a": 1})).id("one"), update("t1", json!({"b": 2})).id("two")];
    let told = json!([
        {"diff_id": "one", "fields": {"a": {"sent": 1, "by": "gone"}}},
        {"diff_id": "two", "fields": {"b": {"sent": 2, "by": "gone"}}},
    ]);
    assert_eq!(overridden(&server, 1, mine).await, told);
}

async fn the_last_diff_of_the_request_that_names_a_field_is_told(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 0}))]).await;
    server.sync(1, [update("t1", json!({"a": "theirs", "b": "theirs"})).id("x").at(50)]).await;
    let mine = [
        update("t1", json!({"a": 1, "b": 1})).id("one").at(10),
        update("t1", json!({"a": 2})).id("two").at(11),
        update("t1", json!({"b": 3})).id("three").at(60),
    ];
    let told = json!([
        {"diff_id": "two", "fields": {"a": {"sent": 2, "stands": "theirs", "by": "x"}}},
    ]);
    assert_eq!(overridden(&server, 1, mine).await, told);
}

async fn what_was_taken_seen_equal_or_refused_is_not_told(server: Server<impl Database>) {
    let server = server.forbidding();
    server.sync(0, [create("t1", json!({"a": 0, "b": 0, "c": 0}))]).await;
    server.sync(1, [update("t1", json!({"a": 1, "b": 2.0})).at(50)]).await;
    // Later, equal, and refused: at a time at which it would have been taken.
    assert_eq!(overridden(&server, 1, [update("t1", json!({"a": 3})).at(60)]).await, json!([]));
    assert_eq!(overridden(&server, 1, [update("t1", json!({"b": 2})).at(10)]).await, json!([]));
    assert_eq!(overridden(&server, 2, [update("t1", json!({"b": 9})).at(10)]).await, json!([]));
    let refused = update("t1", json!({"b": 5})).id("forbidden").at(70);
    assert_eq!(overridden(&server, 1, [refused]).await, json!([]));
    // One that would have lost is listed as refused, and as nothing else.
    let refused = update("t1", json!({"a": 5})).id("forbidden, too").at(10);
    let answer = answer(&server.mobync, 1, [refused]).await;
    assert_eq!((answer.refused.len(), answer.overridden.len()), (1, 0));
}

async fn what_stands_by_a_diff_of_the_same_sync_is_not_told(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 0}))]).await;
    let both = [
        update("t1", json!({"a": 1})).id("one").at(50),
        update("t1", json!({"a": 2})).id("two").at(60),
    ];
    server.sync(1, both.clone()).await;
    // A part of it comes again: the rest is of the same device.
    let part = [both[0].clone(), update("t1", json!({"a": 3})).at(10)];
    assert_eq!(overridden(&server, 1, part).await, json!([]));
}

async fn what_comes_before_the_requests_delete_is_not_told(server: Server<impl Database>) {
    let server = server.forbidding();
    server.sync(0, [create("t1", json!({"a": 0}))]).await;
    server.sync(1, [update("t1", json!({"a": "theirs"})).id("x").at(50)]).await;
    let mine = [
        update("t1", json!({"a": 1})).at(1),
        delete("t1").id("forbidden").at(2),
        create("t1", json!({"a": 2})).id("again").at(3),
    ];
    let told = json!([
        {"diff_id": "again", "fields": {"a": {"sent": 2, "stands": "theirs", "by": "x"}}},
    ]);
    assert_eq!(overridden(&server, 1, mine).await, told);
}

async fn a_create_that_met_another_one_is_told(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": "theirs"})).id("x").at(50)]).await;
    let mine = create("t1", json!({"a": "mine", "b": 1})).id("mine").at(10);
    let told = json!([
        {"diff_id": "mine", "fields": {"a": {"sent": "mine", "stands": "theirs", "by": "x"}}},
    ]);
    assert_eq!(overridden(&server, 0, [mine]).await, told);
}

async fn a_write_of_the_backend_is_told(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 0}))]).await;
    let change = Change::update("tasks", Record::new("t1").with("a", "theirs"));
    server.mobync.write(&ada(), [change]).await.unwrap();
    let by = server.log().await[1].id.clone();
    let told = json!([
        {"diff_id": "mine", "fields": {"a": {"sent": 1, "stands": "theirs", "by": by}}},
    ]);
    let mine = update("t1", json!({"a": 1})).id("mine").at(10);
    assert_eq!(overridden(&server, 1, [mine]).await, told);
}

async fn who_does_not_ask_is_not_told(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 0}))]).await;
    server.sync(1, [update("t1", json!({"a": 1})).at(50)]).await;
    let answer = server.sync(1, [update("t1", json!({"a": 2})).at(10)]).await;
    let members = serde_json::to_value(answer).unwrap();
    let names: Vec<&String> = members.as_object().unwrap().keys().collect();
    assert_eq!(names, ["diffs", "logical_clock", "message", "success"], "the answer of before");
    let members = serde_json::to_value(server.sync(1, []).await).unwrap();
    assert_eq!(members.as_object().unwrap().len(), 4);
}

fn sums(answer: &SyncResponse) -> Value {
    serde_json::to_value(answer.check.as_ref().unwrap()).unwrap()
}

async fn checksums_are_those_of_the_rows(server: Server<impl Database>) {
    assert_eq!(sums(&answer(&server.mobync, 0, []).await), json!({}));
    let milk = create("t1", json!({"a": "Milk", "b": null}));
    let gone = create("o1", json!({"a": 1})).model("others");
    server.sync(0, [milk, gone, create("t2", json!({"a": "Milk"}))]).await;
    server.sync(1, [delete("o1").model("others"), update("t2", json!({"a": "Bread"}))]).await;
    server.sync(2, [update("t2", json!({"a": "Milk"}))]).await;
    let expected = json!({
        "tasks": {"count": 2, "ids": "a6cf3ddae088773a", "values": "8cb8afb89f718b62"},
        "others": {"count": 0, "ids": "0000000000000000", "values": "0000000000000000"},
    });
    for clock in [0, 1, 3] {
        let answer = answer(&server.mobync, clock, []).await;
        assert_eq!((sums(&answer), answer.logical_clock), (expected.clone(), 3), "{clock}");
    }
}

async fn checksums_are_of_what_is_alive_at_the_clock_of_the_answer(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": [1.0, {"c": 2, "b": "\u{1}"}]}))]).await;
    let before = answer(&server.mobync, 1, []).await;
    let other = create("t2", json!({"a": 1}));
    server.sync(1, [other]).await;
    server.sync(2, [delete("t2")]).await;
    let after = answer(&server.mobync, 3, []).await;
    assert_eq!(sums(&before), sums(&after));
    server.sync(3, [update("t1", json!({"a": [1, {"b": "\u{1}", "c": 2.0}]}))]).await;
    assert_eq!(sums(&answer(&server.mobync, 4, []).await), sums(&before), "by value");
    server.sync(4, [update("t1", json!({"a": [1, {"b": "\u{2}", "c": 2}]}))]).await;
    assert_ne!(sums(&answer(&server.mobync, 5, []).await), sums(&before));
}

async fn objects_older_than_the_log_are_read_from_their_rows(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 1, "b": 2}))]).await;
    let whole = sums(&answer(&server.mobync, 1, []).await);

    let mut unit = server.mobync.database().open(&ada(), Access::Write).await.unwrap();
    let record = Record::new("old").with("a", 1).with("b", 3);
    make(&mut unit, Change::create("tasks", record)).await.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(sums(&answer(&server.mobync, 1, []).await), whole, "the log does not name it");
    server.sync(1, [update("old", json!({"b": 2}))]).await;
    let of_log = sums(&answer(&server.mobync, 2, []).await);

    server.sync(2, [delete("old")]).await;
    server.sync(3, [create("old", json!({"a": 1, "b": 2}))]).await;
    assert_eq!(of_log, sums(&answer(&server.mobync, 4, []).await));
    assert_eq!(of_log["tasks"]["count"], 2);
}

/// Before every call of the database somebody else makes an object, each in a tick of its own.
#[derive(Clone, Debug)]
struct Busy {
    others: Mobync<SqliteDatabase>,
    made: Arc<AtomicI64>,
}

/// Makes the object of that number, in a tick of its own.
async fn make_one(mobync: &Mobync<impl Database>, number: i64) {
    let record = Record::new(format!("w{number}")).with("a", number);
    mobync.write(&ada(), [Change::create("tasks", record)]).await.unwrap();
}

impl Hook for Busy {
    async fn pause(&self) {
        make_one(&self.others, self.made.fetch_add(1, Ordering::Relaxed)).await;
    }
}

#[tokio::test]
async fn a_check_comes_to_an_end_and_is_right_while_others_write() {
    let (inner, _folder) = support::databases::sqlite().await;
    let made = Arc::new(AtomicI64::new(0));
    let hook = Busy { others: Mobync::new(inner.clone()), made: Arc::clone(&made) };
    let mobync = Mobync::new(Hooked { inner, hook });
    let twin = Mobync::new(MemoryDatabase::new());
    let mut clock = 0;
    for since in [0, 1] {
        let told = answer(&mobync, since, []).await;
        assert!(made.load(Ordering::Relaxed) > told.logical_clock, "others went on");
        for number in clock..told.logical_clock {
            make_one(&twin, number).await;
        }
        clock = told.logical_clock;
        let of_twin = answer(&twin, clock, []).await;
        assert_eq!((of_twin.logical_clock, sums(&of_twin)), (clock, sums(&told)));
    }
}

async fn a_check_beside_diffs_is_ignored(server: Server<impl Database>) {
    let answer = answer(&server.mobync, 0, [create("t1", json!({}))]).await;
    assert_eq!(answer.check, None);
}
