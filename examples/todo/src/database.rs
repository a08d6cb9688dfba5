//! The database of the tasks: SQLite in a file, or PostgreSQL.

use std::{error::Error, io, time::Duration};

use mobync::{postgres::PostgresDatabase, sqlite::SqliteDatabase};
use sqlx::{SqlitePool, postgres::PgPoolOptions, sqlite::SqliteConnectOptions};

/// The application's own table. A position is any number, so that a task fits between two others; the
/// due date is a text such as `2030-12-31`.
const TASKS: &str = "CREATE TABLE IF NOT EXISTS tasks (
    owner text NOT NULL,
    id text NOT NULL,
    name text NOT NULL DEFAULT '',
    done boolean NOT NULL DEFAULT false,
    position double precision NOT NULL DEFAULT 0,
    due text,
    created_time bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (owner, id)
)";

/// SQLite, in a file that is created if it does not exist.
pub(crate) async fn sqlite(url: &str) -> io::Result<SqliteDatabase> {
    let opened = async {
        let options = url.parse::<SqliteConnectOptions>()?.create_if_missing(true);
        let pool = SqlitePool::connect_with(options).await?;
        sqlx::query(TASKS).execute(&pool).await?;
        pool.close().await;
        let database = SqliteDatabase::builder().table("tasks").connect(url).await?;
        database.set_up().await?;
        Ok(database)
    };
    opened.await.map_err(|error: Failure| explain(url, &*error))
}

/// PostgreSQL, which any number of these servers can share.
pub(crate) async fn postgres(url: &str) -> io::Result<PostgresDatabase> {
    let opened = async {
        let patience = Duration::from_secs(5);
        let pool = PgPoolOptions::new().acquire_timeout(patience).connect(url).await?;
        let mut transaction = pool.begin().await?;
        // If several servers start at the same time, one of them creates the table.
        for statement in ["SELECT pg_advisory_xact_lock(826366246)", TASKS] {
            sqlx::query(statement).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        let database =
            PostgresDatabase::builder().table("tasks").announce_clocks().pool(pool).await?;
        database.set_up().await?;
        Ok(database)
    };
    opened.await.map_err(|error: Failure| explain(url, &*error))
}

type Failure = Box<dyn Error + Send + Sync>;

fn explain(url: &str, error: &(dyn Error + Send + Sync)) -> io::Error {
    // The URL may contain a password, which must not be shown.
    let shown = url.rsplit_once('@').map_or(url, |(_, place)| place);
    let mut message = format!("the database {shown} cannot be opened: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        message += &format!(": {error}");
        cause = error.source();
    }
    io::Error::other(message)
}
