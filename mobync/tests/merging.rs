//! The rules of the protocol's sections on clock, exactly once, merging and lying clocks, each by an
//! example, on every database.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use mobync::{
    Access, Change, Database, Diff, Error, Mobync, Operation, Record, Synchronizer,
    memory::MemoryDatabase,
};
use serde_json::{Value, json};
use support::{Sent, Server, T0, ada, create, databases::on_every_database, delete, line, update};

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
    a_create_of_what_is_not_there_begins_a_life
    what_a_request_makes_it_may_change
    creates_on_both_sides_meet
    a_create_and_a_delete_of_what_others_made_is_a_life_apart
    a_create_of_a_held_object_is_an_update
    a_create_of_an_object_that_has_ended_is_a_receipt
    an_object_can_be_made_again_after_its_delete
    an_update_of_an_object_made_elsewhere_meets_it_and_a_create_goes_back
    an_update_of_what_is_nowhere_is_a_receipt_and_the_answer_says_so
    updates_of_different_fields_both_stand
    the_later_timestamp_wins_a_field
    on_a_tie_the_new_value_takes_the_field
    what_the_device_had_seen_never_beats_its_change
    an_update_of_an_object_deleted_elsewhere_is_a_receipt
    a_delete_wins_over_a_concurrent_update
    a_delete_of_what_the_device_does_not_hold_is_a_receipt
    a_delete_of_an_object_deleted_elsewhere_is_a_receipt
    updates_before_the_very_first_create_count_as_made_behind_it
    updates_before_a_later_create_are_receipts
    the_very_first_create_is_known_from_the_whole_log
    changes_of_one_moment_count_a_millisecond_apart
    a_timestamp_in_the_far_future_counts_as_now
    a_new_device_gets_one_create_for_each_object
    a_new_device_that_changes_a_row_older_than_the_log_gets_all_of_it
    a_new_device_gets_what_the_last_entry_in_the_logs_order_wrote
    a_create_that_goes_back_has_every_written_field_null_included
    a_delete_and_then_a_create_go_back_for_an_object_made_again
    a_create_goes_back_behind_the_delete_before_it
    an_update_that_goes_back_bears_the_last_unseen_entry
    what_lost_goes_back_with_the_value_that_stands
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

/// A device that was restored from a backup hears of the newer value, and keeps its own on top.
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
    // The same id, but another object: it is known, so t2 is untouched, and t1 stays deleted.
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
    // The receipt alone does not tell that t1 is there, and another id or model would say it is not.
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

async fn a_create_of_what_is_not_there_begins_a_life(server: Server<impl Database>) {
    assert!(server.back(0, [create("t1", json!({"a": 1, "b": null}))]).await.is_empty());
    assert_eq!(server.rows().await, [r#"t1 {"a":1}"#]);
    assert_eq!(server.log_lines().await, [r#"0: create t1 {"a":1,"b":null}"#]);
}

async fn what_a_request_makes_it_may_change(server: Server<impl Database>) {
    let sent = [
        create("t1", json!({"a": 1})),
        create("t2", json!({"a": 1})),
        update("t2", json!({"a": 2})).at(1),
        update("t1", json!({"a": 3})).at(2),
    ];
    server.sync(0, sent).await;
    assert_eq!(server.back(0, []).await, [r#"create t1 {"a":3}"#, r#"create t2 {"a":2}"#]);
}

async fn creates_on_both_sides_meet(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": "theirs", "b": "theirs"})).at(10)]).await;
    let mine = create("t1", json!({"a": "mine", "c": "mine"})).at(5);
    let back = server.back(0, [mine]).await;
    assert_eq!(back, [r#"update t1 {"a":"theirs","b":"theirs"}"#]);
    assert_eq!(server.rows().await, [r#"t1 {"a":"theirs","b":"theirs","c":"mine"}"#]);
    assert_eq!(server.log_lines().await[1], r#"1: update t1 {"c":"mine"}"#);
}

async fn a_create_and_a_delete_of_what_others_made_is_a_life_apart(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 1}))]).await;
    let apart = [
        create("t1", json!({"a": 2})).at(1),
        update("t1", json!({"a": 3})).at(2),
        create("t1", json!({"a": 4})).at(3),
        delete("t1").at(4),
    ];
    assert_eq!(server.back(0, apart.clone()).await, [r#"create t1 {"a":1}"#]);
    assert_eq!(server.rows().await, [r#"t1 {"a":1}"#]);
    let apart_log = [
        r#"1: create t1 {"a":2}"#,
        r#"1: update t1 {"a":3}"#,
        r#"1: update t1 {"a":4}"#,
        "1: delete t1",
    ];
    assert_eq!(server.log_lines().await[1..], apart_log);
    assert_eq!(server.back(0, apart).await, [r#"create t1 {"a":1}"#], "on a retry, too");
    assert_eq!(server.back(0, []).await, [r#"create t1 {"a":1}"#]);
    assert!(server.back(1, []).await.is_empty(), "the one alive goes on untouched");
}

async fn a_create_of_a_held_object_is_an_update(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 1, "b": 1}))]).await;
    assert!(server.back(1, [create("t1", json!({"a": 2}))]).await.is_empty());
    assert_eq!(server.rows().await, [r#"t1 {"a":2,"b":1}"#]);
    assert_eq!(server.log_lines().await[1], r#"1: update t1 {"a":2}"#);
}

async fn a_create_of_an_object_that_has_ended_is_a_receipt(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 1}))]).await;
    server.sync(1, [delete("t1")]).await;
    let answer = server.sync(1, [create("t1", json!({"a": 2}))]).await;
    assert_eq!(answer.diffs.iter().map(line).collect::<Vec<_>>(), ["delete t1"]);
    assert_eq!(server.log_lines().await[2], "2: update t1");
    assert!(server.rows().await.is_empty());
}

async fn an_object_can_be_made_again_after_its_delete(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 1, "b": 1}))]).await;
    server.sync(1, [delete("t1"), create("t1", json!({"a": 2})).at(1)]).await;
    assert_eq!(server.rows().await, [r#"t1 {"a":2}"#]);
    assert_eq!(server.back(1, []).await, ["delete t1", r#"create t1 {"a":2}"#]);
}

async fn an_update_of_an_object_made_elsewhere_meets_it_and_a_create_goes_back(
    server: Server<impl Database>,
) {
    server.sync(0, [create("t1", json!({"a": 1, "b": 1}))]).await;
    let back = server.back(0, [update("t1", json!({"b": 2})).at(1)]).await;
    assert_eq!(back, [r#"create t1 {"a":1,"b":2}"#]);
}

async fn an_update_of_what_is_nowhere_is_a_receipt_and_the_answer_says_so(
    server: Server<impl Database>,
) {
    let answer = server.sync(0, [update("t1", json!({"a": 1})), create("t2", json!({}))]).await;
    let said = "1 of 2 changes had no effect, because their object is not there.";
    assert_eq!((&*answer.message, answer.diffs.len()), (said, 0));
    assert_eq!(server.log_lines().await, ["0: create t2", "0: update t1"]);
}

async fn updates_of_different_fields_both_stand(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 0, "b": 0}))]).await;
    server.sync(1, [update("t1", json!({"a": 1})).at(9)]).await;
    assert_eq!(server.back(1, [update("t1", json!({"b": 2}))]).await, [r#"update t1 {"a":1}"#]);
    assert_eq!(server.rows().await, [r#"t1 {"a":1,"b":2}"#]);
}

async fn the_later_timestamp_wins_a_field(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 0, "b": 0}))]).await;
    server.sync(1, [update("t1", json!({"a": "late"})).at(20)]).await;
    let back = server.back(1, [update("t1", json!({"a": "early", "b": 1})).at(10)]).await;
    assert_eq!(back, [r#"update t1 {"a":"late"}"#]);
    assert_eq!(server.rows().await, [r#"t1 {"a":"late","b":1}"#]);
    server.sync(1, [update("t1", json!({"a": "later"})).at(30)]).await;
    assert_eq!(server.rows().await, [r#"t1 {"a":"later","b":1}"#]);
}

async fn on_a_tie_the_new_value_takes_the_field(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 0}))]).await;
    server.sync(1, [update("t1", json!({"a": 1})).at(10)]).await;
    assert!(server.back(1, [update("t1", json!({"a": 2})).at(10)]).await.is_empty());
    assert_eq!(server.rows().await, [r#"t1 {"a":2}"#]);
}

async fn what_the_device_had_seen_never_beats_its_change(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 0})).at(1000)]).await;
    assert!(server.back(1, [update("t1", json!({"a": 1})).at(-1000)]).await.is_empty());
    assert_eq!(server.rows().await, [r#"t1 {"a":1}"#]);
}

async fn an_update_of_an_object_deleted_elsewhere_is_a_receipt(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 0}))]).await;
    server.sync(1, [delete("t1")]).await;
    assert_eq!(server.back(1, [update("t1", json!({"a": 1})).at(99)]).await, ["delete t1"]);
    assert!(server.rows().await.is_empty());
}

async fn a_delete_wins_over_a_concurrent_update(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 0}))]).await;
    server.sync(1, [update("t1", json!({"a": 1})).at(99)]).await;
    assert!(server.back(1, [delete("t1").at(-99)]).await.is_empty());
    assert!(server.rows().await.is_empty());
    assert_eq!(server.back(2, []).await, ["delete t1"]);
}

async fn a_delete_of_what_the_device_does_not_hold_is_a_receipt(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 0}))]).await;
    assert_eq!(server.back(0, [delete("t1")]).await, [r#"create t1 {"a":0}"#]);
    assert_eq!(server.log_lines().await[1], "1: update t1");
}

async fn a_delete_of_an_object_deleted_elsewhere_is_a_receipt(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({}))]).await;
    server.sync(1, [delete("t1")]).await;
    assert!(server.back(1, [delete("t1")]).await.is_empty());
    assert_eq!(server.log_lines().await[2], "2: update t1");
}

async fn updates_before_the_very_first_create_count_as_made_behind_it(
    server: Server<impl Database>,
) {
    let sent = [update("t1", json!({"a": 2})).at(1), create("t1", json!({"a": 1, "b": 1})).at(5)];
    assert!(server.back(0, sent).await.is_empty());
    assert_eq!(server.rows().await, [r#"t1 {"a":2,"b":1}"#]);
    let log = server.log().await;
    assert_eq!(log[1].utc_timestamp, T0 + 6, "one millisecond behind the create");
}

async fn updates_before_a_later_create_are_receipts(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 0})), delete("t1").at(1)]).await;
    let sent = [update("t1", json!({"a": 2})).at(5), create("t1", json!({"a": 1})).at(6)];
    server.sync(1, sent).await;
    assert_eq!(server.rows().await, [r#"t1 {"a":1}"#]);
}

async fn the_very_first_create_is_known_from_the_whole_log(server: Server<impl Database>) {
    server.sync(0, [create("old", json!({})), delete("old").at(1)]).await;
    server.sync(1, [create("other", json!({}))]).await;
    for object in ["old", "new"] {
        let clock = server.sync(0, []).await.logical_clock;
        let early = update(object, json!({"a": 2}));
        server.sync(clock, [early, create(object, json!({"a": 1})).at(9)]).await;
    }
    assert_eq!(server.rows().await, [r#"new {"a":2}"#, r#"old {"a":1}"#, "other {}"]);
}

async fn changes_of_one_moment_count_a_millisecond_apart(server: Server<impl Database>) {
    let sent = [
        create("t1", json!({"a": 1})),
        update("t1", json!({"a": 2})),
        update("t1", json!({"a": 3})).at(-50),
        create("t2", json!({})),
    ];
    server.sync(0, sent).await;
    assert_eq!(server.rows().await, [r#"t1 {"a":3}"#, "t2 {}"]);
    let times: Vec<i64> = server.log().await.iter().map(|entry| entry.utc_timestamp - T0).collect();
    assert_eq!(times, [0, 0, 1, 2]);
}

async fn a_timestamp_in_the_far_future_counts_as_now(server: Server<impl Database>) {
    let (now, drift) = (60_000, 5 * 60_000);
    server.sync(0, [create("t1", json!({"a": 1})).at(now + drift)]).await;
    server.sync(1, [create("t2", json!({"a": 1})).at(now + drift + 1)]).await;
    server.sync(2, [create("t3", json!({})).at(i64::MAX - T0)]).await;
    let times: Vec<i64> = server.log().await.iter().map(|entry| entry.utc_timestamp - T0).collect();
    assert_eq!(times, [now + drift, now, now]);
    server.sync(1, [update("t2", json!({"a": 2})).at(now + 1)]).await;
    assert_eq!(server.rows().await[1], r#"t2 {"a":2}"#, "it wins no conflict for ever");
}

async fn a_new_device_gets_one_create_for_each_object(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 1})), create("t2", json!({"a": 1}))]).await;
    server
        .sync(1, [update("t1", json!({"a": 2})).at(1), update("t1", json!({"b": 3})).at(2)])
        .await;
    server.sync(2, [delete("t2").at(3), create("t3", json!({})).at(4)]).await;
    assert_eq!(server.back(0, []).await, [r#"create t1 {"a":2,"b":3}"#, "create t3"]);
}

async fn a_new_device_that_changes_a_row_older_than_the_log_gets_all_of_it(
    server: Server<impl Database>,
) {
    let mut unit = server.mobync.database().open(&ada(), Access::Write).await.unwrap();
    let row = Record::new("t1").with("a", 1).with("b", 1);
    unit.create(&ada(), "tasks", row).await.map_err(Into::into).unwrap();
    unit.commit().await.map_err(Into::into).unwrap();
    let back = server.sync(0, [update("t1", json!({"b": 2}))]).await.diffs;
    let data: Value = serde_json::from_str(&back[0].json_data).unwrap();
    assert_eq!((back[0].operation, back.len()), (Operation::Create, 1));
    assert_eq!((&data["a"], &data["b"]), (&json!(1), &json!(2)));
    assert_eq!(server.back(0, []).await, [line(&back[0])], "and so does the next");
}

async fn a_new_device_gets_what_the_last_entry_in_the_logs_order_wrote(
    server: Server<impl Database>,
) {
    let entry = |sent: Sent, tick| Diff { logical_clock: tick, owner: "ada".to_owned(), ..sent.0 };
    let named = |id| update("t1", json!({"a": id})).id(id).at(7);
    let log = [
        entry(named("b"), 1),
        entry(named("Z"), 1),
        entry(named("\u{1e}"), 1),
        entry(update("t1", json!({"b": 2})).id("early").at(9), 1),
        entry(create("t1", json!({"a": 0, "b": 1})).id("x").at(8), 0),
        entry(update("t1", json!({"b": 3})).id("late").at(1), 2),
    ];
    let mut unit = server.mobync.database().open(&ada(), Access::Write).await.unwrap();
    unit.create(&ada(), "tasks", Record::new("t1")).await.map_err(Into::into).unwrap();
    let (first, behind): (Vec<_>, Vec<_>) =
        log.into_iter().partition(|entry| entry.logical_clock == 0);
    unit.append(&ada(), "diffs", first).await.unwrap();
    unit.append(&ada(), "diffs", behind).await.unwrap();
    unit.commit().await.map_err(Into::into).unwrap();
    assert_eq!(server.back(0, []).await, [r#"create t1 {"a":"b","b":3}"#]);
}

async fn a_create_that_goes_back_has_every_written_field_null_included(
    server: Server<impl Database>,
) {
    server.sync(0, [create("t1", json!({"a": 1, "b": 1}))]).await;
    server.sync(1, [update("t1", json!({"b": null, "c": 1.5e3})).at(1)]).await;
    let answer = server.sync(0, []).await;
    assert_eq!(line(&answer.diffs[0]), r#"create t1 {"a":1,"b":null,"c":1500.0}"#);
    let began = &server.log().await[0];
    let back = &answer.diffs[0];
    assert_eq!(back.order(), began.order(), "it bears the entry that began the life");
    assert_eq!(back.owner, "ada");
}

async fn a_delete_and_then_a_create_go_back_for_an_object_made_again(
    server: Server<impl Database>,
) {
    server.sync(0, [create("t1", json!({"a": 1}))]).await;
    server.sync(1, [delete("t1").id("end").at(7)]).await;
    server.sync(2, [create("t1", json!({"a": 2})).id("again").at(3)]).await;
    let answer = server.sync(1, []).await;
    let back: Vec<_> = answer.diffs.iter().map(|diff| (diff.order(), line(diff))).collect();
    let expected = [
        ((1, T0 + 7, "end"), "delete t1".to_owned()),
        ((2, T0 + 3, "again"), r#"create t1 {"a":2}"#.to_owned()),
    ];
    assert_eq!(back, expected);
}

async fn a_create_goes_back_behind_the_delete_before_it(server: Server<impl Database>) {
    // The device's own life was apart, and ended later than the one alive began.
    server.sync(0, [create("t1", json!({"a": 1})).id("began").at(1)]).await;
    let refused = create("t1", json!({"a": 2})).id("forbidden").at(5);
    let server = server.forbidding();
    let answer = server.sync(0, [refused]).await;
    let back: Vec<_> = answer
        .diffs
        .iter()
        .map(|diff| ((diff.logical_clock, diff.utc_timestamp - T0), line(diff)))
        .collect();
    let expected = [((1, 6), "delete t1".to_owned()), ((1, 7), r#"create t1 {"a":1}"#.to_owned())];
    assert_eq!(back, expected);
    assert_eq!(answer.diffs[1].id, "began");
}

async fn an_update_that_goes_back_bears_the_last_unseen_entry(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 1}))]).await;
    server.sync(1, [update("t1", json!({"a": 2})).id("first").at(1)]).await;
    server.sync(2, [update("t1", json!({"b": 2})).id("last").at(2)]).await;
    let answer = server.sync(1, []).await;
    assert_eq!(line(&answer.diffs[0]), r#"update t1 {"a":2,"b":2}"#);
    assert_eq!(answer.diffs[0].order(), (2, T0 + 2, "last"));
}

async fn what_lost_goes_back_with_the_value_that_stands(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 1}))]).await;
    server.sync(1, [update("t1", json!({"a": 2})).at(50)]).await;
    let lost = update("t1", json!({"a": 3})).at(10);
    assert_eq!(server.back(1, [lost.clone()]).await, [r#"update t1 {"a":2}"#]);
    assert_eq!(server.back(1, [lost]).await, [r#"update t1 {"a":2}"#], "on a retry, too");
    assert_eq!(server.log_lines().await[2], "2: update t1");
}

async fn log_entries_bear_the_owner_whatever_the_device_sends(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 1}))]).await;
    assert_eq!(server.log().await[0].owner, "ada");
    assert_eq!(server.sync(0, []).await.diffs[0].owner, "ada");
}

#[tokio::test]
async fn the_time_is_that_of_the_system() {
    let millis = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        i64::try_from(now.unwrap().as_millis()).unwrap()
    };
    let mobync = Mobync::new(MemoryDatabase::new());
    let before = millis();
    mobync.write(&ada(), [Change::create("tasks", Record::new("t1"))]).await.unwrap();
    let made = mobync.apply(0, Vec::new(), &ada()).await.unwrap().diffs[0].utc_timestamp;
    assert!((before..=millis()).contains(&made), "{made}");
}
