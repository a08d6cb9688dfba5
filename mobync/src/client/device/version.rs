//! The version of the schema that the app has, and that its data has.

use std::borrow::Cow;

use super::{
    Device,
    update::{says_nothing, update},
};
use crate::{
    client::{DeviceError, LocalStore, LocalUnit, Request, State},
    database::Access,
    protocol::SyncResponse,
    record::Record,
    schema::Schema,
};

impl<S: LocalStore> Device<S> {
    /// Sets the [schema](crate::schema) of the app, before anything else. If the store has data of an earlier
    /// version, it is updated, in one transaction (one more for each space) and without a network: all names
    /// become the newest ones, and what was removed is removed, also from pending changes. If this fails, or
    /// the process is killed, the transaction has changed nothing, and the next opening begins again.
    ///
    /// After an update the next sync fetches everything once more, in pages, because the device was never sent
    /// the fields that its earlier version did not have. Meanwhile the device works as ever.
    ///
    /// A device without a schema has version 1. Data that is newer than the app cannot be used, whether a
    /// schema is set or not.
    ///
    /// ```
    /// use mobync::{Record, client::{Device, DeviceError, MemoryStore}, schema::{Schema, Step}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// let old = Device::new(store.clone());
    /// old.create("tasks", Record::new("t1").with("name", "Milk")).await?;
    ///
    /// let schema = Schema::new([
    ///     Step::renamed(2, "tasks", "name", "title"),
    ///     Step::added(2, "tasks", "stars", 0),
    /// ])?;
    /// let new = Device::new(store).schema(schema).await?;
    /// let milk = Record::new("t1").with("title", "Milk").with("stars", 0);
    /// assert_eq!(new.get("tasks", "t1").await?, Some(milk));
    ///
    /// let refused = old.get("tasks", "t1").await;
    /// assert!(matches!(refused, Err(DeviceError::NewerData { data: 2, app: 1 })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DeviceError::NewerData`] or [`DeviceError::Store`].
    pub async fn schema(self, schema: Schema) -> Result<Self, DeviceError> {
        let device = Self { schema: Some(schema.clone()), ..self };
        let spaces = device.store.spaces().await?;
        let spaces = spaces.iter().map(|name| device.space(name));
        for device in [device.clone()].into_iter().chain(spaces) {
            let mut unit = device.begin(Access::Write).await?;
            update(&mut unit, &schema).await?;
            unit.commit().await?;
        }
        Ok(device)
    }

    /// Opens a unit of work.
    ///
    /// # Errors
    /// [`DeviceError::NewerData`], also if another process has updated the data in the meantime.
    pub(super) async fn begin(&self, access: Access) -> Result<S::Unit, DeviceError> {
        let mut unit = match &self.space {
            None => self.store.begin(access).await?,
            Some(space) => self.store.begin_space(space, access).await?,
        };
        // Checked now: what was written before is deleted with all else.
        if access == Access::Write && self.is_destroyed() {
            return Err(DeviceError::Destroyed);
        }
        let data = unit.state().await?.version();
        let app = self.schema.as_ref().map_or(1, Schema::version);
        if data > app {
            return Err(DeviceError::NewerData { data, app });
        }
        Ok(unit)
    }

    /// A record with all fields that the app's version has.
    pub(super) fn complete(&self, model: &str, mut record: Record) -> Record {
        if let Some(schema) = &self.schema {
            schema.complete(model, &mut record);
        }
        record
    }

    /// The version to send.
    pub(in crate::client) fn declared(&self) -> Option<u64> {
        self.schema.as_ref().map(Schema::version)
    }

    /// An answer by the newest names: the server may be older than the app.
    pub(super) fn read<'a>(
        &self,
        request: &Request,
        answer: &'a SyncResponse,
    ) -> Cow<'a, SyncResponse> {
        match &self.schema {
            Some(schema) => Cow::Owned(by_newest_names(schema, request, answer.clone())),
            None => Cow::Borrowed(answer),
        }
    }
}

impl State {
    /// The version of the schema that the data has.
    pub(super) fn version(&self) -> u64 {
        self.schema.unwrap_or(1)
    }
}

fn by_newest_names(schema: &Schema, request: &Request, mut answer: SyncResponse) -> SyncResponse {
    answer.diffs.retain_mut(|diff| {
        schema.read(diff);
        !schema.is_removed(&diff.model) && !says_nothing(diff)
    });
    answer.overridden.retain_mut(|lost| {
        let Some(diff) = request.diff(&lost.diff_id) else { return true };
        lost.fields = std::mem::take(&mut lost.fields)
            .into_iter()
            .filter_map(|(name, values)| {
                Some((schema.field_now(&diff.model, &name)?.to_owned(), values))
            })
            .collect();
        !lost.fields.is_empty() && !schema.is_removed(&diff.model)
    });
    answer
}
