//! What SQLite says of a table.

use sqlx::SqliteConnection;

use crate::sql::{Column, Found, Kind, Table};

pub(super) async fn find(
    connection: &mut SqliteConnection,
    table: &Table,
) -> Result<Option<Found>, sqlx::Error> {
    let schema = table.schema_name().unwrap_or("main");
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT name, type FROM pragma_table_xinfo($1, $2) WHERE hidden = 0 ORDER BY cid",
    )
    .bind(table.name().to_owned())
    .bind(schema.to_owned())
    .fetch_all(&mut *connection)
    .await?;
    if columns.is_empty() {
        return Ok(None);
    }
    let unique: Vec<(i64, String)> = sqlx::query_as(
        "SELECT l.seq, i.name FROM pragma_index_list($1, $2) AS l, pragma_index_info(l.name, $2) AS i \
         WHERE l.\"unique\" = 1 AND l.partial = 0 AND i.name IS NOT NULL \
         UNION ALL SELECT -1, name FROM pragma_table_xinfo($1, $2) WHERE pk > 0 ORDER BY 1",
    )
    .bind(table.name().to_owned())
    .bind(schema.to_owned())
    .fetch_all(&mut *connection)
    .await?;
    let unique = unique
        .chunk_by(|left, right| left.0 == right.0)
        .map(|columns| columns.iter().map(|(_, name)| name.clone()).collect())
        .collect();
    Ok(Some(Found {
        schema: table.schema_name().map(str::to_owned),
        columns: columns
            .into_iter()
            .map(|(name, sql_type)| Column { name, kind: kind(&sql_type), sql_type })
            .collect(),
        unique,
    }))
}

/// What a declared type means; SQLite itself takes anything, but for STRICT tables.
/// <https://www.sqlite.org/datatype3.html#determination_of_column_affinity>
fn kind(sql_type: &str) -> Kind {
    let sql_type = sql_type.to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| sql_type.contains(word));
    if has(&["BOOL"]) {
        Kind::Boolean
    } else if has(&["JSON"]) {
        Kind::Json
    } else if has(&["INT"]) {
        Kind::Integer(64)
    } else if has(&["CHAR", "CLOB", "TEXT"]) {
        Kind::Text
    } else if has(&["REAL", "FLOA", "DOUB"]) {
        Kind::Float
    } else {
        Kind::Other
    }
}
