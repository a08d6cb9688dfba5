//! Writes that are one statement: neighbours of the same kind, table and set of fields.

use super::{Arg, Column, Dialect, Model, schema::Schema};
use crate::{diff::Operation, error::DatabaseError, merge::Write, owner::Owner};

/// Neighbouring writes that differ only in their values.
#[derive(Clone, Debug)]
pub struct Batch<'b, 'w> {
    /// The index of the first one among the writes that were divided into batches.
    pub(crate) first: usize,
    pub(crate) model: &'b Model,
    /// The columns that they write, without the id; empty for deletes.
    pub(crate) columns: Vec<&'b Column>,
    pub(crate) writes: &'b [&'b Write<'w>],
    operation: Operation,
}

/// Divides the writes into batches, in their order.
pub(super) fn batches<'b, 'w>(
    schema: &'b Schema,
    writes: &'b [&'b Write<'w>],
) -> Result<Vec<Batch<'b, 'w>>, DatabaseError> {
    let (mut batches, mut first) = (Vec::new(), 0);
    for writes in writes.chunk_by(|left, right| go_together(left, right)) {
        if let Some(one) = writes.first() {
            let model = schema.model(one.model())?;
            let columns = one.fields().filter_map(|(field, _)| model.written(field)).collect();
            batches.push(Batch { first, model, columns, writes, operation: one.operation() });
        }
        first += writes.len();
    }
    Ok(batches)
}

fn go_together(left: &Write<'_>, right: &Write<'_>) -> bool {
    left.operation() == right.operation()
        && left.model() == right.model()
        && left.fields().map(|(name, _)| name).eq(right.fields().map(|(name, _)| name))
}

impl<'b> Batch<'b, '_> {
    pub(crate) fn operation(&self) -> Operation {
        self.operation
    }

    pub(crate) fn len(&self) -> usize {
        self.writes.len()
    }

    /// Some of its writes.
    #[cfg(feature = "sqlite")]
    pub(crate) fn part(&self, range: std::ops::Range<usize>) -> Self {
        let first = self.first + range.start;
        Self { first, writes: self.writes.get(range).unwrap_or_default(), ..self.clone() }
    }

    pub(crate) fn ids(&self) -> Vec<&'b str> {
        self.writes.iter().map(|write| write.id()).collect()
    }

    /// The statement for all of them, with the parameters `$1`, the owner, and `$2`, the
    /// [rows](Self::rows) or [ids](Self::ids); `None` if no column of the table changes.
    pub(crate) fn statement<D: Dialect>(&self) -> Option<String> {
        let Self { model, columns, .. } = self;
        match self.operation {
            Operation::Create => Some(D::insert(model, columns)),
            Operation::Update if columns.is_empty() => None,
            Operation::Update => Some(D::update(model, columns)),
            Operation::Delete => Some(D::delete(model)),
        }
    }

    /// What they write, for `$2`.
    pub(crate) fn rows<D: Dialect>(&self) -> String {
        let rows = self.writes.iter().map(|write| {
            let known = write.fields().filter(|(field, _)| self.model.written(field).is_some());
            (write.id(), known.map(|(_, value)| value).collect())
        });
        D::payload(self.model, &self.columns, rows)
    }

    pub(crate) fn args<D: Dialect>(&self, owner: &'b Owner) -> [Arg<'b>; 2] {
        let rows = match self.operation {
            Operation::Create | Operation::Update => Arg::Owned(self.rows::<D>()),
            Operation::Delete => Arg::Texts(self.ids()),
        };
        [Arg::Text(owner.as_str()), rows]
    }

    /// A select of the ids of its rows that exist.
    pub(crate) fn existing<D: Dialect>(&self, parameter: usize) -> String {
        let Self { model, .. } = self;
        let id = model.id.quoted();
        format!("SELECT CAST(t.{id} AS TEXT) FROM {}", D::rows_with_ids(model, parameter))
    }
}

/// A statement with other texts in place of its parameters `$1` and `$2`. Identifiers do not change.
pub(crate) fn with_parameters(sql: &str, owner: &str, rows: &str) -> String {
    let mut other = String::with_capacity(sql.len());
    for (place, piece) in sql.split('"').enumerate() {
        if place > 0 {
            other.push('"');
        }
        let is_identifier = place % 2 == 1;
        if is_identifier {
            other.push_str(piece);
        } else {
            other.push_str(&piece.replace("$1", owner).replace("$2", rows));
        }
    }
    other
}

/// # Errors
/// A rejection, if the write has a value that no column of its type can hold.
pub(super) fn check(model: &Model, write: &Write<'_>) -> Result<(), DatabaseError> {
    if write.operation() == Operation::Create && !model.can_have(write.id()) {
        let what = format!("must be spelled like a value of its type, {}", model.id.sql_type);
        return Err(DatabaseError::invalid_value("id", what));
    }
    for (field, value) in write.fields() {
        if let Some(column) = model.written(field) {
            column.check(value)?;
        }
    }
    Ok(())
}
