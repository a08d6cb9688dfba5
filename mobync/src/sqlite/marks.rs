//! Marks of changes, on SQLite: raw marks, as the triggers add them, and sorted marks, one for each
//! object.

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::ticks;
use crate::{
    Mark, Owner,
    sql::{MarkRow, Model, marks_of, quote},
};

/// The id of the object of a log entry.
pub(super) const OBJECT: &str = "json_extract(json_data, '$.id')";

/// How many raw marks are searched for those of an owner before all are sorted.
const LOOKED_THROUGH: usize = 500;

/// The table of the raw marks.
fn raw(log: &Model) -> String {
    quote(&marks_of(&log.name))
}

/// The table of the sorted marks.
fn sorted(log: &Model) -> String {
    quote(&format!("{}_marked", log.name))
}

/// The index of the log's entries by their objects.
fn objects(log: &Model) -> String {
    quote(&format!("{}_objects", log.name))
}

/// The statement that creates the index of the log's entries by their objects, or drops it.
pub(super) fn index_objects(log: &Model, wanted: bool) -> String {
    let index = objects(log);
    if !wanted {
        return format!("DROP INDEX IF EXISTS main.{index}");
    }
    let table = quote(&log.name);
    format!("CREATE INDEX IF NOT EXISTS main.{index} ON {table} (owner, model, {OBJECT})")
}

/// One object after another by that index.
pub(super) fn entries_of(log: &Model) -> String {
    ticks::select_of_objects(log, OBJECT)
}

pub(super) async fn put_back(
    connection: &mut SqliteConnection,
    log: &Model,
    owner: &Owner,
    marks: &[Mark],
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "INSERT INTO {} (owner, model, id, at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (owner, model, id) DO UPDATE SET at = max(at, excluded.at)",
        sorted(log)
    );
    for mark in marks {
        sqlx::query(AssertSqlSafe(&*sql))
            .bind(owner.as_str().to_owned())
            .bind(mark.model.clone())
            .bind(mark.id.clone())
            .bind(mark.at.unwrap_or_default())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

pub(super) fn make(log: &Model) -> Vec<String> {
    let (raw, sorted) = (raw(log), sorted(log));
    vec![
        format!(
            "CREATE TABLE IF NOT EXISTS main.{raw} (seq INTEGER PRIMARY KEY, owner, model, id, at)"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS main.{sorted} (owner TEXT NOT NULL, model TEXT NOT NULL, \
             id TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (owner, model, id)) WITHOUT ROWID"
        ),
    ]
}

pub(super) fn remove(log: &Model) -> Vec<String> {
    vec![
        format!("DROP TABLE IF EXISTS main.{}", raw(log)),
        format!("DROP TABLE IF EXISTS main.{}", sorted(log)),
    ]
}

/// The condition that the owner has marks, or that there are too many raw marks to search.
pub(super) fn is_marked(log: &Model, owner: &str) -> String {
    let (raw, sorted) = (raw(log), sorted(log));
    format!(
        "(EXISTS (SELECT 1 FROM {sorted} AS m WHERE m.owner = {owner}) \
         OR EXISTS (SELECT 1 FROM (SELECT m.owner FROM {raw} AS m LIMIT {LOOKED_THROUGH}) AS m \
         WHERE CAST(m.owner AS TEXT) = {owner}) \
         OR EXISTS (SELECT 1 FROM {raw} LIMIT 1 OFFSET {LOOKED_THROUGH}))"
    )
}

/// The condition that an owner or an id is a valid name. Texts in UTF-16 may have twice as many bytes as
/// others.
fn is_name(column: &str) -> String {
    format!(
        "typeof({column}) IN ('text', 'integer') AND length(CAST({column} AS BLOB)) BETWEEN 1 AND 2048"
    )
}

/// Sorts all raw marks. Those without a valid name belong to nobody.
async fn sort(connection: &mut SqliteConnection, log: &Model) -> Result<(), sqlx::Error> {
    let (raw, sorted) = (raw(log), sorted(log));
    let sort = format!(
        "INSERT INTO {sorted} (owner, model, id, at) \
         SELECT CAST(owner AS TEXT), model, CAST(id AS TEXT), max(at) FROM {raw} \
         WHERE {} AND {} GROUP BY 1, 2, 3 \
         ON CONFLICT (owner, model, id) DO UPDATE SET at = max(at, excluded.at)",
        is_name("owner"),
        is_name("id")
    );
    sqlx::query(AssertSqlSafe(sort)).execute(&mut *connection).await?;
    let clear = format!("DELETE FROM {raw}");
    sqlx::query(AssertSqlSafe(clear)).execute(connection).await.map(drop)
}

/// Removes the owner's marks of a limited number of objects.
pub(super) async fn take(
    connection: &mut SqliteConnection,
    log: &Model,
    owner: &Owner,
    most: usize,
) -> Result<Vec<MarkRow>, sqlx::Error> {
    sort(&mut *connection, log).await?;
    let sorted = sorted(log);
    let sql = format!(
        "DELETE FROM {sorted} WHERE owner = $1 AND (model, id) IN (SELECT model, id FROM {sorted} \
         WHERE owner = $1 ORDER BY model, id LIMIT $2) RETURNING model, id, at"
    );
    sqlx::query_as(AssertSqlSafe(sql))
        .bind(owner.as_str().to_owned())
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await
}

/// The raw marks of the owner `$1`: the part of the statement after `DELETE`.
pub(super) fn of_owner(log: &Model) -> String {
    format!("FROM {} WHERE CAST(owner AS TEXT) = $1", raw(log))
}

/// A limited number of owners who have marks.
pub(super) async fn owners(
    connection: &mut SqliteConnection,
    log: &Model,
    most: usize,
) -> Result<Vec<String>, sqlx::Error> {
    let (raw, sorted) = (raw(log), sorted(log));
    let sql = format!(
        "SELECT DISTINCT owner FROM (SELECT owner FROM {sorted} \
         UNION ALL SELECT CAST(owner AS TEXT) FROM {raw} WHERE {}) LIMIT $1",
        is_name("owner")
    );
    sqlx::query_scalar(AssertSqlSafe(sql))
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await
}
