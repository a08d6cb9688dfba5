//! Nobody sees, changes or detects what is in a space that they are no member of.

use bytes::Bytes;
use http_body_util::Full;
use mobync::{
    Owner,
    http::{Claim, Endpoint, Head},
};
use serde_json::{Value, json};

use crate::{
    support::{create, delete, update},
    town::{Role, Town, codes, member, read},
};

/// What the family has, and Ada of her own.
async fn town() -> Town {
    let town = Town::new();
    town.members.join("family", "ada", Role::Writer);
    town.members.join("family", "bob", Role::Writer);
    town.members.join("club", "ada", Role::Writer);
    let secret = create("t1", json!({"name": "secret"})).id("family-1");
    let own = create("t9", json!({"name": "own"})).id("own-1");
    let answers = town.sync("ada", &[member("family", 0, [secret]), member("", 0, [own])]).await;
    assert_eq!(codes(&answers), [(200, ""), (200, "")]);
    town
}

/// The bytes of a person's answer.
async fn bytes(town: &Town, person: &str, syncs: &[Value]) -> Bytes {
    read(town.post(json!({"auth_token": person, "syncs": syncs}).to_string()).await).await.body
}

/// Everything in the family's space.
async fn family(town: &Town) -> Value {
    town.sync("ada", &[member("family", 0, [])]).await.remove(0)
}

#[tokio::test]
async fn gone_a_former_member_gets_and_changes_nothing_whatever_they_know() {
    let town = town().await;
    let joined = town.sync("bob", &[member("family", 0, [])]).await;
    assert_eq!(joined[0]["diffs"].as_array().unwrap().len(), 1);
    let before = family(&town).await;
    town.members.leave("family", "bob");
    for sent in [
        vec![],
        vec![create("t1", json!({"name": "secret"})).id("family-1")],
        vec![update("t1", json!({"name": "changed"})).at(9)],
        vec![delete("t1").at(9)],
    ] {
        for clock in [0, 1, 2] {
            let to_family = bytes(&town, "bob", &[member("family", clock, sent.clone())]).await;
            let to_none = bytes(&town, "bob", &[member("no such", clock, sent.clone())]).await;
            assert_eq!(to_family, to_none, "a space that never was looks the same");
            assert!(String::from_utf8_lossy(&to_family).contains("no_member"));
        }
    }
    assert_eq!(family(&town).await, before);
}

#[tokio::test]
async fn rejoin_a_member_who_comes_back_is_answered_as_a_new_device_is() {
    let town = town().await;
    let new = town.sync("bob", &[member("family", 0, [])]).await;
    town.members.leave("family", "bob");
    assert_eq!(codes(&town.sync("bob", &[member("family", 1, [])]).await), [(403, "no_member")]);
    town.members.join("family", "bob", Role::Writer);
    assert_eq!(town.sync("bob", &[member("family", 0, [])]).await, new);
}

#[tokio::test]
async fn a_guessed_space_is_no_space_of_the_guesser() {
    let town = town().await;
    for guess in ["family", "space family", "ada", "club", "Family", "family ", "no such"] {
        let sent = [create("t1", json!({"name": "x"})).id("family-1")];
        let answers = town.sync("eve", &[member(guess, 0, sent), member("", 0, [])]).await;
        assert_eq!(codes(&answers), [(403, "no_member"), (200, "")], "{guess}");
        assert_eq!(answers[0]["message"], "You are not a member.");
        assert_eq!(
            answers[1],
            json!({"status": 200, "success": true, "message": "", "logical_clock": 0, "diffs": []})
        );
    }
}

#[tokio::test]
async fn ids_of_one_space_mean_nothing_in_another() {
    let town = town().await;
    let before = family(&town).await;
    // The family's diff and object, in the club and in her own data, beside nothing for the family.
    let same = || [create("t1", json!({"name": "secret"})).id("family-1")];
    let others = || [update("t9", json!({"name": "other"})).id("own-1").at(5)];
    let answers = town
        .sync(
            "ada",
            &[member("club", 0, same()), member("family", 1, others()), member("", 1, same())],
        )
        .await;
    assert_eq!(codes(&answers), [(200, ""); 3]);
    assert_eq!(answers[0]["logical_clock"], 1, "new there, though the family knows the id");
    let nothing = "1 of 1 changes had no effect";
    assert!(answers[1]["message"].as_str().unwrap().starts_with(nothing), "t9 is not the family's");
    assert_eq!(answers[2]["logical_clock"], 2);
    let gone = town.sync("ada", &[member("club", 1, [delete("t1").at(9)])]).await;
    assert_eq!(gone[0]["logical_clock"], 2);
    assert_eq!(family(&town).await["diffs"], before["diffs"]);
    let own = town.sync("ada", &[member("", 0, [])]).await;
    let own: Vec<_> =
        own[0]["diffs"].as_array().unwrap().iter().map(|diff| &diff["json_data"]).collect();
    assert_eq!(own, [r#"{"id":"t9","name":"own"}"#, r#"{"id":"t1","name":"secret"}"#]);
}

#[tokio::test]
async fn an_auth_closure_that_does_not_look_at_the_space_keeps_a_team_s_diffs_out_of_the_person_s_data()
 {
    let town = town().await;
    let endpoint = Endpoint::without_auth(town.mobync.clone());
    let auth = |claim: Claim| async move { Ok(Owner::new(claim.token.as_str()?)?) };
    let sent = [create("t5", json!({"name": "the team's"}))];
    let body = json!({"auth_token": "ada", "syncs": [
        member("family", 0, sent), member("", 0, []), member("club", 0, [])]});
    let head = Head { method: "POST", content_type: Some(b"application/json"), ..Head::default() };
    let body = Full::<Bytes>::from(body.to_string());
    let answer = read(endpoint.answer(head, body, &town.limits, auth).await).await;
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    let answers = answer["syncs"].as_array().unwrap();
    assert_eq!(codes(answers), [(403, "no_member"), (200, ""), (403, "no_member")]);
    assert_eq!(answers[0]["message"], "You are not a member of this space.");
    assert_eq!(answers[1]["logical_clock"], 1, "nothing was added");
}

#[tokio::test]
async fn a_reader_gets_everything_and_each_change_of_theirs_is_refused_and_undone() {
    let town = town().await;
    town.members.join("family", "eve", Role::Reader);
    let sent = [
        update("t1", json!({"name": "eve's"})).id("e1").at(1),
        create("t2", json!({"name": "eve's"})).id("e2").at(2),
    ];
    let before = family(&town).await;
    let answer = town.sync("eve", &[member("family", 0, sent.clone())]).await.remove(0);
    assert_eq!(answer["diffs"][0]["id"], "family-1", "she reads");
    let because = |id: &str| json!({"diff_id": id, "code": "forbidden", "message": "You may only read here."});
    assert_eq!(answer["refused"], json!([because("e1"), because("e2")]));
    let after = family(&town).await;
    let names = |answer: &Value| {
        answer["diffs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|diff| diff["json_data"].to_string())
            .filter(|data| data.contains("eve"))
            .count()
    };
    assert_eq!((names(&before), names(&after)), (0, 0));
    assert_eq!(town.rules.seen.lock().unwrap().len(), 2, "no rule is asked about hers");
    // A writer who becomes a reader: what was accepted stays accepted.
    let sent = [update("t1", json!({"name": "bob's"})).id("b1").at(3)];
    assert!(
        town.sync("bob", &[member("family", 1, sent.clone())]).await[0].get("refused").is_none()
    );
    town.members.join("family", "bob", Role::Reader);
    assert!(town.sync("bob", &[member("family", 1, sent)]).await[0].get("refused").is_none());
}

#[tokio::test]
async fn rules_hear_which_member_writes() {
    let town = town().await;
    let new = |space, id: &str| member(space, 0, [create("t3", json!({"name": "x"})).id(id)]);
    town.sync("bob", &[new("family", "d1"), new("", "d2")]).await;
    town.sync("ada", &[new("club", "d3")]).await;
    let seen = town.rules.seen.lock().unwrap();
    let of = |owner: &str, member: Option<&str>, id: &str| {
        (owner.to_owned(), member.map(str::to_owned), id.to_owned())
    };
    let mut seen = seen[2..].to_vec();
    seen.sort_by(|a, b| a.2.cmp(&b.2));
    assert_eq!(
        seen,
        [
            of("space family", Some("bob"), "d1"),
            of("bob", None, "d2"),
            of("space club", Some("ada"), "d3")
        ]
    );
}
