//! Columns by the newest names of their fields, as far as the steps of the schema tell them.

use serde_json::Value;

use super::{
    Column, DefaultValue, Dialect, FoundColumn, SchemaError, Table, WrittenBy, inspect::no_column,
    quote,
};
use crate::{
    reconcile::same,
    schema::{History, Line},
};

/// The columns of a table, and what the steps say about its model.
#[derive(Clone, Copy)]
pub(super) struct Naming<'n> {
    pub(super) table: &'n Table,
    /// The table in SQL.
    pub(super) in_sql: &'n str,
    pub(super) history: Option<History<'n>>,
}

impl<'n> Naming<'n> {
    /// What the steps say about the field that has or had this name.
    fn line(&self, field: &str) -> Option<&'n Line> {
        self.history?.fields.get(field)
    }

    /// The column that a setting names: by its own name, or by the newest name of its field.
    pub(super) fn place(&self, columns: &[FoundColumn], name: &str) -> Option<usize> {
        let of_name = |name: &str| columns.iter().position(|found| found.column.stored == name);
        of_name(name).or_else(|| {
            let line = self.line(name).filter(|line| line.now() == name)?;
            line.names().find_map(of_name)
        })
    }

    /// The newest name of a column's field.
    pub(super) fn now<'c>(&self, column: &'c str) -> &'c str
    where
        'n: 'c,
    {
        self.line(column).map_or(column, Line::now)
    }

    pub(super) fn is_removed(&self, name: &str) -> bool {
        self.line(name).is_some_and(Line::is_removed)
    }

    /// The same table, whose settings name columns by the newest names of their fields, so that they mean the
    /// same columns after a rename.
    pub(super) fn by_newest_names(&self, columns: &[FoundColumn]) -> Table {
        let mut table = self.table.clone();
        let Table { hidden, columns: chosen, read_only, computed, as_strings, .. } = &mut table;
        for settings in [hidden, read_only, computed, as_strings].into_iter().chain(chosen) {
            for name in settings {
                let Some(line) = self.line(name).filter(|line| !line.is_removed()) else {
                    continue;
                };
                let is_of_line =
                    |found: &&FoundColumn| line.names().any(|name| found.column.stored == name);
                let mut of_line = columns.iter().filter(is_of_line);
                let (first, second) = (of_line.next(), of_line.next());
                if second.is_none() && first.is_some_and(|found| found.column.stored == *name) {
                    line.now().clone_into(name);
                }
            }
        }
        table
    }

    /// The error that a setting names no column.
    pub(super) fn no_column(&self, name: &str, advice: &'static str) -> SchemaError {
        let is_renamed = self.line(name).is_some_and(|line| line.now() != name);
        let advice =
            if is_renamed { "the schema has renamed it, so use its newest name" } else { advice };
        no_column(&self.table.name, name, advice)
    }

    /// The error that there is no such column; `None` if no step tells that there should be one.
    pub(super) fn missing<D: Dialect>(&self, field: &str) -> Option<SchemaError> {
        let line = self.line(field).filter(|line| !line.is_removed())?;
        let field = line.now();
        let default = line.added().cloned().unwrap_or_default();
        let add = format!(
            "ALTER TABLE {} ADD COLUMN {} {}",
            self.in_sql,
            quote(field),
            of_type::<D>(&default)
        );
        Some(SchemaError::NoField { table: self.table.name.clone(), field: field.to_owned(), add })
    }

    /// # Errors
    /// If a step names the column of the id or of the owner.
    pub(super) fn check_keys(&self) -> Result<(), SchemaError> {
        let keys = [Some(&self.table.id), self.table.owner.as_ref()];
        match keys.into_iter().flatten().find(|key| self.line(key).is_some()) {
            Some(key) => {
                Err(SchemaError::KeyStep { table: self.table.name.clone(), column: key.clone() })
            }
            None => Ok(()),
        }
    }

    /// Gives the visible columns the newest names of their fields.
    ///
    /// # Errors
    /// If the steps tell another table than this one.
    pub(super) fn name<D: Dialect>(
        &self,
        columns: &mut [FoundColumn],
        hidden: &[String],
    ) -> Result<(), SchemaError> {
        let Some(history) = self.history else { return Ok(()) };
        for line in history.fields.iter() {
            let is_one = |name: &&str| columns.iter().any(|found| found.column.stored == **name);
            let mut stored = line.names().filter(is_one).map(str::to_owned);
            let (first, second) = (stored.next(), stored.next());
            drop(stored);
            let drop =
                |column: &str| format!("ALTER TABLE {} DROP COLUMN {}", self.in_sql, quote(column));
            let table = self.table.name.clone();
            match (first, second) {
                (Some(column), _) if line.is_removed() => {
                    let drop = drop(&column);
                    return Err(SchemaError::RemovedField { table, column, drop });
                }
                (Some(newer), Some(older)) => {
                    let drop = drop(&older);
                    return Err(SchemaError::TwoColumns { table, newer, older, drop });
                }
                (Some(stored), None) => {
                    let found = columns.iter_mut().find(|found| found.column.stored == stored);
                    if line.now().len() > D::MOST_IN_A_NAME && stored != line.now() {
                        let (name, most) = (line.now().to_owned(), D::MOST_IN_A_NAME);
                        return Err(SchemaError::LongName { name, most });
                    }
                    if let Some(found) = found {
                        line.now().clone_into(&mut found.column.name);
                    }
                }
                (None, _) if self.is_needed(line, hidden) => {
                    return self.missing::<D>(line.now()).map_or(Ok(()), Err);
                }
                (None, _) => {}
            }
        }
        Ok(())
    }

    /// Whether a field without a visible column must have one.
    fn is_needed(&self, line: &Line, hidden: &[String]) -> bool {
        let is_hidden = |name: &str| hidden.iter().any(|hidden| hidden == name);
        let is_chosen = |columns: &Vec<String>| {
            line.names().any(|name| columns.iter().any(|column| column == name))
        };
        !line.is_removed()
            && !self.table.keeps_unknown
            && !line.names().any(is_hidden)
            && self.table.columns.as_ref().is_none_or(is_chosen)
    }

    /// # Errors
    /// If the default of an added field is not that of its column: rows that are older than the column have
    /// the one, and devices the other.
    pub(super) fn check_defaults<D: Dialect>(
        &self,
        columns: &[FoundColumn],
    ) -> Result<(), SchemaError> {
        for FoundColumn { column, .. } in columns {
            let Some(step) = self.line(&column.name).and_then(Line::added) else { continue };
            let held = match &column.default {
                _ if column.written_by == WrittenBy::Database => continue,
                DefaultValue::Own => continue,
                DefaultValue::Null => "null",
                DefaultValue::Constant(json) => json,
            };
            if !is_default(column, &step.to_string(), held) {
                return Err(SchemaError::OtherDefault {
                    table: self.table.name.clone(),
                    column: column.name.clone(),
                    step: step.to_string(),
                    held: held.to_owned(),
                    mend: D::set_default(self.in_sql, &column.quoted(), &in_sql::<D>(step)),
                });
            }
        }
        Ok(())
    }
}

fn is_default(column: &Column, step: &str, held: &str) -> bool {
    same(&column.as_held(step), held) || column.is_one(step, held)
}

/// A value in SQL.
fn in_sql<D: Dialect>(value: &Value) -> String {
    match value {
        Value::String(text) => D::literal(text),
        Value::Array(_) | Value::Object(_) => D::literal(&value.to_string()),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A type with a default, as a hint.
fn of_type<D: Dialect>(default: &Value) -> String {
    let sql_type = match default {
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "double precision",
        Value::Number(_) => "bigint",
        Value::Array(_) | Value::Object(_) => "json",
        Value::Null | Value::String(_) => "text",
    };
    if default.is_null() {
        return sql_type.to_owned();
    }
    format!("{sql_type} DEFAULT {}", in_sql::<D>(default))
}
