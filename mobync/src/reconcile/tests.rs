//! A model: a log, and rows that anyone has written. Reconciling makes them equal.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Difference, MOST_IN_A_TICK, Rest, Row, Said, Schema, entries};
use crate::{
    Diff, Operation, Owner, Snapshot,
    merge::{Alive, Now},
};

const NOW: Now = Now { utc: 1_000, drift: 100 };

/// A table `lists`, and a table `tasks` whose rows reference lists and each other. Every column may be
/// omitted, and `n` has a default.
struct Tables;

impl Schema for Tables {
    fn has(&self, _: &str, field: &str) -> bool {
        field != "dropped"
    }

    fn same(&self, _: &str, _: &str, written: &str, held: &str) -> bool {
        super::value::same(written, held)
    }

    fn default_of(&self, _: &str, field: &str) -> Option<&str> {
        (field == "n").then_some("7")
    }

    fn rank(&self, model: &str) -> usize {
        usize::from(model == "tasks")
    }

    fn parents(&self, model: &str) -> Vec<&str> {
        if model == "tasks" { vec!["above"] } else { Vec::new() }
    }
}

type Objects = BTreeMap<(String, String), Map<String, Value>>;

fn ada() -> Owner {
    Owner::new("ada").unwrap()
}

fn text(id: &str, row: &Map<String, Value>) -> String {
    let mut row = row.clone();
    row.insert("id".to_owned(), id.into());
    Value::Object(row).to_string()
}

fn fold(log: &[Diff]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.follow_all(log.iter().map(Into::into)).unwrap();
    snapshot
}

/// The differences of all objects in the log or the rows.
fn differences(log: &[Diff], rows: &Objects, marks: &BTreeMap<String, i64>) -> Vec<Difference> {
    let mut said = fold(log);
    let mut keys: BTreeSet<(String, String)> = rows.keys().cloned().collect();
    for model in ["lists", "tasks"] {
        keys.extend(said.ids(model).map(|id| (model.to_owned(), id.to_owned())));
    }
    let mut differences = Vec::new();
    for (model, id) in keys {
        let said = said.alive(&model, &id).unwrap().map(|Alive { json_data, is_older }| {
            let rest = if is_older { Rest::Unknown } else { Rest::Default };
            Said::read(json_data, rest).unwrap()
        });
        let row = rows.get(&(model.clone(), id.clone())).map(|row| text(&id, row));
        let row = row.as_ref().map(|row| Row::read(row).unwrap());
        let difference = Difference::of(&model, &id, said.as_ref(), row.as_ref(), &Tables);
        differences.extend(difference.map(|it| Difference { at: marks.get(&id).copied(), ..it }));
    }
    differences
}

fn reconcile(log: &mut Vec<Diff>, rows: &Objects, marks: &BTreeMap<String, i64>) -> usize {
    let clock = log.iter().map(|entry| entry.logical_clock + 1).max().unwrap_or(0);
    let minted = Cell::new(log.len());
    let mint = || {
        minted.set(minted.get() + 1);
        format!("{:09}", minted.get())
    };
    let new = entries(differences(log, rows, marks), &Tables, &ada(), clock, NOW, mint);
    let count = new.len();
    log.extend(new);
    count
}

/// The state of a device that has applied the log. Nulls and defaults count as missing.
fn applied(log: &[Diff]) -> Objects {
    let mut log = log.to_vec();
    log.sort_by(|left, right| left.order().cmp(&right.order()));
    let mut objects = Objects::new();
    for entry in &log {
        let mut data: Map<String, Value> = serde_json::from_str(&entry.json_data).unwrap();
        let id = data.remove("id").unwrap().as_str().unwrap().to_owned();
        let key = (entry.model.clone(), id);
        match entry.operation {
            Operation::Create => drop(objects.insert(key, data)),
            Operation::Update => objects.entry(key).or_default().extend(data),
            Operation::Delete => drop(objects.remove(&key)),
        }
    }
    plain(objects)
}

fn plain(mut objects: Objects) -> Objects {
    for fields in objects.values_mut() {
        fields.entry("n").or_insert_with(|| json!(7));
        fields.retain(|_, value| !value.is_null());
    }
    objects
}

fn rows() -> impl Strategy<Value = Objects> {
    let id = prop::sample::select(vec!["a", "b", "c", "d"]);
    let value = prop_oneof![Just(json!(null)), Just(json!(1)), Just(json!("x")), Just(json!(7))];
    let above = prop::option::of(id.clone()).prop_map(|id| json!(id));
    let row = (value.clone(), value, above).prop_map(|(a, n, above)| {
        Map::from_iter([("a".to_owned(), a), ("n".to_owned(), n), ("above".to_owned(), above)])
    });
    let model = prop::sample::select(vec!["lists", "tasks"]);
    let key = (model, id).prop_map(|(model, id)| (model.to_owned(), id.to_owned()));
    prop::collection::btree_map(key, row, 0..6)
}

fn marks() -> impl Strategy<Value = BTreeMap<String, i64>> {
    prop::collection::btree_map("[abcd]", -5_i64..2_000, 0..4)
}

proptest! {
    /// *Truth*, *Once* and *Quiet*, whatever states the rows have.
    #[test]
    fn behind_a_reconciliation_the_log_says_what_the_rows_do(
        states in prop::collection::vec((rows(), marks()), 1..5),
    ) {
        let mut log = Vec::new();
        for (rows, marks) in states {
            let is_quiet = applied(&log) == plain(rows.clone());
            let before = log.len();
            let new = reconcile(&mut log, &rows, &marks);
            prop_assert_eq!(new == 0, is_quiet, "Quiet");
            prop_assert_eq!(applied(&log), plain(rows.clone()), "Truth");
            prop_assert_eq!(reconcile(&mut log, &rows, &marks), 0, "Once");
            log[before..].sort_by(|left, right| left.order().cmp(&right.order()));
            prop_assert!(log.iter().all(|entry| (0..=1_100).contains(&entry.utc_timestamp)));
            check_relations(&log[before..]);
        }
    }

    /// An object that is older than the log is logged as a whole, once.
    #[test]
    fn what_is_older_than_the_log_is_told_of_whole(rows in rows()) {
        let mut log: Vec<Diff> = rows
            .keys()
            .enumerate()
            .map(|(number, (model, id))| Diff {
                id: format!("u{number}"),
                owner: "ada".to_owned(),
                logical_clock: 0,
                utc_timestamp: 1,
                operation: Operation::Update,
                model: model.clone(),
                json_data: json!({"id": id, "a": "before"}).to_string(),
            })
            .collect();
        let new = reconcile(&mut log, &rows, &BTreeMap::new());
        prop_assert_eq!(new, rows.len());
        let all = log.iter().all(|entry| entry.operation == Operation::Update);
        prop_assert!(all, "a create would be of a life apart");
        prop_assert_eq!(applied(&log), plain(rows.clone()));
        prop_assert_eq!(reconcile(&mut log, &rows, &BTreeMap::new()), 0);
    }
}

/// Creates of parents before those of children, and deletes the other way round.
fn check_relations(new: &[Diff]) {
    let class = |entry: &Diff| match entry.operation {
        Operation::Create => 0,
        Operation::Update => 1,
        Operation::Delete => 2,
    };
    assert!(new.is_sorted_by_key(class), "{new:?}");
    let rank = |operation| {
        let new = new.iter().filter(move |entry| entry.operation == operation);
        new.map(|entry| Tables.rank(&entry.model))
    };
    assert!(rank(Operation::Create).is_sorted());
    assert!(rank(Operation::Delete).rev().is_sorted());
}

fn task(id: usize, above: Value) -> ((String, String), Map<String, Value>) {
    (("tasks".to_owned(), format!("t{id}")), Map::from_iter([("above".to_owned(), above)]))
}

#[test]
fn rows_of_one_table_come_behind_those_that_they_refer_to_and_go_before_them() {
    let above = |id| if id == 9 { json!(null) } else { json!(format!("t{}", id + 1)) };
    let chain: Objects = (0..10).map(|id| task(id, above(id))).collect();
    let mut log = Vec::new();
    reconcile(&mut log, &chain, &BTreeMap::from([("t9".to_owned(), 900), ("t0".to_owned(), 3)]));
    let id = |entry: &Diff| {
        let data: Value = serde_json::from_str(&entry.json_data).unwrap();
        data["id"].as_str().unwrap().to_owned()
    };
    let order: Vec<String> = log.iter().map(id).collect();
    assert_eq!(order.first().map(|id| &**id), Some("t9"));
    assert!(order.is_sorted_by(|left, right| left > right), "{order:?}");
    reconcile(&mut log, &Objects::new(), &BTreeMap::from([("t0".to_owned(), 900)]));
    let order: Vec<String> = log[10..].iter().map(id).collect();
    assert!(order.is_sorted(), "{order:?}");
    assert!(log[10..].iter().all(|entry| entry.utc_timestamp >= 900));

    let circle: Objects = (0..3).map(|id| task(id, json!(format!("t{}", (id + 1) % 3)))).collect();
    assert_eq!(reconcile(&mut log, &circle, &BTreeMap::new()), 3);
}

#[test]
fn a_tick_has_so_many_entries_at_the_most() {
    let rows: Objects = (0..=MOST_IN_A_TICK).map(|id| task(id, json!(null))).collect();
    let mut log = Vec::new();
    reconcile(&mut log, &rows, &BTreeMap::new());
    let ticks: Vec<i64> = log.iter().map(|entry| entry.logical_clock).collect();
    assert_eq!((ticks[0], ticks[MOST_IN_A_TICK - 1], ticks[MOST_IN_A_TICK]), (0, 0, 1));
}

#[test]
fn what_the_column_makes_of_the_logs_value_is_no_difference() {
    let said = r#"{"id":"a","at":"2020-01-01T00:00:00Z","n":1.005,"b":"x"}"#;
    let said = Said::read(said, Rest::Default).unwrap();
    let row = r#"{"id":"a","at":"2020-01-01T00:00:00+00:00","n":1.01,"b":"y"}"#;
    let row = Row::read(row).unwrap();
    let mut it = Difference::of("tasks", "a", Some(&said), Some(&row), &Tables).unwrap();
    let text = r#"{"id":"a","at":"2020-01-01T00:00:00Z","b":"x","n":1.005}"#;
    assert_eq!(it.said(&said, &[]).unwrap(), text);
    assert_eq!(it.said(&said, &["at", "n"]).unwrap(), r#"{"id":"a","b":"x"}"#);
    assert_eq!(it.said(&said, &["at", "b", "n"]), None);
    assert!(it.is_left(r#"{"id":"a","at":"2020-01-01T00:00:00+00:00","b":"x","n":1.010}"#));
    assert_eq!(
        it.change,
        super::Differs::Update(BTreeMap::from([("b".to_owned(), "\"y\"".to_owned())]))
    );
    assert!(!it.is_left(r#"{"id":"a","b":"y"}"#));
}

#[test]
fn a_column_that_is_gone_is_no_difference_and_a_field_that_is_gone_is() {
    let said = r#"{"id":"a","dropped":1,"gone":2,"null":null}"#;
    let said = Said::read(said, Rest::Default).unwrap();
    let row = Row::read(r#"{"id":"a"}"#).unwrap();
    let it = Difference::of("tasks", "a", Some(&said), Some(&row), &Tables).unwrap();
    let gone = BTreeMap::from([("gone".to_owned(), "null".to_owned())]);
    assert_eq!(it.change, super::Differs::Update(gone));
}

#[test]
fn a_row_that_no_diff_can_bring_is_none() {
    for (row, reason) in [
        (r#"{"id":""}"#, "empty"),
        (r#"{"id":null}"#, "no text"),
        (r#"{"id":"a","f":1e999}"#, "out of range"),
        (r#"{"id":"a","f":{"a":1,"a":2}}"#, "twice"),
        (r#"{"id":"a\u0000"}"#, "NUL"),
    ] {
        let error = Row::read(row).unwrap_err();
        assert!(error.contains(reason), "{row}: {error}");
    }
}
