//! The SQL databases, with tables of an application's own: types, constraints, names, costs, and rows
//! that are older than the log.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod bulk;
mod capture;
mod capture_sqlite;
mod catalogue;
mod clocks;
mod columns;
mod constraints;
mod costs;
mod deadlocks;
mod device;
mod effects;
mod equality;
mod full_disk;
mod generated_schema;
mod idle;
mod import;
mod join;
mod marks;
mod marks_sqlite;
mod names;
mod numbers;
mod owners;
mod pages;
mod plans;
mod queues;
mod read_back;
mod rejections;
mod serial;
mod setup;
mod types;

use mobync::{
    Database, Diff, Mobync, SyncResponse,
    postgres::PostgresDatabase,
    sql::{Dialect, SqlDatabase},
    sqlite::SqliteDatabase,
};
use serde_json::{Map, Value};
use sqlx::AssertSqlSafe;
use support::{Sent, T0, ada, diffs, postgres::new_database};
use tempfile::TempDir;

/// A PostgreSQL database after these statements.
async fn postgres_with(statements: &[&str]) -> sqlx::PgPool {
    let pool = sqlx::PgPool::connect(&new_database().await).await.unwrap();
    for statement in statements {
        sqlx::query(AssertSqlSafe(*statement)).execute(&pool).await.unwrap();
    }
    pool
}

/// The same on SQLite. The folder must live as long as the pool.
async fn sqlite_with(statements: &[&str]) -> (sqlx::SqlitePool, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(folder.path().join("test.sqlite"))
        .create_if_missing(true);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    for statement in statements {
        sqlx::query(AssertSqlSafe(*statement)).execute(&pool).await.unwrap();
    }
    (pool, folder)
}

/// Sync of Ada's devices on a database, at a fixed time.
struct Server<D>(Mobync<D>);

impl<D: Dialect> Server<SqlDatabase<D>> {
    async fn new(database: SqlDatabase<D>) -> Self {
        database.set_up().await.unwrap();
        Self(Mobync::new(database).time(|| T0 + 60_000))
    }
}

impl<D: Database> Server<D> {
    async fn sync(&self, clock: i64, sent: impl IntoIterator<Item = Sent>) -> SyncResponse {
        self.0.apply(&ada(), clock, diffs(sent)).await.unwrap()
    }

    /// The refused diffs, with code and sentence.
    async fn refused(
        &self,
        clock: i64,
        sent: impl IntoIterator<Item = Sent>,
    ) -> Vec<(String, String, String)> {
        let refused = self.sync(clock, sent).await.refused;
        refused.into_iter().map(|one| (one.diff_id, one.code, one.message)).collect()
    }

    async fn rows(&self, model: &str) -> Vec<Value> {
        use mobync::{Access, UnitOfWork};

        let mut unit = self.0.database().open(&ada(), Access::Read).await.unwrap();
        let records = unit.read(&ada(), model, &[]).await.unwrap();
        let mut rows: Vec<Value> = records.into_iter().map(Value::from).collect();
        rows.sort_by_key(|row| row["id"].to_string());
        rows
    }
}

fn data(diff: &Diff) -> Map<String, Value> {
    serde_json::from_str(&diff.json_data).unwrap()
}

async fn postgres_server(statements: &[&str], tables: &[&str]) -> Server<PostgresDatabase> {
    let mut builder = PostgresDatabase::builder();
    for table in tables {
        builder = builder.table(*table);
    }
    Server::new(builder.pool(postgres_with(statements).await).await.unwrap()).await
}

async fn sqlite_server(statements: &[&str], tables: &[&str]) -> (Server<SqliteDatabase>, TempDir) {
    let (pool, folder) = sqlite_with(statements).await;
    let mut builder = SqliteDatabase::builder();
    for table in tables {
        builder = builder.table(*table);
    }
    (Server::new(builder.pool(pool).await.unwrap()).await, folder)
}
