//! A type-erased unit of work.

use std::fmt;

use super::Done;
use crate::{
    diff::{Diff, Operation},
    error::DatabaseError,
    filter::ReadFilter,
    merge::{Snapshot, Window, Write},
    owner::Owner,
    record::Record,
    unit::{Mark, Rejection, SetOff, UnitOfWork, Will, WindowQuery},
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

/// A [`UnitOfWork`] as a trait object. It must pass on every method: a missing one would have its
/// default.
trait Works: Send {
    fn read<'f>(
        &'f mut self,
        owner: &'f Owner,
        model: &'f str,
        filters: &'f [ReadFilter],
    ) -> Done<'f, Vec<Record>>;
    fn write<'f>(
        &'f mut self,
        owner: &'f Owner,
        writes: &'f [Write<'f>],
    ) -> Done<'f, Vec<Rejection>>;
    fn append<'f>(&'f mut self, owner: &'f Owner, log: &'f str, entries: Vec<Diff>)
    -> Done<'f, ()>;
    fn validate<'f>(&'f mut self, owner: &'f Owner, diff: &'f Diff) -> Done<'f, bool>;
    fn check_each_change(&mut self) -> Done<'_, ()>;
    fn check_at_once(&mut self) -> Done<'_, ()>;
    fn clock<'f>(&'f mut self, owner: &'f Owner, log: &'f str) -> Done<'f, i64>;
    fn window<'f>(&'f mut self, owner: &'f Owner, query: WindowQuery<'f>) -> Done<'f, Window>;
    fn snapshot<'f>(&'f mut self, owner: &'f Owner, log: &'f str) -> Done<'f, Snapshot>;
    fn commit<'f>(self: Box<Self>) -> Done<'f, ()>
    where
        Self: 'f;
    fn check_schema(&self, model: &str, fields: &[&str]) -> Result<(), DatabaseError>;
    fn validates(&self) -> bool;
    fn survives_rejection(&self) -> bool;
    fn takes(&self, model: &str, field: &str, value: &str) -> bool;
    fn is_marked<'f>(&'f mut self, owner: &'f Owner) -> Done<'f, bool>;
    fn take_marks<'f>(&'f mut self, owner: &'f Owner, most: usize) -> Done<'f, Vec<Mark>>;
    fn put_back<'f>(&'f mut self, owner: &'f Owner, marks: &'f [Mark]) -> Done<'f, ()>;
    fn lock_rows<'f>(
        &'f mut self,
        owner: &'f Owner,
        objects: &'f [(&'f str, &'f str)],
    ) -> Done<'f, ()>;
    fn set_off<'f>(
        &'f mut self,
        owner: &'f Owner,
        named: &'f [(&'f str, &'f str)],
    ) -> Done<'f, SetOff>;
    fn rows<'f>(
        &'f mut self,
        owner: &'f Owner,
        model: &'f str,
        ids: &'f [&'f str],
    ) -> Done<'f, Vec<String>>;
    fn rows_behind<'f>(
        &'f mut self,
        owner: &'f Owner,
        model: &'f str,
        last: Option<&'f str>,
        many: usize,
    ) -> Done<'f, Vec<String>>;
    fn as_columns<'f>(&'f mut self, model: &'f str, records: Vec<String>) -> Done<'f, Vec<String>>;
    fn entries_of<'f>(
        &'f mut self,
        owner: &'f Owner,
        log: &'f str,
        objects: &'f [(&'f str, &'f str)],
    ) -> Done<'f, Vec<Diff>>;
    fn captures(&self) -> bool;
    fn will(&self, model: &str) -> Will;
    fn keeps(&self, write: &Write<'_>) -> bool;
    fn same(&self, model: &str, field: &str, written: &str, held: &str) -> bool;
    fn defaults(&self, model: &str) -> Vec<(&str, &str)>;
    fn default_of(&self, model: &str, field: &str) -> Option<&str>;
    fn rank(&self, model: &str) -> usize;
    fn parents(&self, model: &str) -> Vec<&str>;
    fn models(&self) -> Vec<String>;
    fn permits(&self, model: &str, operation: Operation, fields: &[&str]) -> Result<(), String>;
}

impl<U: UnitOfWork> Works for U {
    fn read<'f>(
        &'f mut self,
        owner: &'f Owner,
        model: &'f str,
        filters: &'f [ReadFilter],
    ) -> Done<'f, Vec<Record>> {
        Box::pin(UnitOfWork::read(self, owner, model, filters))
    }

    fn write<'f>(
        &'f mut self,
        owner: &'f Owner,
        writes: &'f [Write<'f>],
    ) -> Done<'f, Vec<Rejection>> {
        Box::pin(UnitOfWork::write(self, owner, writes))
    }

    fn append<'f>(
        &'f mut self,
        owner: &'f Owner,
        log: &'f str,
        entries: Vec<Diff>,
    ) -> Done<'f, ()> {
        Box::pin(UnitOfWork::append(self, owner, log, entries))
    }

    fn validate<'f>(&'f mut self, owner: &'f Owner, diff: &'f Diff) -> Done<'f, bool> {
        Box::pin(UnitOfWork::validate(self, owner, diff))
    }

    fn check_each_change(&mut self) -> Done<'_, ()> {
        Box::pin(UnitOfWork::check_each_change(self))
    }

    fn check_at_once(&mut self) -> Done<'_, ()> {
        Box::pin(UnitOfWork::check_at_once(self))
    }

    fn clock<'f>(&'f mut self, owner: &'f Owner, log: &'f str) -> Done<'f, i64> {
        Box::pin(UnitOfWork::clock(self, owner, log))
    }

    fn window<'f>(&'f mut self, owner: &'f Owner, query: WindowQuery<'f>) -> Done<'f, Window> {
        Box::pin(UnitOfWork::window(self, owner, query))
    }

    fn snapshot<'f>(&'f mut self, owner: &'f Owner, log: &'f str) -> Done<'f, Snapshot> {
        Box::pin(UnitOfWork::snapshot(self, owner, log))
    }

    fn commit<'f>(self: Box<Self>) -> Done<'f, ()>
    where
        Self: 'f,
    {
        Box::pin(UnitOfWork::commit(*self))
    }

    fn check_schema(&self, model: &str, fields: &[&str]) -> Result<(), DatabaseError> {
        UnitOfWork::check_schema(self, model, fields)
    }

    fn validates(&self) -> bool {
        UnitOfWork::validates(self)
    }

    fn survives_rejection(&self) -> bool {
        UnitOfWork::survives_rejection(self)
    }

    fn takes(&self, model: &str, field: &str, value: &str) -> bool {
        UnitOfWork::takes(self, model, field, value)
    }

    fn is_marked<'f>(&'f mut self, owner: &'f Owner) -> Done<'f, bool> {
        Box::pin(UnitOfWork::is_marked(self, owner))
    }

    fn take_marks<'f>(&'f mut self, owner: &'f Owner, most: usize) -> Done<'f, Vec<Mark>> {
        Box::pin(UnitOfWork::take_marks(self, owner, most))
    }

    fn put_back<'f>(&'f mut self, owner: &'f Owner, marks: &'f [Mark]) -> Done<'f, ()> {
        Box::pin(UnitOfWork::put_back(self, owner, marks))
    }

    fn lock_rows<'f>(
        &'f mut self,
        owner: &'f Owner,
        objects: &'f [(&'f str, &'f str)],
    ) -> Done<'f, ()> {
        Box::pin(UnitOfWork::lock_rows(self, owner, objects))
    }

    fn set_off<'f>(
        &'f mut self,
        owner: &'f Owner,
        named: &'f [(&'f str, &'f str)],
    ) -> Done<'f, SetOff> {
        Box::pin(UnitOfWork::set_off(self, owner, named))
    }

    fn rows<'f>(
        &'f mut self,
        owner: &'f Owner,
        model: &'f str,
        ids: &'f [&'f str],
    ) -> Done<'f, Vec<String>> {
        Box::pin(UnitOfWork::rows(self, owner, model, ids))
    }

    fn rows_behind<'f>(
        &'f mut self,
        owner: &'f Owner,
        model: &'f str,
        last: Option<&'f str>,
        many: usize,
    ) -> Done<'f, Vec<String>> {
        Box::pin(UnitOfWork::rows_behind(self, owner, model, last, many))
    }

    fn as_columns<'f>(&'f mut self, model: &'f str, records: Vec<String>) -> Done<'f, Vec<String>> {
        Box::pin(UnitOfWork::as_columns(self, model, records))
    }

    fn entries_of<'f>(
        &'f mut self,
        owner: &'f Owner,
        log: &'f str,
        objects: &'f [(&'f str, &'f str)],
    ) -> Done<'f, Vec<Diff>> {
        Box::pin(UnitOfWork::entries_of(self, owner, log, objects))
    }

    fn captures(&self) -> bool {
        UnitOfWork::captures(self)
    }

    fn will(&self, model: &str) -> Will {
        UnitOfWork::will(self, model)
    }

    fn keeps(&self, write: &Write<'_>) -> bool {
        UnitOfWork::keeps(self, write)
    }

    fn same(&self, model: &str, field: &str, written: &str, held: &str) -> bool {
        UnitOfWork::same(self, model, field, written, held)
    }

    fn defaults(&self, model: &str) -> Vec<(&str, &str)> {
        UnitOfWork::defaults(self, model)
    }

    fn default_of(&self, model: &str, field: &str) -> Option<&str> {
        UnitOfWork::default_of(self, model, field)
    }

    fn rank(&self, model: &str) -> usize {
        UnitOfWork::rank(self, model)
    }

    fn parents(&self, model: &str) -> Vec<&str> {
        UnitOfWork::parents(self, model)
    }

    fn models(&self) -> Vec<String> {
        UnitOfWork::models(self)
    }

    fn permits(&self, model: &str, operation: Operation, fields: &[&str]) -> Result<(), String> {
        UnitOfWork::permits(self, model, operation, fields)
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

    async fn snapshot(&mut self, owner: &Owner, log: &str) -> Result<Snapshot, DatabaseError> {
        self.0.snapshot(owner, log).await
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

    fn permits(&self, model: &str, operation: Operation, fields: &[&str]) -> Result<(), String> {
        self.0.permits(model, operation, fields)
    }
}
