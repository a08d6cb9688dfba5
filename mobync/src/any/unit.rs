//! A type-erased unit of work.

use std::fmt;

use super::works::Works;
use crate::{
    diff::{Diff, Operation},
    error::DatabaseError,
    filter::ReadFilter,
    merge::{Snapshot, Window, Write},
    owner::Owner,
    record::Record,
    schema::OlderNames,
    unit::{Mark, Rejection, Rewrite, SetOff, UnitOfWork, Will, WindowQuery},
};

/// One unit of work of an [`AnyDatabase`](super::AnyDatabase).
pub struct AnyUnit(Box<dyn Works>);

impl AnyUnit {
    pub(super) fn new(unit: impl UnitOfWork + 'static) -> Self {
        Self(Box::new(unit))
    }
}

impl fmt::Debug for AnyUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyUnit")
    }
}

impl UnitOfWork for AnyUnit {
    async fn read(
        &mut self,
        owner: &Owner,
        model: &str,
        filters: &[ReadFilter],
    ) -> Result<Vec<Record>, DatabaseError> {
        self.0.read(owner, model, filters).await
    }

    async fn write(
        &mut self,
        owner: &Owner,
        writes: &[Write<'_>],
    ) -> Result<Vec<Rejection>, DatabaseError> {
        self.0.write(owner, writes).await
    }

    async fn append(
        &mut self,
        owner: &Owner,
        log: &str,
        entries: Vec<Diff>,
    ) -> Result<(), DatabaseError> {
        self.0.append(owner, log, entries).await
    }

    async fn validate(&mut self, owner: &Owner, diff: &Diff) -> Result<bool, DatabaseError> {
        self.0.validate(owner, diff).await
    }

    async fn check_each_change(&mut self) -> Result<(), DatabaseError> {
        self.0.check_each_change().await
    }

    async fn check_at_once(&mut self) -> Result<(), DatabaseError> {
        self.0.check_at_once().await
    }

    async fn clock(&mut self, owner: &Owner, log: &str) -> Result<i64, DatabaseError> {
        self.0.clock(owner, log).await
    }

    async fn window(
        &mut self,
        owner: &Owner,
        query: WindowQuery<'_>,
    ) -> Result<Window, DatabaseError> {
        self.0.window(owner, query).await
    }

    async fn snapshot(
        &mut self,
        owner: &Owner,
        log: &str,
        empty: Snapshot,
    ) -> Result<Snapshot, DatabaseError> {
        self.0.snapshot(owner, log, empty).await
    }

    async fn commit(self) -> Result<(), DatabaseError> {
        self.0.commit().await
    }

    fn check_schema(&self, model: &str, fields: &[&str]) -> Result<(), DatabaseError> {
        self.0.check_schema(model, fields)
    }

    fn validates(&self) -> bool {
        self.0.validates()
    }

    fn survives_rejection(&self) -> bool {
        self.0.survives_rejection()
    }

    fn takes(&self, model: &str, field: &str, value: &str) -> bool {
        self.0.takes(model, field, value)
    }

    async fn is_marked(&mut self, owner: &Owner) -> Result<bool, DatabaseError> {
        self.0.is_marked(owner).await
    }

    async fn take_marks(&mut self, owner: &Owner, most: usize) -> Result<Vec<Mark>, DatabaseError> {
        self.0.take_marks(owner, most).await
    }

    async fn put_back(&mut self, owner: &Owner, marks: &[Mark]) -> Result<(), DatabaseError> {
        self.0.put_back(owner, marks).await
    }

    async fn lock_rows(
        &mut self,
        owner: &Owner,
        objects: &[(&str, &str)],
    ) -> Result<(), DatabaseError> {
        self.0.lock_rows(owner, objects).await
    }

    async fn set_off(
        &mut self,
        owner: &Owner,
        named: &[(&str, &str)],
    ) -> Result<SetOff, DatabaseError> {
        self.0.set_off(owner, named).await
    }

    async fn rows(
        &mut self,
        owner: &Owner,
        model: &str,
        ids: &[&str],
    ) -> Result<Vec<String>, DatabaseError> {
        self.0.rows(owner, model, ids).await
    }

    async fn rows_behind(
        &mut self,
        owner: &Owner,
        model: &str,
        last: Option<&str>,
        many: usize,
    ) -> Result<Vec<String>, DatabaseError> {
        self.0.rows_behind(owner, model, last, many).await
    }

    async fn as_columns(
        &mut self,
        model: &str,
        records: Vec<String>,
    ) -> Result<Vec<String>, DatabaseError> {
        self.0.as_columns(model, records).await
    }

    async fn entries_of(
        &mut self,
        owner: &Owner,
        log: &str,
        objects: &[(&str, &str)],
    ) -> Result<Vec<Diff>, DatabaseError> {
        self.0.entries_of(owner, log, objects).await
    }

    async fn own_entries(&mut self, owner: &Owner, log: &str) -> Result<Vec<Diff>, DatabaseError> {
        self.0.own_entries(owner, log).await
    }

    async fn entries_before(
        &mut self,
        owner: &Owner,
        log: &str,
        end: i64,
        most: usize,
    ) -> Result<Vec<Diff>, DatabaseError> {
        self.0.entries_before(owner, log, end, most).await
    }

    async fn rewrite(
        &mut self,
        owner: &Owner,
        log: &str,
        rewrite: &Rewrite,
    ) -> Result<(), DatabaseError> {
        self.0.rewrite(owner, log, rewrite).await
    }

    async fn handled(&mut self, owner: &Owner, log: &str) -> Result<Option<i64>, DatabaseError> {
        self.0.handled(owner, log).await
    }

    fn captures(&self) -> bool {
        self.0.captures()
    }

    fn will(&self, model: &str) -> Will {
        self.0.will(model)
    }

    fn keeps(&self, write: &Write<'_>) -> bool {
        self.0.keeps(write)
    }

    fn same(&self, model: &str, field: &str, written: &str, held: &str) -> bool {
        self.0.same(model, field, written, held)
    }

    fn defaults(&self, model: &str) -> Vec<(&str, &str)> {
        self.0.defaults(model)
    }

    fn default_of(&self, model: &str, field: &str) -> Option<&str> {
        self.0.default_of(model, field)
    }

    fn rank(&self, model: &str) -> usize {
        self.0.rank(model)
    }

    fn parents(&self, model: &str) -> Vec<&str> {
        self.0.parents(model)
    }

    fn models(&self) -> Vec<String> {
        self.0.models()
    }

    fn older_names(&self) -> Option<&OlderNames> {
        self.0.older_names()
    }

    fn permits(&self, model: &str, operation: Operation, fields: &[&str]) -> Result<(), String> {
        self.0.permits(model, operation, fields)
    }
}
