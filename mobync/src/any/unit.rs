//! A type-erased unit of work.

use std::fmt;

use super::Done;
use crate::{
    diff::Diff,
    error::DatabaseError,
    filter::ReadFilter,
    merge::{Snapshot, Window, Write},
    owner::Owner,
    record::Record,
    unit::{Rejection, UnitOfWork, WindowQuery},
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
}
