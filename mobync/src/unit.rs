//! What a sync asks of a database: four methods, and what makes them fast.

mod log;
mod marks;
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
};

pub use self::marks::{Mark, SetOff, Will};

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

    // What others write to the rows. Provided for a database whose rows only syncs write.

    /// Whether changes of rows by others than syncs are marked. Provided: no; then none of
    /// [`take_marks`](Self::take_marks), [`put_back`](Self::put_back), [`is_marked`](Self::is_marked),
    /// [`lock_rows`](Self::lock_rows) and [`set_off`](Self::set_off) is called.
    fn captures(&self) -> bool {
        false
    }

    /// Whether the owner has marks: what [`Window::marked`] says, for a new device, for which no window
    /// is read. Provided: no.
    fn is_marked(
        &mut self,
        owner: &Owner,
    ) -> impl Future<Output = Result<bool, DatabaseError>> + Send {
        let _ = owner;
        async { Ok(false) }
    }

    /// Removes those of the owner's marks that the unit sees, and returns each object once, with its
    /// newest time: so many objects at the most. Fewer mean that there are no more. Rows that are read
    /// behind it are at least as new as the marks. Provided: none.
    fn take_marks(
        &mut self,
        owner: &Owner,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Mark>, DatabaseError>> + Send {
        let _ = (owner, most);
        async { Ok(Vec::new()) }
    }

    /// Marks objects again whose rows cannot be read now. Provided: does nothing.
    fn put_back(
        &mut self,
        owner: &Owner,
        marks: &[Mark],
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send {
        let _ = (owner, marks);
        async { Ok(()) }
    }

    /// Locks the rows of these objects that are there, so that nobody else changes them up to the
    /// commit. Called first of all where a sync has [met](SetOff::met) others before. Provided: does
    /// nothing.
    fn lock_rows(
        &mut self,
        owner: &Owner,
        objects: &[(&str, &str)],
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send {
        let _ = (owner, objects);
        async { Ok(()) }
    }

    /// Removes the marks that the unit's own writes have set off, and says whether others have changed
    /// one of the objects (model, id) that the request names.
    ///
    /// Called behind the last write, before the log is written. What would be checked or done at the
    /// commit, as deferred constraints and triggers, is done here, so that it is seen. Marks of other
    /// owners' rows stay. Provided: nothing.
    ///
    /// # Errors
    /// Also a rejection, as [`commit`](Self::commit).
    fn set_off(
        &mut self,
        owner: &Owner,
        named: &[(&str, &str)],
    ) -> impl Future<Output = Result<SetOff, DatabaseError>> + Send {
        let _ = (owner, named);
        async { Ok(SetOff::default()) }
    }

    // How rows are compared with the log.

    /// The records of these ids as devices are sent them: JSON text with all columns, in any order.
    /// What is not there is left out, and so is a row that no diff can bring. Provided: by
    /// [`read`](Self::read).
    ///
    /// # Errors
    /// [`DatabaseError::UnknownModel`], [`DatabaseError::UnknownField`] or a rejection, behind which the
    /// unit goes on, if the rows of the model cannot be read, as when its table was altered.
    fn rows(
        &mut self,
        owner: &Owner,
        model: &str,
        ids: &[&str],
    ) -> impl Future<Output = Result<Vec<String>, DatabaseError>> + Send {
        rows::read_rows(self, owner, model, ids)
    }

    /// The records as of [`rows`](Self::rows) that come behind that id, in an order of ids of the
    /// database's own: so many or more, none at the end. Provided: by [`read`](Self::read), all at once.
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

    /// What the columns make of values: each of the records (JSON text of an object with an id and some
    /// fields) as [`rows`](Self::rows) would return it, had it been written. In the same order; one with a value
    /// that a column does not take stays as it is. Provided: all stay as they are.
    fn as_columns(
        &mut self,
        model: &str,
        records: Vec<String>,
    ) -> impl Future<Output = Result<Vec<String>, DatabaseError>> + Send {
        let _ = model;
        async { Ok(records) }
    }

    /// The log's entries of these objects (model, id), in any order. Of each object all of them, or all
    /// from a create on that no delete of the object with the same tick follows. Provided: reads the
    /// whole log.
    fn entries_of(
        &mut self,
        owner: &Owner,
        log: &str,
        objects: &[(&str, &str)],
    ) -> impl Future<Output = Result<Vec<Diff>, DatabaseError>> + Send {
        rows::read_entries_of(self, owner, log, objects)
    }

    // What is known of the tables without a look at them.

    /// Whether columns of the model may hold other values than were written. Provided: no.
    fn will(&self, model: &str) -> Will {
        let _ = model;
        Will::None
    }

    /// Whether the row surely is what the write says: its columns give back these very values, and what
    /// a create does not name is as [`default_of`](Self::default_of) says. Of other writes the row is read.
    /// Provided: where the model has no [will](Self::will).
    fn keeps(&self, write: &Write<'_>) -> bool {
        self.will(write.model()) == Will::None
    }

    /// Whether two values of a field, JSON texts, are one to its column: what a write said, and what the
    /// row holds. Provided: if they have the same value in JSON.
    fn same(&self, model: &str, field: &str, written: &str, held: &str) -> bool {
        let _ = (model, field);
        same(written, held)
    }

    /// The model's columns whose default is a constant other than null, each with that as JSON text.
    /// Provided: none.
    fn defaults(&self, model: &str) -> Vec<(&str, &str)> {
        let _ = model;
        Vec::new()
    }

    /// The column's default as of [`defaults`](Self::defaults). Provided: looks it up there.
    fn default_of(&self, model: &str, field: &str) -> Option<&str> {
        let defaults = self.defaults(model).into_iter();
        defaults.filter(|(name, _)| *name == field).map(|(_, json)| json).next()
    }

    /// Less for a model whose rows are referred to by those of another one. Provided: 0.
    fn rank(&self, model: &str) -> usize {
        let _ = model;
        0
    }

    /// The columns in which a row has the id of another one of its model. Provided: none.
    fn parents(&self, model: &str) -> Vec<&str> {
        let _ = model;
        Vec::new()
    }

    /// The models that there are, the log's own apart, if that is known without a look. Provided: it is
    /// not, so that only those are reconciled that the log names.
    fn models(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether a device may write these fields at all; if not, the diff is refused as `forbidden`, with
    /// this sentence. Provided: yes.
    ///
    /// # Errors
    /// The sentence for the person.
    fn permits(&self, model: &str, operation: Operation, fields: &[&str]) -> Result<(), String> {
        let _ = (model, operation, fields);
        Ok(())
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
    /// The id of a diff that the log should have with the tick `since` - 1:
    /// [`Window::has_head`] tells. Only where `since` is greater than 0.
    pub head: Option<&'a str>,
    /// If set, a page is enough: whole ticks with at most so many entries together, or the first tick that
    /// there is, if that alone has more. At least 1; only where `ids` is empty.
    pub limit: Option<u64>,
}

impl<'a> WindowQuery<'a> {
    /// All entries of that log from a tick on.
    pub fn since(log: &'a str, since: i64) -> Self {
        Self { log, since, ids: &[], objects: &[], head: None, limit: None }
    }
}

/// A change that a database rejects.
#[derive(Debug)]
pub struct Rejection {
    /// The change's index among those to be written, from 0.
    pub place: usize,
    /// Why.
    pub error: DatabaseError,
}
