//! Foreign keys, checked for the rows that a write concerns. SQLite itself only says whether any row of
//! the database violates one, and only at the commit or by reading every table.

use sqlx::SqliteConnection;

use super::Sqlite;
use crate::{
    diff::Operation,
    sql::{Arg, Batch, Dialect, quote},
};

/// The foreign keys of a database.
#[derive(Debug, Default)]
pub struct ForeignKeys {
    keys: Vec<ForeignKey>,
    /// The number of rows that violate one, if all rows must be checked: triggers and cascades write
    /// other rows than the statement.
    in_all: Option<i64>,
}

/// One foreign key: columns of a child, and the columns of its parent that they reference.
#[derive(Debug)]
struct ForeignKey {
    child: String,
    parent: String,
    columns: Vec<(String, String)>,
}

/// A column of a foreign key in the catalogue.
type Row = (String, i64, String, String, Option<String>);

impl ForeignKeys {
    /// The foreign keys of the main database; `in_all` if all rows must be checked.
    pub(super) async fn learn(
        connection: &mut SqliteConnection,
        in_all: bool,
    ) -> Result<Self, sqlx::Error> {
        if in_all {
            let in_all = Some(violations(connection).await?);
            return Ok(Self { in_all, ..Self::default() });
        }
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT m.name, f.id, f.\"table\", f.\"from\", coalesce(f.\"to\", \
             (SELECT p.name FROM pragma_table_info(f.\"table\") AS p WHERE p.pk = f.seq + 1)) \
             FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS f \
             WHERE m.type = 'table' ORDER BY m.name, f.id, f.seq",
        )
        .fetch_all(connection)
        .await?;
        let keys = rows.chunk_by(|left, right| (&left.0, left.1) == (&right.0, right.1));
        let keys = keys.filter_map(|columns| {
            let (child, _, parent, ..) = columns.first()?;
            // Every write reports a key without a matching column in its parent.
            let columns = columns.iter().map(|column| Some((column.3.clone(), column.4.clone()?)));
            let columns = columns.collect::<Option<_>>()?;
            Some(ForeignKey { child: child.clone(), parent: parent.clone(), columns })
        });
        Ok(Self { keys: keys.collect(), in_all: None })
    }

    /// The parent keys of the rows that a batch is about to change or remove.
    pub(super) async fn parents(
        &self,
        connection: &mut SqliteConnection,
        batch: &Batch<'_, '_>,
        ids: &[Arg<'_>],
    ) -> Result<Vec<(usize, String)>, sqlx::Error> {
        let mut parents = Vec::new();
        for (place, key) in self.keys.iter().enumerate() {
            let changes =
                |name: &String| batch.columns.iter().any(|column| same(&column.stored, name));
            let concerns = same(&key.parent, &batch.model.stored)
                && match batch.operation() {
                    Operation::Create => false,
                    Operation::Update => key.columns.iter().any(|(_, parent)| changes(parent)),
                    Operation::Delete => true,
                };
            if concerns {
                let values: Vec<String> =
                    key.columns.iter().map(|(_, name)| format!("t.{}", quote(name))).collect();
                let sql = format!(
                    "SELECT json_group_array(json_array({})) FROM {}",
                    values.join(", "),
                    Sqlite::rows_with_ids(batch.model, 2)
                );
                let values = Sqlite::texts(connection, &sql, ids).await?;
                parents.extend(values.into_iter().map(|values| (place, values)));
            }
        }
        Ok(parents)
    }

    /// Whether a row that the batch has written, or that referenced one of the earlier `parents`, now
    /// references no row.
    pub(super) async fn are_broken(
        &self,
        connection: &mut SqliteConnection,
        batch: &Batch<'_, '_>,
        ids: &[Arg<'_>],
        parents: &[(usize, String)],
    ) -> Result<bool, sqlx::Error> {
        if let Some(before) = self.in_all {
            return Ok(violations(connection).await? > before);
        }
        let writes = |name: &String| batch.columns.iter().any(|column| same(&column.stored, name));
        for key in self.keys.iter().filter(|key| same(&key.child, &batch.model.stored)) {
            let concerns = match batch.operation() {
                Operation::Create => true,
                Operation::Update => key.columns.iter().any(|(child, _)| writes(child)),
                Operation::Delete => false,
            };
            if concerns {
                let sql = format!(
                    "SELECT 'broken' FROM {} AND {} LIMIT 1",
                    Sqlite::rows_with_ids(batch.model, 2),
                    key.is_broken()
                );
                if !Sqlite::texts(connection, &sql, ids).await?.is_empty() {
                    return Ok(true);
                }
            }
        }
        for (place, values) in parents {
            let Some(key) = self.keys.get(*place) else { continue };
            let named: Vec<String> = key
                .columns
                .iter()
                .enumerate()
                .map(|(place, (child, _))| format!("t.{} = (o.value ->> {place})", quote(child)))
                .collect();
            let sql = format!(
                "SELECT 'broken' FROM json_each($1) AS o CROSS JOIN {} AS t WHERE {} AND {} LIMIT 1",
                quote(&key.child),
                named.join(" AND "),
                key.is_broken()
            );
            if !Sqlite::texts(connection, &sql, &[Arg::Text(values)]).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl ForeignKey {
    /// The condition that the child `t` references a parent that does not exist.
    fn is_broken(&self) -> String {
        let names: Vec<String> = self
            .columns
            .iter()
            .map(|(child, _)| format!("t.{} IS NOT NULL", quote(child)))
            .collect();
        let meets: Vec<String> = self
            .columns
            .iter()
            .map(|(child, parent)| format!("p.{} = t.{}", quote(parent), quote(child)))
            .collect();
        format!(
            "{} AND NOT EXISTS (SELECT 1 FROM {} AS p WHERE {})",
            names.join(" AND "),
            quote(&self.parent),
            meets.join(" AND ")
        )
    }
}

/// SQLite compares names without case.
fn same(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right)
}

async fn violations(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let count = sqlx::query_scalar("SELECT count(*) FROM pragma_foreign_key_check");
    count.fetch_one(connection).await
}
