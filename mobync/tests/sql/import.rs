//! Rows that are older than the log.

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
    // Ada's devices have already synced: one row is known, and an old one was changed.
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
    let bob = server.0.apply(&owner("bob"), 0, Vec::new()).await.unwrap();
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

/// Imports what can be imported, and reports the rest. The second import adds nothing.
async fn bad_rows_are_left_out<D: Dialect>(server: Server<SqlDatabase<D>>, bad: &[(&str, &str)]) {
    let database = server.0.database();
    let mut told = Vec::new();
    let imported = database.import("tasks", |so_far| told.push(so_far)).await.unwrap();
    assert_eq!(imported.rows, 3, "{imported:?}");
    assert_eq!(imported.skipped_rows, bad.len() as u64, "{imported:?}");
    let mut skipped: Vec<(&str, &str)> =
        imported.skipped.iter().map(|row| (&*row.id, &*row.reason)).collect();
    skipped.sort_unstable();
    assert_eq!(skipped.len(), bad.len().min(10));
    if bad.len() <= 10 {
        for ((id, reason), (expected, word)) in skipped.iter().zip(bad) {
            assert!(id.starts_with(expected) && reason.contains(word), "{expected}: {id} {reason}");
        }
    }
    assert_eq!(told.last(), Some(&imported));
    let again = database.import("tasks", |_| {}).await.unwrap();
    assert_eq!((again.rows, again.known_rows), (0, 3));
    assert_eq!(again.skipped_rows, imported.skipped_rows);
    let mut ids: Vec<String> = server
        .sync(0, [])
        .await
        .diffs
        .iter()
        .map(|diff| data(diff)["id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    assert_eq!(ids, ["first", "last", "zz"]);
}

/// Statements that insert these rows, each of which names its columns.
fn inserts(rows: &[&str]) -> Vec<String> {
    rows.iter().map(|row| format!("INSERT INTO tasks {row}")).collect()
}

const GOOD: [&str; 4] = [
    "(id, owner, f, j) VALUES ('first', 'ada', 1.5, '{}')",
    "(id, owner, f) VALUES ('last', 'ada', 1e300)",
    "(id, owner) VALUES ('zz', 'ada')",
    "(id, owner) VALUES ('nobodys', NULL)",
];

fn with<'s>(table: &'s str, rows: &'s [String]) -> Vec<&'s str> {
    [table].into_iter().chain(rows.iter().map(|row| &**row)).collect()
}

#[tokio::test]
async fn rows_of_postgresql_that_no_diff_can_bring_are_left_out_and_told_of() {
    let table = "CREATE TABLE tasks (id text, owner text, f double precision, n numeric, r real, \
                 j jsonb, UNIQUE (owner, id))";
    let bad = [
        "(id, owner) VALUES ('', 'ada')",
        "(id, owner) VALUES ('of nobody', '')",
        "(id, owner) VALUES ('of somebody', repeat('x', 1025))",
        "(id, owner, f) VALUES ('c', 'ada', 'NaN')",
        "(id, owner, f) VALUES ('d', 'ada', '-Infinity')",
        "(id, owner, n) VALUES ('e', 'ada', 'NaN')",
        "(id, owner, r) VALUES ('f', 'ada', 'Infinity')",
        "(id, owner, j) VALUES ('g', 'ada', '[1e400]')",
        "(id, owner) VALUES (NULL, 'ada')",
        "(id, owner) VALUES (repeat('x', 1025), 'ada')",
    ];
    let rows = inserts(&[&bad[..], &GOOD].concat());
    let pool = postgres_with(&with(table, &rows)).await;
    let postgres = PostgresDatabase::builder().table("tasks").pool(pool).await.unwrap();
    let told = [
        ("", "the id must not be empty"),
        ("", "the owner must not be empty"),
        ("", "longer"),
        ("c", "infinite"),
        ("d", "infinite"),
        ("e", "infinite"),
        ("f", "infinite"),
        ("g", "out of range"),
        ("null", "null"),
        ("xxx", "1,024"),
    ];
    bad_rows_are_left_out(Server::new(postgres).await, &told).await;
}

#[tokio::test]
async fn rows_of_sqlite_that_no_diff_can_bring_are_left_out_and_told_of() {
    let table = "CREATE TABLE tasks (id TEXT, owner TEXT, f REAL, j JSON, untyped, PRIMARY KEY (owner, id))";
    let long = "printf('%.*c', 1025, 'x')";
    let bad = [
        "(id, owner) VALUES ('', 'ada')".to_owned(),
        "(id, owner) VALUES ('of nobody', '')".to_owned(),
        format!("(id, owner) VALUES ('of somebody', {long})"),
        "(id, owner) VALUES ('of a blob', x'616461')".to_owned(),
        "(id, owner) VALUES ('of a NUL', 'a' || char(0))".to_owned(),
        "(id, owner) VALUES (NULL, 'ada')".to_owned(),
        "(id, owner) VALUES (x'ff', 'ada')".to_owned(),
        "(id, owner) VALUES ('a' || char(0), 'ada')".to_owned(),
        format!("(id, owner) VALUES ({long}, 'ada')"),
        "(id, owner, f) VALUES ('c', 'ada', 9e999)".to_owned(),
        "(id, owner, untyped) VALUES ('d', 'ada', -9e999)".to_owned(),
        "(id, owner, j) VALUES ('e', 'ada', 'no json')".to_owned(),
        "(id, owner, j) VALUES ('f', 'ada', '{''a'': 1}')".to_owned(),
        "(id, owner, j) VALUES ('g', 'ada', '[1e999]')".to_owned(),
        "(id, owner, j) VALUES ('h', 'ada', '{\"a\": 1, \"a\": 2}')".to_owned(),
        "(id, owner, j) VALUES ('i', 'ada', '\"\\ud800\"')".to_owned(),
    ];
    let bad: Vec<&str> = bad.iter().map(|row| &**row).collect();
    // All of them, and each of them alone: then it is reported by its id.
    let rows = inserts(&[&bad[..], &GOOD].concat());
    let (pool, _folder) = sqlite_with(&with(table, &rows)).await;
    let sqlite = SqliteDatabase::builder().table("tasks").pool(pool).await.unwrap();
    let all: Vec<(&str, &str)> = bad.iter().map(|row| (*row, "")).collect();
    bad_rows_are_left_out(Server::new(sqlite).await, &all).await;
    let told = [
        ("", "must not be empty"),
        ("", "empty"),
        ("", "longer"),
        ("of a blob", "owner"),
        ("", "NUL"),
        ("NULL", "null"),
        ("X'FF'", "type"),
        ("a", "NUL"),
        ("xxx", "1,024"),
        ("c", "infinite"),
        ("d", "infinite"),
        ("e", "no JSON"),
        ("f", "no JSON"),
        ("g", "out of range"),
        ("h", "twice"),
        ("i", "hex escape"),
    ];
    for (row, told) in bad.iter().zip(told) {
        let rows = inserts(&[&[*row], &GOOD[..]].concat());
        let (pool, _folder) = sqlite_with(&with(table, &rows)).await;
        let sqlite = SqliteDatabase::builder().table("tasks").pool(pool).await.unwrap();
        bad_rows_are_left_out(Server::new(sqlite).await, &[told]).await;
    }
}
