//! Writes that go out as one statement: neighbours of one kind, table and set of fields.

use std::ops::Range;

use super::{Arg, Column, Dialect, Model, schema::Schema};
use crate::{DatabaseError, Operation, Owner, Write};

/// Neighbouring writes that differ in nothing but their values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batch<'b, 'w> {
    /// The place of the first one among all that are to be written.
    pub(super) first: usize,
    pub(super) model: &'b Model,
    pub(super) writes: &'b [Write<'w>],
}

/// Cuts these ranges of the writes into batches, in their order.
pub(super) fn batches<'b, 'w>(
    schema: &'b Schema,
    writes: &'b [Write<'w>],
    ranges: Vec<Range<usize>>,
) -> Result<Vec<Batch<'b, 'w>>, DatabaseError> {
    let mut batches = Vec::new();
    for range in ranges {
        let mut first = range.start;
        let writes = writes.get(range).unwrap_or_default();
        for writes in writes.chunk_by(go_together) {
            if let Some(one) = writes.first() {
                batches.push(Batch { first, model: schema.model(one.model())?, writes });
            }
            first += writes.len();
        }
    }
    Ok(batches)
}

fn go_together(left: &Write<'_>, right: &Write<'_>) -> bool {
    left.operation() == right.operation()
        && left.model() == right.model()
        && left.fields().map(|(name, _)| name).eq(right.fields().map(|(name, _)| name))
}

impl Batch<'_, '_> {
    /// The same in two halves, if it is more than one write.
    pub(super) fn halves(self) -> Option<[Self; 2]> {
        let middle = self.writes.len() / 2;
        let (left, right) = self.writes.split_at_checked(middle).filter(|_| middle > 0)?;
        Some([
            Self { writes: left, ..self },
            Self { writes: right, first: self.first + middle, ..self },
        ])
    }

    /// Hands the batch's statement and parameters to `run`.
    pub(super) async fn run<D: Dialect>(
        self,
        owner: &Owner,
        run: impl AsyncFnOnce(&str, &[Arg<'_>]) -> Result<(), DatabaseError>,
    ) -> Result<(), DatabaseError> {
        let Self { model, writes, .. } = self;
        let Some(one) = writes.first() else { return Ok(()) };
        let columns: Vec<&Column> =
            one.fields().filter_map(|(field, _)| model.column(field)).collect();
        let sql = match one.operation() {
            Operation::Create => D::insert(model, &columns),
            Operation::Update if columns.is_empty() => return Ok(()),
            Operation::Update => D::update(model, &columns),
            Operation::Delete => {
                let ids = writes.iter().map(Write::id).collect();
                let sql = D::delete(model);
                return run(&sql, &[Arg::Text(owner.as_str()), Arg::Texts(ids)]).await;
            }
        };
        let rows = writes.iter().map(|write| {
            let known = write.fields().filter(|(field, _)| model.column(field).is_some());
            (write.id(), known.map(|(_, value)| value).collect())
        });
        let payload = D::payload(model, &columns, rows);
        run(&sql, &[Arg::Text(owner.as_str()), Arg::Text(&payload)]).await
    }
}

/// # Errors
/// A rejection, if the write has a value that no column of its type can hold.
pub(super) fn check(model: &Model, write: &Write<'_>) -> Result<(), DatabaseError> {
    if write.operation() == Operation::Create && !model.can_have(write.id()) {
        let what = format!("must be spelled like a value of its type, {}", model.id.sql_type);
        return Err(DatabaseError::invalid_value("id", what));
    }
    for (field, value) in write.fields() {
        if let Some(column) = model.column(field) {
            column.check(value)?;
        }
    }
    Ok(())
}
