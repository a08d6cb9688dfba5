//! What a sync asks of a database: four methods, and what makes them fast.

mod log;
mod marks;
mod retention;
mod rows;

use std::future::Future;

use crate::{
    diff::{Diff, Operation},
    error::DatabaseError,
    filter::ReadFilter,
    merge::{Snapshot, Window, Write},
    owner::Owner,
    reconcile::same,
    record::Record,
    schema::OlderNames,
};

pub(crate) use self::log::TICKS;
pub use self::{
    marks::{Mark, SetOff, Will},
    retention::Rewrite,
};

/// One unit of work on a database, as the engine uses it.
///
/// Every [`Synchronizer`](crate::Synchronizer) is a unit of work, so your own database need not implement
/// this trait. The ready-made databases implement it instead of the seven methods, to be fast. Four methods
/// are required. The others have defaults, which are correct if these four are.
///
/// The guarantees are those of [`Synchronizer`](crate::Synchronizer): isolation, reads that see earlier
/// writes, all or nothing, separate owners.
///
/// # Errors
/// A [`DatabaseError`], which distinguishes "the database failed" from "the database rejects this
/// value".
// Each method added here must be forwarded in `any/works.rs`, `any/unit.rs` and `schema/lens.rs`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no unit of work of a database",
    note = "implement the seven methods of `mobync::Synchronizer`, or use a ready-made database"
)]
pub trait UnitOfWork: Send + Sized {
    /// Returns the owner's records of the model that match all filters, in any order. The log is a model
    /// like the others.
    fn read(
        &mut self,
        owner: &Owner,
        model: &str,
        filters: &[ReadFilter],
    ) -> impl Future<Output = Result<Vec<Record>, DatabaseError>> + Send;

    /// Executes the writes in order. Each is for a different object.
    ///
    /// Returns the writes that the database rejects, with index and reason; the others are executed. If a
    /// rejection makes the unit unusable, it stops at the first one.
    ///
    /// # Errors
    /// A failure; or a rejection ([`DatabaseError::is_rejection`]), if the unit cannot tell which write
    /// caused it. Then everything is repeated in a new unit, which must [check each
    /// change](Self::check_each_change).
    fn write(
        &mut self,
        owner: &Owner,
        writes: &[Write<'_>],
    ) -> impl Future<Output = Result<Vec<Rejection>, DatabaseError>> + Send;

    /// Appends entries to the log. A large sync calls this several times.
    fn append(
        &mut self,
        owner: &Owner,
        log: &str,
        entries: Vec<Diff>,
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send;

    /// Commits everything that the unit wrote, or nothing. Afterwards, everything that the unit has read is
    /// committed, too. Called at the end of every sync that was opened to write.
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

    /// Tells the unit to name each change that the database rejects from now on.
    ///
    /// Called before anything else, if [`write`](Self::write) or [`commit`](Self::commit) of an earlier
    /// unit failed with a rejection that named no change. The default does nothing.
    fn check_each_change(&mut self) -> impl Future<Output = Result<(), DatabaseError>> + Send {
        async { Ok(()) }
    }

    /// Tells the unit to check after each change what it otherwise checks at the commit.
    ///
    /// Called after [`check_each_change`](Self::check_each_change), if [`commit`](Self::commit) of an
    /// earlier unit failed with a rejection, or if its [`write`](Self::write) did although it had to check
    /// each change. The default does nothing.
    fn check_at_once(&mut self) -> impl Future<Output = Result<(), DatabaseError>> + Send {
        async { Ok(()) }
    }

    /// Whether the database always accepts this value (JSON text) for this field: only the type decides,
    /// and no constraint, index or trigger uses the field. An update of only such fields is written
    /// together with the previous change of the same object. The default is `false`.
    fn takes(&self, model: &str, field: &str, value: &str) -> bool {
        let _ = (model, field, value);
        false
    }

    // How the log is read.

    /// The owner's clock, in ticks: one more than the greatest `logical_clock` in the log, or 0 if the log
    /// is empty. The default searches the log with O(log n) reads, because no tick is missing.
    fn clock(
        &mut self,
        owner: &Owner,
        log: &str,
    ) -> impl Future<Output = Result<i64, DatabaseError>> + Send {
        log::probe_clock(self, owner, log)
    }

    /// Reads what a sync needs from the log, and which of the request's objects exist. The default uses
    /// [`read`](Self::read) a few times. For a [page](WindowQuery::limit) it reads up to 16 ticks at once, so
    /// that it never has much more than the page and the largest ticks.
    fn window(
        &mut self,
        owner: &Owner,
        query: WindowQuery<'_>,
    ) -> impl Future<Output = Result<Window, DatabaseError>> + Send {
        log::read_window(self, owner, query)
    }

    /// Reads the whole log and folds it into the objects that are alive at its end: everything that a new
    /// device gets. `empty` is the snapshot to which the entries are added. The default uses
    /// [`window`](Self::window).
    fn snapshot(
        &mut self,
        owner: &Owner,
        log: &str,
        empty: Snapshot,
    ) -> impl Future<Output = Result<Snapshot, DatabaseError>> + Send {
        log::fold_log(self, owner, log, empty)
    }

    // Changes of rows outside of syncs. The defaults are for a database whose rows only syncs write.

    /// Whether changes of rows outside of syncs are marked. The default is `false`; then
    /// [`take_marks`](Self::take_marks), [`put_back`](Self::put_back), [`is_marked`](Self::is_marked),
    /// [`lock_rows`](Self::lock_rows) and [`set_off`](Self::set_off) are never called.
    fn captures(&self) -> bool {
        false
    }

    /// Whether the owner has marks, as in [`Window::marked`]. Used for a new device, for which no window is
    /// read. The default is `false`.
    fn is_marked(
        &mut self,
        owner: &Owner,
    ) -> impl Future<Output = Result<bool, DatabaseError>> + Send {
        let _ = owner;
        async { Ok(false) }
    }

    /// Removes the owner's marks that the unit sees. Returns each marked object once, with its newest time:
    /// at most `most` objects. Fewer than `most` mean that there are no more. Rows that are read afterwards
    /// are at least as new as the marks. The default returns none.
    fn take_marks(
        &mut self,
        owner: &Owner,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Mark>, DatabaseError>> + Send {
        let _ = (owner, most);
        async { Ok(Vec::new()) }
    }

    /// Marks objects again whose rows cannot be read now. The default does nothing.
    fn put_back(
        &mut self,
        owner: &Owner,
        marks: &[Mark],
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send {
        let _ = (owner, marks);
        async { Ok(()) }
    }

    /// Locks those of these objects' rows that exist, so that nobody else changes them until the commit.
    /// Called before anything else, if the sync has [met](SetOff::met) others before. The default does
    /// nothing.
    fn lock_rows(
        &mut self,
        owner: &Owner,
        objects: &[(&str, &str)],
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send {
        let _ = (owner, objects);
        async { Ok(()) }
    }

    /// Removes the marks caused by the unit's own writes, and returns them and whether others have changed
    /// one of the objects (model, id) that the request names.
    ///
    /// Called after the last write, before the log is written. Checks and actions that would wait for the
    /// commit, such as deferred constraints and triggers, run now, so that their effects are seen. Marks of
    /// other owners' rows stay. The default returns nothing.
    ///
    /// # Errors
    /// Also a rejection, as in [`commit`](Self::commit).
    fn set_off(
        &mut self,
        owner: &Owner,
        named: &[(&str, &str)],
    ) -> impl Future<Output = Result<SetOff, DatabaseError>> + Send {
        let _ = (owner, named);
        async { Ok(SetOff::default()) }
    }

    // How rows are compared with the log.

    /// The records with these ids in the form that devices receive: JSON text with all columns, in any
    /// order. Rows that do not exist, or that no diff can represent, are left out. The default uses
    /// [`read`](Self::read).
    ///
    /// # Errors
    /// [`DatabaseError::UnknownModel`], [`DatabaseError::UnknownField`] or a rejection, if the model's rows
    /// cannot be read, for example because its table was altered. The unit stays usable.
    fn rows(
        &mut self,
        owner: &Owner,
        model: &str,
        ids: &[&str],
    ) -> impl Future<Output = Result<Vec<String>, DatabaseError>> + Send {
        rows::read_rows(self, owner, model, ids)
    }

    /// The records after the id `last`, as in [`rows`](Self::rows), in the database's own order of ids.
    /// Returns at least `many`, or all that remain; none at the end. The default [reads](Self::read) all.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    fn rows_behind(
        &mut self,
        owner: &Owner,
        model: &str,
        last: Option<&str>,
        many: usize,
    ) -> impl Future<Output = Result<Vec<String>, DatabaseError>> + Send {
        let _ = many;
        rows::read_rows_behind(self, owner, model, last)
    }

    /// Converts values as the columns would: returns each record (JSON text of an object with an id and
    /// some fields) as [`rows`](Self::rows) would after it was written. The order stays the same. A record
    /// with a value that a column does not accept stays unchanged. The default changes none.
    fn as_columns(
        &mut self,
        model: &str,
        records: Vec<String>,
    ) -> impl Future<Output = Result<Vec<String>, DatabaseError>> + Send {
        let _ = model;
        async { Ok(records) }
    }

    /// The log's entries of these objects (model, id), in any order. For each object it returns all
    /// entries, or all from a create on, if no delete of the object with the same tick follows it. The
    /// default reads the whole log.
    fn entries_of(
        &mut self,
        owner: &Owner,
        log: &str,
        objects: &[(&str, &str)],
    ) -> impl Future<Output = Result<Vec<Diff>, DatabaseError>> + Send {
        rows::read_entries_of(self, owner, log, objects)
    }

    // How the log is compacted.

    /// The entries about the log itself: those whose model is the log's own name, in any order. They are
    /// few. The default uses [`read`](Self::read) with a filter for the model.
    fn own_entries(
        &mut self,
        owner: &Owner,
        log: &str,
    ) -> impl Future<Output = Result<Vec<Diff>, DatabaseError>> + Send {
        retention::read_own(self, owner, log)
    }

    /// The log's last entries before the tick `end`, in any order: whole ticks, about `most` entries, but
    /// at least one tick. Empty if there are none. The default uses [`read`](Self::read) with filters.
    fn entries_before(
        &mut self,
        owner: &Owner,
        log: &str,
        end: i64,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Diff>, DatabaseError>> + Send {
        retention::read_before(self, owner, log, end, most)
    }

    /// Changes entries of the log. The default uses [`write`](Self::write) on the log's model, and
    /// [`append`](Self::append).
    fn rewrite(
        &mut self,
        owner: &Owner,
        log: &str,
        rewrite: &Rewrite,
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send {
        retention::rewrite(self, owner, log, rewrite)
    }

    /// The least clock up to which a [follower](crate::follow) has handled the owner's entries; `None`
    /// without followers. The default reads the records in which [`Cursors`](crate::follow::Cursors) stores
    /// these clocks.
    fn handled(
        &mut self,
        owner: &Owner,
        log: &str,
    ) -> impl Future<Output = Result<Option<i64>, DatabaseError>> + Send {
        retention::read_handled(self, owner, log)
    }

    // What is known about the tables without a query.

    /// Whether columns of the model may hold other values than were written. The default is [`Will::None`].
    fn will(&self, model: &str) -> Will {
        let _ = model;
        Will::None
    }

    /// Whether the row certainly equals the write: its columns return exactly these values, and fields that
    /// a create does not name are as in [`default_of`](Self::default_of). If not, the row is read. By
    /// default `true` if the model has no [will](Self::will).
    fn keeps(&self, write: &Write<'_>) -> bool {
        self.will(write.model()) == Will::None
    }

    /// Whether two values of a field (JSON texts) are equal for its column: what was written, and what the
    /// row holds. By default they are if they are equal in JSON.
    fn same(&self, model: &str, field: &str, written: &str, held: &str) -> bool {
        let _ = (model, field);
        same(written, held)
    }

    /// The model's columns whose default is a constant other than null, with this constant as JSON text.
    /// The default returns none.
    fn defaults(&self, model: &str) -> Vec<(&str, &str)> {
        let _ = model;
        Vec::new()
    }

    /// The column's default, as in [`defaults`](Self::defaults), where the default implementation finds it.
    fn default_of(&self, model: &str, field: &str) -> Option<&str> {
        let defaults = self.defaults(model).into_iter();
        defaults.filter(|(name, _)| *name == field).map(|(_, json)| json).next()
    }

    /// Orders models: one that other models refer to has a lower rank than they. The default is 0.
    fn rank(&self, model: &str) -> usize {
        let _ = model;
        0
    }

    /// The columns that hold the id of another row of the same model. The default returns none.
    fn parents(&self, model: &str) -> Vec<&str> {
        let _ = model;
        Vec::new()
    }

    /// All models except the log's own, if they are known without a query. The default returns none, so
    /// that only models in the log are reconciled.
    fn models(&self) -> Vec<String> {
        Vec::new()
    }

    /// The models and fields that the database does not have by their newest names yet; see
    /// [`schema`](crate::schema). The default is none.
    fn older_names(&self) -> Option<&OlderNames> {
        None
    }

    /// Whether a device may write these fields at all; if not, the diff is refused as `forbidden`. The
    /// default allows all fields.
    ///
    /// # Errors
    /// The message for the person.
    fn permits(&self, model: &str, operation: Operation, fields: &[&str]) -> Result<(), String> {
        let _ = (model, operation, fields);
        Ok(())
    }
}

/// What a sync reads from the log and the objects: one value, so that a database can answer with one query.
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
    /// The id of a diff that the log should have with the tick `since` - 1: see [`Window::has_head`]. Set
    /// only if `since` is greater than 0.
    pub head: Option<&'a str>,
    /// If set, a page is enough: whole ticks with at most this number of entries together, or the first
    /// existing tick, if it alone has more. At least 1; set only if `ids` is empty.
    pub limit: Option<u64>,
}

impl<'a> WindowQuery<'a> {
    /// All entries of this log from a tick on.
    pub fn since(log: &'a str, since: i64) -> Self {
        Self { log, since, ids: &[], objects: &[], head: None, limit: None }
    }
}

/// A device that sends no diffs, for [`Database::idle`](crate::Database::idle).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct IdleQuery<'a> {
    /// The owner.
    pub owner: &'a Owner,
    /// The device's clock, in ticks.
    pub since: i64,
    /// As in [`WindowQuery::head`].
    pub head: Option<&'a str>,
}

impl<'a> IdleQuery<'a> {
    /// The device of this owner at this clock, in ticks. Its head is only looked up if the clock is greater
    /// than 0.
    pub fn new(owner: &'a Owner, since: i64, head: Option<&'a str>) -> Self {
        Self { owner, since, head: head.filter(|_| since > 0) }
    }
}

/// A change that a database rejects.
#[derive(Debug)]
pub struct Rejection {
    /// The change's index among those to be written, from 0.
    pub place: usize,
    /// The reason.
    pub error: DatabaseError,
}
