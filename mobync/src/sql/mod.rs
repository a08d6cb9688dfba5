// What the two SQL databases share; the rest is in `postgres` and `sqlite`.
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
mod references;
mod schema;
mod schema_error;
mod session;
mod skipped;
mod table;
mod unit;
mod value;
mod window;

pub(crate) use self::{
    batch::{Batch, with_parameters},
    dialect::{Arg, LogRow, Writer, run_statements},
    found::{Found, FoundColumn, Reference, Unique},
    schema::{Column, Kind, Model, quote},
    window::{ENTRY, null_in_log},
};
pub use self::{
    builder::Builder, database::SqlDatabase, dialect::Dialect, import::Imported,
    schema_error::SchemaError, skipped::SkippedRow, table::Table, unit::SqlUnit,
};
