//! One unit of work of the database in memory.

use std::collections::{BTreeMap, BTreeSet};

use super::{Document, MemoryDatabase, space::Space};
use crate::{
    database::Database as _,
    diff::{Diff, Operation},
    error::DatabaseError,
    filter::ReadFilter,
    hash::HashMap,
    locks::OwnerGuard,
    merge::{Snapshot, Window, Write},
    owner::Owner,
    record::Record,
    unit::{Rejection, Rewrite, UnitOfWork, WindowQuery},
};

/// The columns of a log.
const LOG_FIELDS: [&str; 7] =
    ["id", "owner", "logical_clock", "utc_timestamp", "type", "model", "json_data"];

/// One unit of work of a [`MemoryDatabase`]: its writes are separate until the commit.
#[derive(Debug)]
pub struct MemoryUnit {
    database: MemoryDatabase,
    owner: Owner,
    written: Written,
    /// The name of the log, if the unit knows it.
    log: String,
    appended: Vec<(String, Vec<Diff>)>,
    rewritten: Vec<(String, Rewrite)>,
    _turn: Option<OwnerGuard>,
}

impl MemoryUnit {
    pub(super) fn new(database: MemoryDatabase, owner: Owner, turn: Option<OwnerGuard>) -> Self {
        let (written, log) = (Written::default(), database.diffs_model().to_owned());
        let (appended, rewritten) = (Vec::new(), Vec::new());
        Self { database, owner, written, log, appended, rewritten, _turn: turn }
    }

    /// The log as it is now, if the model is the log.
    fn read_log(&self, model: &str) -> Option<Vec<Record>> {
        let spaces = self.database.spaces();
        let kept = spaces.get(&self.owner).and_then(|space| space.log_records(&self.owner, model));
        let new = self.appended.iter().filter(|(log, _)| log == model);
        let nothing_yet = model == self.log && self.database.check_model(model, []).is_err();
        if kept.is_none() && new.clone().next().is_none() && !nothing_yet {
            return None;
        }
        let new = new.flat_map(|(_, entries)| entries).cloned().map(Diff::into_record);
        Some(kept.into_iter().flatten().chain(new).collect())
    }

    fn look<T: Default>(&self, look: impl FnOnce(&Space) -> T) -> T {
        self.database.spaces().get(&self.owner).map(look).unwrap_or_default()
    }
}

/// By model and id: the document as written by the unit; `None` if it is removed.
#[derive(Debug, Default)]
struct Written(HashMap<String, BTreeMap<String, Option<Document>>>);

impl Written {
    /// The current document: the one written by the unit, or else the one that existed before.
    fn find<'d>(
        &'d self,
        before: Option<&'d Space>,
        model: &str,
        id: &str,
    ) -> Option<&'d Document> {
        match self.0.get(model).and_then(|documents| documents.get(id)) {
            Some(written) => written.as_ref(),
            None => before?.document(model, id),
        }
    }

    fn set(&mut self, model: &str, id: &str, document: Option<Document>) {
        match self.0.get_mut(model) {
            Some(documents) => documents.insert(id.to_owned(), document),
            None => self.0.entry(model.to_owned()).or_default().insert(id.to_owned(), document),
        };
    }

    fn check_new(
        &self,
        before: Option<&Space>,
        model: &str,
        id: &str,
    ) -> Result<(), DatabaseError> {
        match self.find(before, model, id) {
            Some(_) => Err(DatabaseError::constraint(format!("primary key of {model}"))),
            None => Ok(()),
        }
    }

    fn write(&mut self, before: Option<&Space>, write: &Write<'_>) -> Result<(), DatabaseError> {
        let (model, id) = (write.model(), write.id());
        let document = match write.operation() {
            Operation::Create => {
                self.check_new(before, model, id)?;
                Some(Document::of_write(write))
            }
            Operation::Update => match self.find(before, model, id) {
                Some(document) => Some(document.updated(write)?),
                None => return Ok(()),
            },
            Operation::Delete => None,
        };
        self.set(model, id, document);
        Ok(())
    }
}

impl UnitOfWork for MemoryUnit {
    async fn read(
        &mut self,
        _: &Owner,
        model: &str,
        filters: &[ReadFilter],
    ) -> Result<Vec<Record>, DatabaseError> {
        if let Some(log) = self.read_log(model) {
            check_log_fields(model, filters)?;
            return Ok(log.into_iter().filter(|record| meets_all(record, filters)).collect());
        }
        self.database.check_model(model, [])?;
        let (mut ids, mut others) = (None::<BTreeSet<&str>>, Vec::new());
        for filter in filters {
            match (filter.ids(), &ids) {
                (Some(more), Some(some)) => ids = Some(some & &more),
                (Some(some), None) => ids = Some(some),
                (None, _) => others.push(filter),
            }
        }

        let spaces = self.database.spaces();
        let space = spaces.get(&self.owner);
        let documents: Vec<&Document> = if let Some(ids) = ids {
            ids.into_iter().filter_map(|id| self.written.find(space, model, id)).collect()
        } else {
            let written = self.written.0.get(model);
            let is_new = |id: &str| written.is_some_and(|written| written.contains_key(id));
            let kept = space.into_iter().flat_map(|space| space.documents(model));
            let kept = kept.filter(|(id, _)| !is_new(id));
            let new = written.into_iter().flat_map(BTreeMap::values).flatten();
            kept.map(|(_, document)| document).chain(new).collect()
        };
        let mut records = Vec::new();
        for document in documents {
            let record = document.record()?;
            if meets_all(&record, others.iter().copied()) {
                records.push(record);
            }
        }
        Ok(records)
    }

    async fn commit(self) -> Result<(), DatabaseError> {
        let mut spaces = self.database.spaces();
        let space = spaces.entry(self.owner.clone()).or_default();
        for (model, documents) in self.written.0 {
            space.set(model, documents);
        }
        for (log, entries) in self.appended {
            space.append(log, entries);
        }
        for (log, rewrite) in self.rewritten {
            space.rewrite(log, rewrite);
        }
        Ok(())
    }

    fn check_schema(&self, model: &str, fields: &[&str]) -> Result<(), DatabaseError> {
        self.database.check_model(model, fields.iter().copied())
    }

    fn survives_rejection(&self) -> bool {
        true
    }

    async fn write(
        &mut self,
        _: &Owner,
        writes: &[Write<'_>],
    ) -> Result<Vec<Rejection>, DatabaseError> {
        // Models and fields were checked in `check_schema`.
        let spaces = self.database.spaces();
        let before = spaces.get(&self.owner);
        let mut rejections = Vec::new();
        for (place, write) in writes.iter().enumerate() {
            if let Err(error) = self.written.write(before, write) {
                rejections.push(Rejection { place, error });
            }
        }
        Ok(rejections)
    }

    async fn clock(&mut self, _: &Owner, log: &str) -> Result<i64, DatabaseError> {
        Ok(self.look(|space| space.clock(log)))
    }

    async fn window(&mut self, _: &Owner, query: WindowQuery<'_>) -> Result<Window, DatabaseError> {
        if self.log != query.log {
            query.log.clone_into(&mut self.log);
        }
        let empty = Space::default();
        let spaces = self.database.spaces();
        Ok(spaces.get(&self.owner).unwrap_or(&empty).window(&self.owner, query))
    }

    async fn snapshot(
        &mut self,
        _: &Owner,
        log: &str,
        mut snapshot: Snapshot,
    ) -> Result<Snapshot, DatabaseError> {
        let spaces = self.database.spaces();
        let entries = spaces.get(&self.owner).map(|space| space.log(log)).unwrap_or_default();
        for tick in entries.chunk_by(|left, right| left.logical_clock == right.logical_clock) {
            snapshot.follow_all(tick.iter().map(Into::into))?;
        }
        Ok(snapshot)
    }

    async fn append(
        &mut self,
        _: &Owner,
        log: &str,
        entries: Vec<Diff>,
    ) -> Result<(), DatabaseError> {
        self.appended.push((log.to_owned(), entries));
        Ok(())
    }

    async fn own_entries(&mut self, _: &Owner, log: &str) -> Result<Vec<Diff>, DatabaseError> {
        let is_own = |entry: &&Diff| entry.model == log;
        Ok(self.look(|space| space.log(log).iter().filter(is_own).cloned().collect()))
    }

    async fn entries_before(
        &mut self,
        _: &Owner,
        log: &str,
        end: i64,
        most: usize,
    ) -> Result<Vec<Diff>, DatabaseError> {
        Ok(self.look(|space| space.before(log, end, most).to_vec()))
    }

    async fn rewrite(
        &mut self,
        _: &Owner,
        log: &str,
        rewrite: &Rewrite,
    ) -> Result<(), DatabaseError> {
        self.rewritten.push((log.to_owned(), rewrite.clone()));
        Ok(())
    }

    async fn handled(&mut self, owner: &Owner, _: &str) -> Result<Option<i64>, DatabaseError> {
        Ok(self.database.followers().handled(owner))
    }
}

fn check_log_fields(log: &str, filters: &[ReadFilter]) -> Result<(), DatabaseError> {
    match filters.iter().map(ReadFilter::field).find(|field| !LOG_FIELDS.contains(field)) {
        None => Ok(()),
        Some(field) => Err(DatabaseError::unknown_field(log, field, LOG_FIELDS)),
    }
}

fn meets_all<'f>(record: &Record, filters: impl IntoIterator<Item = &'f ReadFilter>) -> bool {
    filters.into_iter().all(|filter| filter.matches(record))
}
