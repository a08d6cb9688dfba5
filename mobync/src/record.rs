//! One record of a model: an id and its fields.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One record of a model, or some changed fields of one: a JSON object with an `id`.
///
/// Fields are in the order of their names. As JSON it is one object, with the id as one of its members.
///
/// ```
/// use mobync::Record;
/// use serde_json::json;
///
/// let mut task = Record::new("t1").with("name", "Milk").with("done", false);
/// task.apply(Record::new("t1").with("done", true));
/// assert_eq!(task.get("done"), Some(&json!(true)));
/// assert_eq!(serde_json::to_value(&task)?, json!({"id": "t1", "name": "Milk", "done": true}));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    id: String,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl Record {
    /// A record with this id, without fields.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), fields: Map::new() }
    }

    /// The same record with one more field, for building one in a chain.
    #[must_use]
    pub fn with(mut self, field: impl Into<String>, value: impl Into<Value>) -> Self {
        self.insert(field, value);
        self
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The value of a field other than the id.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field)
    }

    /// Sets a field other than the id. A field named `id` is ignored, because the id of a record does
    /// not change.
    pub fn insert(&mut self, field: impl Into<String>, value: impl Into<Value>) {
        let field = field.into();
        if field != "id" {
            self.fields.insert(field, value.into());
        }
    }

    /// All fields except the id.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.fields
    }

    /// Writes the fields of `changes` over those of this record, which keeps its id.
    pub fn apply(&mut self, changes: Record) {
        self.fields.extend(changes.fields);
    }

    /// The id and the other fields.
    pub fn into_parts(self) -> (String, Map<String, Value>) {
        (self.id, self.fields)
    }
}

impl From<Record> for Value {
    fn from(record: Record) -> Self {
        let (id, mut fields) = record.into_parts();
        fields.insert("id".to_owned(), id.into());
        Value::Object(fields)
    }
}
