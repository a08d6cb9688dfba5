//! Where followers store their cursors.

use std::{future::Future, time::Duration};

use super::rows;
use crate::{Database, DatabaseError, Diff, Owner, UnitOfWork};

/// A database that stores the cursors of [followers](super): for each follower and owner, the clock up to
/// which entries are handled, and the lease of the process that handles them.
///
/// The ready-made databases implement it, and so does every cloneable
/// [`Synchronizer`](crate::Synchronizer). For a [`Database`] of your own, `impl Cursors for MyDatabase {}` is
/// enough: the provided methods store a cursor as a record of the owner, in the model named after the log,
/// such as `diffs_followers`. The record's id is the follower's name. It has three fields: the integers
/// `clock` and `held_until`, and the text `holder`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not store the cursors of followers",
    note = "for a database of your own: `impl mobync::follow::Cursors for {Self} {{}}`"
)]
pub trait Cursors: Database {
    /// Called when a follower starts to run, before anything else. `start` only applies to a follower that
    /// has never run before. Provided: does nothing.
    ///
    /// # Errors
    /// If the database failed, or cannot start there: the provided method cannot start
    /// [now](Start::Now).
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
                    "this database cannot list its owners: let the follower start at the beginning",
                )),
            }
        }
    }

    /// Takes the lease for that long, and returns the clock up to which entries are handled, or `None`
    /// if another holder has the lease. Provided: in a record.
    fn take(
        &self,
        place: &Place<'_>,
        hold: Duration,
    ) -> impl Future<Output = Result<Option<i64>, DatabaseError>> + Send {
        rows::take(self, place, hold)
    }

    /// Moves the cursor to that clock, and renews the lease for that long from now; zero releases it.
    /// Returns false, and changes nothing, if another holder has taken it. Provided: in the record.
    fn keep(
        &self,
        place: &Place<'_>,
        clock: i64,
        hold: Duration,
    ) -> impl Future<Output = Result<bool, DatabaseError>> + Send {
        rows::keep(self, place, clock, hold)
    }

    /// Removes the follower with all its cursors. It may not exist. Provided: fails, because the owners
    /// cannot be listed. Delete the records with the follower's name instead.
    ///
    /// # Errors
    /// If the database failed, or cannot do it.
    fn forget(
        &self,
        log: &str,
        follower: &str,
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send {
        let _ = (log, follower);
        async {
            Err(DatabaseError::failed(
                "this database cannot list its owners: delete the follower's record of each owner",
            ))
        }
    }

    /// Examines up to `most` owners after `after`, and returns those with unhandled entries. Provided:
    /// none, for a database that cannot list its owners. Its followers look at an owner after the
    /// owner's next sync.
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

    /// The owner's log entries since a tick, in the log's order: as many whole ticks as have at most
    /// `most` entries together, but at least one tick. Provided: by [`UnitOfWork::read`].
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

/// One follower's cursor for one owner, and who asks for it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Place<'a> {
    /// The name of the log.
    pub log: &'a str,
    /// The name of the follower.
    pub follower: &'a str,
    /// The owner.
    pub owner: &'a Owner,
    /// Identifies the running follower; unique for each run in each process.
    pub holder: &'a str,
}

impl<'a> Place<'a> {
    pub(super) fn new(log: &'a str, follower: &'a str, owner: &'a Owner, holder: &'a str) -> Self {
        Self { log, follower, owner, holder }
    }
}

/// Where a new follower starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the beginning of the log.
    #[default]
    Beginning,
    /// At the end of the log.
    Now,
}

/// A page of owners, in an order of the database's choice.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Page {
    /// Those that have unhandled entries and no lease.
    pub behind: Vec<Owner>,
    /// The last owner that was examined, to continue after; `None` if there are no more.
    pub last: Option<Owner>,
}

impl Page {
    /// A page of these owners, which continues after `last`.
    pub fn new(behind: Vec<Owner>, last: Option<Owner>) -> Self {
        Self { behind, last }
    }
}

/// Log entries, in the log's order.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct News {
    /// The entries of some ticks.
    pub entries: Vec<Diff>,
    /// Whether there may be more after them.
    pub more: bool,
}

impl News {
    /// Takes from entries in any order as many whole ticks as have at most `most` entries together, but at
    /// least one tick. `is_cut` says that the last tick may be incomplete.
    ///
    /// Returns `None` if that is the only tick.
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
