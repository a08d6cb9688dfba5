//! The statements of the log.

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::{
    Postgres,
    clocks::announce,
    dialect::owners_of,
    marks::{self, OR_OWN},
    quoting::{body, make_index},
};
use crate::{
    diff::{Diff, Operation},
    error::DatabaseError,
    merge::{LogEntry, Snapshot},
    owner::Owner,
    sql::{Arg, ENTRY, LogRow, Model, null_in_log, own, quote},
};

/// The statements that make the log and the table of owners.
pub(super) fn make(log: &Model) -> Vec<String> {
    let (table, owners) = (&log.table, owners_of(&log.name));
    let index = format!("{}_owner_logical_clock", log.name);
    let creates = quote(&format!("{}_creates", log.name));
    vec![
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (id text NOT NULL, owner text NOT NULL, \
             logical_clock bigint NOT NULL, utc_timestamp bigint NOT NULL, \
             type text NOT NULL, model text NOT NULL, json_data text NOT NULL, \
             PRIMARY KEY (owner, id))"
        ),
        make_index(log.schema.as_deref(), &index, &format!("{table} (owner, logical_clock)")),
        make_index(
            log.schema.as_deref(),
            &format!("{}_own", log.name),
            &format!("{table} (owner, logical_clock) WHERE {}", own::<Postgres>(log)),
        ),
        // Created by earlier versions. Nothing reads it, and a NUL in a field made it fail.
        drop_later(&creates),
        format!("CREATE TABLE IF NOT EXISTS {owners} (owner text PRIMARY KEY)"),
    ]
}

/// Drops an index, unless syncs are using it: then the next start does it.
fn drop_later(index: &str) -> String {
    let drop = format!(
        "BEGIN DROP INDEX IF EXISTS {index}; \
         EXCEPTION WHEN lock_not_available OR deadlock_detected THEN NULL; END"
    );
    format!("DO {}", body(&drop))
}

pub(super) fn entries(log: &Model, ticks: &str) -> String {
    // PostgreSQL estimates a higher cost for a plan with known parameters (without a limit) than
    // for a generic plan. So it keeps the generic plan, which has the right index because of the
    // order.
    format!(
        "SELECT CAST({ENTRY} AS BIGINT) AS kind, t.id, t.logical_clock, t.utc_timestamp, t.type, \
         t.model, t.json_data FROM {table} AS t \
         WHERE {owned}{ticks} ORDER BY t.logical_clock LIMIT $3",
        table = log.table,
        owned = log.owned()
    )
}

pub(super) fn read_entries(
    owner: &Owner,
    row: LogRow,
    entries: &mut Vec<Diff>,
) -> Result<(), DatabaseError> {
    let (_, Some(id), tick, at, Some(operation), Some(model), Some(json_data)) = row else {
        return Err(null_in_log());
    };
    entries.push(Diff {
        operation: operation_of(&id, &operation)?,
        id,
        owner: owner.as_str().to_owned(),
        logical_clock: tick,
        utc_timestamp: at,
        model,
        json_data,
    });
    Ok(())
}

pub(super) async fn fold(
    connection: &mut PgConnection,
    log: &Model,
    owner: &Owner,
    mut snapshot: Snapshot,
) -> Result<Snapshot, sqlx::Error> {
    let sql = format!(
        "SELECT t.id, t.logical_clock, t.utc_timestamp, t.type, t.model, t.json_data \
         FROM {} AS t WHERE t.owner = $1 \
         ORDER BY t.logical_clock, t.utc_timestamp, t.id COLLATE \"C\"",
        log.table
    );
    let mut entries = sqlx::query(AssertSqlSafe(sql)).bind(owner.as_str()).fetch(connection);
    while let Some(entry) = entries.try_next().await? {
        // The types of the columns were checked when the database was built.
        let id = entry.try_get_unchecked(0)?;
        let operation = operation_of(id, entry.try_get_unchecked(3)?);
        let entry = LogEntry {
            id,
            logical_clock: entry.try_get_unchecked(1)?,
            utc_timestamp: entry.try_get_unchecked(2)?,
            operation: operation.map_err(sqlx::Error::decode)?,
            model: entry.try_get_unchecked(4)?,
            json_data: entry.try_get_unchecked(5)?,
        };
        snapshot.follow(entry).map_err(sqlx::Error::decode)?;
    }
    Ok(snapshot)
}

pub(super) fn append<'a>(
    announces: bool,
    log: &'a Model,
    owner: &'a Owner,
    entries: &'a [Diff],
    named: &'a [(String, String)],
) -> (String, Vec<Arg<'a>>) {
    let mut sql = format!(
        "INSERT INTO {} (owner, id, logical_clock, utc_timestamp, type, model, json_data) \
         SELECT $1, u.* FROM unnest($2, $3, $4, $5, $6, $7) AS u",
        log.table
    );
    let mut args = vec![
        Arg::Text(owner.as_str()),
        Arg::Texts(entries.iter().map(|entry| entry.id.as_str()).collect()),
        Arg::Integers(entries.iter().map(|entry| entry.logical_clock).collect()),
        Arg::Integers(entries.iter().map(|entry| entry.utc_timestamp).collect()),
        Arg::Texts(entries.iter().map(|entry| entry.operation.as_str()).collect()),
        Arg::Texts(entries.iter().map(|entry| entry.model.as_str()).collect()),
        Arg::Texts(entries.iter().map(|entry| entry.json_data.as_str()).collect()),
    ];
    if !named.is_empty() {
        sql += &format!(" WHERE NOT {}", marks::are_marked(log, args.len() + 1, OR_OWN));
        args.push(Arg::Texts(named.iter().map(|(model, _)| &**model).collect()));
        args.push(Arg::Texts(named.iter().map(|(_, id)| &**id).collect()));
    }
    if announces {
        args.push(Arg::Text(&log.table));
        sql = announce(&sql, args.len());
    }
    (sql, args)
}

/// The operation of a log entry.
fn operation_of(entry: &str, name: &str) -> Result<Operation, DatabaseError> {
    let operation = Operation::parse(name);
    operation.ok_or_else(|| DatabaseError::failed(format!("log entry {entry}: no type \"{name}\"")))
}
