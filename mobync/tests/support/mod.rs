//! Shared test code: changes made by devices, a server to sync with, a database of seven methods.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::needless_pass_by_value, reason = "`json!` is written where it is needed")]

pub mod captured;
pub mod child;
#[macro_use]
pub mod databases;
pub mod device;
mod directory;
pub mod hooked;
pub mod plain;
pub mod postgres;
pub mod pure;
mod server;

use mobync::{Change, DatabaseError, Diff, Operation, Owner, Record, UnitOfWork, Write};
use serde_json::{Map, Value, json, value::RawValue};

pub use self::{
    device::Device,
    directory::Directory,
    hooked::{Faulty, Hooked, Picky},
    plain::Plain,
    server::{Forbid, Server},
};

/// A time long after 1970, in milliseconds, which the tests' timestamps are relative to.
pub const T0: i64 = 1_700_000_000_000;

pub fn owner(name: &str) -> Owner {
    Owner::new(name).unwrap()
}

pub fn ada() -> Owner {
    owner("ada")
}

/// Makes a unit of work change one of Ada's rows, without a log entry.
pub async fn make(unit: &mut impl UnitOfWork, change: Change) -> Result<(), DatabaseError> {
    let (operation, model, record) = match change {
        Change::Create { model, record } => (Operation::Create, model, record),
        Change::Update { model, changes } => (Operation::Update, model, changes),
        Change::Delete { model, id } => (Operation::Delete, model, Record::new(id)),
    };
    let (id, fields) = record.into_parts();
    let text = |value: &Value| serde_json::value::to_raw_value(value).unwrap();
    let fields: Vec<(String, Box<RawValue>)> =
        fields.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    let fields = fields.iter().map(|(name, value)| (&**name, &**value));
    let write = Write::new(operation, &model, &id, fields);
    let rejections = unit.write(&ada(), &[write]).await?;
    rejections.into_iter().next().map_or(Ok(()), |rejection| Err(rejection.error))
}

/// A change of the object `id` of the model `tasks`.
pub fn create(id: &str, fields: Value) -> Sent {
    Sent::new(Operation::Create, id, fields)
}

pub fn update(id: &str, fields: Value) -> Sent {
    Sent::new(Operation::Update, id, fields)
}

pub fn delete(id: &str) -> Sent {
    Sent::new(Operation::Delete, id, json!({}))
}

/// A diff under construction.
#[derive(Clone, Debug)]
pub struct Sent(pub Diff);

impl Sent {
    fn new(operation: Operation, object: &str, fields: Value) -> Self {
        let mut data = Map::from_iter([("id".to_owned(), json!(object))]);
        data.extend(fields.as_object().cloned().unwrap());
        Self(Diff {
            id: format!("{operation}-{object}-{}", uuid::Uuid::now_v7()),
            owner: "a constant".to_owned(),
            logical_clock: 0,
            utc_timestamp: T0,
            operation,
            model: "tasks".to_owned(),
            json_data: Value::Object(data).to_string(),
        })
    }

    /// Made this many milliseconds after [`T0`].
    pub fn at(mut self, millis: i64) -> Self {
        self.0.utc_timestamp = T0 + millis;
        self
    }

    pub fn id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.0.id);
        self
    }

    pub fn model(mut self, model: &str) -> Self {
        model.clone_into(&mut self.0.model);
        self
    }
}

pub fn diffs(sent: impl IntoIterator<Item = Sent>) -> Vec<Diff> {
    sent.into_iter().map(|sent| sent.0).collect()
}

/// The contents of a diff, as one line: `update t1 {"done":true}`.
pub fn line(diff: &Diff) -> String {
    let mut data: Map<String, Value> = serde_json::from_str(&diff.json_data).unwrap();
    let id = data.remove("id").unwrap();
    let id = id.as_str().unwrap();
    if data.is_empty() {
        format!("{} {id}", diff.operation)
    } else {
        format!("{} {id} {}", diff.operation, Value::Object(data))
    }
}

pub fn lines(diffs: &[Diff]) -> Vec<String> {
    diffs.iter().map(line).collect()
}
