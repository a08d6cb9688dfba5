//! Filters of a read as conditions in SQL.

use serde_json::Value;

use super::{
    Arg, Column, Dialect, Kind, Model,
    value::{in_range, integer},
};
use crate::{
    error::DatabaseError,
    filter::{FilterType, ReadFilter},
};

/// The conditions of a read, with their parameters from `$2` on.
#[derive(Debug, Default)]
pub(super) struct Conditions<'f> {
    pub(super) sql: String,
    pub(super) args: Vec<Arg<'f>>,
    /// No record can meet them all.
    pub(super) never: bool,
    /// The database may find that a value does not have the column's type, so no record has it.
    pub(super) may_fail: bool,
}

impl<'f> Conditions<'f> {
    /// # Errors
    /// [`DatabaseError::UnknownField`] if the model has no such field.
    pub(super) fn new<D: Dialect>(
        model: &Model,
        filters: &'f [ReadFilter],
    ) -> Result<Self, DatabaseError> {
        let mut conditions = Self::default();
        for filter in filters {
            let column = model.field(filter.field())?;
            conditions.add::<D>(column, filter);
        }
        Ok(conditions)
    }

    fn add<D: Dialect>(&mut self, column: &Column, filter: &'f ReadFilter) {
        let name = format!("t.{}", column.quoted());
        let condition = match (filter.filter_type(), filter.value()) {
            (FilterType::Equal, Value::Null) => format!("{name} IS NULL"),
            (FilterType::In, Value::Array(values)) => {
                let has_null = values.iter().any(Value::is_null);
                let values: Vec<&Value> =
                    values.iter().filter(|value| surely_compares(column, value)).collect();
                self.may_fail |= column.kind == Kind::Other;
                let one_of = match column.kind {
                    _ if values.is_empty() => "1 = 0".to_owned(),
                    _ => {
                        self.args.push(Arg::Values(values));
                        D::equals_one_of(column, self.args.len() + 1)
                    }
                };
                if has_null { format!("({one_of} OR {name} IS NULL)") } else { one_of }
            }
            (FilterType::In, _) => return self.never = true,
            (filter_type, value) => {
                if !column.kind.compares(value) {
                    return self.never = true;
                }
                let operator = match filter_type {
                    FilterType::Greater => ">",
                    FilterType::Less => "<",
                    FilterType::GreaterOrEqual => ">=",
                    FilterType::LessOrEqual => "<=",
                    FilterType::Equal | FilterType::In => "=",
                };
                if operator != "=" && matches!(column.kind, Kind::Boolean | Kind::Json) {
                    return self.never = true;
                }
                self.may_fail |= column.kind == Kind::Other;
                self.args.push(Arg::Value(value));
                D::compare(column, operator, self.args.len() + 1, value)
            }
        };
        self.sql += " AND ";
        self.sql += &condition;
    }
}

/// Only values of a list that have the column's own type are searched for.
fn surely_compares(column: &Column, value: &Value) -> bool {
    let number = value.as_i64().or_else(|| value.as_str().and_then(integer));
    match (column.kind, number) {
        (Kind::Integer(bits), Some(number)) => in_range(number, bits),
        (Kind::Integer(_), None) => false,
        (kind, _) => kind.compares(value),
    }
}
