//! What a database must do for a sync: one unit of work.

mod log;
mod write;

use std::future::Future;

use crate::{DatabaseError, Diff, Owner, ReadFilter, Record, Snapshot};

pub use self::{
    log::{Window, WindowQuery},
    write::Write,
};

/// One unit of work on a database: what the user implements to plug in any database.
///
/// Seven methods are yours; the others are provided and right through those seven, so that only a
/// database that wants to be fast overrides them. One value serves one sync. What it wrote is kept
/// when [`commit`](Self::commit) returns, all of it; a unit that is dropped without a commit leaves
/// nothing behind. Later reads of the same unit see its earlier writes.
///
/// Every method is told the owner, and reads and writes that owner's rows alone: two owners may have
/// objects and diffs of the same id.
///
/// The log is a model like the others, named `diffs` unless the settings say otherwise, with the
/// columns `id`, `owner`, `logical_clock`, `utc_timestamp`, `type`, `model` and `json_data`.
///
/// A cloneable `Synchronizer` is a [`Database`](crate::Database) as it is: every sync works on a clone.
///
/// # Errors
/// Every method fails with the implementer's own error, which becomes a [`DatabaseError`]. That type
/// tells "the database failed" from "the database does not take this value".
///
/// # Examples
/// The example `in-memory` implements the seven methods over a map; see also
/// [`memory`](crate::memory) for the provided ones overridden.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no unit of work of a database",
    note = "implement the seven methods of `mobync::Synchronizer`, or use a ready-made database"
)]
pub trait Synchronizer: Send {
    /// How this database fails.
    type Error: Into<DatabaseError> + Send;

    /// The owner's records of the model that meet all of the filters, in any order.
    fn read(
        &mut self,
        owner: &Owner,
        model: &str,
        filters: &[ReadFilter],
    ) -> impl Future<Output = Result<Vec<Record>, Self::Error>> + Send;

    /// Adds a record. Fields that it does not name get the column's default.
    fn create(
        &mut self,
        owner: &Owner,
        model: &str,
        record: Record,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Writes the fields of `changes` to the record of that id.
    fn update(
        &mut self,
        owner: &Owner,
        model: &str,
        changes: Record,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Removes the record of that id.
    fn delete(
        &mut self,
        owner: &Owner,
        model: &str,
        id: &str,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Whether the owner may make this create; `false` refuses the diff as `forbidden`.
    ///
    /// The diff is as the device sent it. The request's earlier diffs are done, and can be read.
    fn validate_create(
        &mut self,
        owner: &Owner,
        diff: &Diff,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Whether the owner may make this update; as [`validate_create`](Self::validate_create).
    fn validate_update(
        &mut self,
        owner: &Owner,
        diff: &Diff,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Whether the owner may make this delete; as [`validate_create`](Self::validate_create).
    fn validate_delete(
        &mut self,
        owner: &Owner,
        diff: &Diff,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Keeps everything that the unit wrote, or nothing; behind it everything that the unit has read is
    /// kept, too. Called at the end of every sync that was opened to write. Provided: does nothing, for a database that
    /// writes at once; only one with transactions survives a failure in the middle of a sync whole.
    ///
    /// A rejection here is for a constraint that the database checks at the commit; see
    /// [`check_each_change`](Self::check_each_change).
    fn commit(self) -> impl Future<Output = Result<(), Self::Error>> + Send
    where
        Self: Sized,
    {
        async { Ok(()) }
    }

    /// Whether the database has this model with these fields, as far as it knows without looking.
    /// Asked for every new diff before anything is written. Provided: yes.
    ///
    /// # Errors
    /// [`DatabaseError::UnknownModel`] or [`DatabaseError::UnknownField`] if it has not.
    fn check_schema(&self, model: &str, fields: &[&str]) -> Result<(), DatabaseError> {
        let _ = (model, fields);
        Ok(())
    }

    /// Whether [`validate_create`](Self::validate_create) and its like can refuse anything. Provided:
    /// yes. A database that never refuses says no, so that its writes can go out in batches.
    fn validates(&self) -> bool {
        true
    }

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

    /// Does the writes, which are of different objects, in their order. Provided: one by one.
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
    ) -> impl Future<Output = Result<Vec<Rejection>, DatabaseError>> + Send {
        async move {
            let mut rejections = Vec::new();
            for (place, write) in writes.iter().enumerate() {
                let done = match write.to_change()? {
                    Change::Create { model, record } => self.create(owner, &model, record).await,
                    Change::Update { model, changes } => self.update(owner, &model, changes).await,
                    Change::Delete { model, id } => self.delete(owner, &model, &id).await,
                };
                if let Err(error) = done {
                    rejections.push(Rejection { place, error: error.into() });
                    if !self.survives_rejection() {
                        break;
                    }
                }
            }
            Ok(rejections)
        }
    }

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

    /// Adds the entries to the log; those of a large sync come in several parts. Provided: by
    /// [`create`](Self::create).
    fn append(
        &mut self,
        owner: &Owner,
        log: &str,
        entries: Vec<Diff>,
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send {
        async move {
            for entry in entries {
                self.create(owner, log, entry.into_record()).await.map_err(Into::into)?;
            }
            Ok(())
        }
    }
}

/// One change of the objects of an owner, as a database does it and as a backend makes it.
///
/// ```
/// use mobync::{Change, Record};
///
/// let change = Change::update("tasks", Record::new("t1").with("done", true));
/// assert_eq!((change.model(), change.id()), ("tasks", "t1"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Adds a record.
    Create {
        /// The record's model.
        model: String,
        /// The whole record; fields that it does not name get the column's default.
        record: Record,
    },
    /// Writes fields of a record.
    Update {
        /// The record's model.
        model: String,
        /// The record's id and the changed fields.
        changes: Record,
    },
    /// Removes a record.
    Delete {
        /// The record's model.
        model: String,
        /// The record's id.
        id: String,
    },
}

impl Change {
    /// Adds a record of the model.
    pub fn create(model: impl Into<String>, record: Record) -> Self {
        Self::Create { model: model.into(), record }
    }

    /// Writes fields of a record of the model.
    pub fn update(model: impl Into<String>, changes: Record) -> Self {
        Self::Update { model: model.into(), changes }
    }

    /// Removes a record of the model.
    pub fn delete(model: impl Into<String>, id: impl Into<String>) -> Self {
        Self::Delete { model: model.into(), id: id.into() }
    }

    /// The model.
    pub fn model(&self) -> &str {
        match self {
            Self::Create { model, .. }
            | Self::Update { model, .. }
            | Self::Delete { model, .. } => model,
        }
    }

    /// The id of the record.
    pub fn id(&self) -> &str {
        match self {
            Self::Create { record, .. } => record.id(),
            Self::Update { changes, .. } => changes.id(),
            Self::Delete { id, .. } => id,
        }
    }
}

/// A change that a database does not take.
#[derive(Debug)]
pub struct Rejection {
    /// The change's place among those that were to be written, from 0.
    pub place: usize,
    /// Why.
    pub error: DatabaseError,
}
