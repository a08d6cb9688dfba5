//! What a sync needs of the log.

use crate::diff::Diff;

/// What a sync needs of the log, from one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// The owner's clock, in ticks. Where it is less than the query's `since`, any lesser value does.
    pub clock: i64,
    /// The query's `since`, or the tick of the first log entry that has one of the query's ids,
    /// whichever is less.
    pub start: i64,
    /// The log's entries from `start` on, in any order.
    pub entries: Vec<Diff>,
    /// For each of the query's objects, in that order, whether it is there.
    pub existing: Vec<bool>,
    /// Those of the query's models that the database does not have.
    pub unknown_models: Vec<String>,
    /// Whether the owner has marks of changes that others have made to the rows; see
    /// [`UnitOfWork::take_marks`](crate::UnitOfWork::take_marks).
    pub marked: bool,
}
