//! What the database makes of a row by itself, as far as it is known at start.

use super::{DefaultValue, Model, WrittenBy};
use crate::{Operation, Write};

impl Model {
    /// Whether the row is surely what the write says, and needs no look behind it.
    pub(super) fn keeps(&self, write: &Write<'_>) -> bool {
        if write.operation() == Operation::Delete {
            return true;
        }
        // What is passed over by the database was said all the same.
        let keeps = |(field, value): (&str, &str)| match self.column(field) {
            Some(column) if column.written_by == WrittenBy::Database => false,
            Some(column) => column.keeping.keeps(value),
            None => true,
        };
        if self.has_own_will || !write.fields().all(keeps) {
            return false;
        }
        // A create that names no such column gets what only the database knows.
        write.operation() == Operation::Update
            || self.columns.iter().all(|column| {
                column.default != DefaultValue::Own
                    || write.fields().any(|(field, _)| field == column.name)
            })
    }

    /// What a field is, as JSON text, in a row that was made without it; none for null.
    pub(super) fn default_of(&self, field: &str) -> Option<&str> {
        match &self.column(field)?.default {
            DefaultValue::Constant(json) => Some(json),
            DefaultValue::Null | DefaultValue::Own => None,
        }
    }

    /// # Errors
    /// Why a device may not write these fields, as a sentence.
    pub(super) fn permits<'f>(
        &self,
        mut fields: impl Iterator<Item = &'f str>,
    ) -> Result<(), String> {
        let is_read_only = |field: &&str| {
            self.column(field).is_some_and(|column| column.written_by == WrittenBy::Backend)
        };
        match fields.find(is_read_only) {
            Some(field) => {
                Err(format!("You are not allowed to write \"{field}\" in {}.", self.name))
            }
            None => Ok(()),
        }
    }
}
