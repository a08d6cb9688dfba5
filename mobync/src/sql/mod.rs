// What the two SQL databases share; the rest is in `postgres` and `sqlite`.
#![doc = include_str!("../links.md")]
#![doc = include_str!("../../DATABASES.md")]

mod batch;
mod builder;
mod capture;
mod columns;
mod cursors;
mod database;
mod dialect;
mod effects;
mod filter;
mod found;
mod idle;
mod import;
mod inspect;
mod join;
mod keeping;
mod known;
mod marked;
mod naming;
mod owners;
mod plan;
mod reading;
mod references;
mod retention;
mod rows;
mod run;
mod schema;
mod schema_error;
mod session;
mod synced;
mod table;
mod tokens;
mod unit;
mod value;
mod will;
mod window;
mod writes;

#[cfg(feature = "sqlite")]
pub(crate) use self::tokens::is_letter;
pub(crate) use self::{
    batch::{Batch, with_parameters},
    capture::{marks_of, prefix_of},
    dialect::{Arg, LogRow, MarkRow, SOUND, Writer},
    effects::{Effect, Effects},
    found::{Clash, Found, FoundColumn, Generated, Reference, Unique},
    keeping::Keeping,
    reading::Reading,
    retention::own,
    run::run_statements,
    schema::{Column, DefaultValue, Kind, Model, OnLocks, Schema, WrittenBy, quote, quote_all},
    tokens::{Token, Tongue, tokens},
    window::{ENTRY, null_in_log},
    writes::{Change, Columns, Script},
};
pub use self::{
    builder::Builder, database::SqlDatabase, dialect::Dialect, import::Imported,
    schema_error::SchemaError, table::Table, unit::SqlUnit,
};
#[cfg(feature = "postgres")]
pub(crate) use self::{session::tries, writes::TableName};
pub use crate::reconcile::SkippedRow;
