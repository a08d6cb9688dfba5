//! Upgrading a file of an older version in place, within the transaction that opens it.

use sqlx::AssertSqlSafe;

use super::{connection::Lent, text};
use crate::client::StoreError;

/// The tables that older versions have without the column `space`, with their columns.
const TABLES: [(&str, &str); 5] = [
    ("mobync_objects", "model, id, record, acknowledged, changed_at, beside"),
    ("mobync_pending", "seq, sent, diff"),
    ("mobync_refused", "place, diff_id, refused"),
    ("mobync_overridden", "place, diff_id, overridden"),
    ("mobync_state", "state"),
];

/// Creates the tables, or gives those of an older version their newest form.
pub(super) async fn upgrade(lent: &mut Lent) -> Result<(), StoreError> {
    let create = include_str!("schema.sql");
    if !has(lent, "mobync_objects", "model").await? || has(lent, "mobync_objects", "space").await? {
        return lent.run(sqlx::query(create)).await.map(drop);
    }
    if !has(lent, "mobync_objects", "beside").await? {
        lent.run(sqlx::query("ALTER TABLE mobync_objects ADD COLUMN beside TEXT")).await?;
    }
    // The application may have indexed what it reads.
    let of_application = "SELECT sql FROM sqlite_schema WHERE tbl_name = 'mobync_objects' \
                          AND type <> 'table' AND sql IS NOT NULL";
    let of_application = lent.run(sqlx::query(of_application)).await?;
    let mut old = Vec::new();
    for (table, columns) in TABLES {
        if has(lent, table, columns.split(',').next().unwrap_or_default()).await? {
            // Not renamed, which would change views that read them.
            let copy = format!("CREATE TABLE {table}_old AS SELECT {columns} FROM {table}");
            run(lent, copy).await?;
            run(lent, format!("DROP TABLE {table}")).await?;
            old.push((table, columns));
        }
    }
    lent.run(sqlx::query(create)).await?;
    for (table, columns) in old {
        let back =
            format!("INSERT INTO {table} (space, {columns}) SELECT '', {columns} FROM {table}_old");
        run(lent, back).await?;
        run(lent, format!("DROP TABLE {table}_old")).await?;
    }
    for row in of_application {
        run(lent, text(&row, 0)?).await?;
    }
    Ok(())
}

async fn has(lent: &mut Lent, table: &str, column: &str) -> Result<bool, StoreError> {
    let has = sqlx::query("SELECT 1 FROM pragma_table_info(?) WHERE name = ?");
    Ok(!lent.run(has.bind(table.to_owned()).bind(column.to_owned())).await?.is_empty())
}

/// The statement has no values from outside of the file.
async fn run(lent: &mut Lent, statement: String) -> Result<(), StoreError> {
    lent.run(sqlx::query(AssertSqlSafe(statement))).await.map(drop)
}
