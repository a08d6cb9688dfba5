//! A database of the seven methods and nothing else: what the library provides on top is tried by it.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use mobync::{DatabaseError, Diff, Owner, ReadFilter, Record, Synchronizer};

use super::application::FIELDS;

/// The records of one owner, by model and id.
type Rows = BTreeMap<(String, String), Record>;

/// A unit of work is a clone, which copies an owner's rows when it first looks at them.
#[derive(Clone, Default)]
pub(super) struct SevenMethods {
    committed: Arc<Mutex<HashMap<Owner, Rows>>>,
    working: HashMap<Owner, Rows>,
}

impl SevenMethods {
    fn rows(&mut self, owner: &Owner) -> &mut Rows {
        self.working.entry(owner.clone()).or_insert_with(|| {
            let committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
            committed.get(owner).cloned().unwrap_or_default()
        })
    }
}

impl Synchronizer for SevenMethods {
    type Error = DatabaseError;

    async fn read(
        &mut self,
        owner: &Owner,
        model: &str,
        filters: &[ReadFilter],
    ) -> Result<Vec<Record>, DatabaseError> {
        let of_model = self.rows(owner).iter().filter(|((of, _), _)| of == model);
        let records = of_model.map(|(_, record)| record);
        Ok(records.filter(|record| filters.iter().all(|f| f.matches(record))).cloned().collect())
    }

    async fn create(
        &mut self,
        owner: &Owner,
        model: &str,
        record: Record,
    ) -> Result<(), DatabaseError> {
        match self.rows(owner).insert((model.to_owned(), record.id().to_owned()), record) {
            None => Ok(()),
            Some(_) => Err(DatabaseError::constraint("primary key")),
        }
    }

    async fn update(
        &mut self,
        owner: &Owner,
        model: &str,
        changes: Record,
    ) -> Result<(), DatabaseError> {
        if let Some(record) = self.rows(owner).get_mut(&(model.to_owned(), changes.id().to_owned()))
        {
            record.apply(changes);
        }
        Ok(())
    }

    async fn delete(&mut self, owner: &Owner, model: &str, id: &str) -> Result<(), DatabaseError> {
        self.rows(owner).remove(&(model.to_owned(), id.to_owned()));
        Ok(())
    }

    async fn validate_create(&mut self, _: &Owner, diff: &Diff) -> Result<bool, DatabaseError> {
        check(diff)
    }

    async fn validate_update(&mut self, _: &Owner, diff: &Diff) -> Result<bool, DatabaseError> {
        check(diff)
    }

    async fn validate_delete(&mut self, _: &Owner, diff: &Diff) -> Result<bool, DatabaseError> {
        check(diff)
    }

    async fn commit(self) -> Result<(), DatabaseError> {
        let mut committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        committed.extend(self.working);
        Ok(())
    }
}

/// Whether there are such fields.
fn check(diff: &Diff) -> Result<bool, DatabaseError> {
    if diff.model != "tasks" {
        return Err(DatabaseError::unknown_model(&diff.model));
    }
    match diff.record()?.fields().keys().find(|field| !FIELDS.contains(&field.as_str())) {
        Some(field) => Err(DatabaseError::unknown_field(&diff.model, field, FIELDS)),
        None => Ok(true),
    }
}
