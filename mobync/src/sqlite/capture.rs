//! Marks of changes that others than a sync make, on SQLite.

use sqlx::SqliteConnection;

use crate::{
    Owner,
    sql::{MarkRow, Model, quote},
};

/// The id of the object of an entry of the log.
pub(super) const OBJECT: &str = "json_extract(json_data, '$.id')";

pub(super) fn index_objects(log: &Model, wanted: bool) -> String {
    let index = quote(&format!("{}_objects", log.name));
    if !wanted {
        return format!("DROP INDEX IF EXISTS {index}");
    }
    let table = &log.table;
    format!("CREATE INDEX IF NOT EXISTS {index} ON {table} (owner, model, {OBJECT})")
}

pub(super) fn make(_log: &Model, _captured: &[&Model]) -> Vec<String> {
    Vec::new()
}

pub(super) fn remove(_log: &Model, _captured: &[&Model], _others: &[&Model]) -> Vec<String> {
    Vec::new()
}

pub(super) fn is_marked(_log: &Model) -> String {
    "1 = 0".to_owned()
}

pub(super) async fn take(
    _connection: &mut SqliteConnection,
    _log: &Model,
    _owner: &Owner,
    _most: usize,
) -> Result<Vec<MarkRow>, sqlx::Error> {
    Ok(Vec::new())
}

pub(super) async fn set_off(
    _connection: &mut SqliteConnection,
    _log: &Model,
    _owner: &Owner,
    _named: &[(&str, &str)],
) -> Result<(Vec<MarkRow>, bool), sqlx::Error> {
    Ok((Vec::new(), false))
}

pub(super) async fn owners(
    _connection: &mut SqliteConnection,
    _log: &Model,
    _most: usize,
) -> Result<Vec<String>, sqlx::Error> {
    Ok(Vec::new())
}

pub(super) async fn put_back(
    _connection: &mut SqliteConnection,
    _log: &Model,
    _owner: &Owner,
    _marks: &[Mark],
) -> Result<(), sqlx::Error> {
    Ok(())
}

/// One behind the other by the index.
pub(super) fn entries_of(log: &Model) -> String {
    format!("{}", log.table)
}
