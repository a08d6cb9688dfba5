//! Versions of the schema. The oracle knows the newest names only; here they become those that a version has.
//!
//! | since | step |
//! | --- | --- |
//! | 2 | the model `jobs` becomes `tasks` |
//! | 3 | in `tasks`, `alpha` becomes `a`; in `notes`, `beta` becomes `b` |
//! | 4 | from `tasks`, `old` is removed |
//! | 5 | to `tasks`, `c` is added |

#![allow(dead_code, reason = "each test file uses a part of it")]

use mobync::{
    Change, Diff, Operation, Record,
    schema::{Schema, Step},
};
use serde_json::{Map, Value, json};

use super::oracle::{Change as Told, Entry, Fields, Kind, Objects};

/// The newest version, which the server has.
pub const NEWEST: u64 = 5;

/// What older versions get in place of the removed field.
pub fn replaced() -> Value {
    json!("gone")
}

/// The schema of an app or a server of this version.
pub fn schema(version: u64) -> Schema {
    let steps = [
        (2, Step::renamed_model(2, "jobs", "tasks")),
        (3, Step::renamed(3, "tasks", "alpha", "a")),
        (3, Step::renamed(3, "notes", "beta", "b")),
        (4, Step::removed(4, "tasks", "old", replaced())),
        (5, Step::added(5, "tasks", "c", Value::Null)),
    ];
    let known = steps.into_iter().filter(|(since, _)| *since <= version);
    Schema::new(known.map(|(_, step)| step)).unwrap()
}

/// The names that a version has. `None` in a world without versions: all have the newest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub Option<u64>);

impl Version {
    fn is_before(self, version: u64) -> bool {
        self.0.is_some_and(|own| own < version)
    }

    pub fn model(self, model: &str) -> &str {
        if model == "tasks" && self.is_before(2) { "jobs" } else { model }
    }

    /// The name of a field of a model, given by its newest name; `None` if the version does not have it.
    fn field<'f>(self, model: &str, field: &'f str) -> Option<&'f str> {
        match (model, field) {
            ("tasks", "a") if self.is_before(3) => Some("alpha"),
            ("notes", "b") if self.is_before(3) => Some("beta"),
            ("tasks", "c") if self.is_before(5) => None,
            ("tasks", "old") if !self.is_before(4) => None,
            _ => Some(field),
        }
    }

    pub fn has(self, model: &str, field: &str) -> bool {
        self.field(model, field).is_some()
    }

    /// What a check compares: the model that it leaves out, and the rows by the version's names.
    pub fn checked(self, rows: &Objects) -> (Option<String>, Objects) {
        let rows = rows.iter().filter(|((model, _), _)| !self.has_old(model));
        let rows = rows.map(|((model, id), fields)| {
            ((self.model(model).to_owned(), id.clone()), self.written(model, fields))
        });
        (self.has_old("tasks").then(|| self.model("tasks").to_owned()), rows.collect())
    }

    /// Whether it has the field that was removed.
    pub fn has_old(self, model: &str) -> bool {
        model == "tasks" && self.is_before(4)
    }

    /// What a person can write who has this version: the removed field, in place of one that it lacks.
    pub fn writable(self, model: &str, fields: &Fields) -> Fields {
        let own = |(name, value): (&String, &Value)| match self.field(model, name) {
            Some(_) => Some((name.clone(), value.clone())),
            None if self.has_old(model) => Some(("old".to_owned(), value.clone())),
            None => None,
        };
        fields.iter().filter_map(own).collect()
    }

    /// Newest names become those of the version.
    pub fn written(self, model: &str, fields: &Fields) -> Fields {
        let name = |(name, value): (&String, &Value)| {
            Some((self.field(model, name)?.to_owned(), value.clone()))
        };
        fields.iter().filter_map(name).collect()
    }

    pub fn change(self, change: Change) -> Change {
        let record = |model: &str, record: Record| {
            let (id, fields) = record.into_parts();
            let fields = self.written(model, &fields.into_iter().collect());
            fields.into_iter().fold(Record::new(id), |it, (name, value)| it.with(name, value))
        };
        match change {
            Change::Create { model, record: it } => {
                Change::create(self.model(&model), record(&model, it))
            }
            Change::Update { model, changes } => {
                Change::update(self.model(&model), record(&model, changes))
            }
            Change::Delete { model, id } => Change::delete(self.model(&model), id),
        }
    }

    pub fn diff(self, mut diff: Diff) -> Diff {
        let mut data: Map<String, Value> = serde_json::from_str(&diff.json_data).unwrap();
        let id = data.remove("id").unwrap();
        let fields = self.written(&diff.model, &data.into_iter().collect());
        let mut data = Map::from_iter([("id".to_owned(), id)]);
        data.extend(fields);
        diff.json_data = Value::Object(data).to_string();
        diff.model = self.model(&diff.model).to_owned();
        diff
    }

    /// What an entry leaves of itself for the version: nothing, if it has none of its fields.
    pub fn seen(self, mut entry: Entry) -> Option<Entry> {
        let had_fields = !entry.fields.is_empty();
        let model = entry.model.clone();
        entry.fields.retain(|name, _| self.field(&model, name).is_some());
        let says_nothing = entry.kind == Kind::Update && had_fields && entry.fields.is_empty();
        (!says_nothing).then_some(entry)
    }

    /// Rows as the version has them, under the newest names, without the removed field.
    pub fn rows(self, rows: &Objects) -> Objects {
        let row = |(key, row): (&super::oracle::Key, &Fields)| {
            let has = |(name, _): &(&String, &Value)| {
                *name != "old" && self.field(&key.0, name).is_some()
            };
            let fields = row.iter().filter(has).map(|(name, value)| (name.clone(), value.clone()));
            (key.clone(), fields.collect())
        };
        rows.iter().map(row).collect()
    }
}

/// The newest name of a model.
pub fn model_now(model: &str) -> &str {
    if model == "jobs" { "tasks" } else { model }
}

/// A diff of any version by the newest names, with the removed field.
pub fn now(diff: &Diff) -> Diff {
    let mut data: Map<String, Value> = serde_json::from_str(&diff.json_data).unwrap();
    let model = model_now(&diff.model);
    for (older, newest) in [("alpha", "a"), ("beta", "b")] {
        if let Some(value) = data.remove(older) {
            data.insert(newest.to_owned(), value);
        }
    }
    let json_data = Value::Object(data).to_string();
    Diff { model: model.to_owned(), json_data, ..diff.clone() }
}

/// The newest name of a field.
pub fn field_now(field: &str) -> &str {
    match field {
        "alpha" => "a",
        "beta" => "b",
        field => field,
    }
}

/// The same, with the members of its data in order.
pub fn sorted(diff: &Diff) -> Diff {
    let data: Map<String, Value> = serde_json::from_str(&diff.json_data).unwrap();
    Diff { json_data: Value::Object(data).to_string(), ..diff.clone() }
}

/// Without the removed field.
pub fn diff_without_old(diff: &Diff) -> Diff {
    let mut data: Map<String, Value> = serde_json::from_str(&diff.json_data).unwrap();
    data.remove("old");
    Diff { json_data: Value::Object(data).to_string(), ..diff.clone() }
}

pub fn without_old(mut change: Told) -> Told {
    change.fields.remove("old");
    change
}

pub fn entry_without_old(mut entry: Entry) -> Entry {
    entry.fields.remove("old");
    entry
}

/// What a server of an earlier version has written into the log: older names, and a field that was removed later.
pub fn as_written_by(version: u64, entries: Vec<Diff>) -> Vec<Diff> {
    let version = Version(Some(version));
    let data = |entry: &Diff| serde_json::from_str::<Map<String, Value>>(&entry.json_data).unwrap();
    let has_added = |entry: &Diff| entry.model == "tasks" && data(entry).contains_key("c");
    if entries.iter().any(has_added) {
        // It did not exist yet.
        return entries;
    }
    let write = |mut entry: Diff| {
        if version.has_old(&entry.model) && entry.operation == Operation::Create {
            let mut data = data(&entry);
            data.insert("old".to_owned(), json!("v0"));
            entry.json_data = Value::Object(data).to_string();
        }
        version.diff(entry)
    };
    entries.into_iter().map(write).collect()
}
