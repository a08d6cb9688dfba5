//! The ready-made database in memory: for tests, demos and first steps.

mod cursors;
mod document;
mod space;
mod unit;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use self::unit::MemoryUnit;
use self::{cursors::Followers, document::Document, space::Space};
use crate::{
    database::{Access, Database},
    error::DatabaseError,
    hash::HashMap,
    locks::OwnerLocks,
    owner::Owner,
    record::Record,
    unit::IdleQuery,
};

/// A database in memory. Its data is lost when the process ends. Cheap to clone; all clones share their
/// data.
///
/// A unit of work that is dropped changes nothing, and owners are isolated.
///
/// It does not check values: a field accepts any JSON, and there are no constraints except the key. It
/// accepts changes that another database would refuse.
///
/// ```
/// use mobync::memory::MemoryDatabase;
///
/// let anything = MemoryDatabase::new();
/// let strict = MemoryDatabase::new().model("tasks", ["name", "created_time", "done"]);
/// # let _ = (anything, strict);
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryDatabase {
    models: Arc<BTreeMap<String, Vec<String>>>,
    spaces: Arc<Mutex<HashMap<Owner, Space>>>,
    followers: Arc<Mutex<Followers>>,
    locks: OwnerLocks,
}

impl MemoryDatabase {
    /// An empty database, which accepts any model with any fields until a [`model`](Self::model) is
    /// declared.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a model with its fields, without `id`. After the first declaration, all other models
    /// and fields are unknown.
    #[must_use]
    pub fn model<F: Into<String>>(
        mut self,
        name: impl Into<String>,
        fields: impl IntoIterator<Item = F>,
    ) -> Self {
        let fields = fields.into_iter().map(Into::into).collect();
        Arc::make_mut(&mut self.models).insert(name.into(), fields);
        self
    }

    /// The owner's records of a model, ordered by id; those of the log in its own order.
    pub fn records(&self, owner: &Owner, model: &str) -> Vec<Record> {
        let spaces = self.spaces();
        let space = spaces.get(owner);
        if let Some(log) = space.and_then(|space| space.log_records(owner, model)) {
            return log.collect();
        }
        let documents = space.into_iter().flat_map(|space| space.documents(model));
        documents.filter_map(|(_, document)| document.record().ok()).collect()
    }

    fn check_model<'f>(
        &self,
        model: &str,
        fields: impl IntoIterator<Item = &'f str>,
    ) -> Result<(), DatabaseError> {
        if self.models.is_empty() {
            return Ok(());
        }
        let known = self.models.get(model).ok_or_else(|| DatabaseError::unknown_model(model))?;
        match fields.into_iter().find(|field| !known.iter().any(|known| known == field)) {
            None => Ok(()),
            Some(field) => Err(DatabaseError::unknown_field(model, field, known)),
        }
    }

    fn spaces(&self) -> MutexGuard<'_, HashMap<Owner, Space>> {
        self.spaces.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn followers(&self) -> MutexGuard<'_, Followers> {
        self.followers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Database for MemoryDatabase {
    type Unit = MemoryUnit;

    async fn open(&self, owner: &Owner, access: Access) -> Result<MemoryUnit, DatabaseError> {
        let turn = match access {
            // Each read is atomic, under the mutex.
            Access::Read => None,
            Access::Write => Some(self.locks.lock(owner).await),
        };
        Ok(MemoryUnit::new(self.clone(), owner.clone(), turn))
    }

    async fn idle(&self, log: &str, devices: &[IdleQuery<'_>]) -> Result<Vec<bool>, DatabaseError> {
        let (spaces, empty) = (self.spaces(), Space::default());
        let is_idle = |device: &IdleQuery<'_>| {
            spaces.get(device.owner).unwrap_or(&empty).is_idle(log, device.since, device.head)
        };
        Ok(devices.iter().map(is_idle).collect())
    }

    async fn owners(
        &self,
        last: Option<&Owner>,
        most: usize,
    ) -> Result<Option<Vec<Owner>>, DatabaseError> {
        let is_behind = |owner: &&Owner| last.is_none_or(|last| *owner > last);
        let mut owners: Vec<Owner> = self.spaces().keys().filter(is_behind).cloned().collect();
        owners.sort();
        owners.truncate(most);
        Ok(Some(owners))
    }
}
