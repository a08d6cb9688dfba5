//! A unit of work as a trait object.

use super::Done;
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

/// A [`UnitOfWork`] as a trait object. It must forward every method: one that is missing would use its
/// default.
pub(super) trait Works: Send {
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
    fn snapshot<'f>(
        &'f mut self,
        owner: &'f Owner,
        log: &'f str,
        empty: Snapshot,
    ) -> Done<'f, Snapshot>;
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
    fn own_entries<'f>(&'f mut self, owner: &'f Owner, log: &'f str) -> Done<'f, Vec<Diff>>;
    fn entries_before<'f>(
        &'f mut self,
        owner: &'f Owner,
        log: &'f str,
        end: i64,
        most: usize,
    ) -> Done<'f, Vec<Diff>>;
    fn rewrite<'f>(
        &'f mut self,
        owner: &'f Owner,
        log: &'f str,
        rewrite: &'f Rewrite,
    ) -> Done<'f, ()>;
    fn handled<'f>(&'f mut self, owner: &'f Owner, log: &'f str) -> Done<'f, Option<i64>>;
    fn captures(&self) -> bool;
    fn will(&self, model: &str) -> Will;
    fn keeps(&self, write: &Write<'_>) -> bool;
    fn same(&self, model: &str, field: &str, written: &str, held: &str) -> bool;
    fn defaults(&self, model: &str) -> Vec<(&str, &str)>;
    fn default_of(&self, model: &str, field: &str) -> Option<&str>;
    fn rank(&self, model: &str) -> usize;
    fn parents(&self, model: &str) -> Vec<&str>;
    fn models(&self) -> Vec<String>;
    fn older_names(&self) -> Option<&OlderNames>;
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

    fn snapshot<'f>(
        &'f mut self,
        owner: &'f Owner,
        log: &'f str,
        empty: Snapshot,
    ) -> Done<'f, Snapshot> {
        Box::pin(UnitOfWork::snapshot(self, owner, log, empty))
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

    fn own_entries<'f>(&'f mut self, owner: &'f Owner, log: &'f str) -> Done<'f, Vec<Diff>> {
        Box::pin(UnitOfWork::own_entries(self, owner, log))
    }

    fn entries_before<'f>(
        &'f mut self,
        owner: &'f Owner,
        log: &'f str,
        end: i64,
        most: usize,
    ) -> Done<'f, Vec<Diff>> {
        Box::pin(UnitOfWork::entries_before(self, owner, log, end, most))
    }

    fn rewrite<'f>(
        &'f mut self,
        owner: &'f Owner,
        log: &'f str,
        rewrite: &'f Rewrite,
    ) -> Done<'f, ()> {
        Box::pin(UnitOfWork::rewrite(self, owner, log, rewrite))
    }

    fn handled<'f>(&'f mut self, owner: &'f Owner, log: &'f str) -> Done<'f, Option<i64>> {
        Box::pin(UnitOfWork::handled(self, owner, log))
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

    fn older_names(&self) -> Option<&OlderNames> {
        UnitOfWork::older_names(self)
    }

    fn permits(&self, model: &str, operation: Operation, fields: &[&str]) -> Result<(), String> {
        UnitOfWork::permits(self, model, operation, fields)
    }
}
