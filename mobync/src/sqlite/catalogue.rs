//! The description of a table in SQLite's catalogue.

use sqlx::SqliteConnection;

use super::{clashes, columns, triggers};
use crate::sql::{Found, FoundColumn, Kind, Reference, Table, Unique};

pub(super) async fn find(
    connection: &mut SqliteConnection,
    table: &Table,
) -> Result<Option<Found>, sqlx::Error> {
    let schema = table.schema_name().unwrap_or("main");
    let place = Place { schema, table: table.name() };
    // Names are case-insensitive.
    let found: Option<(String, String, String, bool)> = sqlx::query_as(
        "SELECT name, type, lower(schema || '.' || name), strict FROM pragma_table_list \
         WHERE name = $1 COLLATE NOCASE AND schema = $2 COLLATE NOCASE",
    )
    .bind(place.table.to_owned())
    .bind(place.schema.to_owned())
    .fetch_optional(&mut *connection)
    .await?;
    let Some((name, what, identity, is_strict)) = found else { return Ok(None) };
    let columns = columns::find(connection, place, is_strict).await?;
    Ok(Some(Found {
        name,
        schema: table.schema_name().map(str::to_owned),
        identity,
        other: match &*what {
            "table" => None,
            "view" => Some("a view"),
            _ => Some("a virtual table"),
        },
        changes_rows: triggers::change_rows(connection, place).await?,
        unique: place.unique(connection, &columns).await?,
        references: place.references(connection).await?,
        clashes: clashes::find(connection, place, table.owner(), table.id()).await?,
        columns,
    }))
}

/// Where a table is.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) schema: &'p str,
    pub(super) table: &'p str,
}

impl Place<'_> {
    async fn unique(
        self,
        connection: &mut SqliteConnection,
        columns: &[FoundColumn],
    ) -> Result<Vec<Unique>, sqlx::Error> {
        // An `INTEGER PRIMARY KEY` has no index.
        let mut found: Vec<(String, bool, Option<String>, bool)> = sqlx::query_as(
            "SELECT l.name, l.partial, i.name, i.coll <> 'BINARY' COLLATE NOCASE \
             FROM pragma_index_list($1, $2) AS l, pragma_index_xinfo(l.name, $2) AS i \
             WHERE l.\"unique\" = 1 AND i.key = 1 \
             UNION ALL SELECT 'PRIMARY KEY', 0, name, 0 FROM pragma_table_xinfo($1, $2) WHERE pk > 0 \
             AND NOT EXISTS (SELECT 1 FROM pragma_index_list($1, $2) WHERE origin = 'pk') ORDER BY 1",
        )
        .bind(self.table.to_owned())
        .bind(self.schema.to_owned())
        .fetch_all(connection)
        .await?;
        for (_, _, name, folds) in &mut found {
            let column = columns.iter().find(|found| Some(&found.column.name) == name.as_ref());
            *folds &= !column.is_some_and(|found| matches!(found.column.kind, Kind::Integer(_)));
        }
        Ok(Unique::all(&found))
    }

    async fn references(
        self,
        connection: &mut SqliteConnection,
    ) -> Result<Vec<Reference>, sqlx::Error> {
        let found: Vec<(i64, String, String, Option<String>)> = sqlx::query_as(
            "SELECT f.id, lower($2 || '.' || f.\"table\"), f.\"from\", p.name \
             FROM pragma_foreign_key_list($1, $2) AS f \
             LEFT JOIN pragma_table_xinfo(f.\"table\", $2) AS p \
             ON p.name = f.\"to\" COLLATE NOCASE OR f.\"to\" IS NULL AND p.pk = f.seq + 1 \
             ORDER BY f.id, f.seq",
        )
        .bind(self.table.to_owned())
        .bind(self.schema.to_owned())
        .fetch_all(connection)
        .await?;
        let references = found.chunk_by(|left, right| left.0 == right.0).filter_map(|key| {
            let (_, to, ..) = key.first()?;
            let columns: Vec<(String, String)> = key
                .iter()
                .map(|(.., of, to)| (of.clone(), to.clone().unwrap_or_default()))
                .collect();
            let of: Vec<&str> = columns.iter().map(|(of, _)| &**of).collect();
            let name = format!("foreign key on ({})", of.join(", "));
            Some(Reference { name, to: to.clone(), columns })
        });
        Ok(references.collect())
    }
}
