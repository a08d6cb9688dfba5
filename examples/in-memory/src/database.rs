//! A small database in memory, and the seven methods that mobync uses to sync with it.

use std::{
    collections::{BTreeMap, HashMap, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mobync::{DatabaseError, Diff, Owner, ReadFilter, Record, Synchronizer};

use crate::models;

/// The records of one owner, by model and id.
type Tables = HashMap<String, BTreeMap<String, Record>>;

/// The committed data.
type Committed = HashMap<Owner, Arc<Tables>>;

/// The database, and a unit of work on it: each sync works on a clone of its own.
///
/// A unit sees an owner's tables as they were when it first read them, and copies them when it first
/// writes. Its commit replaces the tables with the copy. A unit that is dropped without a commit
/// changes nothing. No write of another unit is lost, because mobync runs the syncs of one owner one
/// after another.
#[derive(Clone, Default)]
pub(crate) struct Database {
    committed: Arc<Mutex<Committed>>,
    working: HashMap<Owner, Arc<Tables>>,
}

impl Database {
    /// The owner's tables as this unit sees them.
    fn tables(&mut self, owner: &Owner) -> &mut Arc<Tables> {
        let committed = || lock(&self.committed).get(owner).cloned().unwrap_or_default();
        self.working.entry(owner.clone()).or_insert_with(committed)
    }

    /// One of them, to be written to.
    fn table(&mut self, owner: &Owner, model: &str) -> &mut BTreeMap<String, Record> {
        Arc::make_mut(self.tables(owner)).entry(model.to_owned()).or_default()
    }
}

impl Synchronizer for Database {
    type Error = DatabaseError;

    async fn read(
        &mut self,
        owner: &Owner,
        model: &str,
        filters: &[ReadFilter],
    ) -> Result<Vec<Record>, DatabaseError> {
        models::fields(model)?;
        let Some(table) = self.tables(owner).get(model) else { return Ok(Vec::new()) };
        let matching = |record: &&Record| filters.iter().all(|filter| filter.matches(record));
        Ok(table.values().filter(matching).cloned().collect())
    }

    async fn create(
        &mut self,
        owner: &Owner,
        model: &str,
        record: Record,
    ) -> Result<(), DatabaseError> {
        models::check_values(model, &record)?;
        match self.table(owner, model).entry(record.id().to_owned()) {
            Entry::Vacant(place) => place.insert(record),
            Entry::Occupied(_) => {
                return Err(DatabaseError::constraint(format!("one record per id in {model}")));
            }
        };
        Ok(())
    }

    async fn update(
        &mut self,
        owner: &Owner,
        model: &str,
        changes: Record,
    ) -> Result<(), DatabaseError> {
        models::check_values(model, &changes)?;
        if let Some(record) = self.table(owner, model).get_mut(changes.id()) {
            record.apply(changes);
        }
        Ok(())
    }

    async fn delete(&mut self, owner: &Owner, model: &str, id: &str) -> Result<(), DatabaseError> {
        self.table(owner, model).remove(id);
        Ok(())
    }

    // Everybody may do everything with what is theirs, as far as there are such fields; what a change
    // must say is for the rules.

    async fn validate_create(&mut self, _: &Owner, diff: &Diff) -> Result<bool, DatabaseError> {
        models::check_fields(&diff.model, &diff.record()?)?;
        Ok(true)
    }

    async fn validate_update(&mut self, _: &Owner, diff: &Diff) -> Result<bool, DatabaseError> {
        models::check_fields(&diff.model, &diff.record()?)?;
        Ok(true)
    }

    async fn validate_delete(&mut self, _: &Owner, _: &Diff) -> Result<bool, DatabaseError> {
        Ok(true)
    }

    async fn commit(self) -> Result<(), DatabaseError> {
        lock(&self.committed).extend(self.working);
        Ok(())
    }
}

fn lock(committed: &Mutex<Committed>) -> MutexGuard<'_, Committed> {
    committed.lock().unwrap_or_else(PoisonError::into_inner)
}
