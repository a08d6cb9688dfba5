//! One unit of work of the database in memory.

use std::collections::{BTreeMap, HashSet};

use super::{MemoryDatabase, space::Space};
use crate::{
    DatabaseError, Diff, Operation, Owner, ReadFilter, Record, Synchronizer, Window, WindowQuery,
    locks::OwnerGuard, merge::object_of,
};

/// One unit of work of a [`MemoryDatabase`]: what it writes is kept aside until the commit.
#[derive(Debug)]
pub struct MemoryUnit {
    database: MemoryDatabase,
    owner: Owner,
    /// By model and id: the record as this unit left it, none where it is removed.
    written: BTreeMap<(String, String), Option<Record>>,
    appended: Vec<(String, Vec<Diff>)>,
    _turn: Option<OwnerGuard>,
}

impl MemoryUnit {
    pub(super) fn new(database: MemoryDatabase, owner: Owner, turn: Option<OwnerGuard>) -> Self {
        Self { database, owner, written: BTreeMap::new(), appended: Vec::new(), _turn: turn }
    }

    fn look<T: Default>(&self, look: impl FnOnce(&Space) -> T) -> T {
        self.database.spaces().get(&self.owner).map(look).unwrap_or_default()
    }

    fn find(&self, model: &str, id: &str) -> Option<Record> {
        match self.written.get(&(model.to_owned(), id.to_owned())) {
            Some(written) => written.clone(),
            None => self.look(|space| space.record(model, id).cloned()),
        }
    }

    fn set(&mut self, model: &str, id: &str, record: Option<Record>) {
        self.written.insert((model.to_owned(), id.to_owned()), record);
    }

    fn check_record(&self, model: &str, record: &Record) -> Result<(), DatabaseError> {
        let fields: Vec<&str> = record.fields().keys().map(String::as_str).collect();
        self.database.check_model(model, &fields)
    }
}

impl Synchronizer for MemoryUnit {
    type Error = DatabaseError;

    async fn read(
        &mut self,
        _: &Owner,
        model: &str,
        filters: &[ReadFilter],
    ) -> Result<Vec<Record>, DatabaseError> {
        self.database.check_model(model, &[])?;
        let mut records: BTreeMap<String, Record> = self
            .look(|space| space.records(model))
            .into_iter()
            .map(|record| (record.id().to_owned(), record))
            .collect();
        for ((written_model, id), record) in &self.written {
            if written_model == model {
                match record {
                    Some(record) => records.insert(id.clone(), record.clone()),
                    None => records.remove(id),
                };
            }
        }
        let matches = |record: &Record| filters.iter().all(|filter| filter.matches(record));
        Ok(records.into_values().filter(matches).collect())
    }

    async fn create(
        &mut self,
        _: &Owner,
        model: &str,
        record: Record,
    ) -> Result<(), DatabaseError> {
        self.check_record(model, &record)?;
        if self.find(model, record.id()).is_some() {
            return Err(DatabaseError::constraint(format!("primary key of {model}")));
        }
        let id = record.id().to_owned();
        self.set(model, &id, Some(record));
        Ok(())
    }

    async fn update(
        &mut self,
        _: &Owner,
        model: &str,
        changes: Record,
    ) -> Result<(), DatabaseError> {
        self.check_record(model, &changes)?;
        if let Some(mut record) = self.find(model, changes.id()) {
            let id = changes.id().to_owned();
            record.apply(changes);
            self.set(model, &id, Some(record));
        }
        Ok(())
    }

    async fn delete(&mut self, _: &Owner, model: &str, id: &str) -> Result<(), DatabaseError> {
        self.database.check_model(model, &[])?;
        self.set(model, id, None);
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
        let mut spaces = self.database.spaces();
        let space = spaces.entry(self.owner.clone()).or_default();
        for ((model, id), record) in self.written {
            space.set(model, id, record);
        }
        for (log, entries) in self.appended {
            space.append(log, entries);
        }
        Ok(())
    }

    fn check_schema(&self, model: &str, fields: &[&str]) -> Result<(), DatabaseError> {
        self.database.check_model(model, fields)
    }

    fn validates(&self) -> bool {
        false
    }

    fn survives_rejection(&self) -> bool {
        true
    }

    async fn clock(&mut self, _: &Owner, log: &str) -> Result<i64, DatabaseError> {
        Ok(self.look(|space| space.clock(log)))
    }

    async fn window(&mut self, _: &Owner, query: WindowQuery<'_>) -> Result<Window, DatabaseError> {
        let empty = Space::default();
        let spaces = self.database.spaces();
        Ok(spaces.get(&self.owner).unwrap_or(&empty).window(query))
    }

    async fn created_before(
        &mut self,
        _: &Owner,
        log: &str,
        objects: &[(&str, &str)],
        tick: i64,
    ) -> Result<Vec<bool>, DatabaseError> {
        let mut created = HashSet::new();
        let spaces = self.database.spaces();
        let entries = spaces.get(&self.owner).map(|space| space.log(log)).unwrap_or_default();
        for entry in entries.iter().take_while(|entry| entry.logical_clock < tick) {
            if entry.operation == Operation::Create {
                created.insert((entry.model.clone(), object_of(entry)?));
            }
        }
        let is_created =
            |(model, id): &(&str, &str)| created.contains(&((*model).to_owned(), (*id).to_owned()));
        Ok(objects.iter().map(is_created).collect())
    }

    async fn append(
        &mut self,
        _: &Owner,
        log: &str,
        entries: &[Diff],
    ) -> Result<(), DatabaseError> {
        self.appended.push((log.to_owned(), entries.to_vec()));
        Ok(())
    }
}
