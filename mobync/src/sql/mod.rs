// What the two databases share; the rest of their SQL is in `postgres` and `sqlite`.
#![doc = include_str!("../../DATABASES.md")]

mod batch;
mod builder;
mod columns;
mod database;
mod dialect;
mod filter;
mod found;
mod import;
mod inspect;
mod join;
mod keeping;
mod owners;
mod references;
mod rows;
mod schema;
mod schema_error;
mod session;
mod table;
mod unit;
mod value;
mod will;
mod window;

pub(crate) use self::{
    batch::{Batch, with_parameters},
    dialect::{Arg, LogRow, SOUND, Writer, run_statements},
    found::{Found, FoundColumn, Generated, Reference, Unique},
    keeping::Keeping,
    schema::{Column, DefaultValue, Kind, Model, WrittenBy, quote},
    window::{ENTRY, null_in_log},
};
pub use self::{
    builder::Builder, database::SqlDatabase, dialect::Dialect, import::Imported,
    schema_error::SchemaError, table::Table, unit::SqlUnit,
};
pub use crate::reconcile::SkippedRow;
