//! Marks of changes that others than a sync make, on PostgreSQL.

use sqlx::PgConnection;

use crate::{
    Owner,
    sql::{MarkRow, Model},
};

/// The id of the object of the log's entry `t`.
pub(super) const OBJECT: &str = "''";

pub(super) fn is_marked(_log: &Model) -> String {
    "false".to_owned()
}

pub(super) async fn take(
    _connection: &mut PgConnection,
    _log: &Model,
    _owner: &Owner,
    _most: usize,
) -> Result<Vec<MarkRow>, sqlx::Error> {
    Ok(Vec::new())
}

pub(super) async fn set_off(
    _connection: &mut PgConnection,
    _log: &Model,
    _owner: &Owner,
    _named: &[(&str, &str)],
) -> Result<(Vec<MarkRow>, bool), sqlx::Error> {
    Ok((Vec::new(), false))
}

pub(super) async fn owners(
    _connection: &mut PgConnection,
    _log: &Model,
    _most: usize,
) -> Result<Vec<String>, sqlx::Error> {
    Ok(Vec::new())
}
