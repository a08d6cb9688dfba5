//! The databases that speak SQL, with the table that the scenarios use.

use std::{fmt::Display, io};

use mobync::{postgres::PostgresDatabase, sqlite::SqliteDatabase};
use sqlx::{PgPool, SqlitePool};

const TASKS: &str = "CREATE TABLE IF NOT EXISTS tasks (id text NOT NULL, owner text NOT NULL, name text, \
                     done boolean, PRIMARY KEY (owner, id))";

/// The database at that address, which may be used by others at the same time.
pub(super) async fn sqlite(url: &str) -> io::Result<SqliteDatabase> {
    let options = url.parse::<sqlx::sqlite::SqliteConnectOptions>().map_err(other)?;
    let pool = SqlitePool::connect_with(options.create_if_missing(true)).await.map_err(other)?;
    sqlx::query(TASKS).execute(&pool).await.map_err(other)?;
    pool.close().await;
    let database = SqliteDatabase::builder().table("tasks").connect(url).await.map_err(other)?;
    database.set_up().await.map_err(other)?;
    Ok(database)
}

/// The database at that address, which may be used by others at the same time.
pub(super) async fn postgres(url: &str) -> io::Result<PostgresDatabase> {
    let pool = PgPool::connect(url).await.map_err(other)?;
    // Many servers may start at once, and `IF NOT EXISTS` alone fails then.
    let mut transaction = pool.begin().await.map_err(other)?;
    for statement in ["SELECT pg_advisory_xact_lock(1)", TASKS] {
        sqlx::query(statement).execute(&mut *transaction).await.map_err(other)?;
    }
    transaction.commit().await.map_err(other)?;
    pool.close().await;
    let database = PostgresDatabase::builder().table("tasks").connect(url).await.map_err(other)?;
    database.set_up().await.map_err(other)?;
    Ok(database)
}

fn other(error: impl Display) -> io::Error {
    io::Error::other(error.to_string())
}
