//! Databases that speak SQL, emptied for each seed: one for each thread, for a pool lives in a runtime.

use std::cell::RefCell;

use mobync::{postgres::PostgresDatabase, sqlite::SqliteDatabase};
use sqlx::{AssertSqlSafe, SqlitePool, sqlite::SqliteSynchronous};
use tempfile::TempDir;

use super::support::postgres::new_database;

const MODELS: [&str; 2] = ["tasks", "notes"];
const ALL: [&str; 3] = ["tasks", "notes", "diffs"];

fn table(model: &str) -> String {
    format!(
        "CREATE TABLE {model} (owner text, id text, a text, b text, c text, PRIMARY KEY (owner, id))"
    )
}

thread_local! {
    static SQLITE: RefCell<Option<(SqliteDatabase, TempDir)>> = const { RefCell::new(None) };
    static POSTGRES: RefCell<Option<PostgresDatabase>> = const { RefCell::new(None) };
}

pub async fn sqlite() -> SqliteDatabase {
    if let Some(database) = SQLITE.with_borrow(|it| it.as_ref().map(|(it, _)| it.clone())) {
        for name in ALL {
            let delete = AssertSqlSafe(format!("DELETE FROM {name}"));
            sqlx::query(delete).execute(database.pool()).await.unwrap();
        }
        return database;
    }
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("seeds.sqlite").display());
    let pool = SqlitePool::connect(&url).await.unwrap();
    for model in MODELS {
        sqlx::query(AssertSqlSafe(table(model))).execute(&pool).await.unwrap();
    }
    pool.close().await;
    let builder = SqliteDatabase::builder().table("tasks").table("notes");
    let database = builder.synchronous(SqliteSynchronous::Off).connect(&url).await.unwrap();
    database.set_up().await.unwrap();
    SQLITE.set(Some((database.clone(), folder)));
    database
}

pub async fn postgres() -> PostgresDatabase {
    if let Some(database) = POSTGRES.with_borrow(Clone::clone) {
        let truncate = "TRUNCATE tasks, notes, diffs, diffs_owners";
        sqlx::query(truncate).execute(database.pool()).await.unwrap();
        return database;
    }
    let url = format!("{}?options[synchronous_commit]=off", new_database().await);
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    for model in MODELS {
        sqlx::query(AssertSqlSafe(table(model))).execute(&pool).await.unwrap();
    }
    let builder = PostgresDatabase::builder().table("tasks").table("notes");
    let database = builder.pool(pool).await.unwrap();
    database.set_up().await.unwrap();
    POSTGRES.set(Some(database.clone()));
    database
}
