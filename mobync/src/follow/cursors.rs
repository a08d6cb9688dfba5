//! Where followers keep how far they have come.

use std::{future::Future, time::Duration};

use super::rows;
use crate::{Database, DatabaseError, Diff, Owner, UnitOfWork};

/// A database that keeps how far [followers](super) have come: of each follower and owner the clock up
/// to which entries are handled, and who is at it.
///
/// The ready-made databases are such, and so is every cloneable [`Synchronizer`](crate::Synchronizer).
/// For a [`Database`] of your own, `impl Cursors for MyDatabase {}` is enough: what is provided keeps a
/// cursor as a record of the owner, in a model named as the log with `_followers` behind it. Its id is
/// the follower's name, and it has three fields: `clock` and `held_until` are integers, `holder` is a
/// text.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not keep how far followers have come",
    note = "for a database of your own: `impl mobync::follow::Cursors for {Self} {{}}`"
)]
pub trait Cursors: Database {
    /// Called when a follower begins to run, before all else; may be called again. A follower that was
    /// never there begins as `start` says. Provided: does nothing, as all begin at the beginning.
    ///
    /// # Errors
    /// If the database cannot begin so: what is provided cannot begin [now](Start::Now).
    fn prepare(
        &self,
        log: &str,
        follower: &str,
        start: Start,
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send {
        let _ = (log, follower);
        async move {
            match start {
                Start::Beginning => Ok(()),
                Start::Now => Err(DatabaseError::failed(
                    "this database cannot tell which owners there are: let the follower begin at the beginning",
                )),
            }
        }
    }

    /// Takes the place for so long, and returns the clock up to which entries are handled; none if
    /// another holder has it. Provided: by a record.
    fn take(
        &self,
        place: &Place<'_>,
        hold: Duration,
    ) -> impl Future<Output = Result<Option<i64>, DatabaseError>> + Send {
        rows::take(self, place, hold)
    }

    /// Says up to which clock entries are handled, and holds the place for so long from now; zero lets
    /// it go. Returns whether it was still this holder's. Provided: by the record.
    fn keep(
        &self,
        place: &Place<'_>,
        clock: i64,
        hold: Duration,
    ) -> impl Future<Output = Result<bool, DatabaseError>> + Send {
        rows::keep(self, place, clock, hold)
    }

    /// Looks at the next owners behind `after`, at most so many. Provided: the database cannot tell
    /// which owners there are, so there are none; then a follower hears of an owner at its next sync.
    fn behind(
        &self,
        log: &str,
        follower: &str,
        after: Option<&Owner>,
        most: usize,
    ) -> impl Future<Output = Result<Page, DatabaseError>> + Send {
        let _ = (log, follower, after, most);
        async { Ok(Page::default()) }
    }

    /// The log's entries of the owner from a tick on, in the log's order: whole ticks, and of those as
    /// many as have `most` entries or fewer, but at least one. Provided: by [`UnitOfWork::read`].
    fn entries(
        &self,
        log: &str,
        owner: &Owner,
        since: i64,
        most: usize,
    ) -> impl Future<Output = Result<News, DatabaseError>> + Send {
        rows::entries(self, log, owner, since, most)
    }
}

impl<U: UnitOfWork + Clone + Sync + 'static> Cursors for U {}

/// A follower's place at one owner, and who wants it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Place<'a> {
    /// The name of the log.
    pub log: &'a str,
    /// The name of the follower.
    pub follower: &'a str,
    /// The owner.
    pub owner: &'a Owner,
    /// Who runs the follower: another one in each process.
    pub holder: &'a str,
}

impl<'a> Place<'a> {
    pub(super) fn new(log: &'a str, follower: &'a str, owner: &'a Owner, holder: &'a str) -> Self {
        Self { log, follower, owner, holder }
    }
}

/// Where a follower begins that was never there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the beginning of the log.
    #[default]
    Beginning,
    /// Behind all that is in the log.
    Now,
}

/// Some owners, looked at in an order of the database's own.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Page {
    /// Those that have entries which are not handled, and whose place nobody holds.
    pub behind: Vec<Owner>,
    /// The last owner that was looked at; none behind the last one of all.
    pub last: Option<Owner>,
}

impl Page {
    /// A page of these, which goes on behind `last`.
    pub fn new(behind: Vec<Owner>, last: Option<Owner>) -> Self {
        Self { behind, last }
    }
}

/// Entries of the log, in its order.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct News {
    /// The entries of some ticks.
    pub entries: Vec<Diff>,
    /// Whether there may be more behind them.
    pub more: bool,
}

impl News {
    /// The first of these entries, in any order, which begin at the same tick: whole ticks, with `most`
    /// entries or fewer, but at least one. `is_cut` says that of the last tick not all may be there.
    ///
    /// Returns none if that is so of the first one.
    pub fn of(mut entries: Vec<Diff>, most: usize, is_cut: bool) -> Option<Self> {
        entries.sort_by(|left, right| left.order().cmp(&right.order()));
        let ticks = entries.chunk_by(|left, right| left.logical_clock == right.logical_clock);
        let mut ends: Vec<usize> = ticks
            .scan(0, |end, tick| {
                *end += tick.len();
                Some(*end)
            })
            .collect();
        if is_cut {
            ends.pop();
        }
        let whole = match (ends.iter().rev().find(|end| **end <= most), ends.first()) {
            (Some(end), _) | (None, Some(end)) => *end,
            (None, None) if is_cut => return None,
            (None, None) => 0,
        };
        let more = is_cut || whole < entries.len();
        entries.truncate(whole);
        Some(Self { entries, more })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;

    fn entries(ticks: &[i64]) -> Vec<Diff> {
        let entry = |(place, tick): (usize, &i64)| Diff {
            id: format!("d{place}"),
            owner: String::new(),
            logical_clock: *tick,
            utc_timestamp: 0,
            operation: Operation::Update,
            model: "tasks".to_owned(),
            json_data: r#"{"id":"t1","n":1}"#.to_owned(),
        };
        ticks.iter().enumerate().map(entry).collect()
    }

    #[test]
    fn news_are_whole_ticks_at_least_one_and_else_no_more_than_are_asked_for() {
        let cases = [
            (&[][..], 2, false, Some((0, false))),
            (&[5, 5, 6], 3, false, Some((3, false))),
            (&[5, 5, 6], 2, false, Some((2, true))),
            (&[6, 5, 5], 2, false, Some((2, true))),
            (&[5, 5, 5, 6], 2, false, Some((3, true))),
            (&[5, 5, 5], 2, false, Some((3, false))),
            (&[5, 5, 6], 2, true, Some((2, true))),
            (&[5, 6, 7], 1, true, Some((1, true))),
            (&[5, 5, 5], 2, true, None),
        ];
        for (ticks, most, is_cut, expected) in cases {
            let news = News::of(entries(ticks), most, is_cut);
            let news = news.map(|news| (news.entries.len(), news.more));
            assert_eq!(news, expected, "{ticks:?}, {most}, {is_cut}");
        }
    }
}
