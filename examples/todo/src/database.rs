//! The database of the tasks, in SQLite or PostgreSQL, and how it follows the schema.

use std::{error::Error, io, time::Duration};

use mobync::{postgres::PostgresDatabase, schema::Schema, sqlite::SqliteDatabase};
use sqlx::{SqlitePool, postgres::PgPoolOptions, sqlite::SqliteConnectOptions};

/// How the models and fields have changed since the first version. The page has the same list.
const SCHEMA: &str = include_str!("../web/schema.json");

/// The application's own table. A position is any number, so that a task fits between two others; the
/// due date is a text such as `2030-12-31`.
const TASKS: &str = "CREATE TABLE IF NOT EXISTS tasks (
    owner text NOT NULL,
    id text NOT NULL,
    title text NOT NULL DEFAULT '',
    note text NOT NULL DEFAULT '',
    done boolean NOT NULL DEFAULT false,
    position double precision NOT NULL DEFAULT 0,
    due text,
    created_time bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (owner, id)
)";

/// Whether the table is that of version 1, in SQLite and in PostgreSQL.
const IS_VERSION_1: [&str; 2] = [
    "SELECT count(*) FROM pragma_table_info('tasks') WHERE name = 'name'",
    "SELECT count(*) FROM information_schema.columns
     WHERE table_schema = current_schema() AND table_name = 'tasks' AND column_name = 'name'",
];

/// What makes version 2 of it. The log stays as it is: it is read through the schema.
const TO_VERSION_2: [&str; 2] = [
    "ALTER TABLE tasks RENAME COLUMN name TO title",
    "ALTER TABLE tasks ADD COLUMN note text NOT NULL DEFAULT ''",
];

/// The schema of the tasks.
fn schema() -> Result<Schema, serde_json::Error> {
    serde_json::from_str(SCHEMA)
}

/// SQLite, in a file that is created if it does not exist.
pub(crate) async fn sqlite(url: &str) -> io::Result<SqliteDatabase> {
    let opened = async {
        let options = url.parse::<SqliteConnectOptions>()?.create_if_missing(true);
        let pool = SqlitePool::connect_with(options).await?;
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::query(TASKS).execute(&mut *transaction).await?;
        let [is_version_1, _] = IS_VERSION_1;
        let old: i64 = sqlx::query_scalar(is_version_1).fetch_one(&mut *transaction).await?;
        for statement in TO_VERSION_2.into_iter().filter(|_| old > 0) {
            sqlx::query(statement).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        pool.close().await;
        let database =
            SqliteDatabase::builder().schema(schema()?).table("tasks").connect(url).await?;
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
        // If several servers start at the same time, one of them creates or changes the table.
        for statement in ["SELECT pg_advisory_xact_lock(826366246)", TASKS] {
            sqlx::query(statement).execute(&mut *transaction).await?;
        }
        let [_, is_version_1] = IS_VERSION_1;
        let old: i64 = sqlx::query_scalar(is_version_1).fetch_one(&mut *transaction).await?;
        for statement in TO_VERSION_2.into_iter().filter(|_| old > 0) {
            sqlx::query(statement).execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        let builder = PostgresDatabase::builder().schema(schema()?).table("tasks");
        let database = builder.announce_clocks().pool(pool).await?;
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
