//! The promise *Exactly once*: the clock and the log. Each new diff counts once, and a known diff does
//! not count again.

use mobync::{Database, Error};
use serde_json::json;

use super::support::{self, Server, create, databases::on_every_database, delete, line, update};

on_every_database! {
    super::Server::new;
    the_clock_starts_at_0_and_advances_with_each_sync_that_brings_a_new_diff
    all_new_diffs_of_a_sync_get_the_same_tick
    a_device_gets_what_it_has_not_seen_and_nothing_else
    a_clock_ahead_of_the_servers_is_an_error
    a_retry_does_nothing_again
    a_retry_with_new_diffs_applies_only_the_new_ones
    a_known_diff_on_top_of_what_has_replaced_it_is_undone
    a_diff_sent_twice_in_a_request_counts_once
    one_id_for_two_diffs_is_an_error
    a_known_diff_counts_for_the_object_that_the_log_names
    a_known_receipt_counts_for_an_object_that_the_request_does_not_name
    of_a_delete_the_log_keeps_the_id_alone
    every_new_diff_leaves_one_log_entry_under_its_own_id
    log_entries_bear_the_owner_whatever_the_device_sends
}

async fn the_clock_starts_at_0_and_advances_with_each_sync_that_brings_a_new_diff(
    server: Server<impl Database>,
) {
    assert_eq!(server.sync(0, []).await.logical_clock, 0);
    assert_eq!(server.sync(0, [create("t1", json!({}))]).await.logical_clock, 1);
    assert_eq!(server.sync(1, []).await.logical_clock, 1);
    assert_eq!(server.sync(1, [update("t1", json!({"a": 1}))]).await.logical_clock, 2);
    assert_eq!(server.sync(2, [update("t9", json!({"a": 1}))]).await.logical_clock, 3);
}

async fn all_new_diffs_of_a_sync_get_the_same_tick(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({}))]).await;
    server.sync(1, [create("t2", json!({})), create("t3", json!({})), delete("t1")]).await;
    let ticks: Vec<i64> = server.log().await.iter().map(|entry| entry.logical_clock).collect();
    assert_eq!(ticks, [0, 1, 1, 1]);
}

async fn a_device_gets_what_it_has_not_seen_and_nothing_else(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 1}))]).await;
    server.sync(1, [create("t2", json!({"a": 2}))]).await;
    assert_eq!(server.back(0, []).await, [r#"create t1 {"a":1}"#, r#"create t2 {"a":2}"#]);
    assert_eq!(server.back(1, []).await, [r#"create t2 {"a":2}"#]);
    assert!(server.back(2, []).await.is_empty());
    assert_eq!(server.back(1, [create("t3", json!({}))]).await, [r#"create t2 {"a":2}"#]);
}

async fn a_clock_ahead_of_the_servers_is_an_error(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({}))]).await;
    server.sync(1, [create("t2", json!({}))]).await;
    let error = server.try_sync(3, [create("t3", json!({}))]).await.unwrap_err();
    assert!(matches!(error, Error::ClockAhead { device: 3, server: 2 }), "{error:?}");
    assert_eq!(server.log().await.len(), 2);
    let error = server.try_sync(i64::MAX, []).await.unwrap_err();
    assert!(matches!(error, Error::ClockAhead { server: 2, .. }), "{error:?}");
}

async fn a_retry_does_nothing_again(server: Server<impl Database>) {
    let sent = [create("t1", json!({"n": 1})), update("t1", json!({"n": 2})).at(5), delete("t1")];
    let first = server.sync(0, sent.clone()).await;
    server.sync(1, [create("t1", json!({"n": 9}))]).await;
    let log = server.log().await;
    let retry = server.sync(0, sent).await;
    assert_eq!((first.logical_clock, retry.logical_clock), (1, 2));
    assert_eq!(server.log().await, log);
    assert_eq!(retry.diffs.iter().map(line).collect::<Vec<_>>(), [r#"create t1 {"n":9}"#]);
}

async fn a_retry_with_new_diffs_applies_only_the_new_ones(server: Server<impl Database>) {
    let made = create("t1", json!({"n": 1}));
    server.sync(0, [made.clone()]).await;
    let retry = server.sync(0, [made, update("t1", json!({"n": 2})).at(1)]).await;
    assert_eq!((retry.logical_clock, retry.diffs.len()), (2, 0));
    assert_eq!(server.rows().await, [r#"t1 {"n":2}"#]);
    assert_eq!(server.log().await.len(), 2);
}

/// A device that was restored from a backup receives the newer value, and keeps its own on top.
async fn a_known_diff_on_top_of_what_has_replaced_it_is_undone(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 0}))]).await;
    let sent = update("t1", json!({"a": 1, "b": 1})).at(5);
    server.sync(1, [sent.clone()]).await;
    server.sync(2, [update("t1", json!({"a": 2}))]).await;
    let undone = [r#"update t1 {"a":2}"#];
    assert_eq!(server.back(3, [sent]).await, undone, "b is its own still");
}

async fn a_diff_sent_twice_in_a_request_counts_once(server: Server<impl Database>) {
    let made = create("t1", json!({"n": 1}));
    let mut again = made.clone();
    (again.0.owner, again.0.logical_clock) = ("other".to_owned(), 7);
    server.sync(0, [made, again]).await;
    assert_eq!(server.log_lines().await, [r#"0: create t1 {"n":1}"#]);
}

async fn one_id_for_two_diffs_is_an_error(server: Server<impl Database>) {
    let first = create("t1", json!({})).id("d1");
    for second in [
        create("t2", json!({})),
        create("t1", json!({"a": 1})),
        create("t1", json!({})).at(1),
        create("t1", json!({})).model("other"),
        update("t1", json!({})),
    ] {
        let twice = [first.clone(), second.id("d1")];
        let error = server.try_sync(0, twice).await.unwrap_err();
        assert_eq!((error.code(), error.diff_id()), ("invalid_diff", Some("d1")));
    }
    assert!(server.log().await.is_empty());
}

async fn a_known_diff_counts_for_the_object_that_the_log_names(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"n": 1})), create("t2", json!({}))]).await;
    server.sync(1, [delete("t1").id("d1")]).await;
    // The same id, but another object: the diff is known, so t2 is untouched, and t1 stays deleted.
    let back = server.back(1, [delete("t2").id("d1")]).await;
    assert!(back.is_empty(), "{back:?}");
    assert_eq!(server.rows().await, ["t2 {}"]);
}

async fn a_known_receipt_counts_for_an_object_that_the_request_does_not_name(
    server: Server<impl Database>,
) {
    server.sync(0, [create("t1", json!({"a": 0}))]).await;
    server.sync(1, [update("t1", json!({"a": 5})).at(9)]).await;
    let lost = update("t1", json!({"a": 1})).id("d1");
    assert_eq!(server.back(1, [lost]).await, [r#"update t1 {"a":5}"#]);
    // The receipt alone does not say that t1 exists, and another id or model would say that it does not.
    let misnamed = [update("t2", json!({"a": 1})), update("t1", json!({"a": 1})).model("others")];
    for sent in misnamed {
        assert_eq!(server.back(3, [sent.id("d1")]).await, [r#"update t1 {"a":5}"#]);
    }
}

async fn of_a_delete_the_log_keeps_the_id_alone(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 1}))]).await;
    let mut gone = delete("t1");
    gone.0.json_data = json!({"id": "t1", "a": 2}).to_string();
    server.sync(1, [gone]).await;
    assert_eq!(server.log_lines().await, [r#"0: create t1 {"a":1}"#, "1: delete t1"]);
}

async fn every_new_diff_leaves_one_log_entry_under_its_own_id(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"n": 1})).id("a")]).await;
    let sent = [
        create("t1", json!({"n": 2})).id("b").at(-5),
        update("t9", json!({"n": 2})).id("c"),
        delete("t9").id("d"),
        delete("t1").id("e"),
    ];
    server.sync(0, sent).await;
    let mut ids: Vec<String> = server.log().await.into_iter().map(|entry| entry.id).collect();
    ids.sort();
    assert_eq!(ids, ["a", "b", "c", "d", "e"]);
}

async fn log_entries_bear_the_owner_whatever_the_device_sends(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 1}))]).await;
    assert_eq!(server.log().await[0].owner, "ada");
    assert_eq!(server.sync(0, []).await.diffs[0].owner, "ada");
}
