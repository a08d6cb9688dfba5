//! The part of the log that a sync needs.

use crate::diff::Diff;

/// The part of the log that a sync needs, from one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// The owner's clock, in ticks. If it is less than the query's `since`, any lesser value is allowed. For
    /// a page, the tick after its last one.
    pub clock: i64,
    /// The query's `since`, or the tick of the first log entry that has one of the query's ids,
    /// whichever is less.
    pub start: i64,
    /// The log's entries from `start` on, in any order. For a page, those below `clock`.
    pub entries: Vec<Diff>,
    /// The owner's clock, in ticks, if this is a page and more entries follow.
    pub more: Option<i64>,
    /// In such a page, all of the log's [own entries](crate::UnitOfWork::own_entries), if they are from the
    /// same snapshot. `None` if they must be asked for.
    pub own: Option<Vec<Diff>>,
    /// Whether the log has the query's `head`, with the tick before its `since`.
    pub has_head: bool,
    /// For each of the query's objects, in order, whether it exists.
    pub existing: Vec<bool>,
    /// The query's models that the database does not have.
    pub unknown_models: Vec<String>,
    /// Whether the owner has marks of changes that others have made to the rows; see
    /// [`UnitOfWork::take_marks`](crate::UnitOfWork::take_marks).
    pub marked: bool,
}

impl Window {
    /// Makes a page of a window that has all entries from `since` on: it keeps what the query's
    /// [`limit`](crate::WindowQuery::limit) allows. For a [`UnitOfWork`](crate::UnitOfWork) that has its log
    /// in memory.
    pub fn cut(&mut self, limit: u64) {
        self.entries.sort_by_key(|entry| entry.logical_clock);
        if let Some(next) = next_page(&self.entries, limit) {
            self.entries.retain(|entry| entry.logical_clock < next);
            self.more = Some(self.clock);
            self.clock = next;
        }
    }

    /// The id of an entry of the last tick before the clock, ignoring the log's own model: of the entries in
    /// the window, the last in the log's order.
    pub(crate) fn head(&self, log: &str) -> Option<&str> {
        let is_last = |entry: &&Diff| entry.logical_clock.checked_add(1) == Some(self.clock);
        let last = self.entries.iter().filter(is_last).filter(|entry| entry.model != log);
        last.max_by_key(|entry| entry.order()).map(|entry| &*entry.id)
    }
}

/// The tick of the first entry after a page of at most this many entries, or of one tick that has more.
/// `None` if all entries fit. The entries are ordered by tick.
pub(crate) fn next_page(entries: &[Diff], limit: u64) -> Option<i64> {
    let first = entries.first()?.logical_clock;
    let next = entries.get(usize::try_from(limit).ok()?)?.logical_clock;
    if next > first {
        return Some(next);
    }
    let behind = entries.partition_point(|entry| entry.logical_clock <= first);
    entries.get(behind).map(|entry| entry.logical_clock)
}
