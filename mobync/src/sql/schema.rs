//! The synced tables as the database has them.

use std::collections::BTreeMap;

use serde_json::Value;
use uuid::Uuid;

use super::columns::Columns;
use crate::{DatabaseError, Owner};

/// The synced tables by their models' names, and the log among them.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(super) log: Model,
    pub(super) models: BTreeMap<String, Model>,
}

/// One table.
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) name: String,
    /// Its name in SQL, quoted.
    pub(crate) table: String,
    pub(crate) id: Column,
    /// None: everybody's.
    pub(crate) owner: Option<Column>,
    /// The others, but for those that the database itself computes.
    pub(crate) columns: Columns,
    pub(crate) keeps_unknown: bool,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub(crate) name: String,
    /// Its type in SQL, to cast to.
    pub(crate) sql_type: String,
    /// The same with its lengths and precisions, which cut, pad or round.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only one database asks"))]
    pub(crate) full_type: String,
    pub(crate) kind: Kind,
    /// No constraint, index or trigger looks at it: its type alone says what it takes.
    pub(crate) is_free: bool,
}

/// What a column can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// Of so many bits.
    Integer(u32),
    Float,
    Numeric,
    Boolean,
    Uuid,
    Json,
    /// Only the database knows.
    Other,
}

impl Schema {
    pub(super) fn model(&self, name: &str) -> Result<&Model, DatabaseError> {
        let models = self.models.get(name);
        let log = Some(&self.log).filter(|log| log.name == name);
        models.or(log).ok_or_else(|| DatabaseError::unknown_model(name))
    }
}

impl Model {
    pub(super) fn column(&self, field: &str) -> Option<&Column> {
        self.columns.named(field)
    }

    /// A field's column; `id` is the id's.
    pub(super) fn field(&self, field: &str) -> Result<&Column, DatabaseError> {
        if field == "id" {
            return Ok(&self.id);
        }
        self.column(field).ok_or_else(|| self.unknown_field(field))
    }

    pub(super) fn check_fields(&self, fields: &[&str]) -> Result<(), DatabaseError> {
        match fields.iter().find(|field| self.column(field).is_none()) {
            Some(field) if !self.keeps_unknown => Err(self.unknown_field(field)),
            _ => Ok(()),
        }
    }

    fn unknown_field(&self, field: &str) -> DatabaseError {
        let known = self.columns.iter().map(|column| column.name.as_str());
        DatabaseError::unknown_field(&self.name, field, known)
    }

    /// Whether a row can have that id at all. Only the one spelling that the database gives back counts.
    pub(super) fn can_have(&self, id: &str) -> bool {
        self.id.kind.spells(id)
    }

    /// The condition that a row is the owner's, who is `$1`; empty where rows are everybody's.
    pub(crate) fn owned(&self) -> String {
        match &self.owner {
            Some(owner) => format!("t.{} = {} AND ", owner.quoted(), owner.cast("$1")),
            None => String::new(),
        }
    }

    /// # Errors
    /// If no row can have that owner.
    pub(super) fn check_owner(&self, name: &Owner) -> Result<(), DatabaseError> {
        match &self.owner {
            Some(owner) if !owner.kind.spells(name.as_str()) => {
                Err(DatabaseError::failed(format!(
                    "the owner that the auth closure named does not fit the column {} of {}, which is {}",
                    owner.name, self.name, owner.sql_type
                )))
            }
            _ => Ok(()),
        }
    }
}

impl Column {
    pub(crate) fn quoted(&self) -> String {
        quote(&self.name)
    }

    /// A text parameter as a value of the column's type.
    pub(crate) fn cast(&self, parameter: &str) -> String {
        match self.kind {
            Kind::Text => parameter.to_owned(),
            _ => format!("CAST({parameter} AS {})", self.sql_type),
        }
    }

    /// # Errors
    /// [`DatabaseError::InvalidValue`] if the column cannot hold the value, as far as that can be said
    /// without asking the database.
    pub(super) fn check(&self, json: &str) -> Result<(), DatabaseError> {
        let fits = match (self.kind, json.bytes().next()) {
            (_, Some(b'n')) | (Kind::Json | Kind::Other, _) => true,
            (Kind::Text | Kind::Uuid, first) => first == Some(b'"'),
            (Kind::Boolean, _) => matches!(json, "true" | "false" | "0" | "1"),
            (Kind::Integer(bits), _) => json.parse().is_ok_and(|number| in_range(number, bits)),
            (Kind::Float, first) => first.is_some_and(is_number),
            (Kind::Numeric, first) => first.is_some_and(|byte| byte == b'"' || is_number(byte)),
        };
        if !fits {
            return Err(self.invalid_value());
        }
        if self.kind == Kind::Text && json.contains("\\u0000") {
            let text: String = serde_json::from_str(json).map_err(DatabaseError::failed)?;
            if text.contains('\0') {
                return Err(DatabaseError::invalid_value(&self.name, "must not have a NUL in it"));
            }
        }
        Ok(())
    }

    /// Whether the column surely takes the value, whatever else is in the row or in others.
    pub(super) fn surely_takes(&self, json: &str) -> bool {
        let is_told_by_json = matches!(self.kind, Kind::Text | Kind::Integer(_) | Kind::Boolean);
        self.is_free && is_told_by_json && json != "null" && self.check(json).is_ok()
    }

    pub(crate) fn invalid_value(&self) -> DatabaseError {
        let what = match self.kind {
            Kind::Text => "must be a string",
            Kind::Boolean => "must be true or false",
            Kind::Integer(16) => "must be an integer of 16 bits",
            Kind::Integer(32) => "must be an integer of 32 bits",
            Kind::Integer(_) => "must be an integer",
            Kind::Float => "must be a number",
            Kind::Numeric => "must be a number, or a string with one",
            Kind::Uuid => "must be a string with a UUID",
            Kind::Json | Kind::Other => {
                let what = format!("does not fit its type, {}", self.sql_type);
                return DatabaseError::invalid_value(&self.name, what);
            }
        };
        DatabaseError::invalid_value(&self.name, what)
    }
}

impl Kind {
    /// Whether an id or an owner of this type is spelled so when the database gives it back.
    fn spells(self, name: &str) -> bool {
        match self {
            Self::Uuid => Uuid::try_parse(name).is_ok_and(|uuid| uuid.to_string() == name),
            Self::Integer(bits) => name
                .parse::<i64>()
                .is_ok_and(|number| in_range(number, bits) && number.to_string() == name),
            _ => true,
        }
    }

    /// Whether ids and owners may be of this type.
    pub(super) fn can_name(self) -> bool {
        matches!(self, Self::Text | Self::Uuid | Self::Integer(_))
    }

    /// What the type can be compared with: a value of it, a number, or (its equality unknown) nothing.
    pub(super) fn compares(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Text, Value::String(text)) => !text.contains('\0'),
            (Self::Uuid, Value::String(text)) => Uuid::try_parse(text).is_ok(),
            (Self::Boolean, Value::Bool(_))
            | (Self::Integer(_) | Self::Float | Self::Numeric, Value::Number(_))
            | (Self::Json, _)
            | (Self::Other, Value::String(_) | Value::Number(_) | Value::Bool(_)) => true,
            _ => false,
        }
    }
}

pub(super) fn in_range(number: i64, bits: u32) -> bool {
    match bits {
        16 => i16::try_from(number).is_ok(),
        32 => i32::try_from(number).is_ok(),
        _ => true,
    }
}

fn is_number(first: u8) -> bool {
    first == b'-' || first.is_ascii_digit()
}

/// An identifier in SQL.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
