//! The description of a table in PostgreSQL's catalogue.

use sqlx::{PgConnection, Row};

use super::{
    capture::only_marks,
    columns::{self, FOLDS},
    statements::unique_index,
    triggers,
};
use crate::sql::{Found, FoundColumn, Kind, Model, Reference, SchemaError, Table, Unique};

/// The longest name that PostgreSQL does not truncate.
pub(super) const LONGEST_NAME: usize = 63;

/// The table whose rows are locked, one for each owner.
pub(super) fn owners_of(log: &str) -> String {
    format!("{log}_owners")
}

/// Logs a warning if doubles are not read with all digits.
///
/// # Errors
/// If its encoding is not UTF-8: then it lacks some characters, or does not check them.
pub(super) async fn check_database(connection: &mut PgConnection) -> Result<(), SchemaError> {
    let sql = "SELECT current_setting('server_encoding'), \
               CAST(current_setting('extra_float_digits') AS integer) < 1";
    let (encoding, cuts): (String, bool) = sqlx::query_as(sql).fetch_one(connection).await?;
    if cuts {
        tracing::warn!(
            "doubles are read with too few digits; set extra_float_digits to 1 for the pool"
        );
    }
    if encoding == "UTF8" {
        return Ok(());
    }
    let create = "CREATE DATABASE app ENCODING 'UTF8' LOCALE 'C.UTF-8' TEMPLATE template0";
    Err(SchemaError::Encoding { encoding, create })
}

/// # Errors
/// If the names of the log's tables and indexes would be truncated, or are names of the application's
/// tables.
pub(super) async fn check_own_tables(
    connection: &mut PgConnection,
    log: &str,
) -> Result<(), SchemaError> {
    // The longest name, of the index of ticks, is truncated, but stays different from the others.
    let most = LONGEST_NAME - "_creates".len();
    if log.len() > most {
        return Err(SchemaError::LongName { name: log.to_owned(), most });
    }
    let table = owners_of(log);
    let Some(found) = find(connection, &Table::new(&*table)).await? else { return Ok(()) };
    if let Some(what) = found.other {
        return Err(SchemaError::NotTable { table, what });
    }
    let column = "owner";
    let owner = found.columns.iter().find(|found| found.column.name == column);
    let Some(FoundColumn { column: owner, folds, .. }) = owner else {
        let advice = "it belongs to the log; drop it if it is something else, or name another log with `diffs_table`";
        return Err(SchemaError::NoColumn { table, column: column.to_owned(), advice });
    };
    if owner.kind != Kind::Text || owner.limit.is_some() || *folds {
        let (column, sql_type) = (column.to_owned(), owner.sql_type.clone());
        let advice = "it must be text, and compare by bytes";
        return Err(SchemaError::Column { table, column, sql_type, advice });
    }
    if found.unique.iter().any(|index| !index.partial && index.is_of(&[column])) {
        return Ok(());
    }
    let mend = unique_index(found.schema.as_deref(), &table, &[column]);
    Err(SchemaError::NotUnique { table, key: format!("({column})"), mend })
}

pub(super) async fn find(
    connection: &mut PgConnection,
    table: &Table,
) -> Result<Option<Found>, sqlx::Error> {
    let found = sqlx::query(
        "SELECT c.oid::bigint AS oid, n.nspname::text AS schema, c.relkind::text AS kind \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relname = $1 AND c.relkind IN ('r', 'p', 'f', 'v', 'm') \
         AND (n.nspname = $2 OR $2 IS NULL AND n.nspname = ANY (current_schemas(false))) \
         ORDER BY array_position(current_schemas(false), n.nspname) LIMIT 1",
    )
    .bind(table.name())
    .bind(table.schema_name())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(found) = found else { return Ok(None) };
    let (oid, schema): (i64, String) = (found.try_get("oid")?, found.try_get("schema")?);
    let other = match found.try_get("kind")? {
        "v" | "m" => Some("a view"),
        "f" => Some("a foreign table"),
        _ => None,
    };
    Ok(Some(Found {
        name: table.name().to_owned(),
        schema: Some(schema),
        identity: oid.to_string(),
        other,
        columns: columns::find(connection, oid).await?,
        changes_rows: triggers::change_rows(connection, oid).await?,
        unique: unique(connection, oid).await?,
        references: references(connection, oid).await?,
        clashes: Vec::new(),
    }))
}

async fn unique(connection: &mut PgConnection, table: i64) -> Result<Vec<Unique>, sqlx::Error> {
    let sql = format!(
        "SELECT x.relname::text, i.indpred IS NOT NULL, a.attname::text, {FOLDS} \
         FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid CROSS JOIN LATERAL \
         unnest(i.indkey::int2[], i.indcollation::oid[]) WITH ORDINALITY AS k (attnum, collated, place) \
         LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
         LEFT JOIN pg_collation l ON l.oid = k.collated \
         WHERE i.indrelid = $1::oid AND i.indisunique AND k.place <= i.indnkeyatts \
         ORDER BY x.relname, k.place"
    );
    let columns =
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(table).fetch_all(connection).await?;
    Ok(Unique::all(&columns))
}

async fn references(
    connection: &mut PgConnection,
    table: i64,
) -> Result<Vec<Reference>, sqlx::Error> {
    let references: Vec<(String, String, Vec<String>, Vec<String>)> = sqlx::query_as(
        "SELECT c.conname::text, c.confrelid::bigint::text, \
         array_agg(a.attname::text ORDER BY k.place), array_agg(b.attname::text ORDER BY k.place) \
         FROM pg_constraint c CROSS JOIN LATERAL \
         unnest(c.conkey, c.confkey) WITH ORDINALITY AS k (child, parent, place) \
         JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.child \
         JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = k.parent \
         WHERE c.conrelid = $1::oid AND c.contype = 'f' GROUP BY c.oid, c.conname, c.confrelid \
         ORDER BY c.conname",
    )
    .bind(table)
    .fetch_all(connection)
    .await?;
    let references = references.into_iter().map(|(name, to, of, columns)| Reference {
        name: format!("foreign key {name}"),
        to,
        columns: of.into_iter().zip(columns).collect(),
    });
    Ok(references.collect())
}

/// The columns that no constraint, index or trigger uses.
pub(super) async fn free_columns(
    connection: &mut PgConnection,
    model: &Model,
) -> Result<Vec<String>, sqlx::Error> {
    let sql = format!(
        "SELECT a.attname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
         WHERE c.oid = CAST($1 AS regclass) AND a.attnum > 0 AND NOT a.attisdropped \
         AND c.relkind = 'r' AND NOT c.relispartition AND NOT c.relrowsecurity \
         AND NOT c.relhasrules AND a.atttypmod = -1 \
         AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal \
         AND NOT {}) \
         AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND (i.indexprs IS NOT NULL \
         OR i.indpred IS NOT NULL OR a.attnum = ANY (i.indkey))) \
         AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid \
         AND (a.attnum = ANY (k.conkey) OR k.conkey IS NULL)) \
         AND NOT EXISTS (SELECT FROM pg_attribute g WHERE g.attrelid = c.oid AND g.attgenerated <> '')",
        only_marks()
    );
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(&model.table).fetch_all(connection).await
}
