//! A record as the database stores it.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::{
    error::DatabaseError,
    merge::{Write, encode},
    record::Record,
};

/// The JSON text of a record, with all digits of its numbers: smaller than the values, and cheaper to create.
#[derive(Clone, Debug)]
pub(super) struct Document(Box<str>);

impl Document {
    /// What a create writes.
    pub(super) fn of_write(write: &Write<'_>) -> Self {
        match write.whole {
            Some(record) => Self(record.into()),
            None => Self(encode(write.id(), write.fields()).into()),
        }
    }

    /// The record with the changes of an update.
    pub(super) fn updated(&self, write: &Write<'_>) -> Result<Self, DatabaseError> {
        let mut members: BTreeMap<String, &RawValue> =
            serde_json::from_str(&self.0).map_err(DatabaseError::failed)?;
        members.remove("id");
        let mut members: BTreeMap<&str, &str> =
            members.iter().map(|(name, value)| (name.as_str(), value.get())).collect();
        members.extend(write.fields());
        let members = members.iter().map(|(name, value)| (*name, *value));
        Ok(Self(encode(write.id(), members).into()))
    }

    pub(super) fn record(&self) -> Result<Record, DatabaseError> {
        serde_json::from_str(&self.0).map_err(DatabaseError::failed)
    }
}
