//! A log folded entry by entry. That a new device gets the same as from the merge is held by whoever
//! syncs with the pure server (`promises.rs`, `agreement.rs`).
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use mobync::{Diff, Operation, Owner, Snapshot};
use serde_json::{Value, json};

fn entry(operation: Operation, tick: i64, data: &Value) -> Diff {
    Diff {
        id: format!("entry-{tick}"),
        owner: "ada".to_owned(),
        logical_clock: tick,
        utc_timestamp: 0,
        operation,
        model: "tasks".to_owned(),
        json_data: data.to_string(),
    }
}

#[test]
fn very_many_fields_are_all_kept() {
    let mut snapshot = Snapshot::default();
    let mut expected = json!({"id": "t1", "first": 1});
    snapshot.add(&entry(Operation::Create, 0, &expected)).unwrap();
    for tick in 1..50 {
        let mut changes = json!({"id": "t1"});
        for field in 0..40 * tick {
            changes[format!("f{}", field * 7 % 1_500)] = json!(tick);
        }
        snapshot.add(&entry(Operation::Update, tick, &changes)).unwrap();
        expected.as_object_mut().unwrap().append(changes.as_object_mut().unwrap());
    }
    let (clock, creates) = snapshot.finish(&Owner::new("ada").unwrap()).unwrap().unwrap();
    let data: Value = serde_json::from_str(&creates[0].json_data).unwrap();
    assert_eq!((clock, creates.len(), &*creates[0].id), (50, 1, "entry-0"));
    assert_eq!(data, expected);
}

#[test]
fn an_entry_that_cannot_be_read_is_named() {
    let mut broken = entry(Operation::Update, 3, &json!({"id": "t1"}));
    broken.json_data = "{".to_owned();
    let error = Snapshot::default().add(&broken).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("log entry entry-3"), "{cause}");
}

#[test]
fn what_is_older_than_the_log_cannot_be_told_from_it() {
    let owner = Owner::new("ada").unwrap();
    let folded = |entries: &[Diff]| {
        let mut snapshot = Snapshot::default();
        entries.iter().try_for_each(|entry| snapshot.add(entry)).unwrap();
        snapshot.finish(&owner).unwrap()
    };
    let update = |tick, data| entry(Operation::Update, tick, &data);
    let receipt = update(0, json!({"id": "t0"}));
    assert_eq!(folded(std::slice::from_ref(&receipt)), Some((1, Vec::new())));

    let (one, more) =
        (update(1, json!({"id": "t1", "a": 1})), update(2, json!({"id": "t1", "a": 2})));
    assert_eq!(folded(std::slice::from_ref(&one)), None);
    assert_eq!(folded(&[one, more, update(3, json!({"id": "t1"}))]), None);
}
