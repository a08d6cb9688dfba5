//! The map between names, against a model in which each thing has a number that never changes.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{InvalidSchema, Schema, Step};
use crate::{
    diff::{Diff, Operation},
    merge::Entry,
};

/// What a version has: for each model, its name, and the names of its fields, by their numbers.
type Shape = BTreeMap<usize, (String, BTreeMap<usize, String>)>;

/// A schema, and what each of its versions has; version 1 first.
#[derive(Clone, Debug)]
struct History {
    schema: Schema,
    shapes: Vec<Shape>,
    /// What older versions get in place of a removed field, by model and field.
    replaced: BTreeMap<(usize, usize), Value>,
}

impl History {
    /// What is there by the moves: each chooses among what can be done.
    fn of(moves: &[(usize, usize, bool)]) -> Self {
        let model = |number: usize| {
            let fields = (0..3).map(|field| (field, format!("f{number}{field}"))).collect();
            (number, (format!("m{number}"), fields))
        };
        let mut shapes: Vec<Shape> = vec![(0..3).map(model).collect()];
        let (mut steps, mut replaced, mut new) = (Vec::new(), BTreeMap::new(), 10);
        for (what, which, is_next) in moves {
            let mut shape = shapes.last().unwrap().clone();
            let is_first = steps.is_empty();
            let since = shapes.len() as u64 + u64::from(*is_next || is_first);
            new += 1;
            let Some(model) = shape.keys().copied().nth(which % shape.len().max(1)) else { break };
            let (name, fields) = shape.get_mut(&model).unwrap();
            let field = fields.keys().copied().nth(which / 3 % fields.len().max(1));
            let old = name.clone();
            let mut remove = false;
            steps.push(match (what % 8, field) {
                (0, _) => {
                    fields.insert(new, format!("n{new}"));
                    Step::added(since, old, format!("n{new}"), new)
                }
                (1..=3, Some(field)) => {
                    let from = fields.insert(field, format!("r{new}")).unwrap();
                    Step::renamed(since, old, from, format!("r{new}"))
                }
                (4, Some(field)) => {
                    replaced.insert((model, field), json!(new));
                    Step::removed(since, old, fields.remove(&field).unwrap(), new)
                }
                (5, _) => {
                    *name = format!("s{new}");
                    Step::renamed_model(since, old, format!("s{new}"))
                }
                (6, _) if shape.len() > 1 => {
                    remove = true;
                    Step::removed_model(since, old)
                }
                _ => {
                    shape.insert(new, (format!("a{new}"), BTreeMap::new()));
                    Step::added_model(since, format!("a{new}"))
                }
            });
            if remove {
                shape.remove(&model);
            }
            if since > shapes.len() as u64 {
                shapes.push(shape);
            } else {
                *shapes.last_mut().unwrap() = shape;
            }
        }
        Self { schema: Schema::new(steps).unwrap(), shapes, replaced }
    }

    fn shape(&self, version: usize) -> &Shape {
        &self.shapes[version - 1]
    }
}

fn histories() -> impl Strategy<Value = History> {
    prop::collection::vec((0..8_usize, 0..100_usize, any::<bool>()), 0..12)
        .prop_map(|moves| History::of(&moves))
}

/// A diff that an app of a version makes, with all or some of the fields of a model.
fn diff(
    operation: Operation,
    model: &str,
    fields: impl IntoIterator<Item = (String, Value)>,
) -> Diff {
    let mut data = Map::from_iter([("id".to_owned(), json!("o1"))]);
    data.extend(fields);
    Diff {
        id: "d1".to_owned(),
        owner: String::new(),
        logical_clock: 0,
        utc_timestamp: 7,
        operation,
        model: model.to_owned(),
        json_data: Value::Object(data).to_string(),
    }
}

fn fields_of(diff: &Diff) -> BTreeMap<String, Value> {
    let mut data: BTreeMap<String, Value> = serde_json::from_str(&diff.json_data).unwrap();
    assert_eq!(data.remove("id").unwrap(), json!("o1"));
    data
}

proptest! {
    /// What an app of one version writes, as an app of another one sees it. With both the same this is the
    /// law *Lens*.
    #[test]
    fn lens_and_every_other_pair_of_versions(
        history in histories(),
        picks in (0..100_usize, 0..100_usize, 0..100_usize, any::<u8>()),
        operation in prop_oneof![Just(Operation::Create), Just(Operation::Update), Just(Operation::Delete)],
    ) {
        let versions = history.shapes.len();
        let (from, to) = (picks.0 % versions + 1, picks.1 % versions + 1);
        let shape = history.shape(from);
        let (model, (name, fields)) = shape.iter().nth(picks.2 % shape.len()).unwrap();
        let named = fields.iter().enumerate().filter(|(place, _)| picks.3 >> (place % 8) & 1 == 1);
        let named: BTreeMap<usize, &String> = named.map(|(_, (field, name))| (*field, name)).collect();
        let sent = match operation {
            Operation::Delete => diff(operation, name, []),
            _ => diff(operation, name, named.iter().map(|(field, name)| ((*name).clone(), json!(field)))),
        };
        let schema = &history.schema;
        prop_assert_eq!(schema.version(), versions as u64);
        let meant = schema.inwards(std::slice::from_ref(&sent)).unwrap()[0].clone();
        let mut again = meant.clone();
        schema.read(&mut again);
        prop_assert_eq!(&again, &meant, "the newest names are their own meaning");

        let newest = history.shape(versions);
        let Some((newest_name, newest_fields)) = newest.get(model) else {
            // A receipt.
            prop_assert_eq!(meant.operation, Operation::Update);
            prop_assert!(fields_of(&meant).is_empty());
            return Ok(());
        };
        prop_assert_eq!(&meant.model, newest_name);
        let gone = schema.view(to as u64).diff(meant).unwrap();
        let left: BTreeMap<usize, Value> = match operation {
            Operation::Delete => BTreeMap::new(),
            _ => named.keys().filter(|field| newest_fields.contains_key(field)).map(|field| (*field, json!(field))).collect(),
        };
        let Some((name, fields)) = history.shape(to).get(model) else {
            prop_assert_eq!(gone, None, "the version does not have the model");
            return Ok(());
        };
        let mut expected: BTreeMap<String, Value> =
            left.iter().filter_map(|(field, value)| Some((fields.get(field)?.clone(), value.clone()))).collect();
        if operation == Operation::Create {
            let removed = fields.iter().filter(|(field, _)| !newest_fields.contains_key(field));
            expected.extend(removed.map(|(field, name)| (name.clone(), history.replaced[&(*model, *field)].clone())));
        }
        match gone {
            // What has no field from the beginning is left as it is.
            None => prop_assert!(operation == Operation::Update && expected.is_empty()),
            Some(gone) => {
                prop_assert_eq!(&gone.model, name);
                prop_assert_eq!(gone.operation, operation);
                prop_assert_eq!(fields_of(&gone), expected);
            }
        }
    }

    /// A name never gets another meaning.
    #[test]
    fn a_name_that_was_ever_used_cannot_be_used_again(history in histories(), pick in 0..1000_usize) {
        let next = history.schema.version() + 1;
        let names: BTreeSet<(usize, &String)> = history
            .shapes
            .iter()
            .flatten()
            .flat_map(|(model, (_, fields))| fields.values().map(|name| (*model, name)))
            .collect();
        let newest = history.shape(history.shapes.len());
        let Some((model, (owner, _))) = newest.iter().nth(pick % newest.len().max(1)) else { return Ok(()) };
        for (_, name) in names.iter().filter(|(of, _)| of == model) {
            // A name that no step has named is only known to the database.
            let is_known = history.schema.models.get(owner).is_some_and(|known| known.fields.get(name).is_some());
            let steps = history.schema.steps().iter().cloned();
            let reused = Schema::new(steps.chain([Step::added(next, owner, *name, 0)]));
            prop_assert_eq!(reused.is_err(), is_known, "{}", name);
        }
    }
}

#[test]
fn two_names_of_one_field_in_a_diff_are_an_error_and_in_the_log_the_newer_one_counts() {
    let schema = Schema::new([
        Step::renamed(2, "tasks", "name", "title"),
        Step::renamed(3, "tasks", "title", "label"),
    ]);
    let schema = schema.unwrap();
    for names in [["name", "title"], ["label", "name"], ["title", "label"], ["n\\u0061me", "title"]]
    {
        for names in [names, [names[1], names[0]]] {
            let json_data = format!(
                r#"{{"id":"o1","{}":"{}","{}":"{}"}}"#,
                names[0], names[0], names[1], names[1]
            );
            let mut both = Diff { json_data, ..diff(Operation::Update, "tasks", []) };
            let error = schema.inwards(std::slice::from_ref(&both)).unwrap_err();
            assert_eq!((error.code(), error.diff_id()), ("invalid_diff", Some("d1")));
            schema.read(&mut both);
            let newer = ["label", "title"].into_iter().find(|name| names.contains(name)).unwrap();
            assert_eq!(fields_of(&both), BTreeMap::from([("label".to_owned(), json!(newer))]));
        }
    }
}

#[test]
fn what_cannot_be_read_is_left_for_the_checks_behind() {
    let schema =
        Schema::new([Step::renamed(2, "tasks", "name", "title"), Step::removed_model(2, "labels")]);
    let schema = schema.unwrap();
    let deep = format!(r#"{{"id":"o1","name":{}1{}}}"#, "[".repeat(500), "]".repeat(500));
    for json_data in
        ["", "7", "[]", r#"{"name":1}"#, r#"{"id":7,"name":1}"#, r#"{"id":"o1","name":NaN}"#, &deep]
    {
        for model in ["tasks", "labels"] {
            let sent =
                Diff { json_data: json_data.to_owned(), ..diff(Operation::Update, model, []) };
            let read = schema.inwards(std::slice::from_ref(&sent)).unwrap();
            // A receipt of a removed model has nothing left to check but the id.
            let is_receipt = model == "labels" && read[0] != sent;
            assert!(is_receipt || Entry::check(&read[0]).is_err(), "{json_data}");
        }
    }
}

#[test]
fn steps_that_cannot_be_are_told_with_their_version() {
    use InvalidSchema::{Gone, Name, Reused, Version};
    let name = |name: &str, since| (name.to_owned(), since);
    let cases = [
        (vec![Step::added(1, "tasks", "due", 0)], Version { since: 1 }),
        (vec![Step::added(u64::MAX, "tasks", "due", 0)], Version { since: u64::MAX }),
        (vec![Step::renamed(2, "tasks", "id", "key")], Name { name: "id".to_owned(), since: 2 }),
        (vec![Step::renamed(2, "tasks", "key", "id")], Name { name: "id".to_owned(), since: 2 }),
        (vec![Step::removed(2, "tasks", "", 0)], Name { name: String::new(), since: 2 }),
        (
            vec![Step::renamed(2, "tasks", "a", "b"), Step::renamed(3, "tasks", "b", "a")],
            Reused { name: name("a", 3).0, since: 3 },
        ),
        (
            vec![Step::removed(2, "tasks", "a", 0), Step::added(3, "tasks", "a", 0)],
            Reused { name: "a".to_owned(), since: 3 },
        ),
        (
            vec![Step::renamed(2, "tasks", "a", "b"), Step::removed(3, "tasks", "a", 0)],
            Gone { name: "a".to_owned(), since: 3 },
        ),
        (
            vec![Step::removed_model(2, "tasks"), Step::added(3, "tasks", "a", 0)],
            Gone { name: "tasks".to_owned(), since: 3 },
        ),
        (
            vec![Step::renamed_model(2, "tasks", "todos"), Step::added_model(3, "tasks")],
            Reused { name: "tasks".to_owned(), since: 3 },
        ),
    ];
    for (steps, expected) in cases {
        assert_eq!(Schema::new(steps).unwrap_err(), expected);
    }
    // The order of the list is that of the versions, whatever it is in the source.
    let steps = [Step::renamed(3, "tasks", "b", "c"), Step::renamed(2, "tasks", "a", "b")];
    assert_eq!(Schema::new(steps).unwrap().version(), 3);
}
