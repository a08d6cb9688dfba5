//! What is wrong with a batch as a whole fails it as a whole.

use serde_json::{Value, json};

use crate::{
    support::create,
    town::{Role, Town, member, read},
};

fn idle(space: &str) -> Value {
    member(space, 0, [])
}

#[tokio::test]
async fn a_batch_that_is_wrong_as_a_whole_fails_and_changes_nothing() {
    let mut town = Town::new();
    town.mobync = town.mobync.max_diffs(2);
    town.members.join("family", "ada", Role::Writer);
    let (own, family) =
        (member("", 0, [create("t1", json!({}))]), member("family", 0, [create("t1", json!({}))]));
    let with = |name: &str, value: Value| {
        let mut body = json!({"auth_token": "ada", "syncs": [own, family]});
        body[name] = value;
        body
    };
    let of = |syncs: Value| json!({"auth_token": "ada", "syncs": syncs});
    let many: Vec<Value> = (0..101).map(|space| idle(&space.to_string())).collect();
    let mut three = family.clone();
    three["diffs"].as_array_mut().unwrap().push(json!("no diff"));
    let cases = [
        (with("logical_clock", json!(0)), 400, "not beside it"),
        (with("logical_clock", json!("x")), 400, "not beside it"),
        (with("diffs", json!([])), 400, "not beside it"),
        (with("diffs", json!(7)), 400, "not beside it"),
        (of(json!({})), 400, "syncs must be an array"),
        (of(json!(0)), 400, "syncs must be an array"),
        (of(json!([own, 7])), 400, "it must be an object (syncs[1])"),
        (of(json!([own, null])), 400, "it must be an object (syncs[1])"),
        (of(json!([own, []])), 400, "it must be an object (syncs[1])"),
        (of(json!([own, family, idle("")])), 400, "another one has the same space (syncs[2])"),
        (of(json!([family, own, idle("family")])), 400, "the same space (syncs[2])"),
        (
            of(json!([own, {"space": "", "logical_clock": 0, "diffs": []}])),
            400,
            "space must not be empty (syncs[1])",
        ),
        (of(json!([own, idle("a\0b")])), 400, "space must not have a NUL in it"),
        (of(json!([own, idle(&"x".repeat(1025))])), 400, "not be longer than 1,024 bytes"),
        (
            of(json!([own, {"space": 7, "logical_clock": 0, "diffs": []}])),
            400,
            "space must be a string",
        ),
        (of(many.clone().into()), 413, "101 syncs, but at most 100"),
        (of(json!([own, three])), 413, "has 3 diffs, but at most 2"),
        (json!({"auth_token": "stranger", "syncs": [own]}), 401, "not known"),
        (json!({"syncs": [own]}), 401, "A token is needed"),
    ];
    for (body, status, message) in cases {
        let (got, answer) = town.json(&body).await;
        assert_eq!((got, &answer["success"]), (status, &json!(false)), "{body}");
        let got = answer["message"].as_str().unwrap();
        assert!(got.contains(message), "{got}");
    }
    assert_eq!(town.rules.seen.lock().unwrap().len(), 0, "nothing was tried");
    let (status, answer) = town.json(&of(many[..100].into())).await;
    assert_eq!((status, answer["syncs"].as_array().unwrap().len()), (200, 100));
    for (body, syncs) in [
        (of(json!([])), json!([])),
        (json!({"auth_token": "ada", "syncs": null, "logical_clock": 0, "diffs": []}), Value::Null),
    ] {
        let (status, answer) = town.json(&body).await;
        assert_eq!((status, answer.get("syncs").unwrap_or(&Value::Null)), (200, &syncs));
    }
    let (status, answer) = town.json(&with("logical_clock", Value::Null)).await;
    assert_eq!((status, &answer["syncs"][1]["logical_clock"]), (200, &json!(1)));
}

#[tokio::test]
async fn the_token_is_judged_before_the_body_and_before_the_members() {
    let town = Town::new();
    let nested = r#"{"syncs": [{"a": 1, "a": 2}]}"#;
    for (header, body, status) in [
        (Some("Bearer stranger"), nested, 401),
        (Some("Bearer stranger"), r#"{"syncs": 7}"#, 401),
        (Some("Bearer ada"), nested, 400),
        (None, nested, 400),
        (None, r#"{"syncs": 7}"#, 401),
        (None, r#"{"auth_token": "stranger", "syncs": 7}"#, 401),
        (None, r#"{"auth_token": "ada", "syncs": 7}"#, 400),
        // Who has no data of their own may have spaces.
        (Some("Bearer guest"), "{", 403),
        (Some("Bearer guest"), r#"{"logical_clock": 0, "diffs": 7}"#, 403),
        (None, r#"{"auth_token": "guest", "logical_clock": 0, "diffs": 7}"#, 403),
        (Some("Bearer guest"), r#"{"syncs": 7}"#, 400),
        (Some("Bearer guest"), r#"{"syncs": []}"#, 200),
        // A token inside is none.
        (None, r#"{"syncs": [{"auth_token": "ada", "logical_clock": 0, "diffs": []}]}"#, 401),
    ] {
        assert_eq!(read(town.send(header, body).await).await.status, status, "{header:?} {body}");
    }
}

#[tokio::test]
async fn a_member_with_syncs_fails_alone() {
    let town = Town::new();
    let mut nested = idle("");
    nested["syncs"] = json!([idle("")]);
    let body = json!({"auth_token": "ada", "syncs": [nested]});
    let (status, answer) = town.json(&body).await;
    assert_eq!((status, &answer["syncs"][0]["status"]), (200, &json!(400)));
    assert_eq!(
        answer["syncs"][0]["message"],
        "The request is not valid: several requests in one (syncs) are not taken here."
    );
}
