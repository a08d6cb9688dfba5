//! Every supported database, each empty and with the models that the scenarios use.

#![allow(clippy::unused_async, reason = "some databases are made at once, others are not")]

use mobync::{memory::MemoryDatabase, postgres::PostgresDatabase, sqlite::SqliteDatabase};
use sqlx::AssertSqlSafe;
use tempfile::TempDir;

use super::{Plain, postgres};

/// The fields of the scenarios' models hold any JSON.
const MODELS: [&str; 4] = ["tasks", "members", "others", "kept"];

/// A database, and the directory that it must not outlive.
pub type Made<D> = (D, Option<TempDir>);

pub async fn memory() -> Made<MemoryDatabase> {
    (MemoryDatabase::new(), None)
}

pub async fn seven_methods() -> Made<Plain> {
    (Plain::default(), None)
}

pub async fn sqlite() -> Made<SqliteDatabase> {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("test.sqlite").display());
    let options = url.parse::<sqlx::sqlite::SqliteConnectOptions>().unwrap();
    let pool = sqlx::SqlitePool::connect_with(options.create_if_missing(true)).await.unwrap();
    for model in MODELS {
        let create = format!(
            "CREATE TABLE {model} (owner TEXT NOT NULL, id TEXT NOT NULL, a JSON, b JSON, c JSON, \
             n JSON, PRIMARY KEY (owner, id))"
        );
        sqlx::query(AssertSqlSafe(create)).execute(&pool).await.unwrap();
    }
    pool.close().await;
    let mut builder = SqliteDatabase::builder();
    for model in MODELS {
        builder = builder.table(model);
    }
    let database = builder.connect(&url).await.unwrap();
    database.set_up().await.unwrap();
    (database, Some(folder))
}

pub async fn postgres() -> Made<PostgresDatabase> {
    let url = postgres::new_database().await;
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let mut builder = PostgresDatabase::builder();
    for model in MODELS {
        let create = format!(
            "CREATE TABLE {model} (owner text NOT NULL, id text NOT NULL, a jsonb, b jsonb, c jsonb, \
             n jsonb, PRIMARY KEY (owner, id))"
        );
        sqlx::query(AssertSqlSafe(create)).execute(&pool).await.unwrap();
        builder = builder.table(model);
    }
    let database = builder.pool(pool).await.unwrap();
    database.set_up().await.unwrap();
    (database, None)
}

/// Each scenario on each database, under the scenario's name. `$server` makes the server from the
/// database.
#[allow(unused_macros, reason = "not every test file has scenarios")]
macro_rules! on_every_database {
    ($server:expr; $($scenario:ident)*) => {
        on_every_database!(@ $server; [memory seven_methods sqlite postgres] [$($scenario)*]);
    };
    (@ $server:expr; [$($database:ident)*] $scenarios:tt) => {
        $(on_every_database!(@@ $server; $database $scenarios);)*
    };
    (@@ $server:expr; $database:ident [$($scenario:ident)*]) => {
        mod $database {
            $(#[tokio::test] async fn $scenario() {
                let (database, _folder) = super::support::databases::$database().await;
                super::$scenario(($server)(database)).await
            })*
        }
    };
}
#[allow(unused_imports, reason = "not every test file has scenarios")]
pub(crate) use on_every_database;
