//! Triggers that mark changes, on PostgreSQL.

use sqlx::PgConnection;

use crate::sql::{Model, SchemaError};

pub(super) async fn check(
    _connection: &mut PgConnection,
    _log: &Model,
    _captured: &[&Model],
) -> Result<(), SchemaError> {
    Ok(())
}

pub(super) fn make(_log: &Model, _captured: &[&Model]) -> Vec<String> {
    Vec::new()
}

pub(super) fn remove(_log: &Model, _captured: &[&Model]) -> Vec<String> {
    Vec::new()
}
