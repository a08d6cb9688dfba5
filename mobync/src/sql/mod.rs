//! What the ready-made databases that speak SQL share; each one adds its own SQL.
//!
//! You name the tables of your own schema; their columns are read from the database, and it converts
//! JSON to their types. See [`postgres`](crate::postgres) and [`sqlite`](crate::sqlite).

mod batch;
mod builder;
mod database;
mod dialect;
mod filter;
mod import;
mod schema;
mod session;
mod table;
mod unit;
mod window;

pub use self::{
    builder::{Builder, SchemaError},
    database::SqlDatabase,
    dialect::Dialect,
    import::Imported,
    table::Table,
    unit::SqlUnit,
};
pub(crate) use self::{
    dialect::{Arg, Found, LogRow, Turn},
    schema::{Column, Kind, Model, quote},
};
