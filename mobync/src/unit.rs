//! What a sync asks of a database: four methods, and what makes them fast.

mod log;

use std::future::Future;

use crate::{
    diff::Diff,
    error::DatabaseError,
    filter::ReadFilter,
    merge::{Snapshot, Window, Write},
    owner::Owner,
    record::Record,
};

/// One unit of work on a database, as the engine uses it.
///
/// Every [`Synchronizer`](crate::Synchronizer) is one, so a database of your own need not implement
/// it. The ready-made databases implement it in place of the seven methods, to be fast: four methods are
/// theirs, and the others are provided and right through those four.
///
/// The promises are those of [`Synchronizer`](crate::Synchronizer): isolation, reads that see earlier
/// writes, all or nothing, owners apart.
///
/// # Errors
/// A [`DatabaseError`], which tells "the database failed" from "the database does not take this value".
// A method that is added here is passed on in `any/unit.rs`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no unit of work of a database",
    note = "implement the seven methods of `mobync::Synchronizer`, or use a ready-made database"
)]
pub trait UnitOfWork: Send + Sized {
    /// The owner's records of the model that meet all of the filters, in any order. The log is a model
    /// like the others.
    fn read(
        &mut self,
        owner: &Owner,
        model: &str,
        filters: &[ReadFilter],
    ) -> impl Future<Output = Result<Vec<Record>, DatabaseError>> + Send;

    /// Does the writes, which are of different objects, in their order.
    ///
    /// Returns which of them the database does not take, by place and with the reason; the others
    /// are done. A unit that cannot go on stops at the first.
    ///
    /// # Errors
    /// A failure; or a rejection ([`DatabaseError::is_rejection`]), if the unit cannot tell of which
    /// write it is. Then all is repeated in a new unit that is told to
    /// [check each change](Self::check_each_change).
    fn write(
        &mut self,
        owner: &Owner,
        writes: &[Write<'_>],
    ) -> impl Future<Output = Result<Vec<Rejection>, DatabaseError>> + Send;

    /// Adds the entries to the log; those of a large sync come in several parts.
    fn append(
        &mut self,
        owner: &Owner,
        log: &str,
        entries: Vec<Diff>,
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send;

    /// Keeps everything that the unit wrote, or nothing; behind it everything that the unit has read is
    /// kept, too. Called at the end of every sync that was opened to write.
    ///
    /// # Errors
    /// Also a rejection, for a constraint that the database checks at the commit; see
    /// [`check_each_change`](Self::check_each_change).
    fn commit(self) -> impl Future<Output = Result<(), DatabaseError>> + Send;

    // What is allowed.

    /// Whether the database has this model with these fields, as far as it knows without looking.
    /// Asked for every new diff before anything is written. Provided: yes.
    ///
    /// # Errors
    /// [`DatabaseError::UnknownModel`] or [`DatabaseError::UnknownField`] if it has not.
    fn check_schema(&self, model: &str, fields: &[&str]) -> Result<(), DatabaseError> {
        let _ = (model, fields);
        Ok(())
    }

    /// Whether [`validate`](Self::validate) can refuse anything. If it can, writes do not wait to go out
    /// together. Provided: no.
    fn validates(&self) -> bool {
        false
    }

    /// Whether the owner may make this change; `false` refuses the diff as `forbidden`. Provided: yes.
    fn validate(
        &mut self,
        owner: &Owner,
        diff: &Diff,
    ) -> impl Future<Output = Result<bool, DatabaseError>> + Send {
        let _ = (owner, diff);
        async { Ok(true) }
    }

    // How rejections are found.

    /// Whether the unit is as before, and can go on, after [`write`](Self::write) was rejected a
    /// change. Provided: no, so that the unit is dropped, and the sync repeated without what was rejected.
    ///
    /// As long as [`read`](Self::read) still answers, the unit is asked about the other changes first, and
    /// one repetition is enough. Where it fails, as in a transaction that was aborted, there is one
    /// repetition for each change that is rejected; a unit that undoes a rejected change by itself (by a
    /// savepoint) needs none, and says yes here.
    fn survives_rejection(&self) -> bool {
        false
    }

    /// From now on the unit must tell which change the database does not take.
    ///
    /// Called first of all, after an earlier unit's [`write`](Self::write) or [`commit`](Self::commit)
    /// failed with a rejection that named no change. Provided: does nothing.
    fn check_each_change(&mut self) -> impl Future<Output = Result<(), DatabaseError>> + Send {
        async { Ok(()) }
    }

    /// From now on the unit must check with each change what it otherwise checks at the commit.
    ///
    /// Called behind [`check_each_change`](Self::check_each_change), after an earlier unit's
    /// [`commit`](Self::commit) failed with a rejection, or its [`write`](Self::write) did though it
    /// was told to check each change. Provided: does nothing.
    fn check_at_once(&mut self) -> impl Future<Output = Result<(), DatabaseError>> + Send {
        async { Ok(()) }
    }

    /// Whether the database surely takes this value (JSON text) for this field, whatever else is in the
    /// row or in others: its type decides, and no constraint, index or trigger looks at it. An update of
    /// such fields alone goes out together with the change of the same object before it.
    /// Provided: no.
    fn takes(&self, model: &str, field: &str, value: &str) -> bool {
        let _ = (model, field, value);
        false
    }

    // How the log is read.

    /// The owner's clock, in ticks: one more than the greatest `logical_clock` in the log, 0 where it
    /// is empty. Provided: probes the log in O(log n) reads, for no tick is left out.
    fn clock(
        &mut self,
        owner: &Owner,
        log: &str,
    ) -> impl Future<Output = Result<i64, DatabaseError>> + Send {
        log::probe_clock(self, owner, log)
    }

    /// Reads what a sync needs of the log, and which of the request's objects are there.
    /// Provided: by [`read`](Self::read), in a few steps.
    fn window(
        &mut self,
        owner: &Owner,
        query: WindowQuery<'_>,
    ) -> impl Future<Output = Result<Window, DatabaseError>> + Send {
        log::read_window(self, owner, query)
    }

    /// Folds the whole log into what is alive at its end, which is all that a new device gets.
    /// Provided: by [`window`](Self::window), all at once.
    fn snapshot(
        &mut self,
        owner: &Owner,
        log: &str,
    ) -> impl Future<Output = Result<Snapshot, DatabaseError>> + Send {
        log::fold_log(self, owner, log)
    }
}

/// What a sync asks of the log and the objects, all at once so that a database can answer at once.
#[derive(Clone, Copy, Debug)]
pub struct WindowQuery<'a> {
    /// The name of the diffs model.
    pub log: &'a str,
    /// The device's clock, in ticks.
    pub since: i64,
    /// The ids of the request's diffs.
    pub ids: &'a [&'a str],
    /// The objects (model, id) that the request names, each once.
    pub objects: &'a [(&'a str, &'a str)],
}

/// A change that a database does not take.
#[derive(Debug)]
pub struct Rejection {
    /// The change's place among those that were to be written, from 0.
    pub place: usize,
    /// Why.
    pub error: DatabaseError,
}
