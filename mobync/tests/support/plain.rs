//! A database of the seven methods and nothing else, to try what the library provides on top.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use mobync::{DatabaseError, Diff, Owner, ReadFilter, Record, Synchronizer};

type Rows = BTreeMap<(Owner, String, String), Record>;

/// Rows by owner, model and id. A clone works on a copy, which replaces the rows when committed.
#[derive(Debug, Default)]
pub struct Plain {
    shared: Arc<Mutex<Rows>>,
    rows: Rows,
}

impl Clone for Plain {
    fn clone(&self) -> Self {
        let rows = self.shared.lock().unwrap().clone();
        Self { shared: Arc::clone(&self.shared), rows }
    }
}

impl Plain {
    pub fn records(&self, owner: &Owner, model: &str) -> Vec<Record> {
        let rows = self.shared.lock().unwrap();
        let of_model = rows.iter().filter(|((of, name, _), _)| of == owner && name == model);
        of_model.map(|(_, record)| record.clone()).collect()
    }
}

fn key(owner: &Owner, model: &str, id: &str) -> (Owner, String, String) {
    (owner.clone(), model.to_owned(), id.to_owned())
}

impl Synchronizer for Plain {
    type Error = DatabaseError;

    async fn read(
        &mut self,
        owner: &Owner,
        model: &str,
        filters: &[ReadFilter],
    ) -> Result<Vec<Record>, DatabaseError> {
        let of_model = self.rows.iter().filter(|((of, name, _), _)| of == owner && name == model);
        let records = of_model.map(|(_, record)| record);
        Ok(records.filter(|record| filters.iter().all(|f| f.matches(record))).cloned().collect())
    }

    async fn create(
        &mut self,
        owner: &Owner,
        model: &str,
        record: Record,
    ) -> Result<(), DatabaseError> {
        match self.rows.insert(key(owner, model, record.id()), record) {
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
        if let Some(record) = self.rows.get_mut(&key(owner, model, changes.id())) {
            record.apply(changes);
        }
        Ok(())
    }

    async fn delete(&mut self, owner: &Owner, model: &str, id: &str) -> Result<(), DatabaseError> {
        self.rows.remove(&key(owner, model, id));
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
        *self.shared.lock().unwrap() = self.rows;
        Ok(())
    }
}
