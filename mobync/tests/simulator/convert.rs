//! Between the library's types and the oracle's.

use mobync::{Diff, Operation, Record};
use serde_json::{Map, Value};

use super::{
    oracle::{Change, Entry, Fields, Key, Kind},
    versions,
};

pub fn kind(operation: Operation) -> Kind {
    match operation {
        Operation::Create => Kind::Create,
        Operation::Update => Kind::Update,
        Operation::Delete => Kind::Delete,
    }
}

fn operation(kind: Kind) -> Operation {
    match kind {
        Kind::Create => Operation::Create,
        Kind::Update => Operation::Update,
        Kind::Delete => Operation::Delete,
    }
}

/// By the newest names.
fn data(diff: &Diff) -> (String, Fields) {
    let diff = versions::now(diff);
    let mut data: Map<String, Value> = serde_json::from_str(&diff.json_data).unwrap();
    let id = data.remove("id").unwrap().as_str().unwrap().to_owned();
    (id, data.into_iter().collect())
}

pub fn change(diff: &Diff) -> Change {
    let (object, fields) = data(diff);
    Change {
        id: diff.id.clone(),
        at: diff.utc_timestamp,
        kind: kind(diff.operation),
        model: versions::model_now(&diff.model).to_owned(),
        object,
        fields,
    }
}

pub fn entry(diff: &Diff) -> Entry {
    let (object, fields) = data(diff);
    Entry {
        id: Some(diff.id.clone()),
        tick: diff.logical_clock,
        at: diff.utc_timestamp,
        kind: kind(diff.operation),
        model: versions::model_now(&diff.model).to_owned(),
        object,
        fields,
    }
}

pub fn record(id: &str, fields: &Fields) -> Record {
    fields
        .iter()
        .fold(Record::new(id), |record, (name, value)| record.with(name.clone(), value.clone()))
}

pub fn fields(record: Record) -> Fields {
    record.into_parts().1.into_iter().collect()
}

/// The change of a key, as the library has it.
pub fn library_change((model, id): &Key, kind: Kind, fields: &Fields) -> mobync::Change {
    let record = record(id, fields);
    match operation(kind) {
        Operation::Create => mobync::Change::create(model.clone(), record),
        Operation::Update => mobync::Change::update(model.clone(), record),
        Operation::Delete => mobync::Change::delete(model.clone(), id.clone()),
    }
}

/// A change as a diff on the wire.
pub fn diff(change: &Change, clock: i64) -> Diff {
    let mut data = Map::from_iter([("id".to_owned(), Value::from(change.object.clone()))]);
    data.extend(change.fields.clone());
    Diff {
        id: change.id.clone(),
        owner: "owner".to_owned(),
        logical_clock: clock,
        utc_timestamp: change.at,
        operation: operation(change.kind),
        model: change.model.clone(),
        json_data: Value::Object(data).to_string(),
    }
}
