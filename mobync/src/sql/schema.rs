//! The synced tables as the catalogue describes them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    Clash,
    columns::Columns,
    keeping::Keeping,
    reading::Reading,
    value::{in_range, integer, is_decimal, is_uuid},
};
use crate::{error::DatabaseError, owner::Owner, schema::OlderNames};

/// The synced tables by their models' names, and the log among them.
#[derive(Debug)]
pub struct Schema {
    pub(crate) log: Model,
    pub(super) models: BTreeMap<String, Model>,
    /// The names in which the database differs from the models: between the two steps of a rename.
    pub(super) older: Option<OlderNames>,
}

/// One table.
#[derive(Clone, Debug)]
pub struct Model {
    /// The newest name, which everything but SQL uses.
    pub(crate) name: String,
    /// The table's own name, which is older between the two steps of a rename.
    pub(crate) stored: String,
    /// All names that marks may call it by.
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "only one database asks"))]
    pub(crate) names: Vec<String>,
    /// Whether these names may have been changed meanwhile.
    pub(crate) reading: Reading,
    /// Its schema, if the name in SQL includes it.
    pub(crate) schema: Option<String>,
    /// The identity of the table, independent of its name.
    pub(crate) identity: String,
    /// Its name in SQL, quoted.
    pub(crate) table: String,
    pub(crate) id: Column,
    /// `None` for a shared table.
    pub(crate) owner: Option<Column>,
    /// The other columns, except those that the database computes.
    pub(crate) columns: Columns,
    /// The names of the columns that sync does not use.
    pub(crate) hidden: Vec<String>,
    pub(crate) keeps_unknown: bool,
    /// Its changes are marked, whoever makes them.
    pub(crate) captured: bool,
    pub(crate) on_locks: OnLocks,
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "only one database asks"))]
    pub(crate) clashes: Vec<Clash>,
    /// The database may write other columns of a row than those that a change names: some are computed,
    /// or a trigger or rule may change the row.
    pub(crate) has_own_will: bool,
    /// Its place in an order in which tables come after those that they reference.
    pub(crate) rank: usize,
    /// The columns by which its rows reference other rows of it.
    pub(crate) parents: Vec<String>,
}

/// What a sync does if it waits too long for rows that others have locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnLocks {
    /// It fails as busy.
    Fails,
    /// It starts again, so that the application never has to give way.
    GivesWay,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The newest name of the field, which everything but SQL uses.
    pub(crate) name: String,
    /// The column's own name, which is older between the two steps of a rename.
    pub(crate) stored: String,
    /// Its type in SQL, to cast to.
    pub(crate) sql_type: String,
    /// The same with its length and precision, which can truncate, pad or round values.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "only one database asks"))]
    pub(crate) full_type: String,
    pub(crate) kind: Kind,
    /// The greatest number of characters; the database may truncate longer texts.
    pub(crate) limit: Option<usize>,
    /// A collation that compares texts by their bytes, if the column's own might not.
    pub(crate) collate: &'static str,
    /// Its numbers are strings in JSON.
    pub(crate) as_strings: bool,
    /// No constraint, index or trigger uses it: only its type decides which values it accepts.
    pub(crate) is_free: bool,
    /// Which of its accepted values it certainly returns unchanged.
    pub(crate) keeping: Keeping,
    /// Its value in a row that was created without it.
    pub(crate) default: DefaultValue,
    pub(crate) written_by: WrittenBy,
}

/// The value of a column in a row that was created without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DefaultValue {
    Null,
    /// JSON text.
    Constant(String),
    /// Only the database knows it, for each row.
    Own,
}

/// Who writes a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WrittenBy {
    Everybody,
    /// The backend, but no device.
    Backend,
    /// Only the database. Other values for it are ignored.
    Database,
}

/// What a column can hold.
#[cfg_attr(
    not(feature = "postgres"),
    expect(dead_code, reason = "SQLite has no decimals and no UUIDs")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// With this number of bits.
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

    /// These models and this log. If one model is captured, a sync gives way in all of them.
    pub(super) fn new(log: Model, models: BTreeMap<String, Model>) -> Self {
        let older = older_names(&models);
        let mut schema = Self { log, models, older };
        if schema.captured().next().is_some() {
            schema.log.on_locks = OnLocks::GivesWay;
            schema.models.values_mut().for_each(|model| model.on_locks = OnLocks::GivesWay);
        }
        schema
    }

    /// # Errors
    /// If the log has another name.
    pub(super) fn check_log(&self, name: &str) -> Result<(), DatabaseError> {
        let log = &self.log.name;
        if log == name {
            return Ok(());
        }
        Err(DatabaseError::failed(format!(
            "the log is in {log}, not in {name}: tell the database by `diffs_table`"
        )))
    }

    pub(super) fn has(&self, model: &str) -> bool {
        self.models.contains_key(model)
    }

    pub(crate) fn models(&self) -> impl Iterator<Item = &Model> {
        self.models.values()
    }

    /// The captured tables.
    pub(crate) fn captured(&self) -> impl Iterator<Item = &Model> {
        self.models.values().filter(|model| model.captured)
    }
}

/// The names in which the tables differ from their models.
fn older_names(models: &BTreeMap<String, Model>) -> Option<OlderNames> {
    let mut older = OlderNames::default();
    for model in models.values() {
        if model.stored != model.name {
            older.set_model(&model.name, &*model.stored);
        }
        for column in model.columns.iter().filter(|column| column.stored != column.name) {
            older.set_field(&model.name, &*column.name, &*column.stored);
        }
    }
    (!older.is_empty()).then_some(older)
}

impl Model {
    pub(super) fn column(&self, field: &str) -> Option<&Column> {
        self.columns.named(field)
    }

    /// The same, if not only the database writes it.
    pub(super) fn written(&self, field: &str) -> Option<&Column> {
        self.column(field).filter(|column| column.written_by != WrittenBy::Database)
    }

    /// A field's column. The field `id` has the id's column.
    pub(super) fn field(&self, field: &str) -> Result<&Column, DatabaseError> {
        if field == "id" {
            return Ok(&self.id);
        }
        self.column(field).ok_or_else(|| self.unknown_field(field))
    }

    /// The field of a column, by the column's own name.
    pub(crate) fn field_of<'n>(&'n self, stored: &'n str) -> &'n str {
        let found = self.columns.iter().find(|column| column.stored == stored);
        found.map_or(stored, |column| &column.name)
    }

    pub(super) fn check_fields(&self, fields: &[&str]) -> Result<(), DatabaseError> {
        let unknown = |field: &&&str| {
            let keeps = self.keeps_unknown && !self.hidden.iter().any(|hidden| hidden == **field);
            !keeps && self.column(field).is_none()
        };
        match fields.iter().find(unknown) {
            Some(field) => Err(self.unknown_field(field)),
            None => Ok(()),
        }
    }

    fn unknown_field(&self, field: &str) -> DatabaseError {
        let known = self.columns.iter().map(|column| column.name.as_str());
        DatabaseError::unknown_field(&self.name, field, known)
    }

    /// Whether a row can have this id. It must be written exactly as the database returns it.
    pub(super) fn can_have(&self, id: &str) -> bool {
        self.id.spells(id)
    }

    /// The condition that a row belongs to the owner `$1`; empty for shared tables.
    pub(crate) fn owned(&self) -> String {
        self.owned_by("$1")
    }

    /// The same for an owner that another expression has, as text.
    pub(super) fn owned_by(&self, who: &str) -> String {
        match &self.owner {
            Some(owner) => format!("{} = {} AND ", owner.exact(), owner.cast(who)),
            None => String::new(),
        }
    }

    /// # Errors
    /// If no row can have that owner.
    pub(super) fn check_owner(&self, name: &Owner) -> Result<(), DatabaseError> {
        match &self.owner {
            Some(owner) => {
                owner.check_name("owner that the auth closure named", name.as_str(), self)
            }
            None => Ok(()),
        }
    }
}

impl Column {
    pub(crate) fn new(name: impl Into<String>, kind: Kind, sql_type: impl Into<String>) -> Self {
        let sql_type = sql_type.into();
        let name = name.into();
        Self {
            stored: name.clone(),
            name,
            full_type: sql_type.clone(),
            sql_type,
            kind,
            is_free: false,
            limit: None,
            collate: "",
            as_strings: false,
            keeping: Keeping::Nothing,
            default: DefaultValue::Null,
            written_by: WrittenBy::Everybody,
        }
    }

    pub(crate) fn quoted(&self) -> String {
        quote(&self.stored)
    }

    /// The column of the table `t`, to be compared by its bytes.
    pub(crate) fn exact(&self) -> String {
        format!("t.{}{}", self.quoted(), self.collate)
    }

    /// A text parameter as a value of the column's type.
    pub(crate) fn cast(&self, parameter: &str) -> String {
        match self.kind {
            Kind::Text => parameter.to_owned(),
            // Not the declared name, because SQLite allows any.
            Kind::Integer(64) => format!("CAST({parameter} AS BIGINT)"),
            _ => format!("CAST({parameter} AS {})", self.sql_type),
        }
    }

    /// The type, for a message.
    pub(super) fn type_name(&self) -> String {
        match self.limit {
            Some(limit) => format!("{}({limit})", self.sql_type),
            None => self.sql_type.clone(),
        }
    }

    /// Whether the column accepts the value in any case, whatever else is in this row or in others.
    pub(super) fn surely_takes(&self, json: &str) -> bool {
        let is_told_by_json = matches!(self.kind, Kind::Text | Kind::Integer(_) | Kind::Boolean);
        self.is_free && is_told_by_json && json != "null" && self.check(json).is_ok()
    }

    /// Whether the database returns an id or an owner written in this way.
    pub(super) fn spells(&self, name: &str) -> bool {
        self.has_room(name) && self.kind.spells(name)
    }

    fn has_room(&self, text: &str) -> bool {
        self.limit.is_none_or(|limit| text.len() <= limit || text.chars().count() <= limit)
    }

    /// # Errors
    /// If no row of the model can have that name in this column.
    pub(super) fn check_name(
        &self,
        what: &str,
        name: &str,
        model: &Model,
    ) -> Result<(), DatabaseError> {
        if self.spells(name) {
            return Ok(());
        }
        Err(DatabaseError::failed(format!(
            "the {what} does not fit the column {} of {}, which is {}",
            self.name,
            model.name,
            self.type_name()
        )))
    }
}

impl Kind {
    fn spells(self, name: &str) -> bool {
        match self {
            Self::Uuid => is_uuid(name),
            Self::Integer(bits) => integer(name).is_some_and(|number| in_range(number, bits)),
            _ => true,
        }
    }

    /// Whether ids and owners may be of this type.
    pub(super) fn can_name(self) -> bool {
        matches!(self, Self::Text | Self::Uuid | Self::Integer(_))
    }

    /// What the type can be compared with: a value of the type, a number, or nothing, if its equality
    /// is not known.
    pub(super) fn compares(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Text, Value::String(text)) => !text.contains('\0'),
            (Self::Uuid, Value::String(text)) => is_uuid(text),
            (Self::Integer(_), Value::String(text)) => integer(text).is_some(),
            (Self::Numeric, Value::String(text)) => is_decimal(text),
            (Self::Boolean, Value::Bool(_))
            | (Self::Integer(_) | Self::Float | Self::Numeric, Value::Number(_))
            | (Self::Json, _)
            | (Self::Other, Value::String(_) | Value::Number(_) | Value::Bool(_)) => true,
            _ => false,
        }
    }
}

/// An identifier in SQL.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(crate) fn quote_all(names: &[&str]) -> String {
    names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ")
}
