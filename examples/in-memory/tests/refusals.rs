//! What the program refuses, and how.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use serde_json::json;

use self::support::{Device, Server};

#[test]
fn a_blank_name_is_refused_alone_and_undone_on_the_device() {
    let server = Server::start();
    let mut phone = Device::new("phone", "ada");
    phone.create(1, json!({"id": "t1", "name": "Milk"}));
    phone.update(2, json!({"id": "t1", "name": "  "}));
    phone.create(3, json!({"id": "t2", "name": "Bread"}));
    assert_eq!(
        phone.sync(&server)["refused"],
        json!([{"diff_id": "phone-2", "code": "forbidden", "message": "A task needs a name."}])
    );
    let kept = json!([{"id": "t1", "name": "Milk"}, {"id": "t2", "name": "Bread"}]);
    assert_eq!(phone.tasks(), kept);
    assert_eq!(server.get_with_bearer("/records/tasks", "ada"), (200, kept));
}

#[test]
fn a_value_that_its_field_cannot_hold_is_refused_alone() {
    let server = Server::start();
    let mut phone = Device::new("phone", "ada");
    phone.create(1, json!({"id": "t1", "name": "Milk", "done": false}));
    phone.update(2, json!({"id": "t1", "done": "perhaps"}));
    phone.create(3, json!({"id": "t2", "name": 7}));
    phone.create(4, json!({"id": "t3", "name": null, "done": null}));
    let answer = phone.sync(&server);
    let refused =
        [("phone-2", "done", "true, false or null"), ("phone-3", "name", "a string or null")];
    let refused = refused.map(|(diff_id, field, what)| {
        let message = format!("The value of \"{field}\" must be {what}.");
        json!({"diff_id": diff_id, "code": "invalid_value", "message": message})
    });
    assert_eq!(answer["refused"], json!(refused));

    let (_, kept) = server.get_with_bearer("/records/tasks", "ada");
    assert_eq!(kept[0], json!({"id": "t1", "name": "Milk", "done": false}));
    assert_eq!(kept[1]["id"], "t3");
    assert_eq!(phone.tasks(), kept);
}

#[test]
fn what_the_server_does_not_know_fails_the_whole_request() {
    let server = Server::start();
    let mut phone = Device::new("phone", "ada");
    phone.create(1, json!({"id": "t1", "name": "Milk"}));
    phone.create(2, json!({"id": "t2", "titel": "Bread"}));
    let (status, failure) = server.sync("ada", &phone.request());
    assert_eq!((status, &failure["code"]), (422, &json!("unknown_field")));
    assert_eq!(failure["diff_id"], "phone-2");

    let mut teapot = phone.request();
    teapot["diffs"][1]["model"] = json!("teapots");
    let (status, failure) = server.sync("ada", &teapot);
    assert_eq!((status, &failure["code"]), (422, &json!("unknown_model")));
    assert_eq!(server.get_with_bearer("/records/tasks", "ada"), (200, json!([])));
}

#[test]
fn records_need_a_token_and_a_model() {
    let server = Server::start();
    let (status, failure) = server.get("/records/tasks");
    assert_eq!((status, &failure["code"]), (401, &json!("unauthenticated")));
    let (status, failure) = server.get_with_bearer("/records/teapots", "ada");
    assert_eq!((status, &failure["code"]), (422, &json!("unknown_model")));
    assert_eq!(server.get_with_bearer("/records/model1", "ada"), (200, json!([])));
}
