//! The merge agrees with an oracle that was written from the protocol's text alone, on every request.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod oracle;
mod support;

use std::collections::{BTreeMap, HashMap, HashSet};

use mobync::{Diff, Operation, Overridden, OverriddenField};
use oracle::{Change, Entry, Fields, Kind, Lost, Oracle};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use support::{Sent, T0, pure::PureServer};

/// What a device sends, as the oracle reads it.
fn change(diff: &Diff) -> Change {
    let Entry { kind, model, object, fields, .. } = entry(diff);
    Change { id: diff.id.clone(), at: diff.utc_timestamp, kind, model, object, fields }
}

fn entry(diff: &Diff) -> Entry {
    let mut fields: Fields = serde_json::from_str(&diff.json_data).unwrap();
    let object = fields.remove("id").unwrap().as_str().unwrap().to_owned();
    Entry {
        id: (!diff.id.starts_with("minted")).then(|| diff.id.clone()),
        tick: diff.logical_clock,
        at: diff.utc_timestamp,
        kind: match diff.operation {
            Operation::Create => Kind::Create,
            Operation::Update => Kind::Update,
            Operation::Delete => Kind::Delete,
        },
        model: diff.model.clone(),
        object,
        fields,
    }
}

fn sorted(log: impl IntoIterator<Item = Entry>) -> Vec<Entry> {
    let mut log: Vec<_> = log.into_iter().collect();
    log.sort_by(|a, b| (a.tick, a.at, &a.id, &a.object).cmp(&(b.tick, b.at, &b.id, &b.object)));
    log
}

/// What goes back for each object, in order.
fn by_object(entries: Vec<Entry>) -> BTreeMap<String, Vec<Entry>> {
    let mut objects: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for entry in entries {
        objects.entry(entry.object.clone()).or_default().push(entry);
    }
    objects
}

type Line = (String, String, Value, Option<Value>, String);

fn lost(overridden: &[Overridden]) -> Vec<Line> {
    let of_diff = |diff: &Overridden| {
        let diff_id = diff.diff_id.clone();
        let line = move |(name, it): (&String, &OverriddenField)| {
            (diff_id.clone(), name.clone(), it.sent.clone(), it.stands.clone(), it.by.clone())
        };
        diff.fields.iter().map(line).collect::<Vec<_>>()
    };
    overridden.iter().flat_map(of_diff).collect()
}

fn lost_of_text(lost: Vec<Lost>) -> Vec<Line> {
    let line = |it: Lost| (it.diff_id, it.field, it.sent, it.stands, it.by.unwrap());
    lost.into_iter().map(line).collect()
}

fn is_refused(id: &str) -> bool {
    id.starts_with("refused")
}

/// Requests of devices at any clock, with diffs in any order, some of which come again.
fn request() -> impl Strategy<Value = (f64, Vec<Diff>)> {
    let fields = prop::collection::btree_map(0..3_u8, 0..4_u8, 0..3);
    let at = prop_oneof![8 => 0..8_i64, 1 => Just(-500), 1 => Just(1_000_000_000)];
    let diff = (0..60_u8, 0..3_u8, 0..2_u8, fields, at, prop::bool::weighted(0.2)).prop_map(
        |(id, operation, object, fields, at, refused)| {
            let object = format!("t{object}");
            let fields: Map<String, Value> = fields
                .into_iter()
                .map(|(name, value)| {
                    (format!("f{name}"), if value == 0 { Value::Null } else { json!(value) })
                })
                .collect();
            let fields = Value::Object(fields);
            let sent: Sent = match operation {
                0 => support::create(&object, fields),
                1 => support::update(&object, fields),
                _ => support::delete(&object),
            };
            let kind = if refused { "refused" } else { "d" };
            sent.at(at).id(&format!("{kind}-{id}")).0
        },
    );
    let diffs = prop::collection::vec(diff, 0..8).prop_map(|mut diffs| {
        let mut ids = HashSet::new();
        diffs.retain(|diff| ids.insert(diff.id.clone()));
        diffs
    });
    (0.0..1.0, diffs)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn log_answer_and_objects_are_those_of_the_oracle(
        requests in prop::collection::vec(request(), 1..10)
    ) {
        let mut server = PureServer::default();
        let mut oracle = Oracle::default();
        let mut first_sent = HashMap::new();
        for (share, mut diffs) in requests {
            for diff in &mut diffs {
                *diff = first_sent.entry(diff.id.clone()).or_insert_with(|| diff.clone()).clone();
            }
            // Most devices are near the clock; a share of 0 is a new one.
            #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small")]
            let since = (share.sqrt() * (server.clock() as f64 + 0.99)) as i64;
            let changes: Vec<Change> = diffs.iter().map(change).collect();
            let refuse = |change: &Change| is_refused(&change.id).then_some("forbidden");
            let expected = oracle.sync(since, &changes, T0 + 60_000, refuse, &|_, _, _| None).unwrap();
            let answer = server.sync(since, &diffs, |diff| is_refused(&diff.id));

            prop_assert_eq!(answer.clock, expected.clock);
            let log = server.log.iter().map(entry);
            prop_assert_eq!(sorted(log), sorted(oracle.log().iter().cloned()));
            let refused: Vec<String> = expected.refused.into_iter().map(|(id, _)| id).collect();
            prop_assert_eq!(answer.refused, refused);

            for it in &expected.overridden {
                // *Heard*: what stands is what goes back.
                let of_object = |diff: &&Diff| entry(diff).key() == it.key;
                let mut back = answer.diffs.iter().filter(of_object).map(entry);
                let is_heard = match &it.stands {
                    Some(stands) => back.any(|back| back.fields.get(&it.field) == Some(stands)),
                    None => back.any(|back| back.kind == Kind::Delete),
                };
                prop_assert!(is_heard);
            }
            prop_assert_eq!(lost(&answer.overridden), lost_of_text(expected.overridden));

            let mut back = by_object(answer.diffs.iter().map(entry).collect());
            let expected = by_object(expected.entries);
            for (object, back) in &mut back {
                let expected = expected.get(object).map(Vec::as_slice).unwrap_or_default();
                for (back, expected) in back.iter_mut().zip(expected) {
                    if expected.id.is_none() {
                        // Who began a life before the window is not told; a server may know it.
                        (back.id, back.tick, back.at) = (None, expected.tick, expected.at);
                    }
                }
            }
            prop_assert_eq!(back, expected);
        }
    }
}
