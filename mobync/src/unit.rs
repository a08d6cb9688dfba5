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
/// Every [`Synchronizer`](crate::Synchronizer) is one, so a database of your own need not implement it.
/// The ready-made databases implement it instead of the seven methods, to be fast. Four methods are
/// required. The others have defaults that are correct with those four.
///
/// The promises are those of [`Synchronizer`](crate::Synchronizer): isolation, reads that see earlier
/// writes, all or nothing, owners apart.
///
/// # Errors
/// A [`DatabaseError`], which distinguishes "the database failed" from "the database rejects this
/// value".
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

    /// Executes the writes, which are of different objects, in their order.
    ///
    /// Returns those that the database rejects, with index and reason; the others are executed. A unit
    /// that is unusable after a rejection stops at the first.
    ///
    /// # Errors
    /// A failure; or a rejection ([`DatabaseError::is_rejection`]), if the unit cannot say which write
    /// caused it. Then everything is repeated in a new unit that is told to [check each
    /// change](Self::check_each_change).
    fn write(
        &mut self,
        owner: &Owner,
        writes: &[Write<'_>],
    ) -> impl Future<Output = Result<Vec<Rejection>, DatabaseError>> + Send;

    /// Adds entries to the log. A large sync calls it several times.
    fn append(
        &mut self,
        owner: &Owner,
        log: &str,
        entries: Vec<Diff>,
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send;

    /// Stores everything that the unit wrote, or nothing. After it, everything that the unit has read
    /// is stored, too. Called at the end of every sync that was opened to write.
    ///
    /// # Errors
    /// Also a rejection, for a constraint that the database checks at the commit; see
    /// [`check_each_change`](Self::check_each_change).
    fn commit(self) -> impl Future<Output = Result<(), DatabaseError>> + Send;

    // What is allowed.

    /// Checks that the database has this model with these fields, as far as it knows without a query.
    /// Called for every new diff before anything is written. The default accepts everything.
    ///
    /// # Errors
    /// [`DatabaseError::UnknownModel`] or [`DatabaseError::UnknownField`] if it does not have them.
    fn check_schema(&self, model: &str, fields: &[&str]) -> Result<(), DatabaseError> {
        let _ = (model, fields);
        Ok(())
    }

    /// Whether [`validate`](Self::validate) can refuse anything. If it can, writes are not collected
    /// into batches. The default is `false`.
    fn validates(&self) -> bool {
        false
    }

    /// Whether the owner may make this change; `false` refuses the diff as `forbidden`. The default is
    /// `true`.
    fn validate(
        &mut self,
        owner: &Owner,
        diff: &Diff,
    ) -> impl Future<Output = Result<bool, DatabaseError>> + Send {
        let _ = (owner, diff);
        async { Ok(true) }
    }

    // How rejections are found.

    /// Whether the unit is unchanged and usable after [`write`](Self::write) has rejected a change. The
    /// default is `false`: the unit is dropped, and the sync is repeated without the rejected change.
    ///
    /// As long as [`read`](Self::read) still works, the other changes are tried in the same unit first,
    /// and one repetition is enough. If it fails, as in an aborted transaction, there is one repetition
    /// for each rejected change. A unit that undoes a rejected change by itself (with a savepoint)
    /// needs none, and returns `true` here.
    fn survives_rejection(&self) -> bool {
        false
    }

    /// From now on the unit must name each change that the database rejects.
    ///
    /// Called before anything else, after [`write`](Self::write) or [`commit`](Self::commit) of an
    /// earlier unit failed with a rejection that named no change. The default does nothing.
    fn check_each_change(&mut self) -> impl Future<Output = Result<(), DatabaseError>> + Send {
        async { Ok(()) }
    }

    /// From now on the unit must check after each change what it otherwise checks at the commit.
    ///
    /// Called after [`check_each_change`](Self::check_each_change), if [`commit`](Self::commit) of an
    /// earlier unit failed with a rejection, or if its [`write`](Self::write) did although it had to
    /// check each change. The default does nothing.
    fn check_at_once(&mut self) -> impl Future<Output = Result<(), DatabaseError>> + Send {
        async { Ok(()) }
    }

    /// Whether the database accepts this value (JSON text) for this field in any case: only the type
    /// decides, and no constraint, index or trigger uses the field. An update of only such fields is
    /// written together with the previous change of the same object. The default is `false`.
    fn takes(&self, model: &str, field: &str, value: &str) -> bool {
        let _ = (model, field, value);
        false
    }

    // How the log is read.

    /// The owner's clock, in ticks: one more than the greatest `logical_clock` in the log, 0 if it is
    /// empty. The default searches the log with O(log n) reads, because no tick is missing.
    fn clock(
        &mut self,
        owner: &Owner,
        log: &str,
    ) -> impl Future<Output = Result<i64, DatabaseError>> + Send {
        log::probe_clock(self, owner, log)
    }

    /// Reads what a sync needs from the log, and which of the request's objects exist. The default uses
    /// [`read`](Self::read), in a few steps.
    fn window(
        &mut self,
        owner: &Owner,
        query: WindowQuery<'_>,
    ) -> impl Future<Output = Result<Window, DatabaseError>> + Send {
        log::read_window(self, owner, query)
    }

    /// Reads the whole log and folds it into the objects that are alive at its end, which is everything
    /// that a new device gets. The default uses [`window`](Self::window).
    fn snapshot(
        &mut self,
        owner: &Owner,
        log: &str,
    ) -> impl Future<Output = Result<Snapshot, DatabaseError>> + Send {
        log::fold_log(self, owner, log)
    }
}

/// What a sync asks of the log and the objects, in one value so that a database can answer with one
/// query.
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

/// A change that a database rejects.
#[derive(Debug)]
pub struct Rejection {
    /// The change's index among those to be written, from 0.
    pub place: usize,
    /// Why.
    pub error: DatabaseError,
}
