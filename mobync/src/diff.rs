//! One change of one object, with the seven fields of the wire and the log.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{error::DatabaseError, record::Record};

/// Ids, models and owners are keys of tables, and an index of PostgreSQL can hold two of this size.
const MAX_NAME_BYTES: usize = 1024;

/// One change of one object, in requests, in the log and in answers.
///
/// ```
/// use mobync::{Diff, Operation};
///
/// let diff: Diff = serde_json::from_str(
///     r#"{"id": "5a0c", "owner": "ada", "logical_clock": 0, "utc_timestamp": 1583020800000,
///         "type": "create", "model": "tasks", "json_data": "{\"id\": \"t1\", \"name\": \"Milk\"}"}"#,
/// )?;
/// assert_eq!(diff.operation, Operation::Create);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Diff {
    /// Identifies the diff. Chosen by the device, unique per owner.
    pub id: String,
    /// The owner. Ignored in incoming diffs, which belong to the authenticated owner.
    pub owner: String,
    /// The tick of the sync that accepted it, from 0. Ignored in incoming diffs.
    pub logical_clock: i64,
    /// Milliseconds since 1970 on the device's clock when the change was made.
    pub utc_timestamp: i64,
    /// What the change does (`type` on the wire).
    #[serde(rename = "type")]
    pub operation: Operation,
    /// The object's model, the name of a table.
    pub model: String,
    /// A JSON object encoded as a string, with the object's `id`: the whole record of a create, the
    /// changed fields of an update, the id alone of a delete.
    pub json_data: String,
}

/// What a [`Diff`] does to its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Creates the object.
    Create,
    /// Writes some of its fields.
    Update,
    /// Deletes it.
    Delete,
}

impl Operation {
    /// The operation's name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// The operation with this name, if there is one.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Create, Self::Update, Self::Delete]
            .into_iter()
            .find(|operation| operation.as_str() == name)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Diff {
    /// The sort key of an entry in the log: tick, timestamp, id.
    pub fn order(&self) -> (i64, i64, &str) {
        (self.logical_clock, self.utc_timestamp, &self.id)
    }

    /// The id of the object.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`] if `json_data` is not a JSON object with an id. Diffs are checked
    /// before rules and databases see them.
    pub fn object_id(&self) -> Result<String, DatabaseError> {
        object_in(&self.json_data).map(Cow::into_owned).map_err(DatabaseError::failed)
    }

    /// The values in the diff: the whole record of a create, the id and the changed fields of an
    /// update, the id of a delete.
    ///
    /// # Errors
    /// As [`object_id`](Self::object_id).
    pub fn record(&self) -> Result<Record, DatabaseError> {
        serde_json::from_str(&self.json_data).map_err(DatabaseError::failed)
    }

    /// The values in the diff, parsed as a type of yours.
    ///
    /// An update has only the changed fields, so the fields of your type should be `Option`s.
    ///
    /// ```
    /// # use mobync::{Diff, Owner, Refusal, View};
    /// #[derive(serde::Deserialize)]
    /// struct Task {
    ///     name: Option<String>,
    /// }
    ///
    /// async fn tasks_have_names(_: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
    ///     if diff.model == "tasks" && diff.parse::<Task>()?.name.is_some_and(|name| name.is_empty()) {
    ///         return Err(Refusal::because("A task needs a name."));
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`DatabaseError::InvalidValue`] if they do not have this type. In a rule, `?` refuses the diff
    /// with it.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, DatabaseError> {
        serde_json::from_str(&self.json_data).map_err(|mismatch| {
            DatabaseError::invalid_value("json_data", format!("does not fit: {mismatch}"))
        })
    }

    /// The diff as a record of the diffs model, with the seven columns.
    pub fn into_record(self) -> Record {
        Record::new(self.id)
            .with("owner", self.owner)
            .with("logical_clock", self.logical_clock)
            .with("utc_timestamp", self.utc_timestamp)
            .with("type", self.operation.as_str())
            .with("model", self.model)
            .with("json_data", self.json_data)
    }

    /// Reads the diff from a record of the diffs model.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`] if one of the seven columns is missing or of another type.
    pub fn from_record(record: Record) -> Result<Self, DatabaseError> {
        serde_json::from_value(record.into()).map_err(DatabaseError::failed)
    }
}

/// The id of the object in a json_data.
pub(crate) fn object_in(json_data: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Id<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
    }
    serde_json::from_str(json_data).map(|Id { id }| id)
}

/// Whether a string can be the name of a diff, an object, a model or an owner; if not, the reason.
pub(crate) fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("must not be empty")
    } else if name.len() > MAX_NAME_BYTES {
        Err("must not be longer than 1,024 bytes")
    } else if name.contains('\0') {
        Err("must not have a NUL in it")
    } else {
        Ok(())
    }
}
