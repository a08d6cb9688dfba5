//! Refused diffs have no effect, are refused alone, and are undone on the device; or they fail the whole
//! request, if it is all or nothing. On databases that survive a rejection, and on those that do not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod rules;
#[path = "../support/mod.rs"]
mod support;

use mobync::{Database, SyncResponse};
use serde_json::json;
use support::{
    Forbid, Hooked, Picky, Sent, Server, T0, create, databases::on_every_database, delete, diffs,
    lines, update,
};

on_every_database! {
    |inner| super::Server::new(super::Hooked { inner, hook: super::Picky }).forbidding();
    a_refused_diff_does_nothing_and_the_others_stand
    refusals_are_told_in_the_order_sent_with_the_first_code_that_holds
    a_refusal_is_told_once_but_undone_again_on_a_retry
    a_refused_update_that_was_sorted_before_its_create_is_undone_again_on_a_retry
    a_refused_update_goes_back_with_the_value_that_stands
    a_refused_update_of_an_object_older_than_the_window_goes_back_from_its_row
    a_refused_create_goes_back_as_a_delete
    a_refused_create_of_what_others_made_goes_back_as_their_object
    a_refused_create_of_a_held_object_is_undone_field_by_field
    what_follows_a_refused_create_is_a_receipt
    a_refused_delete_goes_back_as_the_object
    a_refused_delete_of_an_object_older_than_the_window_goes_back_with_its_row
    a_create_after_a_refused_delete_gets_back_what_it_does_not_name
    a_refused_delete_ends_no_life_apart
    a_life_that_is_alive_goes_on_after_one_apart_of_the_same_request
    a_refused_update_in_a_life_apart_leaves_no_trace_but_its_receipt
    a_rule_is_asked_about_a_diff_that_would_do_nothing
    any_one_diff_of_a_request_can_be_rejected
    a_request_that_goes_to_the_database_in_parts_is_still_one
    all_or_nothing_fails_the_whole_request_at_the_first_refusal
}

/// A change that the rule forbids.
fn forbidden(sent: Sent) -> Sent {
    let id = format!("forbidden-{}", sent.0.id);
    sent.id(&id)
}

/// Without the columns that no diff has written: only some databases have them in a row.
fn written(back: Vec<String>) -> Vec<String> {
    back.into_iter().map(|line| line.replace(r#","c":null,"n":null"#, "")).collect()
}

fn told(answer: &SyncResponse) -> Vec<(&str, &str)> {
    answer.refused.iter().map(|refused| (&*refused.diff_id, &*refused.code)).collect()
}

async fn a_refused_diff_does_nothing_and_the_others_stand(server: Server<impl Database, Forbid>) {
    let sent = [
        create("t1", json!({"a": 1})),
        create("t2", json!({"a": "bad"})).id("d2"),
        create("t3", json!({"a": "orphan"})).id("d3"),
        create("t4", json!({"a": 1})),
        update("t1", json!({"a": 2})).at(9),
    ];
    let answer = server.sync(0, sent).await;
    assert_eq!(told(&answer), [("d2", "invalid_value"), ("d3", "constraint")]);
    assert_eq!(answer.refused[0].message, "The value of \"a\" must not be bad.");
    assert_eq!(answer.refused[1].message, "The change breaks the constraint tasks_parent.");
    assert_eq!(lines(&answer.diffs), ["delete t2", "delete t3"]);
    assert_eq!(server.rows().await, [r#"t1 {"a":2}"#, r#"t4 {"a":1}"#]);
    assert_eq!((answer.success, &*answer.message), (true, ""));
}

async fn refusals_are_told_in_the_order_sent_with_the_first_code_that_holds(
    server: Server<impl Database, Forbid>,
) {
    server.sync(0, [create("old", json!({}))]).await;
    let sent = [
        create("t1", json!({"a": "orphan"})).id("d1"),
        create("t2", json!({"a": "bad"})).id("forbidden-2"),
        create("t3", json!({"a": "bad"})).id("d3"),
        update("old", json!({"a": "bad"})).id("d4"),
    ];
    let expected = [
        ("d1", "constraint"),
        ("forbidden-2", "forbidden"),
        ("d3", "invalid_value"),
        ("d4", "invalid_value"),
    ];
    let answer = server.sync(1, sent).await;
    assert_eq!(told(&answer), expected);
    assert_eq!(answer.refused[1].message, "That is not yours to change.");
}

async fn a_refusal_is_told_once_but_undone_again_on_a_retry(server: Server<impl Database, Forbid>) {
    server.sync(0, [create("t1", json!({"a": 1}))]).await;
    let sent = [
        forbidden(update("t1", json!({"a": 2, "b": 2}))),
        forbidden(create("t2", json!({"a": 1}))),
    ];
    let first = server.sync(1, sent.clone()).await;
    assert_eq!(first.refused.len(), 2);
    let log = server.log().await;
    let retry = server.sync(1, sent).await;
    assert!(retry.refused.is_empty());
    let undone = [r#"update t1 {"a":1,"b":null}"#, "delete t2"];
    let sorted = |answer: &SyncResponse| {
        let mut lines = lines(&answer.diffs);
        lines.sort_by_key(|line| line.starts_with("delete"));
        lines
    };
    assert_eq!(
        (sorted(&first), sorted(&retry)),
        (undone.map(Into::into).into(), undone.map(Into::into).into())
    );
    assert_eq!((server.log().await, retry.logical_clock), (log, 2));
}

async fn a_refused_update_that_was_sorted_before_its_create_is_undone_again_on_a_retry(
    server: Server<impl Database, Forbid>,
) {
    // The device's clock was set back between the two.
    let (made, changed) =
        (create("t1", json!({"a": 1})).at(9), forbidden(update("t1", json!({"a": 2}))));
    let undone = [r#"update t1 {"a":1}"#];
    assert_eq!(server.back(0, [changed.clone(), made.clone()]).await, undone);
    assert_eq!(server.back(0, [changed, made]).await, undone);

    let (made, changed) =
        (create("t2", json!({"a": 1})).at(9), forbidden(update("t2", json!({"a": 2}))));
    server.sync(1, [made.clone()]).await;
    let undone = [r#"update t2 {"a":1}"#];
    assert_eq!(server.back(1, [changed.clone(), made.clone()]).await, undone);
    assert_eq!(server.back(1, [changed, made]).await, undone);
}

async fn a_refused_update_goes_back_with_the_value_that_stands(
    server: Server<impl Database, Forbid>,
) {
    server.sync(0, [create("t1", json!({"a": 1}))]).await;
    let sent = [
        update("t1", json!({"a": 2})).at(1),
        forbidden(update("t1", json!({"a": 3, "b": 3})).at(2)),
        update("t1", json!({"b": 4})).at(3),
    ];
    assert_eq!(server.back(1, sent).await, [r#"update t1 {"a":2}"#]);
    assert_eq!(server.rows().await, [r#"t1 {"a":2,"b":4}"#]);
}

async fn a_refused_update_of_an_object_older_than_the_window_goes_back_from_its_row(
    server: Server<impl Database, Forbid>,
) {
    server.sync(0, [create("t1", json!({"a": 1, "b": 1}))]).await;
    let answer = server.sync(1, [forbidden(update("t1", json!({"b": 2, "c": 2})))]).await;
    assert_eq!(lines(&answer.diffs), [r#"update t1 {"b":1,"c":null}"#]);
    let back = &answer.diffs[0];
    assert_eq!((back.logical_clock, back.utc_timestamp), (1, T0 + 60_000), "N − 1 and now");
}

async fn a_refused_create_goes_back_as_a_delete(server: Server<impl Database, Forbid>) {
    let answer = server.sync(0, [forbidden(create("t1", json!({"a": 1})).at(5))]).await;
    assert_eq!(lines(&answer.diffs), ["delete t1"]);
    let log = server.log().await;
    assert_eq!(lines(&log), ["create t1", "delete t1"]);
    assert_eq!((log[0].utc_timestamp, log[1].utc_timestamp), (T0 + 5, T0 + 6));
    assert_eq!(answer.diffs[0], log[1], "the delete is the server's own entry");
    assert!(server.back(0, []).await.is_empty(), "a new device hears nothing of it");
}

async fn a_refused_create_of_what_others_made_goes_back_as_their_object(
    server: Server<impl Database, Forbid>,
) {
    server.sync(0, [create("t1", json!({"a": 1}))]).await;
    let back = server.back(0, [forbidden(create("t1", json!({"a": 2})))]).await;
    assert_eq!(back, ["delete t1", r#"create t1 {"a":1}"#]);
    assert_eq!(server.rows().await, [r#"t1 {"a":1}"#]);
    assert!(server.back(1, []).await.is_empty());
}

async fn a_refused_create_of_a_held_object_is_undone_field_by_field(
    server: Server<impl Database, Forbid>,
) {
    server.sync(0, [create("t1", json!({"a": 1}))]).await;
    let back = server.back(1, [forbidden(create("t1", json!({"a": 2, "b": 2})))]).await;
    assert_eq!(back, [r#"update t1 {"a":1,"b":null}"#]);
}

async fn what_follows_a_refused_create_is_a_receipt(server: Server<impl Database, Forbid>) {
    let sent = [
        forbidden(create("t1", json!({"a": 1}))),
        update("t1", json!({"a": 2})).at(1),
        create("t1", json!({"a": 3})).at(2),
    ];
    assert_eq!(server.back(0, sent).await, ["delete t1"]);
    assert_eq!(lines(&server.log().await), ["create t1", "delete t1", "update t1", "update t1"]);
    assert!(server.rows().await.is_empty());
    let again = [
        forbidden(create("t2", json!({}))),
        delete("t2").at(1),
        create("t2", json!({"a": 1})).at(2),
    ];
    assert!(server.back(1, again).await.is_empty(), "after a delete everything is new");
    assert_eq!(server.rows().await, [r#"t2 {"a":1}"#]);
}

async fn a_refused_delete_goes_back_as_the_object(server: Server<impl Database, Forbid>) {
    let sent = [create("kept", json!({"a": 1})), delete("kept").at(1).id("d")];
    let answer = server.sync(0, sent).await;
    assert_eq!(told(&answer), [("d", "constraint")]);
    assert_eq!(lines(&answer.diffs), [r#"create kept {"a":1}"#]);
    assert_eq!(answer.diffs[0].logical_clock, 0, "N − 1, for its own entry began the life");
    assert_eq!(server.rows().await, [r#"kept {"a":1}"#]);
}

async fn a_refused_delete_of_an_object_older_than_the_window_goes_back_with_its_row(
    server: Server<impl Database, Forbid>,
) {
    server.sync(0, [create("t1", json!({"a": 1, "b": 1}))]).await;
    let sent = [update("t1", json!({"b": 2})), forbidden(delete("t1").at(1))];
    let undone = [r#"create t1 {"a":1,"b":2}"#];
    assert_eq!(written(server.back(1, sent.clone()).await), undone);
    assert_eq!(written(server.back(1, sent).await), undone, "on a retry, too");
}

async fn a_create_after_a_refused_delete_gets_back_what_it_does_not_name(
    server: Server<impl Database, Forbid>,
) {
    server.sync(0, [create("t1", json!({"a": 1, "b": 1}))]).await;
    let sent = [forbidden(delete("t1")), create("t1", json!({"a": 2})).at(1)];
    assert_eq!(written(server.back(1, sent).await), [r#"update t1 {"b":1}"#]);
    assert_eq!(server.rows().await, [r#"t1 {"a":2,"b":1}"#]);
}

async fn a_refused_delete_ends_no_life_apart(server: Server<impl Database, Forbid>) {
    server.sync(0, [create("t1", json!({"a": 1}))]).await;
    let meets = [create("t1", json!({"a": 2})).at(1), forbidden(delete("t1").at(2))];
    assert_eq!(server.back(0, meets).await, [r#"create t1 {"a":2}"#]);
    assert_eq!(server.rows().await, [r#"t1 {"a":2}"#]);
    let apart = [
        create("t1", json!({"a": 3})).at(1),
        forbidden(delete("t1").at(2)),
        update("t1", json!({"a": 4})).at(3),
        delete("t1").at(4),
    ];
    assert_eq!(server.back(0, apart).await, [r#"create t1 {"a":2}"#]);
    assert_eq!(server.rows().await, [r#"t1 {"a":2}"#]);
}

async fn a_life_that_is_alive_goes_on_after_one_apart_of_the_same_request(
    server: Server<impl Database, Forbid>,
) {
    let sent = [
        create("t1", json!({"a": 1})),
        forbidden(delete("t1").at(1)),
        create("t1", json!({"a": 2})).at(2),
        delete("t1").at(3),
    ];
    assert_eq!(server.back(0, sent.clone()).await, [r#"create t1 {"a":1}"#]);
    server.sync(1, [create("t2", json!({}))]).await;
    // The create of t1 is the request's own: the returned diff has the server's time.
    assert_eq!(server.back(0, sent).await, ["create t2", r#"create t1 {"a":1}"#]);
    assert!(server.back(1, [update("t1", json!({"a": 3})).at(9)]).await == ["create t2"]);
    assert_eq!(server.rows().await, [r#"t1 {"a":3}"#, "t2 {}"]);
}

async fn a_refused_update_in_a_life_apart_leaves_no_trace_but_its_receipt(
    server: Server<impl Database, Forbid>,
) {
    server.sync(0, [create("t1", json!({"a": 1}))]).await;
    let sent = [
        create("t1", json!({"a": 2})).at(1),
        forbidden(update("t1", json!({"a": 3})).at(2)),
        forbidden(create("t1", json!({"a": 4})).at(3)),
        delete("t1").at(4),
    ];
    let answer = server.sync(0, sent).await;
    assert_eq!(
        (lines(&answer.diffs), answer.refused.len()),
        (vec![r#"create t1 {"a":1}"#.to_owned()], 2)
    );
    let log = [r#"1: create t1 {"a":2}"#, "1: update t1", "1: update t1", "1: delete t1"];
    assert_eq!(server.log_lines().await[1..], log);
}

async fn a_rule_is_asked_about_a_diff_that_would_do_nothing(server: Server<impl Database, Forbid>) {
    let answer = server.sync(0, [forbidden(update("t9", json!({"a": 1})))]).await;
    assert_eq!((answer.refused.len(), &*answer.message), (1, ""));
}

async fn any_one_diff_of_a_request_can_be_rejected(server: Server<impl Database, Forbid>) {
    server.sync(0, [create("old", json!({"a": 0, "b": 0})), create("kept", json!({}))]).await;
    let request = |which: usize, clock: i64| {
        let value = |place: usize| if place == which { json!("bad") } else { json!(clock) };
        let (t1, t2) = (format!("t1-{clock}"), format!("t2-{clock}"));
        vec![
            create(&t1, json!({"a": value(0)})),
            update("old", json!({"a": value(1)})).at(1),
            create(&t2, json!({"a": value(2)})).at(2),
            update(&t1, json!({"b": value(3)})).at(3),
            update("old", json!({"b": value(4)})).at(4),
            delete(if which == 5 { "kept" } else { "t9" }).at(5),
        ]
    };
    for which in 0..6 {
        let clock = server.sync(0, []).await.logical_clock;
        let mut device = support::Device::of(&server, clock).await;
        let sent = request(which, clock);
        let answer = server.sync(clock, sent.clone()).await;
        assert_eq!(told(&answer).len(), 1, "{which}");
        assert_eq!(told(&answer)[0].0, sent[which].0.id);

        // The device has applied all of it, and is corrected. The others' changes stay.
        device.apply(&diffs(sent));
        device.apply(&answer.diffs);
        assert_eq!(device.rows(), server.rows().await, "{which}");
        let rows = server.rows().await;
        assert_eq!(rows.iter().any(|row| row.starts_with(&format!("t1-{clock} "))), which != 0);
        assert!(rows.iter().any(|row| row.starts_with("kept ")));
    }
}

async fn a_request_that_goes_to_the_database_in_parts_is_still_one(
    server: Server<impl Database, Forbid>,
) {
    let mut sent: Vec<Sent> =
        (0..2_500).map(|place| create(&format!("t{place}"), json!({"a": place}))).collect();
    sent[1_200] = create("t1200", json!({"a": "bad"})).id("d1200");
    sent[2_100] = forbidden(create("t2100", json!({"a": 1})).id("d2100"));
    sent.push(update("t7", json!({"a": "new"})).at(1));

    let answer = server.sync(0, sent.clone()).await;
    assert_eq!(told(&answer), [("d1200", "invalid_value"), ("forbidden-d2100", "forbidden")]);
    assert_eq!(lines(&answer.diffs), ["delete t1200", "delete t2100"]);
    let rows = server.rows().await;
    assert_eq!(rows.len(), 2_498);
    assert!(rows.contains(&r#"t7 {"a":"new"}"#.to_owned()));
    // A refused create is logged together with its delete.
    let log = server.log().await;
    assert_eq!(log.len(), 2_503);
    assert!(log.iter().all(|entry| entry.logical_clock == 0));

    let retry = server.sync(0, sent).await;
    assert_eq!((retry.logical_clock, server.log().await), (1, log));
}

async fn all_or_nothing_fails_the_whole_request_at_the_first_refusal(
    server: Server<impl Database, Forbid>,
) {
    let server = Server { mobync: server.mobync.all_or_nothing(true) };
    let cases = [
        (create("t1", json!({"a": "bad"})).id("d"), 422, "invalid_value"),
        (create("t1", json!({"a": "orphan"})).id("d"), 422, "constraint"),
        (create("t1", json!({})).id("forbidden-d"), 403, "forbidden"),
    ];
    for (refused, status, code) in cases {
        let id = refused.0.id.clone();
        let last = forbidden(create("t3", json!({})));
        let error = server.try_sync(0, [create("t2", json!({})), refused, last]).await.unwrap_err();
        assert_eq!((error.status().as_u16(), error.code()), (status, code));
        assert_eq!(error.diff_id(), Some(&*id), "the error names the first one");
        assert!(server.log().await.is_empty() && server.rows().await.is_empty());
    }
}
