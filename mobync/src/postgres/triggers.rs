//! Whether PostgreSQL may store a row that differs from what was written.

use sqlx::{AssertSqlSafe, PgConnection};

use super::capture::only_marks;

/// Whether triggers or rules may change the rows that are written to a table, or to a part of it. The
/// effects of a trigger's function are unknown, so every trigger on inserts or updates counts.
pub(super) async fn change_rows(
    connection: &mut PgConnection,
    table: i64,
) -> Result<bool, sqlx::Error> {
    let sql = format!(
        "WITH RECURSIVE parts (oid) AS (SELECT CAST($1 AS oid) \
         UNION SELECT i.inhrelid FROM pg_inherits i JOIN parts p ON p.oid = i.inhparent) \
         SELECT EXISTS (SELECT FROM parts p JOIN pg_trigger t ON t.tgrelid = p.oid \
         WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND CAST(t.tgtype AS integer) & 20 <> 0 \
         AND NOT {}) \
         OR EXISTS (SELECT FROM parts p JOIN pg_rewrite r ON r.ev_class = p.oid \
         WHERE r.ev_type IN ('2', '3'))",
        only_marks()
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).bind(table).fetch_one(connection).await
}
