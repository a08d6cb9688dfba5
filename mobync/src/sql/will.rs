//! What the database makes of a row by itself, as far as it is known at start.

use std::borrow::Cow;

use super::{Column, DefaultValue, Kind, Model, WrittenBy};
use crate::{Operation, Will, Write, reconcile::same};

impl Model {
    pub(super) fn will(&self) -> Will {
        if self.has_own_will {
            return Will::Any;
        }
        let keeps_all =
            |column: &Column| column.keeping.keeps_all() && column.default != DefaultValue::Own;
        if self.columns.iter().all(keeps_all) { Will::None } else { Will::Named }
    }

    /// Whether a row surely is what the write says, and has the defaults that are told of.
    pub(super) fn keeps(&self, write: &Write<'_>) -> bool {
        let keeps = |(field, value): (&str, &str)| {
            self.column(field).is_none_or(|column| column.keeping.keeps(value))
        };
        if self.has_own_will || !write.fields().all(keeps) {
            return false;
        }
        // A create that names no such column gets what only the database knows.
        let is_told = |column: &Column| {
            column.default != DefaultValue::Own
                || write.fields().any(|(name, _)| name == column.name)
        };
        write.operation() != Operation::Create || self.columns.iter().all(is_told)
    }

    /// The columns whose default is a constant, with that as JSON text.
    pub(super) fn defaults(&self) -> Vec<(&str, &str)> {
        let columns = self.columns.iter();
        columns.filter_map(|column| Some((&*column.name, column.constant()?))).collect()
    }

    /// What a field is, as JSON text, in a row that was made without it; none for null.
    pub(super) fn default_of(&self, field: &str) -> Option<&str> {
        self.column(field)?.constant()
    }

    /// # Errors
    /// Why a device may not write these fields, as a sentence.
    pub(super) fn permits(&self, fields: &[&str]) -> Result<(), String> {
        let is_read_only = |field: &&&str| {
            self.column(field).is_some_and(|column| column.written_by == WrittenBy::Backend)
        };
        match fields.iter().find(is_read_only) {
            Some(field) => {
                Err(format!("You are not allowed to write \"{field}\" in {}.", self.name))
            }
            None => Ok(()),
        }
    }
}

impl Column {
    fn constant(&self) -> Option<&str> {
        match &self.default {
            DefaultValue::Constant(json) => Some(json),
            DefaultValue::Null | DefaultValue::Own => None,
        }
    }

    /// Whether a number and the string of its digits, or two of these, are one value.
    pub(super) fn is_one(&self, written: &str, held: &str) -> bool {
        matches!(self.kind, Kind::Integer(_) | Kind::Numeric)
            && self.keeping.keeps(written)
            && same(without_quotes(written), without_quotes(held))
    }

    /// A value as it is read from the column, where that can be said without asking the database.
    pub(super) fn as_held<'v>(&self, json: &'v str) -> Cow<'v, str> {
        match (self.kind, json) {
            (Kind::Boolean, "1") => "true".into(),
            (Kind::Boolean, "0") => "false".into(),
            (Kind::Integer(_), _) if self.keeping.keeps(json) && json != "null" => {
                let digits = without_quotes(json);
                if self.as_strings { format!("\"{digits}\"").into() } else { digits.into() }
            }
            _ => json.into(),
        }
    }
}

/// The digits of a number, which need no escapes.
fn without_quotes(json: &str) -> &str {
    json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or(json)
}
