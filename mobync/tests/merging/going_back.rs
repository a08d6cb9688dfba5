//! What is returned to a device: to a new one, and to one that has missed or lost something.

use mobync::{Access, Change, Database, Diff, Operation, Record, UnitOfWork};
use serde_json::{Value, json};

use super::support::{
    self, Sent, Server, T0, ada, create, databases::on_every_database, delete, line, make, update,
};

on_every_database! {
    super::Server::new;
    a_new_device_gets_one_create_for_each_object
    a_new_device_that_changes_a_row_older_than_the_log_gets_all_of_it
    a_new_device_gets_what_the_last_entry_in_the_logs_order_wrote
    a_create_that_goes_back_has_every_written_field_null_included
    a_delete_and_then_a_create_go_back_for_an_object_made_again
    a_create_goes_back_after_the_delete_before_it
    an_update_that_goes_back_bears_the_last_unseen_entry
    what_lost_goes_back_with_the_value_that_stands
    a_name_that_json_must_escape_is_logged_and_goes_back_as_it_is
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
    make(&mut unit, Change::create("tasks", row)).await.unwrap();
    unit.commit().await.unwrap();
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
    make(&mut unit, Change::create("tasks", Record::new("t1"))).await.unwrap();
    let (first, behind): (Vec<_>, Vec<_>) =
        log.into_iter().partition(|entry| entry.logical_clock == 0);
    unit.append(&ada(), "diffs", first).await.unwrap();
    unit.append(&ada(), "diffs", behind).await.unwrap();
    unit.commit().await.unwrap();
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

async fn a_create_goes_back_after_the_delete_before_it(server: Server<impl Database>) {
    // The device's own life was apart, and ended after the one that is alive began.
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

async fn a_name_that_json_must_escape_is_logged_and_goes_back_as_it_is(
    server: Server<impl Database>,
) {
    let id = "t\"1\\\n\u{1}é";
    server.sync(0, [create(id, json!({"a": 1, "b": 1}))]).await;
    server.sync(1, [update(id, json!({"a": 2})).at(50)]).await;
    // One field of this is accepted, so that neither is as it was sent.
    let answer = server.sync(1, [update(id, json!({"a": 3, "b": 3})).at(10)]).await;
    let logged = server.log().await.pop().unwrap();
    for (diff, fields) in [(&answer.diffs[0], json!({"a": 2})), (&logged, json!({"b": 3}))] {
        let mut data: serde_json::Value = serde_json::from_str(&diff.json_data).unwrap();
        assert_eq!(data.as_object_mut().unwrap().remove("id"), Some(json!(id)));
        assert_eq!(data, fields);
    }
}
