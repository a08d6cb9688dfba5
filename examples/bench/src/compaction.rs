//! Compacts the log of an owner, as if nobody had synced for a long time, and measures what is left.

use std::time::Duration;

use mobync::{Mobync, Owner};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::{Database, Result, body::Id, places, serve::ours};

/// How long devices may be away.
const AGE: Duration = Duration::from_hours(180 * 24);
/// Some day, in milliseconds since 1970.
const DAY: i64 = 1_700_000_000_000;

/// The log's entries that are left, without those about the log itself.
///
/// # Errors
/// If the database fails.
pub(crate) async fn compact(database: Database, at: &str, owner: Id) -> Result<u64> {
    match database {
        Database::Memory => Err("only the server itself can compact a log in memory".into()),
        Database::Sqlite => compact_in(Mobync::new(ours::sqlite(at, false).await?), owner).await,
        Database::Postgres => {
            compact_in(Mobync::new(ours::postgres(at, false).await?), owner).await
        }
    }
}

/// The first call leaves a milestone. At the second one it is older than twice the age.
async fn compact_in<D: mobync::Database>(mobync: Mobync<D>, owner: Id) -> Result<u64> {
    let owner = Owner::new(owner.to_string())?;
    let later = DAY.saturating_add(i64::try_from(AGE.as_millis())?.saturating_mul(3));
    mobync.clone().time(|| DAY).compact(&owner, AGE).await?;
    Ok(mobync.time(move || later).compact(&owner, AGE).await?.kept)
}

/// The bytes of one table's columns, and of its pages on the disk with its indexes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) columns: i64,
    pub(crate) pages: i64,
}

/// The columns of the log, and of the tasks. Numbers count with the width that PostgreSQL stores.
const LOG: (&str, &str) =
    ("diffs", "16 + length(id) + length(owner) + length(type) + length(model) + length(json_data)");
const TASKS: (&str, &str) =
    ("tasks", "5 + length(id) + length(owner) + length(name) + length(note)");

/// The sizes of the log, and of the tasks, after the database has freed all space that it can.
///
/// # Errors
/// If the database fails.
pub(crate) async fn sizes(database: Database, at: &str) -> Result<[Size; 2]> {
    Ok(match database {
        Database::Memory => return Err("there is no disk".into()),
        Database::Sqlite => {
            let mut connection = SqliteConnection::connect_with(&places::sqlite(at)).await?;
            sqlx::query("VACUUM").execute(&mut connection).await?;
            let mut sizes = [LOG, TASKS].map(|_| Size { columns: 0, pages: 0 });
            for (size, (table, columns)) in sizes.iter_mut().zip([LOG, TASKS]) {
                let sql = format!(
                    "SELECT (SELECT sum({columns}) FROM {table}), (SELECT sum(pgsize) FROM dbstat \
                     WHERE name IN (SELECT name FROM sqlite_schema WHERE tbl_name = '{table}'))"
                );
                let query = sqlx::query_as(AssertSqlSafe(sql));
                (size.columns, size.pages) = query.fetch_one(&mut connection).await?;
            }
            sizes
        }
        Database::Postgres => {
            let mut connection = PgConnection::connect(at).await?;
            sqlx::query("VACUUM FULL").execute(&mut connection).await?;
            let mut sizes = [LOG, TASKS].map(|_| Size { columns: 0, pages: 0 });
            for (size, (table, columns)) in sizes.iter_mut().zip([LOG, TASKS]) {
                let sql = format!(
                    "SELECT (SELECT CAST(sum({columns}) AS bigint) FROM {table}), \
                     pg_total_relation_size('{table}')"
                );
                let query = sqlx::query_as(AssertSqlSafe(sql));
                (size.columns, size.pages) = query.fetch_one(&mut connection).await?;
            }
            sizes
        }
    })
}
