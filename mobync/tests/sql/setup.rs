//! The checks when a database is built, and the library's own tables.

use mobync::{
    postgres::PostgresDatabase,
    sql::{SchemaError, Table},
    sqlite::SqliteDatabase,
};
use serde_json::json;
use sqlx::Row;

use super::{
    Server, diffs, postgres_with, sqlite_with,
    support::{ada, create, delete, owner},
};

const TABLES: &[&str] = &[
    "CREATE TABLE tasks (id text, owner text, a text, PRIMARY KEY (owner, id))",
    "CREATE TABLE ownerless (id text PRIMARY KEY, a text)",
    "CREATE TABLE idless (owner text, a text)",
    "CREATE TABLE keyless (id text, owner text)",
    "CREATE TABLE odd (id date PRIMARY KEY, owner text)",
];

#[tokio::test]
async fn what_is_missing_is_told_with_what_to_do() {
    let postgres = postgres_with(TABLES).await;
    let (sqlite, _folder) = sqlite_with(TABLES).await;
    let cases = [
        ("nothing", vec!["no table nothing", "CREATE TABLE", "PRIMARY KEY"]),
        ("ownerless", vec!["ownerless", "no column owner", "owner_column", "shared"]),
        ("idless", vec!["idless", "no column id", "id_column"]),
        ("keyless", vec!["keyless", "primary key", "(owner, id)"]),
        ("odd", vec!["column id of odd is", "ids and owners must be"]),
    ];
    for (table, words) in cases {
        let postgres = PostgresDatabase::builder().table(table).pool(postgres.clone());
        let sqlite = SqliteDatabase::builder().table(table).pool(sqlite.clone());
        for error in [postgres.await.unwrap_err(), sqlite.await.unwrap_err()] {
            for word in &words {
                assert!(error.to_string().contains(word), "{error}: {word}");
            }
        }
    }
    let twice = SqliteDatabase::builder().table("tasks").table("tasks").pool(sqlite.clone());
    assert!(matches!(twice.await.unwrap_err(), SchemaError::Twice { .. }));
    let log = SqliteDatabase::builder().diffs_table("tasks").pool(sqlite);
    assert!(log.await.unwrap_err().to_string().contains("it is the log"));
}

#[tokio::test]
async fn a_shared_table_is_everybodys() {
    let (pool, _folder) = sqlite_with(TABLES).await;
    let table = Table::new("ownerless").shared();
    let server =
        Server::new(SqliteDatabase::builder().table(table).pool(pool).await.unwrap()).await;
    let sent = |a: &str| diffs([create("t1", json!({"a": a})).model("ownerless")]);
    server.0.apply(&ada(), 0, sent("x")).await.unwrap();
    server.0.apply(&owner("bob"), 0, sent("y")).await.unwrap();
    assert_eq!(server.rows("ownerless").await, [json!({"id": "t1", "a": "y"})]);
}

#[tokio::test]
async fn set_up_may_be_called_at_once_by_many_and_again() {
    let pool = postgres_with(TABLES).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let database = PostgresDatabase::builder().table("tasks").pool(pool.clone()).await.unwrap();
        tasks.spawn(async move { database.set_up().await });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    let (pool, _folder) = sqlite_with(TABLES).await;
    let database = SqliteDatabase::builder().table("tasks").pool(pool).await.unwrap();
    database.set_up().await.unwrap();
    database.set_up().await.unwrap();
}

const FIRST: &str = "
    CREATE TABLE IF NOT EXISTS lists (id text, owner text, a text, PRIMARY KEY (owner, id));
    CREATE TABLE IF NOT EXISTS made (id text, owner text, a text, PRIMARY KEY (owner, id)); -- both
";

#[tokio::test]
async fn tables_are_made_first_by_many_at_once_and_again() {
    let pool = postgres_with(TABLES).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let builder = PostgresDatabase::builder().run_first(FIRST).table("made").table("lists");
        let pool = pool.clone();
        tasks.spawn(async move { builder.pool(pool).await.map(drop) });
    }
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("new.sqlite").display());
    for _ in 0..8 {
        let url = url.clone();
        let builder = SqliteDatabase::builder().run_first(FIRST).table("made").table("lists");
        tasks.spawn(async move { builder.connect(&url).await.map(drop) });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
}

#[tokio::test]
async fn statements_run_first_are_all_done_or_none() {
    let wrong = "INSERT INTO nowhere VALUES (1)";
    let (sqlite, _folder) = sqlite_with(TABLES).await;
    let postgres = postgres_with(TABLES).await;
    for round in 0..2 {
        let builder = SqliteDatabase::builder().run_first(FIRST).run_first(wrong).table("made");
        let error = builder.pool(sqlite.clone()).await.unwrap_err();
        assert!(matches!(error, SchemaError::RunFirst(_)), "{round}: {error}");
        let builder = PostgresDatabase::builder().run_first(FIRST).run_first(wrong).table("made");
        let error = builder.pool(postgres.clone()).await.unwrap_err();
        assert!(matches!(error, SchemaError::RunFirst(_)), "{round}: {error}");
    }
    let absent = SqliteDatabase::builder().table("made").pool(sqlite.clone()).await.unwrap_err();
    assert!(matches!(absent, SchemaError::NoTable { .. }));
    let absent = PostgresDatabase::builder().table("made").pool(postgres).await.unwrap_err();
    assert!(matches!(absent, SchemaError::NoTable { .. }));
    let twice = SqliteDatabase::builder().run_first(FIRST).run_first(FIRST).table("made");
    twice.pool(sqlite).await.unwrap();
}

#[tokio::test]
async fn set_up_drops_the_index_of_creates_of_earlier_versions() {
    let postgres = postgres_with(TABLES).await;
    let (sqlite, _folder) = sqlite_with(TABLES).await;
    // A life apart, whose NUL only the log keeps. The index could not.
    let apart = [create("t1", json!({"a": "a\0b"})), delete("t1").at(1)];

    let server = Server::new(
        PostgresDatabase::builder().table("tasks").pool(postgres.clone()).await.unwrap(),
    );
    let server = server.await;
    let index = "CREATE INDEX diffs_creates ON diffs (owner, md5(CAST(json_data AS json) ->> 'id')) \
                 WHERE type = 'create'";
    sqlx::query(index).execute(&postgres).await.unwrap();
    server.sync(0, [create("t1", json!({"a": "x"}))]).await;
    server.0.apply(&ada(), 0, diffs(apart.clone())).await.unwrap_err();
    server.0.database().set_up().await.unwrap();
    server.sync(0, apart.clone()).await;
    let left = "SELECT count(*) FROM pg_indexes WHERE indexname = 'diffs_creates'";
    assert_eq!(sqlx::query_scalar::<_, i64>(left).fetch_one(&postgres).await.unwrap(), 0);

    let server =
        Server::new(SqliteDatabase::builder().table("tasks").pool(sqlite.clone()).await.unwrap());
    let server = server.await;
    let index = "CREATE INDEX diffs_creates ON diffs (owner, json_extract(json_data, '$.id')) \
                 WHERE type = 'create'";
    sqlx::query(index).execute(&sqlite).await.unwrap();
    server.0.database().set_up().await.unwrap();
    server.sync(0, [create("t1", json!({"a": "x"}))]).await;
    server.sync(0, apart).await;
    let left = "SELECT count(*) FROM sqlite_master WHERE name = 'diffs_creates'";
    assert_eq!(sqlx::query_scalar::<_, i64>(left).fetch_one(&sqlite).await.unwrap(), 0);
}

#[tokio::test]
async fn a_log_made_by_hand_is_used_as_it_is() {
    let log = "CREATE TABLE diffs (json_data varchar(9000), model varchar(100), type varchar(10), \
               utc_timestamp bigint, logical_clock bigint, owner varchar(100), id varchar(100), \
               noted timestamp DEFAULT CURRENT_TIMESTAMP)";
    let owners = "CREATE TABLE diffs_owners (owner text PRIMARY KEY)";
    let pool = postgres_with(&[TABLES[0], log, owners]).await;
    let database = PostgresDatabase::builder().table("tasks").pool(pool.clone()).await.unwrap();
    let server = Server(mobync::Mobync::new(database));
    server.sync(0, [create("t1", json!({"a": "x"}))]).await;
    assert_eq!(server.sync(0, []).await.diffs.len(), 1);
    let row = sqlx::query("SELECT noted IS NOT NULL FROM diffs").fetch_one(&pool).await.unwrap();
    assert!(row.get::<bool, _>(0));
}

#[tokio::test]
async fn an_entry_with_a_null_in_it_fails_a_first_sync_whole() {
    let log = "CREATE TABLE diffs (id text, owner text, logical_clock bigint, utc_timestamp bigint, \
               type text, model text, json_data text)";
    let entries = r#"INSERT INTO diffs VALUES ('a', 'ada', 0, 1, 'create', 'tasks', NULL),
                     ('b', 'ada', 0, 2, 'create', 'tasks', '{"id": "t1", "a": "x"}')"#;
    let statements = [TABLES[0], log, entries];
    let (pool, _folder) = sqlite_with(&statements).await;
    let sqlite = SqliteDatabase::builder().table("tasks").pool(pool).await.unwrap();
    let pool = postgres_with(&statements).await;
    let postgres = PostgresDatabase::builder().table("tasks").pool(pool).await.unwrap();
    for answer in [
        mobync::Mobync::new(sqlite).apply(&ada(), 0, Vec::new()).await,
        mobync::Mobync::new(postgres).apply(&ada(), 0, Vec::new()).await,
    ] {
        assert_eq!(answer.unwrap_err().code(), "internal");
    }
}

#[tokio::test]
async fn a_log_that_is_not_there_is_told_with_what_to_do() {
    let (pool, _folder) = sqlite_with(TABLES).await;
    let sqlite = SqliteDatabase::builder().table("tasks").pool(pool).await.unwrap();
    let pool = postgres_with(TABLES).await;
    let postgres = PostgresDatabase::builder().table("tasks").pool(pool).await.unwrap();
    let sent = || diffs([create("t1", json!({}))]);
    let errors = [
        mobync::Mobync::new(sqlite).apply(&ada(), 0, sent()).await.unwrap_err(),
        mobync::Mobync::new(postgres).apply(&ada(), 0, sent()).await.unwrap_err(),
    ];
    for error in errors {
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("set_up"), "{cause}");
    }
}

#[tokio::test]
async fn the_applications_own_queries_share_the_pool() {
    let (pool, _folder) = sqlite_with(TABLES).await;
    let database = SqliteDatabase::builder().table("tasks").pool(pool.clone()).await.unwrap();
    let server = Server::new(database).await;
    server.sync(0, [create("t1", json!({"a": "x"}))]).await;
    let row = sqlx::query("SELECT owner, a FROM tasks")
        .fetch_one(server.0.database().pool())
        .await
        .unwrap();
    assert_eq!((row.get::<&str, _>(0), row.get::<&str, _>(1)), ("ada", "x"));
}
