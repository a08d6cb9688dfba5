//! Hostile bodies: whatever arrives, the response is an error of the protocol, and a failure leaves
//! nothing behind.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Server, diff, request};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
        prop_oneof!["id", "create", "tasks", "t1", "[{}]"].prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let name = prop_oneof![
            Just("id".to_owned()),
            Just("json_data".to_owned()),
            Just("diffs".to_owned()),
            Just("logical_clock".to_owned()),
            "[a-z]{0,3}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A request that is almost valid.
fn almost() -> impl Strategy<Value = Vec<u8>> {
    let members = ["id", "owner", "logical_clock", "utc_timestamp", "type", "model", "json_data"];
    let change = (prop::sample::select(members.to_vec()), any_json(), any::<bool>());
    prop::collection::vec(change, 0..3).prop_map(|changes| {
        let mut one = diff(json!({}));
        for (member, value, encoded) in changes {
            one[member] = if encoded { json!(value.to_string()) } else { value };
        }
        request(&[one]).into_bytes()
    })
}

proptest! {
    #[test]
    fn whatever_comes_there_is_a_sober_answer_and_nothing_of_a_failure_stays(
        (mut body, cut, flip) in (
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                any_json().prop_map(|json| json.to_string().into_bytes()),
                almost(),
            ],
            prop::option::weighted(0.2, any::<prop::sample::Index>()),
            prop::option::weighted(0.2, (any::<prop::sample::Index>(), any::<u8>())),
        )
    ) {
        if let Some((place, byte)) = flip.filter(|_| !body.is_empty()) {
            let place = place.index(body.len());
            body[place] = byte;
        }
        if let Some(cut) = cut.filter(|_| !body.is_empty()) {
            body.truncate(cut.index(body.len()));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let server = Server::new();
            let answer = server.post(body).await;
            assert!(matches!(answer.status, 200 | 400 | 401 | 409 | 422), "{}", answer.json);
            let after = server.sync("ada", 0, []).await;
            if answer.status != 200 {
                assert_eq!(after.json["logical_clock"], 0);
            }
        });
    }
}
