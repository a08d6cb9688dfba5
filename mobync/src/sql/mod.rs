// What the two databases share; the rest of their SQL is in `postgres` and `sqlite`.
#![doc = include_str!("../../DATABASES.md")]

mod batch;
mod builder;
mod columns;
mod database;
mod dialect;
mod filter;
mod import;
mod schema;
mod session;
mod table;
mod unit;
mod window;

pub(crate) use self::{
    batch::Batch,
    dialect::{Arg, Found, LogRow, Writer, run_statements},
    schema::{Column, Kind, Model, quote},
    window::{ENTRY, null_in_log},
};
pub use self::{
    builder::{Builder, SchemaError},
    database::SqlDatabase,
    dialect::Dialect,
    import::Imported,
    table::Table,
    unit::SqlUnit,
};
