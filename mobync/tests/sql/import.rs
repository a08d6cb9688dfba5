//! Rows that were there before the log.

use mobync::{postgres::PostgresDatabase, sql::Dialect, sql::SqlDatabase, sqlite::SqliteDatabase};
use serde_json::{Value, json};

use super::{
    Server, data, postgres_with, sqlite_with,
    support::{create, owner, update},
};

const TASKS: &str =
    "CREATE TABLE tasks (id text, owner text, a text, n integer, PRIMARY KEY (owner, id))";
const POSTGRES_ROWS: &str = "INSERT INTO tasks SELECT 't' || n, CASE n % 3 WHEN 0 THEN 'bob' ELSE 'ada' END, \
     'row', n FROM generate_series(1, 1800) AS n";
const SQLITE_ROWS: &str = "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 1800) \
     INSERT INTO tasks SELECT 't' || n, CASE n % 3 WHEN 0 THEN 'bob' ELSE 'ada' END, 'row', n FROM s";

async fn rows_are_brought_in_once<D: Dialect>(server: Server<SqlDatabase<D>>) {
    // Ada's devices have been at work already: one row is known, and an old one is changed.
    server.sync(0, [create("mine", json!({"a": "x"}))]).await;
    server.sync(1, [update("t1", json!({"a": "changed"})).at(1)]).await;

    let database = server.0.database();
    let mut told = Vec::new();
    let imported = database.import("tasks", |so_far| told.push(so_far)).await.unwrap();
    assert_eq!((imported.owners, imported.owners_in_all), (2, 2));
    assert_eq!((imported.rows, imported.known_rows), (1799, 2));
    assert!(told.len() >= 5, "in batches: {}", told.len());
    assert!(told.windows(2).all(|two| two[0].rows <= two[1].rows));
    assert_eq!(told.last(), Some(&imported));

    let again = database.import("tasks", |_| {}).await.unwrap();
    assert_eq!((again.rows, again.known_rows), (0, 1801));

    let back = server.sync(0, []).await;
    assert_eq!(back.diffs.len(), 1201);
    let one = back.diffs.iter().map(data).find(|data| data["id"] == "t2").unwrap();
    assert_eq!(Value::Object(one), json!({"id": "t2", "a": "row", "n": 2}));
    let changed = back.diffs.iter().map(data).find(|data| data["id"] == "t1").unwrap();
    assert_eq!(changed["a"], "changed");
    let bob = server.0.apply(0, Vec::new(), &owner("bob")).await.unwrap();
    assert_eq!(bob.diffs.len(), 600);
    assert!(database.import("nothing", |_| {}).await.is_err());
}

#[tokio::test]
async fn rows_that_were_there_before_are_brought_in_once() {
    let pool = postgres_with(&[TASKS, POSTGRES_ROWS]).await;
    let postgres = PostgresDatabase::builder().table("tasks").pool(pool).await.unwrap();
    rows_are_brought_in_once(Server::new(postgres).await).await;
    let (pool, _folder) = sqlite_with(&[TASKS, SQLITE_ROWS]).await;
    let sqlite = SqliteDatabase::builder().table("tasks").pool(pool).await.unwrap();
    rows_are_brought_in_once(Server::new(sqlite).await).await;
}
