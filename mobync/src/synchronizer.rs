//! Seven methods and a commit: what you implement for your own database.

use std::future::Future;

use crate::{
    change::Change,
    diff::{Diff, Operation},
    error::DatabaseError,
    filter::ReadFilter,
    merge::Write,
    owner::Owner,
    record::Record,
    unit::{Rejection, UnitOfWork},
};

/// Seven methods and a commit, which connect any database. One value serves one sync.
///
/// A sync reads and writes through one value, its unit of work, and relies on these guarantees:
///
/// - **Isolation.** The units of work of one owner behave as if they were executed one after another.
///   [`Mobync`](crate::Mobync) opens them one after another within a process; several processes on one
///   database need a [`Database`](crate::Database) that does.
/// - **Read your writes.** A later read of the same unit sees its earlier writes.
/// - **All or nothing.** When [`commit`](Self::commit) returns, everything that was written is kept.
///   A unit that is dropped without a commit, or whose commit fails, leaves nothing behind.
/// - **Separate owners.** Every method receives the owner, and reads and writes only that owner's rows:
///   two owners may have objects and diffs with the same ids.
///
/// The log is a model like the others, named `diffs` unless the settings say otherwise, with the
/// columns `id`, `owner`, `logical_clock`, `utc_timestamp`, `type`, `model` and `json_data`.
///
/// A cloneable `Synchronizer` is a [`Database`](crate::Database): every sync works on a clone.
/// Everything else that a sync needs from a database is derived from these methods: see [`UnitOfWork`]. To
/// be fast, implement that trait instead of this one.
///
/// The log should have indexes on (owner, id), (owner, `logical_clock`) and (owner, `model`). Without them each
/// sync reads the owner's whole log. Reads of the log are bounded by filters on these columns: see the
/// chapter "Indexes for a database of your own" of `DATABASES.md`.
///
/// # Errors
/// Every method fails with the implementer's own error, which becomes a [`DatabaseError`]. That type
/// distinguishes "the database failed" from "the database rejects this value".
///
/// # Examples
/// The example `in-memory` implements the seven methods over a map.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no unit of work of a database",
    note = "implement the seven methods of `mobync::Synchronizer`, or use a ready-made database"
)]
pub trait Synchronizer: Send {
    /// The error type of this database.
    type Error: Into<DatabaseError> + Send;

    /// Returns the owner's records of the model that match all filters, in any order.
    ///
    /// A model that the database does not have is [`DatabaseError::UnknownModel`].
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

    /// Writes the fields of `changes` to the record with the same id.
    fn update(
        &mut self,
        owner: &Owner,
        model: &str,
        changes: Record,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Removes the record with this id.
    fn delete(
        &mut self,
        owner: &Owner,
        model: &str,
        id: &str,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Whether the owner may make this create; `false` refuses the diff as `forbidden`.
    ///
    /// Called for every new diff, even if it will change nothing, with the diff as the device sent it. The
    /// request's earlier diffs are applied, and can be read. For a field that the database does not have,
    /// return [`DatabaseError::UnknownField`], which fails the request.
    fn validate_create(
        &mut self,
        owner: &Owner,
        diff: &Diff,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Whether the owner may make this update; like [`validate_create`](Self::validate_create).
    fn validate_update(
        &mut self,
        owner: &Owner,
        diff: &Diff,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Whether the owner may make this delete; like [`validate_create`](Self::validate_create).
    fn validate_delete(
        &mut self,
        owner: &Owner,
        diff: &Diff,
    ) -> impl Future<Output = Result<bool, Self::Error>> + Send;

    /// Stores everything that the unit wrote, or nothing. Called at the end of every sync that was
    /// opened to write.
    ///
    /// The default does nothing, for a database that writes immediately. Without transactions, a
    /// failure in the middle of a sync leaves half of it in the database.
    fn commit(self) -> impl Future<Output = Result<(), Self::Error>> + Send
    where
        Self: Sized,
    {
        async { Ok(()) }
    }
}

/// The seven methods make a unit of work, which executes writes one by one.
impl<S: Synchronizer> UnitOfWork for S {
    async fn read(
        &mut self,
        owner: &Owner,
        model: &str,
        filters: &[ReadFilter],
    ) -> Result<Vec<Record>, DatabaseError> {
        Synchronizer::read(self, owner, model, filters).await.map_err(Into::into)
    }

    async fn write(
        &mut self,
        owner: &Owner,
        writes: &[Write<'_>],
    ) -> Result<Vec<Rejection>, DatabaseError> {
        for (place, write) in writes.iter().enumerate() {
            let done = match write.to_change()? {
                Change::Create { model, record } => self.create(owner, &model, record).await,
                Change::Update { model, changes } => self.update(owner, &model, changes).await,
                Change::Delete { model, id } => self.delete(owner, &model, &id).await,
            };
            // The unit may be unusable, so this rejection ends it.
            if let Err(error) = done {
                return Ok(vec![Rejection { place, error: error.into() }]);
            }
        }
        Ok(Vec::new())
    }

    async fn append(
        &mut self,
        owner: &Owner,
        log: &str,
        entries: Vec<Diff>,
    ) -> Result<(), DatabaseError> {
        for entry in entries {
            self.create(owner, log, entry.into_record()).await.map_err(Into::into)?;
        }
        Ok(())
    }

    async fn commit(self) -> Result<(), DatabaseError> {
        Synchronizer::commit(self).await.map_err(Into::into)
    }

    fn validates(&self) -> bool {
        true
    }

    async fn validate(&mut self, owner: &Owner, diff: &Diff) -> Result<bool, DatabaseError> {
        let allowed = match diff.operation {
            Operation::Create => self.validate_create(owner, diff).await,
            Operation::Update => self.validate_update(owner, diff).await,
            Operation::Delete => self.validate_delete(owner, diff).await,
        };
        allowed.map_err(Into::into)
    }
}
