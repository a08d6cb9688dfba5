//! A batch is answered with the bytes of its members' own requests, each to a server that knows its owner alone.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::{
    support,
    town::{Answer, Role, Town, read},
};

/// The spaces that members name, with what they stand for; one request has each at most once.
const SPACES: [Option<&str>; 14] = [
    None,
    Some("family"),
    Some("family's second name"),
    Some("club"),
    Some("read only"),
    Some("nobody's"),
    Some("mirror"), // the auth closure names the person's own owner
    Some("busy"),
    Some("failing"),
    Some("lost"),
    Some("later"),
    Some("closed"),
    Some("panic"),
    Some("ada"), // as the person's own owner is called
];

/// A server with these spaces; `mirrors` names what the space "mirror" is.
fn town(mirrors: bool) -> Town {
    let town = Town::new();
    for space in ["family", "club", "busy", "failing", "ada"] {
        town.members.join(space, "ada", Role::Writer);
    }
    town.members.join_as("family's second name", "ada", "space family", Role::Reader);
    town.members.join("read only", "ada", Role::Reader);
    town.members.join("read only", "bob", Role::Writer);
    if mirrors {
        town.members.join_as("mirror", "ada", "ada", Role::Writer);
    }
    town
}

/// Diffs that are new, known, refused, wrong or panicking.
fn diff() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        6 => (0..3_u8).prop_map(|name| json!(name.to_string())),
        1 => Just(json!("forbidden")),
        1 => Just(json!("panicking")),
    ];
    let wrong = prop::option::weighted(0.1, 0..4_u8);
    (0..40_u8, 0..3_u8, 0..3_u8, name, 0..8_i64, wrong).prop_map(
        |(id, kind, object, name, at, wrong)| {
            let object = format!("t{object}");
            let sent = match kind {
                0 => support::create(&object, json!({"name": name})),
                1 => support::update(&object, json!({"name": name})),
                _ => support::delete(&object),
            };
            let mut diff = serde_json::to_value(sent.at(at).id(&format!("d{id}")).0).unwrap();
            match wrong {
                Some(0) => diff["model"] = json!("no model"),
                Some(1) => diff["json_data"] = json!("{"),
                Some(2) => diff["utc_timestamp"] = json!(-1),
                Some(_) => diff = json!("no diff"),
                None => {}
            }
            diff
        },
    )
}

/// What a member asks for, right or wrong.
fn asked() -> impl Strategy<Value = Map<String, Value>> {
    let clock = prop_oneof![
        8 => (0..6_i64).prop_map(|clock| json!(clock)),
        1 => Just(json!("2")),
        1 => Just(json!(true)),
        1 => Just(Value::Null),
    ];
    let diffs = prop_oneof![
        3 => Just(json!([])),
        4 => prop::collection::vec(diff(), 1..4).prop_map(Value::Array),
        1 => Just(json!({})),
    ];
    let other = prop_oneof![
        Just(("head", json!(""))),
        Just(("head", json!("d1"))),
        Just(("limit", json!(1))),
        Just(("limit", json!(0))),
        Just(("report", json!(true))),
        Just(("check", json!(true))),
        Just(("schema", json!(1))),
        Just(("owner", json!(""))),
        Just(("owner", json!("ada"))),
        Just(("owner", json!("space family"))),
        Just(("unknown", json!([{"x": null}]))),
    ];
    (clock, diffs, prop::collection::vec(other, 0..3)).prop_map(|(clock, diffs, others)| {
        let mut asked = Map::new();
        asked.insert("logical_clock".to_owned(), clock);
        asked.insert("diffs".to_owned(), diffs);
        asked.extend(others.into_iter().map(|(name, value)| (name.to_owned(), value)));
        asked
    })
}

/// Members for different spaces.
fn batch() -> impl Strategy<Value = Vec<(Option<&'static str>, Map<String, Value>)>> {
    let spaces = prop::sample::subsequence(SPACES.to_vec(), 0..=SPACES.len()).prop_shuffle();
    (spaces, prop::collection::vec(asked(), SPACES.len()))
        .prop_map(|(spaces, asked)| spaces.into_iter().zip(asked).collect())
}

/// With `#0`, `#1` and so on for the ids that the server has made.
fn masked(body: &str, ids: &mut Vec<String>) -> String {
    let is_id =
        |word: &str| word.len() == 36 && word.bytes().filter(|byte| *byte == b'-').count() == 4;
    let mut masked = String::new();
    for word in body.split_inclusive('"') {
        match word.strip_suffix('"').filter(|word| is_id(word)) {
            Some(id) => {
                let place = ids.iter().position(|known| known == id).unwrap_or_else(|| {
                    ids.push(id.to_owned());
                    ids.len() - 1
                });
                masked.push_str(&format!("#{place}\""));
            }
            None => masked.push_str(word),
        }
    }
    masked
}

/// What the answer to a request alone is as a part of the answer to several.
fn as_member(alone: &Answer) -> String {
    let body = std::str::from_utf8(&alone.body).unwrap();
    let inner = body.strip_prefix('{').unwrap().strip_suffix('}').unwrap();
    let retry = alone.retry_after.as_ref().map(|value| format!(",\"retry_after\":{value}"));
    format!("{{\"status\":{},{inner}{}}}", alone.status, retry.unwrap_or_default())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_batch_is_answered_with_the_bytes_of_its_members_alone(
        batches in prop::collection::vec(batch(), 1..5),
        at_once in 1..4_usize,
        in_header in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (mut together, mut apart) = (town(true), BTreeMap::new());
            together.limits = together.limits.spaces_at_once(at_once);
            let (mut ids_together, mut ids_apart) = (Vec::new(), Vec::new());
            for batch in batches {
                let mut syncs = Vec::new();
                let mut expected = Vec::new();
                for (space, mut asked) in batch {
                    let token = match space {
                        None => "ada".to_owned(),
                        Some(space) => format!("ada@{space}"),
                    };
                    let mut alone = asked.clone();
                    alone.insert("auth_token".to_owned(), json!(token));
                    let owner = space.map(|space| space.split('\'').next());
                    let server = apart.entry(owner).or_insert_with(|| town(false));
                    let alone = read(server.post(Value::Object(alone).to_string()).await).await;
                    let alone = as_member(&alone);
                    // The library itself says it there.
                    expected.push(match space {
                        Some("mirror") => alone.replace("not a member.", "not a member of this space."),
                        _ => alone,
                    });
                    if let Some(space) = space {
                        asked.insert("space".to_owned(), json!(space));
                    }
                    syncs.push(Value::Object(asked));
                }
                let mut body = json!({"syncs": syncs});
                if !in_header {
                    body["auth_token"] = json!("ada");
                }
                let header = in_header.then_some("Bearer ada");
                let answer = read(together.send(header, body.to_string()).await).await;
                assert_eq!((answer.status, &answer.retry_after), (200, &None));
                let expected = format!("{{\"success\":true,\"syncs\":[{}]}}", expected.join(","));
                let expected = masked(&expected, &mut ids_apart);
                let answer = masked(std::str::from_utf8(&answer.body).unwrap(), &mut ids_together);
                assert_eq!(answer, expected);
            }
        });
    }
}
