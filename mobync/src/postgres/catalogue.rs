//! What PostgreSQL says of a table.

use sqlx::{PgConnection, Row};

use crate::sql::{Column, Found, Kind, Table};

pub(super) async fn find(
    connection: &mut PgConnection,
    table: &Table,
) -> Result<Option<Found>, sqlx::Error> {
    let found = sqlx::query(
        "SELECT c.oid::bigint AS oid, n.nspname::text AS schema FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relname = $1 AND c.relkind IN ('r', 'p', 'f') \
         AND (n.nspname = $2 OR $2 IS NULL AND n.nspname = ANY (current_schemas(false))) \
         ORDER BY array_position(current_schemas(false), n.nspname) LIMIT 1",
    )
    .bind(table.name())
    .bind(table.schema_name())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(found) = found else { return Ok(None) };
    let (oid, schema): (i64, String) = (found.try_get("oid")?, found.try_get("schema")?);
    let columns: Vec<(String, String)> = sqlx::query_as(
        "SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute \
         WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped \
         AND attgenerated = '' AND attidentity <> 'a' ORDER BY attnum",
    )
    .bind(oid)
    .fetch_all(&mut *connection)
    .await?;
    let unique: Vec<(Vec<String>,)> = sqlx::query_as(
        "SELECT array_agg(a.attname::text) FROM pg_index i \
         CROSS JOIN LATERAL unnest(i.indkey) AS k (attnum) \
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum \
         WHERE i.indrelid = $1::oid AND i.indisunique AND i.indpred IS NULL \
         AND i.indexprs IS NULL AND i.indnkeyatts = i.indnatts GROUP BY i.indexrelid",
    )
    .bind(oid)
    .fetch_all(&mut *connection)
    .await?;
    Ok(Some(Found {
        schema: Some(schema),
        columns: columns
            .into_iter()
            .map(|(name, sql_type)| Column { name, kind: kind(&sql_type), sql_type })
            .collect(),
        unique: unique.into_iter().map(|(columns,)| columns).collect(),
    }))
}

fn kind(sql_type: &str) -> Kind {
    match sql_type {
        "text" | "character varying" => Kind::Text,
        "smallint" => Kind::Integer(16),
        "integer" => Kind::Integer(32),
        "bigint" => Kind::Integer(64),
        "real" | "double precision" => Kind::Float,
        "numeric" => Kind::Numeric,
        "boolean" => Kind::Boolean,
        "uuid" => Kind::Uuid,
        "json" | "jsonb" => Kind::Json,
        _ => Kind::Other,
    }
}
