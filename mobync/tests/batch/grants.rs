//! What a grant allows, and whose the local database of a device is.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use mobync::{
    Error, Grant, Mobync, Owner, SyncRequest,
    http::{Head, Limits, Token, authenticate, receive},
    memory::MemoryDatabase,
    schema::{Schema, Step},
};
use serde_json::{Value, json};

use crate::{
    support::{create, diffs, owner},
    town::{Town, member},
};

fn head() -> Head<'static> {
    Head { method: "POST", content_type: Some(b"application/json"), ..Head::default() }
}

fn body(value: &Value) -> Full<Bytes> {
    Full::from(value.to_string())
}

#[tokio::test]
async fn the_owner_is_named_where_it_is_asked_for_and_another_one_fails_before_anything_is_applied()
{
    let town = Town::new();
    let sync = async |owner: Value| {
        let sent = diffs([create("t1", json!({})).id("d1")]);
        let body = json!({"auth_token": "ada", "logical_clock": 0, "diffs": sent, "owner": owner});
        town.json(&body).await
    };
    for other in ["bob", "Ada", "ada ", "space ada", "\0"] {
        let (status, answer) = sync(json!(other)).await;
        let told = "The data on this device belongs to another account: sign in to that one.";
        let expected = json!({"success": false, "message": told, "code": "other_owner"});
        assert_eq!((status, answer), (403, expected), "{other}");
    }
    for wrong in [json!(7), json!(true), json!(["ada"])] {
        assert_eq!(sync(wrong).await.0, 400);
    }
    let (status, answer) = sync(Value::Null).await;
    assert_eq!((status, &answer["logical_clock"]), (200, &json!(1)), "nothing was applied before");
    assert!(answer.get("owner").is_none());
    for known in ["", "ada"] {
        let (status, answer) = sync(json!(known)).await;
        assert_eq!((status, &answer["owner"]), (200, &json!("ada")));
    }
}

#[tokio::test]
async fn in_a_batch_the_owner_is_that_of_the_space() {
    let town = Town::new();
    town.members.join("family", "ada", crate::town::Role::Writer);
    let of = |space, owner: &str| {
        let mut member = member(space, 0, []);
        member["owner"] = json!(owner);
        member
    };
    let answers = town.sync("ada", &[of("family", ""), of("", "ada")]).await;
    assert_eq!(
        (&answers[0]["owner"], &answers[1]["owner"]),
        (&json!("space family"), &json!("ada"))
    );
    let answers = town.sync("ada", &[of("family", "ada"), of("", "space family")]).await;
    assert_eq!(
        (&answers[0]["code"], &answers[1]["code"]),
        (&json!("other_owner"), &json!("other_owner"))
    );
}

#[tokio::test]
async fn beside_a_batch_the_owner_is_that_of_the_persons_own_data() {
    let town = Town::new();
    town.members.join("family", "ada", crate::town::Role::Writer);
    let sync = async |person: &str, owner: Value| {
        let sent = member("family", 0, [create("t1", json!({})).id("d1")]);
        town.json(&json!({"auth_token": person, "owner": owner, "syncs": [sent]})).await
    };
    for other in ["bob", "space family", "Ada", "\0"] {
        let (status, answer) = sync("ada", json!(other)).await;
        assert_eq!((status, &answer["code"]), (403, &json!("other_owner")), "{other}");
    }
    assert_eq!(sync("ada", json!(7)).await.0, 400);
    let (status, answer) = sync("ada", Value::Null).await;
    assert_eq!((status, &answer["syncs"][0]["logical_clock"]), (200, &json!(1)), "nothing before");
    assert!(answer.get("owner").is_none());
    for known in ["", "ada"] {
        let (status, answer) = sync("ada", json!(known)).await;
        assert_eq!((status, &answer["owner"]), (200, &json!("ada")));
    }
    // A guest has no data of their own.
    let (status, answer) = sync("guest", json!("ada")).await;
    assert_eq!((status, answer.get("owner")), (200, None));
}

#[tokio::test]
async fn a_writer_who_may_only_read_now_is_refused_alone_also_where_requests_are_all_or_nothing() {
    let mut town = Town::new();
    town.mobync = town.mobync.all_or_nothing(true);
    town.members.join("family", "ada", crate::town::Role::Reader);
    let sent = member("family", 0, [create("t1", json!({})), create("t2", json!({}))]);
    let answers = town.sync("ada", &[sent]).await;
    let codes: Vec<&str> = answers[0]["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|refused| refused["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["forbidden", "forbidden"], "{answers:?}");
}

/// Each of these is wrong in all ways that come later.
#[tokio::test]
async fn the_owner_is_checked_behind_the_diffs_and_before_schema_and_clock() {
    let mut town = Town::new();
    let schema = Schema::new([Step::renamed(3, "tasks", "title", "name")]).unwrap();
    town.mobync = town.mobync.schema(schema).min_schema(2).max_diffs(2);
    let unknown = || create("t1", json!({"oops": 1})).id("d1");
    let mut invalid = json!(diffs([unknown()]));
    invalid[0]["json_data"] = json!("{");
    let twice = json!(diffs([unknown(), create("t2", json!({})).id("d1")]));
    let three = json!(diffs([unknown(), unknown().id("d2"), unknown().id("d3")]));
    let (fine, known) =
        (json!(diffs([unknown()])), json!(diffs([create("t1", json!({"name": "x"}))])));
    for (owner, schema, clock, diffs, code) in [
        ("bob", 1, json!(-1), &fine, "invalid_request"),
        ("bob", 1, json!(9), &invalid, "invalid_diff"),
        ("bob", 1, json!(9), &twice, "invalid_diff"),
        ("bob", 1, json!(9), &three, "payload_too_large"),
        ("bob", 1, json!(9), &fine, "other_owner"),
        ("bob", 1, json!(9), &json!([]), "other_owner"),
        ("ada", 1, json!(9), &invalid, "invalid_diff"),
        ("ada", 1, json!(9), &fine, "upgrade_required"),
        ("ada", 3, json!(9), &fine, "clock_ahead"),
        ("ada", 3, json!(0), &fine, "unknown_field"),
        ("ada", 3, json!(0), &known, ""),
    ] {
        let asked =
            json!({"logical_clock": clock, "diffs": diffs, "owner": owner, "schema": schema});
        let mut alone = asked.clone();
        alone["auth_token"] = json!("ada");
        let code_of = |answer: &Value| answer["code"].as_str().unwrap_or_default().to_owned();
        // A batch is too large as a whole.
        if code != "payload_too_large" && !code.is_empty() {
            assert_eq!(code_of(&town.sync("ada", &[asked]).await[0]), code);
        }
        assert_eq!(code_of(&town.json(&alone).await.1), code, "{owner} {schema} {clock} {diffs}");
    }
}

#[tokio::test]
async fn a_handler_of_one_s_own_keeps_to_the_grant_and_takes_no_batch() {
    let mobync = Mobync::new(MemoryDatabase::new().model("tasks", ["name"]));
    let grant = Grant::new(owner("space family"))
        .member("eve")
        .read_only()
        .holds_for(Duration::from_mins(1));
    let auth = async |token: Token| {
        token.as_str()?;
        Ok(grant.clone())
    };
    let sent = diffs([create("t1", json!({"name": "x"})).id("d1")]);
    let one = json!({"auth_token": "x", "logical_clock": 0, "diffs": sent});
    let limits = Limits::new();
    let (owner, request) = authenticate(head(), body(&one), &limits, auth).await.unwrap();
    assert_eq!(owner.as_str(), "space family");
    let answer = mobync.answer(&owner, &request).await.unwrap();
    assert_eq!((&*answer.refused[0].diff_id, &*answer.refused[0].code), ("d1", "forbidden"));
    // A request that was read without a grant may do everything, until it gets one.
    let mut request = receive(head(), body(&one), &limits).await.unwrap();
    request.diffs[0].id = "d2".to_owned();
    let refused = mobync.answer(&owner, &request.clone().granted(&grant)).await.unwrap().refused;
    assert_eq!(refused.len(), 1);
    request.diffs[0].id = "d3".to_owned();
    assert!(mobync.answer(&owner, &request).await.unwrap().refused.is_empty());

    let syncs = json!([{"logical_clock": 0, "diffs": []}]);
    for batch in [
        json!({"auth_token": "x", "syncs": syncs}),
        json!({"auth_token": "x", "syncs": syncs, "logical_clock": 0, "diffs": []}),
        json!({"auth_token": "x", "syncs": 7, "logical_clock": 0, "diffs": []}),
    ] {
        for error in [
            authenticate(head(), body(&batch), &limits, auth).await.unwrap_err(),
            receive(head(), body(&batch), &limits).await.unwrap_err(),
            SyncRequest::from_slice(batch.to_string().as_bytes()).unwrap_err(),
        ] {
            assert!(matches!(error, Error::InvalidRequest(_)), "{batch}: {error}");
        }
    }
    let null = json!({"auth_token": "x", "syncs": null, "logical_clock": 0, "diffs": []});
    assert!(receive(head(), body(&null), &limits).await.is_ok());
    // The token comes first.
    let batch = json!({"syncs": syncs});
    let error = authenticate(head(), body(&batch), &limits, auth).await.unwrap_err();
    assert_eq!(error.code(), "unauthenticated");
}

#[test]
fn an_owner_alone_grants_everything() {
    let owner = Owner::new("ada").unwrap();
    let grant = Grant::from(owner.clone());
    assert_eq!((&grant, grant.owner()), (&Grant::new(owner.clone()), &owner));
    for other in [
        grant.clone().read_only(),
        grant.clone().member("ada"),
        grant.clone().holds_for(Duration::ZERO),
    ] {
        assert_ne!(other, grant);
    }
    assert_eq!(grant.into_owner(), owner);
}
