//! A database with only the seven methods, to test what the library provides on top.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use mobync::{DatabaseError, Diff, Owner, ReadFilter, Record, Synchronizer};

/// The records of one owner, by model and id.
type Rows = BTreeMap<(String, String), Record>;

/// A clone works on copies of the owners' rows that it reads, which replace them on commit.
#[derive(Clone, Debug, Default)]
pub struct Plain {
    shared: Arc<Mutex<HashMap<Owner, Rows>>>,
    working: HashMap<Owner, Rows>,
    most_read: Arc<AtomicUsize>,
}

impl Plain {
    pub fn records(&self, owner: &Owner, model: &str) -> Vec<Record> {
        let shared = self.shared.lock().unwrap();
        let rows = shared.get(owner).into_iter().flatten();
        rows.filter(|((of, _), _)| of == model).map(|(_, record)| record.clone()).collect()
    }

    /// The greatest number of records that were read at once since the last query.
    pub fn take_most_read(&self) -> usize {
        self.most_read.swap(0, Ordering::Relaxed)
    }

    fn rows(&mut self, owner: &Owner) -> &mut Rows {
        self.working.entry(owner.clone()).or_insert_with(|| {
            let shared = self.shared.lock().unwrap();
            shared.get(owner).cloned().unwrap_or_default()
        })
    }
}

fn key(model: &str, id: &str) -> (String, String) {
    (model.to_owned(), id.to_owned())
}

impl Synchronizer for Plain {
    type Error = DatabaseError;

    async fn read(
        &mut self,
        owner: &Owner,
        model: &str,
        filters: &[ReadFilter],
    ) -> Result<Vec<Record>, DatabaseError> {
        let of_model = self.rows(owner).iter().filter(|((of, _), _)| of == model);
        let records = of_model.map(|(_, record)| record);
        let records = records.filter(|record| filters.iter().all(|f| f.matches(record)));
        let records: Vec<Record> = records.cloned().collect();
        self.most_read.fetch_max(records.len(), Ordering::Relaxed);
        Ok(records)
    }

    async fn create(
        &mut self,
        owner: &Owner,
        model: &str,
        record: Record,
    ) -> Result<(), DatabaseError> {
        match self.rows(owner).insert(key(model, record.id()), record) {
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
        if let Some(record) = self.rows(owner).get_mut(&key(model, changes.id())) {
            record.apply(changes);
        }
        Ok(())
    }

    async fn delete(&mut self, owner: &Owner, model: &str, id: &str) -> Result<(), DatabaseError> {
        self.rows(owner).remove(&key(model, id));
        Ok(())
    }

    async fn validate_create(&mut self, _: &Owner, _: &Diff) -> Result<bool, DatabaseError> {
        Ok(true)
    }

    async fn validate_update(&mut self, _: &Owner, _: &Diff) -> Result<bool, DatabaseError> {
        Ok(true)
    }

    async fn validate_delete(&mut self, _: &Owner, _: &Diff) -> Result<bool, DatabaseError> {
        Ok(true)
    }

    async fn commit(self) -> Result<(), DatabaseError> {
        self.shared.lock().unwrap().extend(self.working);
        Ok(())
    }
}
