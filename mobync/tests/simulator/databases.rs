//! SQL databases, emptied for each seed: one for each thread, because a pool belongs to a runtime.

use std::{cell::RefCell, sync::Arc, time::Duration};

use mobync::{postgres::PostgresDatabase, sqlite::SqliteDatabase};
use sqlx::{
    AssertSqlSafe, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteSynchronous},
};
use tempfile::TempDir;

use super::{
    by_hand::{ByHand, Pool, SqlHand},
    sql_tables,
    support::postgres::new_database,
};

const MODELS: [&str; 2] = ["tasks", "notes"];
/// How long an application waits for a sync of SQLite's only writer.
const BUSY: Duration = Duration::from_secs(20);
const ALL: [&str; 3] = ["tasks", "notes", "diffs"];

fn table(model: &str) -> String {
    format!(
        "CREATE TABLE {model} (owner text, id text, a text, b text, c text, PRIMARY KEY (owner, id))"
    )
}

thread_local! {
    static SQLITE: RefCell<Option<(SqliteDatabase, TempDir)>> = const { RefCell::new(None) };
    static POSTGRES: RefCell<Option<PostgresDatabase>> = const { RefCell::new(None) };
    static SQLITE_BY_HAND: RefCell<Option<ByHand<SqliteDatabase>>> = const { RefCell::new(None) };
    static POSTGRES_BY_HAND: RefCell<Option<ByHand<PostgresDatabase>>> =
        const { RefCell::new(None) };
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

/// The same, with an application that writes to the rows.
pub async fn sqlite_by_hand() -> ByHand<SqliteDatabase> {
    if let Some(place) = SQLITE_BY_HAND.with_borrow(Clone::clone) {
        return emptied(place, sql_tables::EMPTY_SQLITE).await;
    }
    let place = new_sqlite_by_hand("").await;
    SQLITE_BY_HAND.set(Some(place.clone()));
    place
}

/// A new database, in which this was run.
pub async fn new_sqlite_by_hand(done: &str) -> ByHand<SqliteDatabase> {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("seeds.sqlite").display());
    let options: SqliteConnectOptions = url.parse().unwrap();
    let options = options.synchronous(SqliteSynchronous::Off).busy_timeout(BUSY);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    sqlx::raw_sql(sql_tables::SQLITE).execute(&pool).await.unwrap();
    let builder = SqliteDatabase::builder().table("tasks").table("notes").table("counts").capture();
    let builder = builder.synchronous(SqliteSynchronous::Off);
    let database = builder.connect(&url).await.unwrap();
    database.set_up().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(done)).execute(&pool).await.unwrap();
    let hand = SqlHand::new(Pool::Sqlite(pool));
    ByHand { database, hand, _folder: Some(Arc::new(folder)) }
}

/// The same, also in the middle of a sync.
pub async fn postgres_by_hand() -> ByHand<PostgresDatabase> {
    if let Some(place) = POSTGRES_BY_HAND.with_borrow(Clone::clone) {
        return emptied(place, sql_tables::EMPTY_POSTGRES).await;
    }
    let place = new_postgres_by_hand("").await;
    POSTGRES_BY_HAND.set(Some(place.clone()));
    place
}

/// A new database, in which this was run.
pub async fn new_postgres_by_hand(done: &str) -> ByHand<PostgresDatabase> {
    let url = format!("{}?options[synchronous_commit]=off", new_database().await);
    let [pool, its] = [sqlx::PgPool::connect(&url).await, sqlx::PgPool::connect(&url).await];
    let (pool, its) = (pool.unwrap(), its.unwrap());
    sqlx::raw_sql(sql_tables::POSTGRES).execute(&pool).await.unwrap();
    let builder =
        PostgresDatabase::builder().table("tasks").table("notes").table("counts").capture();
    let database = builder.pool(its).await.unwrap();
    database.set_up().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(done)).execute(&pool).await.unwrap();
    ByHand { database, hand: SqlHand::new(Pool::Postgres(pool)), _folder: None }
}

/// The same database, empty, for the next seed.
pub async fn emptied<D>(place: ByHand<D>, sql: &str) -> ByHand<D> {
    // Transactions begun by a failed world do not concern the next one.
    let _ = place.hand.end().await;
    place.hand.pool().run(&[sql.to_owned()]).await.unwrap();
    place
}
