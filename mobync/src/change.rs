//! One change of one object, with parsed values.

use crate::record::Record;

/// One change of an owner's objects, for databases and for changes by the backend.
///
/// ```
/// use mobync::{Change, Record};
///
/// let change = Change::update("tasks", Record::new("t1").with("done", true));
/// assert_eq!((change.model(), change.id()), ("tasks", "t1"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Adds a record.
    Create {
        /// The record's model.
        model: String,
        /// The whole record; fields that it does not name get the column's default.
        record: Record,
    },
    /// Writes fields of a record.
    Update {
        /// The record's model.
        model: String,
        /// The record's id and the changed fields.
        changes: Record,
    },
    /// Removes a record.
    Delete {
        /// The record's model.
        model: String,
        /// The record's id.
        id: String,
    },
}

impl Change {
    /// Adds a record of the model.
    pub fn create(model: impl Into<String>, record: Record) -> Self {
        Self::Create { model: model.into(), record }
    }

    /// Writes fields of a record of the model.
    pub fn update(model: impl Into<String>, changes: Record) -> Self {
        Self::Update { model: model.into(), changes }
    }

    /// Removes a record of the model.
    pub fn delete(model: impl Into<String>, id: impl Into<String>) -> Self {
        Self::Delete { model: model.into(), id: id.into() }
    }

    /// The model.
    pub fn model(&self) -> &str {
        match self {
            Self::Create { model, .. }
            | Self::Update { model, .. }
            | Self::Delete { model, .. } => model,
        }
    }

    /// The id of the record.
    pub fn id(&self) -> &str {
        match self {
            Self::Create { record, .. } => record.id(),
            Self::Update { changes, .. } => changes.id(),
            Self::Delete { id, .. } => id,
        }
    }
}
