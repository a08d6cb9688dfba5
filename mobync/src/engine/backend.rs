//! The backend's own operations: it writes and reads for an owner.

use super::{Mobync, asked::Asked, attempt::Source, mint};
use crate::{
    change::Change,
    database::{Access, Database},
    diff::{Diff, Operation},
    error::{DatabaseError, Error},
    filter::ReadFilter,
    owner::Owner,
    protocol::SyncResponse,
    record::Record,
    rules::Rules,
    unit::UnitOfWork,
};

impl<D: Database, R: Rules> Mobync<D, R> {
    /// Makes changes on behalf of the backend. All of the owner's devices receive them.
    ///
    /// They are applied in this order, all or none, as if an up-to-date device had made them now. Rules are
    /// not called. The answer's `logical_clock` is the owner's clock afterwards. Its `message` tells if a
    /// change had no effect because its object does not exist.
    ///
    /// # Errors
    /// As [`apply`](Self::apply); also [`Error::InvalidValue`] or [`Error::Constraint`] for the first
    /// change that the database rejects.
    ///
    /// # Examples
    /// ```
    /// use mobync::{Change, Mobync, Owner, Record, memory::MemoryDatabase};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mobync = Mobync::new(MemoryDatabase::new());
    /// let ada = Owner::new("ada")?;
    /// let welcome = Record::new("t1").with("name", "Welcome!").with("done", false);
    /// mobync.write(&ada, [Change::create("tasks", welcome)]).await?;
    ///
    /// let new_device = mobync.apply(&ada, 0, Vec::new()).await?;
    /// assert_eq!(new_device.diffs[0].model, "tasks");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn write(
        &self,
        owner: &Owner,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<SyncResponse, Error> {
        let now = self.settings.now();
        let diffs: Vec<Diff> =
            changes.into_iter().map(|change| diff_of(change, owner.as_str(), now)).collect();
        self.sync(owner, Source::Server, Asked::default(), &diffs).await
    }
}

impl<D: Database, R> Mobync<D, R> {
    /// Returns the owner's records of the model that match all filters, in any order.
    ///
    /// It reads committed data. The log is a model like the others, named `diffs` unless it has another
    /// [name](Self::diffs_model).
    ///
    /// # Errors
    /// [`Error::UnknownModel`] or [`Error::UnknownField`] if the database does not have it,
    /// [`Error::Internal`] or [`Error::Busy`] if the database fails.
    ///
    /// # Examples
    /// ```
    /// use mobync::{Change, Mobync, Owner, ReadFilter, Record, memory::MemoryDatabase};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mobync = Mobync::new(MemoryDatabase::new());
    /// let ada = Owner::new("ada")?;
    /// mobync.write(&ada, [Change::create("tasks", Record::new("t1").with("done", false))]).await?;
    ///
    /// let open = mobync.read(&ada, "tasks", &[ReadFilter::equal("done", false)]).await?;
    /// assert_eq!(open[0].id(), "t1");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn read(
        &self,
        owner: &Owner,
        model: &str,
        filters: &[ReadFilter],
    ) -> Result<Vec<Record>, Error> {
        let mut unit = self.open(owner, Access::Read).await?;
        match unit.read(owner, model, filters).await {
            // A log without entries may not exist yet.
            Err(DatabaseError::UnknownModel { .. }) if model == self.settings.diffs_model => {
                Ok(Vec::new())
            }
            records => Ok(records?),
        }
    }

    /// Returns the owner's clock, in ticks: the number of syncs that brought something new.
    ///
    /// # Errors
    /// [`Error::Internal`] or [`Error::Busy`] if the database fails.
    pub async fn clock(&self, owner: &Owner) -> Result<i64, Error> {
        let mut unit = self.open(owner, Access::Read).await.map_err(Error::of_database)?;
        unit.clock(owner, &self.settings.diffs_model).await.map_err(Error::of_database)
    }
}

/// A diff with a new id that makes a change.
pub(crate) fn diff_of(change: Change, owner: &str, now: i64) -> Diff {
    let (operation, model, record) = match change {
        Change::Create { model, record } => (Operation::Create, model, record),
        Change::Update { model, changes } => (Operation::Update, model, changes),
        Change::Delete { model, id } => (Operation::Delete, model, Record::new(id)),
    };
    Diff {
        id: mint(),
        owner: owner.to_owned(),
        logical_clock: 0,
        utc_timestamp: now,
        operation,
        model,
        json_data: serde_json::Value::from(record).to_string(),
    }
}
