//! A unit of work of which the log is read by the newest names.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use super::{OlderNames, Schema};
use crate::{
    diff::{Diff, Operation, object_in},
    error::DatabaseError,
    filter::ReadFilter,
    merge::{Snapshot, Window, Write},
    owner::Owner,
    record::Record,
    unit::{Mark, Rejection, Rewrite, SetOff, UnitOfWork, Will, WindowQuery},
};

/// A unit of work, seen through the schema: whoever uses it knows the newest names only.
#[derive(Debug)]
pub(crate) struct Lens<U> {
    unit: U,
    schema: Schema,
}

impl<U: UnitOfWork> Lens<U> {
    pub(crate) fn new(unit: U, schema: &Schema) -> Self {
        Self { unit, schema: schema.clone() }
    }

    /// Whether the database has older names than the newest: between two steps of a rename.
    pub(crate) fn is_renaming(&self) -> bool {
        self.unit.older_names().is_some()
    }

    fn read_all(&self, mut entries: Vec<Diff>) -> Vec<Diff> {
        for entry in &mut entries {
            self.schema.read(entry);
        }
        entries
    }

    fn read_marks(&self, mut marks: Vec<Mark>) -> Vec<Mark> {
        for mark in &mut marks {
            let now = self.schema.model_now(&mark.model);
            if now != mark.model {
                mark.model = now.to_owned();
            }
        }
        marks
    }

    /// The objects, without those of removed models, of which no database has rows.
    fn with_rows<'o>(&self, objects: &'o [(&'o str, &'o str)]) -> Cow<'o, [(&'o str, &'o str)]> {
        if objects.iter().any(|(model, _)| self.schema.is_removed(model)) {
            objects.iter().filter(|(model, _)| !self.schema.is_removed(model)).copied().collect()
        } else {
            objects.into()
        }
    }
}

impl<U: UnitOfWork> UnitOfWork for Lens<U> {
    async fn read(
        &mut self,
        owner: &Owner,
        model: &str,
        filters: &[ReadFilter],
    ) -> Result<Vec<Record>, DatabaseError> {
        self.unit.read(owner, model, filters).await
    }

    async fn write(
        &mut self,
        owner: &Owner,
        writes: &[Write<'_>],
    ) -> Result<Vec<Rejection>, DatabaseError> {
        self.unit.write(owner, writes).await
    }

    async fn append(
        &mut self,
        owner: &Owner,
        log: &str,
        mut entries: Vec<Diff>,
    ) -> Result<(), DatabaseError> {
        if let Some(names) = self.unit.older_names() {
            for entry in &mut entries {
                names.write(entry);
            }
        }
        self.unit.append(owner, log, entries).await
    }

    async fn commit(self) -> Result<(), DatabaseError> {
        self.unit.commit().await
    }

    fn check_schema(&self, model: &str, fields: &[&str]) -> Result<(), DatabaseError> {
        self.unit.check_schema(model, fields)
    }

    fn validates(&self) -> bool {
        self.unit.validates()
    }

    async fn validate(&mut self, owner: &Owner, diff: &Diff) -> Result<bool, DatabaseError> {
        self.unit.validate(owner, diff).await
    }

    fn survives_rejection(&self) -> bool {
        self.unit.survives_rejection()
    }

    async fn check_each_change(&mut self) -> Result<(), DatabaseError> {
        self.unit.check_each_change().await
    }

    async fn check_at_once(&mut self) -> Result<(), DatabaseError> {
        self.unit.check_at_once().await
    }

    fn takes(&self, model: &str, field: &str, value: &str) -> bool {
        self.unit.takes(model, field, value)
    }

    async fn clock(&mut self, owner: &Owner, log: &str) -> Result<i64, DatabaseError> {
        self.unit.clock(owner, log).await
    }

    async fn window(
        &mut self,
        owner: &Owner,
        query: WindowQuery<'_>,
    ) -> Result<Window, DatabaseError> {
        let objects = self.with_rows(query.objects);
        let mut window =
            self.unit.window(owner, WindowQuery { objects: &objects, ..query }).await?;
        if objects.len() < query.objects.len() {
            let mut existing = window.existing.into_iter();
            let exists = |(model, _): &(&str, &str)| {
                !self.schema.is_removed(model) && existing.next().unwrap_or(false)
            };
            window.existing = query.objects.iter().map(exists).collect();
        }
        window.entries = self.read_all(window.entries);
        Ok(window)
    }

    async fn snapshot(
        &mut self,
        owner: &Owner,
        log: &str,
        empty: Snapshot,
    ) -> Result<Snapshot, DatabaseError> {
        self.unit.snapshot(owner, log, empty.by_newest_names(self.schema.clone())).await
    }

    fn captures(&self) -> bool {
        self.unit.captures()
    }

    async fn is_marked(&mut self, owner: &Owner) -> Result<bool, DatabaseError> {
        self.unit.is_marked(owner).await
    }

    async fn take_marks(&mut self, owner: &Owner, most: usize) -> Result<Vec<Mark>, DatabaseError> {
        let marks = self.unit.take_marks(owner, most).await?;
        Ok(self.read_marks(marks))
    }

    async fn put_back(&mut self, owner: &Owner, marks: &[Mark]) -> Result<(), DatabaseError> {
        self.unit.put_back(owner, marks).await
    }

    async fn lock_rows(
        &mut self,
        owner: &Owner,
        objects: &[(&str, &str)],
    ) -> Result<(), DatabaseError> {
        let objects = self.with_rows(objects);
        self.unit.lock_rows(owner, &objects).await
    }

    async fn set_off(
        &mut self,
        owner: &Owner,
        named: &[(&str, &str)],
    ) -> Result<SetOff, DatabaseError> {
        // A mark may have any of the model's names.
        let named = by_all_names(&self.schema, named);
        let SetOff { marks, met } = self.unit.set_off(owner, &named).await?;
        Ok(SetOff { marks: self.read_marks(marks), met })
    }

    async fn rows(
        &mut self,
        owner: &Owner,
        model: &str,
        ids: &[&str],
    ) -> Result<Vec<String>, DatabaseError> {
        self.unit.rows(owner, model, ids).await
    }

    async fn rows_behind(
        &mut self,
        owner: &Owner,
        model: &str,
        last: Option<&str>,
        many: usize,
    ) -> Result<Vec<String>, DatabaseError> {
        self.unit.rows_behind(owner, model, last, many).await
    }

    async fn as_columns(
        &mut self,
        model: &str,
        records: Vec<String>,
    ) -> Result<Vec<String>, DatabaseError> {
        self.unit.as_columns(model, records).await
    }

    async fn entries_of(
        &mut self,
        owner: &Owner,
        log: &str,
        objects: &[(&str, &str)],
    ) -> Result<Vec<Diff>, DatabaseError> {
        let all = by_all_names(&self.schema, objects);
        let mut entries = self.unit.entries_of(owner, log, &all).await?;
        if all.len() > objects.len() {
            cut_at_creates(&mut entries, &self.schema)?;
        }
        Ok(self.read_all(entries))
    }

    async fn own_entries(&mut self, owner: &Owner, log: &str) -> Result<Vec<Diff>, DatabaseError> {
        self.unit.own_entries(owner, log).await
    }

    async fn entries_before(
        &mut self,
        owner: &Owner,
        log: &str,
        end: i64,
        most: usize,
    ) -> Result<Vec<Diff>, DatabaseError> {
        // To be thinned: what this server has no more, others may still have.
        let mut entries = self.unit.entries_before(owner, log, end, most).await?;
        for entry in &mut entries {
            self.schema.rename(entry);
        }
        Ok(entries)
    }

    async fn rewrite(
        &mut self,
        owner: &Owner,
        log: &str,
        rewrite: &Rewrite,
    ) -> Result<(), DatabaseError> {
        self.unit.rewrite(owner, log, rewrite).await
    }

    async fn handled(&mut self, owner: &Owner, log: &str) -> Result<Option<i64>, DatabaseError> {
        self.unit.handled(owner, log).await
    }

    fn will(&self, model: &str) -> Will {
        self.unit.will(model)
    }

    fn keeps(&self, write: &Write<'_>) -> bool {
        self.unit.keeps(write)
    }

    fn same(&self, model: &str, field: &str, written: &str, held: &str) -> bool {
        self.unit.same(model, field, written, held)
    }

    fn defaults(&self, model: &str) -> Vec<(&str, &str)> {
        let mut defaults = self.unit.defaults(model);
        for (field, default) in self.schema.defaults(model) {
            // SQL databases know them by their columns.
            if !defaults.iter().any(|(known, _)| *known == field) {
                defaults.push((field, default));
            }
        }
        defaults
    }

    fn default_of(&self, model: &str, field: &str) -> Option<&str> {
        self.unit.default_of(model, field).or_else(|| self.schema.default_of(model, field))
    }

    fn rank(&self, model: &str) -> usize {
        self.unit.rank(model)
    }

    fn parents(&self, model: &str) -> Vec<&str> {
        self.unit.parents(model)
    }

    fn models(&self) -> Vec<String> {
        self.unit.models()
    }

    fn older_names(&self) -> Option<&OlderNames> {
        self.unit.older_names()
    }

    fn permits(&self, model: &str, operation: Operation, fields: &[&str]) -> Result<(), String> {
        self.unit.permits(model, operation, fields)
    }
}

/// The objects by all names that their models have had.
fn by_all_names<'o>(
    schema: &'o Schema,
    objects: &'o [(&'o str, &'o str)],
) -> Cow<'o, [(&'o str, &'o str)]> {
    let mut all = Cow::Borrowed(objects);
    for (model, id) in objects {
        let others = schema.names_of(model).into_iter().flatten().filter(|name| name != model);
        for name in others {
            all.to_mut().push((name, *id));
        }
    }
    all
}

/// Of an object's entries under several names, keeps those from its last create on: under the name of that create
/// there may be no earlier ones, so that those under other names would make no sense.
fn cut_at_creates(entries: &mut Vec<Diff>, schema: &Schema) -> Result<(), DatabaseError> {
    entries.sort_by(|left, right| left.order().cmp(&right.order()));
    let mut objects = Vec::with_capacity(entries.len());
    for entry in &*entries {
        objects.push(object_in(&entry.json_data).map_err(DatabaseError::failed)?.into_owned());
    }
    let mut deleted = HashMap::<(&str, &str, i64), usize>::new();
    for (place, (entry, id)) in entries.iter().zip(&objects).enumerate() {
        if entry.operation == Operation::Delete {
            deleted.insert((&entry.model, id, entry.logical_clock), place);
        }
    }
    // By name and id: whether the first entry was seen. By newest name and id: where to cut.
    let mut seen: HashSet<(&str, &str)> = HashSet::new();
    let mut cuts = HashMap::<(&str, &str), usize>::new();
    for (place, (entry, id)) in entries.iter().zip(&objects).enumerate() {
        let is_first = seen.insert((&entry.model, id));
        if is_first && entry.operation == Operation::Create {
            let deleted = deleted.get(&(&entry.model, id, entry.logical_clock));
            if deleted.is_none_or(|deleted| *deleted < place) {
                cuts.insert((schema.model_now(&entry.model), id), place);
            }
        }
    }
    let kept: Vec<bool> = entries
        .iter()
        .zip(&objects)
        .enumerate()
        .map(|(place, (entry, id))| {
            let cut = cuts.get(&(schema.model_now(&entry.model), &**id));
            cut.is_none_or(|cut| *cut <= place)
        })
        .collect();
    let mut kept = kept.into_iter();
    entries.retain(|_| kept.next().unwrap_or(true));
    Ok(())
}
