//! The rules of the protocol's sections on clock, exactly once, merging and lying clocks, each with an
//! example, on every database.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod exactly_once;
mod going_back;
#[path = "../support/mod.rs"]
mod support;

use mobync::Database;
use serde_json::json;
use support::{Server, T0, create, databases::on_every_database, delete, line, update};

on_every_database! {
    super::Server::new;
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
    updates_before_the_create_of_what_is_nowhere_count_as_made_after_it
    updates_before_the_create_of_what_was_deleted_count_as_made_after_it
    updates_before_a_refused_first_create_are_receipts
    updates_before_a_create_of_what_is_alive_stay_before_it
    updates_before_a_create_of_a_held_life_that_has_ended_are_receipts
    updates_before_a_delete_and_a_create_are_receipts
    only_the_first_create_of_a_request_has_updates_moved_after_it
    the_lives_of_the_protocols_picture_go_back_as_it_says
    changes_of_one_moment_count_a_millisecond_apart
    a_timestamp_in_the_far_future_counts_as_now
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

async fn updates_before_the_create_of_what_is_nowhere_count_as_made_after_it(
    server: Server<impl Database>,
) {
    let sent = [update("t1", json!({"a": 2})).at(1), create("t1", json!({"a": 1, "b": 1})).at(5)];
    assert!(server.back(0, sent.clone()).await.is_empty());
    assert_eq!(server.rows().await, [r#"t1 {"a":2,"b":1}"#]);
    let log = server.log().await;
    assert_eq!(log[1].utc_timestamp, T0 + 6, "one millisecond after the create");
    assert!(server.back(0, sent).await.is_empty(), "on a retry, too");
}

async fn updates_before_the_create_of_what_was_deleted_count_as_made_after_it(
    server: Server<impl Database>,
) {
    // It makes no difference whether the previous life is in the window or only in the log.
    for (object, since) in [("seen", 2), ("new", 0)] {
        server.sync(0, [create(object, json!({"a": 0})), delete(object).at(1)]).await;
        server.sync(0, [create(&format!("other-{object}"), json!({}))]).await;
        let early = update(object, json!({"a": 2})).at(5);
        server.sync(since, [early, create(object, json!({"a": 1, "b": 1})).at(9)]).await;
    }
    let rows = [r#"new {"a":2,"b":1}"#, "other-new {}", "other-seen {}", r#"seen {"a":2,"b":1}"#];
    assert_eq!(server.rows().await, rows);
}

async fn updates_before_a_refused_first_create_are_receipts(server: Server<impl Database>) {
    let server = server.forbidding();
    let refused = create("t1", json!({"a": 1})).at(5).id("forbidden");
    let sent = [update("t1", json!({"a": 2})).at(1), refused];
    assert_eq!(server.back(0, sent).await, ["delete t1"]);
    assert!(server.rows().await.is_empty());
    assert_eq!(server.log_lines().await, ["0: create t1", "0: delete t1", "0: update t1"]);
}

async fn updates_before_a_create_of_what_is_alive_stay_before_it(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 0, "b": 0}))]).await;
    let sent = [update("t1", json!({"a": 2, "b": 2})).at(5), create("t1", json!({"a": 1})).at(6)];
    server.sync(0, sent).await;
    assert_eq!(server.rows().await, [r#"t1 {"a":1,"b":2}"#]);
}

async fn updates_before_a_create_of_a_held_life_that_has_ended_are_receipts(
    server: Server<impl Database>,
) {
    server.sync(0, [create("t1", json!({"a": 0}))]).await;
    server.sync(1, [delete("t1").at(1)]).await;
    let sent = [update("t1", json!({"a": 2})).at(5), create("t1", json!({"a": 1})).at(6)];
    assert_eq!(server.back(1, sent).await, ["delete t1"]);
    assert_eq!(server.log_lines().await[2..], ["2: update t1", "2: update t1"]);
    assert!(server.rows().await.is_empty());
}

async fn updates_before_a_delete_and_a_create_are_receipts(server: Server<impl Database>) {
    let sent = [
        update("t1", json!({"a": 2})).at(5),
        delete("t1").at(6),
        create("t1", json!({"a": 1})).at(7),
    ];
    server.sync(0, sent).await;
    assert_eq!(server.rows().await, [r#"t1 {"a":1}"#]);
    let log = ["0: update t1", "0: update t1", r#"0: create t1 {"a":1}"#];
    assert_eq!(server.log_lines().await, log);
}

async fn only_the_first_create_of_a_request_has_updates_moved_after_it(
    server: Server<impl Database>,
) {
    let sent = [
        create("t1", json!({"a": 1})),
        delete("t1").at(1),
        update("t1", json!({"a": 2})).at(2),
        create("t1", json!({"a": 3})).at(3),
    ];
    server.sync(0, sent).await;
    assert_eq!(server.rows().await, [r#"t1 {"a":3}"#]);
    assert_eq!(server.log_lines().await[2], "0: update t1");
}

async fn the_lives_of_the_protocols_picture_go_back_as_it_says(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": "L"}))]).await;
    server.sync(1, [update("t1", json!({"a": "L!"})).at(1)]).await;
    server.sync(2, [delete("t1").at(2)]).await;
    server.sync(3, [create("t1", json!({"a": "M"})).at(3)]).await;
    server.sync(3, [create("t1", json!({"a": "apart"})).at(4), delete("t1").at(5)]).await;
    server.sync(5, [update("t1", json!({"a": "M!"})).at(6)]).await;
    let create_m = r#"create t1 {"a":"M!"}"#;
    let both = vec!["delete t1", create_m];
    let update_m = r#"update t1 {"a":"M!"}"#;
    let back = [
        vec![create_m],
        both.clone(),
        both,
        vec![create_m],
        vec![update_m],
        vec![update_m],
        Vec::new(),
    ];
    for (clock, back) in (0..).zip(back) {
        assert_eq!(server.back(clock, []).await, back, "{clock}");
    }
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
