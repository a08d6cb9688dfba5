//! Versions of the schema: which one a device has, and what it gets.

use super::{Asked, Mobync, Settings, Source};
use crate::{
    database::{Access, Database},
    diff::Diff,
    error::{DatabaseError, Error},
    merge::Request,
    owner::Owner,
    protocol::{SyncResponse, check_count},
    rules::Rules,
    schema::{Lens, Schema},
};

impl<D: Database, R> Mobync<D, R> {
    /// Sets the [schema](crate::schema), for databases that do not take it themselves. The SQL databases take
    /// it where their tables are named, and compare it with the columns.
    ///
    /// ```
    /// use mobync::{Mobync, memory::MemoryDatabase, schema::{Schema, Step}};
    ///
    /// let schema = Schema::new([Step::renamed(2, "tasks", "name", "title")])?;
    /// let mobync = Mobync::new(MemoryDatabase::new()).schema(schema);
    /// # let _ = mobync;
    /// # Ok::<(), mobync::schema::InvalidSchema>(())
    /// ```
    #[must_use]
    pub fn schema(self, schema: Schema) -> Self {
        self.set(|settings| settings.schema = schema)
    }

    /// Sets the least schema version with which a device may sync. The default is 1. Devices with an earlier
    /// one are refused with [`Error::UpgradeRequired`], and keep everything until the app is updated.
    #[must_use]
    pub fn min_schema(self, version: u64) -> Self {
        self.set(|settings| settings.min_schema = version)
    }

    /// Sets the schema version of devices that do not say which one they have, such as those of clients
    /// published in 2020. The default is 1.
    #[must_use]
    pub fn schema_of_silent_clients(self, version: u64) -> Self {
        self.set(|settings| settings.silent_schema = version)
    }

    /// Opens a unit of work that reads the log by the newest names.
    pub(crate) async fn open(
        &self,
        owner: &Owner,
        access: Access,
    ) -> Result<Lens<D::Unit>, DatabaseError> {
        let unit = self.database.open(owner, access).await?;
        Ok(Lens::new(unit, &self.settings.schema))
    }

    /// Why a valid request of this owner is refused, whatever is in the database.
    pub(super) fn refusal(&self, owner: &Owner, asked: Asked<'_>) -> Option<Error> {
        if asked.owner.is_some_and(|it| !it.is_empty() && it != owner.as_str()) {
            return Some(Error::OtherOwner);
        }
        let (schema, min_schema) =
            (self.settings.view(asked.schema).version, self.settings.min_schema);
        (schema < min_schema).then_some(Error::UpgradeRequired { schema, min_schema })
    }
}

impl<D: Database, R: Rules> Mobync<D, R> {
    /// Answers a device that has this version of the schema.
    pub(super) async fn answer_device(
        &self,
        owner: &Owner,
        since: i64,
        asked: Asked<'_>,
        diffs: &[Diff],
    ) -> Result<SyncResponse, Error> {
        let Settings { schema, max_diffs, .. } = &*self.settings;
        let view = self.settings.view(asked.schema);
        if let Some(refusal) = self.refusal(owner, asked) {
            check_count(diffs.len(), *max_diffs)?;
            Request::new(diffs)?;
            return Err(refusal);
        }
        let diffs = schema.inwards(diffs)?;
        let answer = self.sync(owner, Source::Device { since }, asked, &diffs).await;
        let answer = answer.map_err(|error| error.of_newer_app(view.version, schema.version()))?;
        let mut answer = view.answer(answer, &diffs).map_err(Error::of_database)?;
        answer.owner = asked.owner.map(|_| owner.to_string());
        Ok(answer)
    }
}
