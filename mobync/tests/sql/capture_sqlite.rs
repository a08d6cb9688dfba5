//! Changes of captured rows by plain SQL reach every device, on SQLite: *Truth*, *Once*, *Quiet*.

use std::collections::BTreeMap;

use mobync::{
    Mobync, Owner,
    sql::{SchemaError, Table},
    sqlite::SqliteDatabase,
};
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection, SqlitePool};
use tempfile::TempDir;

use super::{
    device::Device,
    sqlite_with,
    support::{ada, create, delete, owner, update},
};

const MODELS: [&str; 3] = ["lists", "tasks", "counts"];

/// Lists whose tasks are deleted with them, and the number of tasks of each list, kept by triggers.
const TABLES: &[&str] = &[
    "PRAGMA journal_mode = WAL",
    "CREATE TABLE lists (owner TEXT, id TEXT, name TEXT, PRIMARY KEY (owner, id))",
    "CREATE TABLE tasks (owner TEXT, id TEXT, list TEXT, name TEXT UNIQUE, done BOOLEAN DEFAULT false, \
     PRIMARY KEY (owner, id), \
     FOREIGN KEY (owner, list) REFERENCES lists ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE counts (owner TEXT, id TEXT, n INTEGER, PRIMARY KEY (owner, id))",
    "CREATE TRIGGER counts_new AFTER INSERT ON tasks WHEN NEW.list IS NOT NULL BEGIN \
     INSERT INTO counts VALUES (NEW.owner, NEW.list, 1) ON CONFLICT DO UPDATE SET n = n + 1; END",
    "CREATE TRIGGER counts_old AFTER DELETE ON tasks BEGIN \
     UPDATE counts SET n = n - 1 WHERE owner = OLD.owner AND id = OLD.list; END",
];

async fn on(pool: &SqlitePool) -> Mobync<SqliteDatabase> {
    let mut builder = SqliteDatabase::builder().capture();
    for model in MODELS {
        builder = builder.table(model);
    }
    let database = builder.pool(pool.clone()).await.unwrap();
    database.set_up().await.unwrap();
    Mobync::new(database)
}

/// A server, and another program's connection.
async fn server() -> (Mobync<SqliteDatabase>, SqliteConnection, TempDir) {
    let (pool, folder) = sqlite_with(TABLES).await;
    let options = (*pool.connect_options()).clone();
    let other = SqliteConnection::connect_with(&options).await.unwrap();
    (on(&pool).await, other, folder)
}

async fn run(connection: &mut SqliteConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

/// The rows as devices should hold them, without null and false, which are the columns' defaults.
async fn rows(connection: &mut SqliteConnection, owner: &str) -> Vec<String> {
    let columns = [
        "'name', name",
        "'list', list, 'name', name, 'done', json(iif(done, 'true', 'false'))",
        "'n', n",
    ];
    let mut lines = Vec::new();
    for (model, columns) in MODELS.into_iter().zip(columns) {
        let sql =
            format!("SELECT id, json_object({columns}) FROM {model} WHERE owner = $1 AND id <> ''");
        let rows: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(sql))
            .bind(owner)
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        for (id, row) in rows {
            let mut row: Map<String, Value> = serde_json::from_str(&row).unwrap();
            row.retain(|_, value| !value.is_null() && *value != json!(false));
            let fields: BTreeMap<_, _> = row.iter().collect();
            lines.push((model, id.clone(), format!("{model} {id} {}", json!(fields))));
        }
    }
    lines.sort();
    lines.into_iter().map(|(.., line)| line).collect()
}

async fn all_are_equal(
    mobync: &Mobync<SqliteDatabase>,
    other: &mut SqliteConnection,
    owner: &Owner,
    device: &mut Device,
    what: &str,
) {
    device.is_equal(mobync, owner, async || rows(other, owner.as_str()).await, what).await;
}

async fn marks(connection: &mut SqliteConnection) -> (i64, i64) {
    let sql = "SELECT (SELECT count(*) FROM diffs_marks), (SELECT count(*) FROM diffs_marked)";
    sqlx::query_as(sql).fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn what_sql_does_reaches_devices() {
    let (mobync, mut other, _folder) = server().await;
    let (ada, bob) = (ada(), owner("bob"));
    let (mut hers, mut his) = (Device::default(), Device::default());
    for sql in [
        "INSERT INTO lists VALUES ('ada', 'l1', 'Home'), ('ada', 'l2', 'Work'), ('bob', 'l1', 'His'), (NULL, 'l1', ''), \
         ('', 'l1', ''), ('ada', '', ''), (x'ff', 'l1', ''), (hex(zeroblob(2000)), 'l1', '')",
        "INSERT INTO tasks (owner, id, list, name) VALUES ('ada', 't1', 'l1', 'Milk'), ('ada', 't2', 'l2', 'Call'), \
         ('ada', 't3', 'l2', 'Write'), ('bob', 't1', 'l1', 'Run')",
        "UPDATE tasks SET done = true WHERE name <> 'Call'",
        "UPDATE tasks SET name = upper(name)",
        "BEGIN; UPDATE tasks SET name = id || owner; ROLLBACK",
        "BEGIN; UPDATE lists SET name = 'kept'; SAVEPOINT s; DELETE FROM tasks; ROLLBACK TO s; COMMIT",
        "UPDATE lists SET id = 'l9' WHERE id = 'l2'",
        "UPDATE tasks SET list = 'l9' WHERE owner = 'ada' AND id = 't1'",
        // To another owner, and back.
        "UPDATE tasks SET owner = 'bob', id = 't7', list = 'l1' WHERE owner = 'ada' AND id = 't3'",
        "UPDATE tasks SET owner = 'ada', list = NULL WHERE owner = 'bob' AND id = 't7'",
        // Ada's row replaces Bob's, without firing a trigger for deletes.
        "REPLACE INTO tasks (owner, id, name) VALUES ('ada', 't8', 'RUN')",
        "INSERT INTO tasks (owner, id, list, name) VALUES ('bob', 't2', 'l1', 'Swim'), ('bob', 't3', 'l1', 'Walk')",
        "UPDATE OR REPLACE tasks SET name = 'Swim' WHERE id = 't1' OR id = 't3'",
        "INSERT OR IGNORE INTO tasks (owner, id, name) VALUES ('ada', 't9', 'Swim'), ('ada', 't9', 'New')",
        "INSERT INTO tasks (owner, id, name) VALUES ('ada', 't7', 'x') ON CONFLICT (owner, id) DO UPDATE SET name = 'met'",
        "DELETE FROM lists WHERE owner = 'ada' AND id = 'l9'",
        "DELETE FROM lists",
        "INSERT INTO lists VALUES ('ada', 'l1', 'Again'); DELETE FROM lists; INSERT INTO lists VALUES ('ada', 'l1', 'Anew')",
    ] {
        run(&mut other, sql).await;
        all_are_equal(&mobync, &mut other, &ada, &mut hers, sql).await;
        all_are_equal(&mobync, &mut other, &bob, &mut his, sql).await;
    }
    assert_eq!(marks(&mut other).await, (0, 0));
}

#[tokio::test]
async fn what_a_sync_sets_off_is_in_its_own_answer() {
    let (mobync, mut other, _folder) = server().await;
    let ada = ada();
    let (mut one, mut two) = (Device::default(), Device::default());
    let sent = [
        create("l1", json!({"name": "Home"})).model("lists"),
        create("t1", json!({"list": "l1", "name": "Milk"})).at(1),
        create("t2", json!({"list": "l1", "name": "Bread"})).at(1),
    ];
    assert_eq!(one.sync(&mobync, &ada, sent).await, ["counts create l1 {\"n\":2}"]);
    all_are_equal(&mobync, &mut other, &ada, &mut one, "creates").await;
    two.sync(&mobync, &ada, []).await;

    assert_eq!(one.sync(&mobync, &ada, [delete("t2").at(2)]).await, ["counts update l1 {\"n\":1}"]);
    all_are_equal(&mobync, &mut other, &ada, &mut one, "a trigger").await;
    let clock = one.clock;
    let back = one.sync(&mobync, &ada, [delete("l1").model("lists").at(3)]).await;
    assert_eq!(back, ["counts update l1 {\"n\":0}", "tasks delete t1"]);
    assert_eq!(one.clock, clock + 1, "one tick");
    all_are_equal(&mobync, &mut other, &ada, &mut one, "a cascade").await;
    all_are_equal(&mobync, &mut other, &ada, &mut two, "the other").await;
    assert_eq!(marks(&mut other).await, (0, 0));
}

/// What a sync of Ada's sets off in Bob's rows waits for his own syncs.
#[tokio::test]
async fn what_a_sync_sets_off_at_others_waits_for_their_syncs() {
    let (mobync, mut other, _folder) = server().await;
    let (ada, bob) = (ada(), owner("bob"));
    let (mut hers, mut his) = (Device::default(), Device::default());
    run(
        &mut other,
        "CREATE TRIGGER copies AFTER INSERT ON lists WHEN NEW.owner = 'ada' BEGIN \
         INSERT INTO lists VALUES ('bob', NEW.id, NEW.name); END",
    )
    .await;
    let sent = [create("l1", json!({"name": "Home"})).model("lists")];
    assert_eq!(hers.sync(&mobync, &ada, sent).await, [""; 0]);
    assert_eq!(his.sync(&mobync, &bob, []).await, ["lists create l1 {\"name\":\"Home\"}"]);
    // In one transaction of the group, too.
    let (mut first, mut second) = (hers.clone(), his.clone());
    let (first_of, second_of) = tokio::join!(
        first.sync(&mobync, &ada, [create("l2", json!({})).model("lists").at(1)]),
        second.sync(&mobync, &bob, [create("l3", json!({})).model("lists").at(1)])
    );
    assert_eq!(first_of, [""; 0]);
    drop(second_of);
    all_are_equal(&mobync, &mut other, &ada, &mut first, "hers").await;
    all_are_equal(&mobync, &mut other, &bob, &mut second, "his").await;
}

/// The catalogue is read again when it has changed, and not only at the start.
#[tokio::test]
async fn a_trigger_that_is_made_while_devices_sync_is_heard() {
    let (pool, _folder) = sqlite_with(&TABLES[..2]).await;
    let builder = SqliteDatabase::builder().table("lists").capture();
    let database = builder.pool(pool.clone()).await.unwrap();
    database.set_up().await.unwrap();
    let (mobync, ada, mut device) = (Mobync::new(database), ada(), Device::default());
    let list = |id: &str| [create(id, json!({"name": "x"})).model("lists")];
    assert_eq!(device.sync(&mobync, &ada, list("l1")).await, [""; 0]);
    assert_eq!(device.sync(&mobync, &ada, list("l2")).await, [""; 0]);
    let trigger = "CREATE TRIGGER t AFTER INSERT ON lists BEGIN \
                   UPDATE lists SET name = 'touched' WHERE id = NEW.id; END";
    sqlx::raw_sql(trigger).execute(&pool).await.unwrap();
    for id in ["l3", "l4"] {
        let back = device.sync(&mobync, &ada, list(id)).await;
        assert_eq!(back, [format!("lists update {id} {{\"name\":\"touched\"}}")]);
    }
    sqlx::raw_sql("DROP TRIGGER t").execute(&pool).await.unwrap();
    assert_eq!(device.sync(&mobync, &ada, list("l5")).await, [""; 0]);
}

#[tokio::test]
async fn an_idle_sync_of_others_does_not_write() {
    let (mobync, mut other, _folder) = server().await;
    let bob = owner("bob");
    let mut his = Device::default();
    his.sync(&mobync, &bob, [create("l1", json!({})).model("lists")]).await;
    // A few marks of others stay unsorted. Many are sorted once, and his sync continues.
    run(&mut other, "INSERT INTO lists VALUES ('ada', 'l1', 'x'), ('ada', 'l2', 'y')").await;
    run(&mut other, "BEGIN IMMEDIATE").await;
    assert_eq!(his.sync(&mobync, &bob, []).await, [""; 0]);
    Device::default().sync(&mobync, &bob, []).await;
    run(&mut other, "ROLLBACK").await;
    assert_eq!(marks(&mut other).await, (2, 0));
    let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) \
                INSERT INTO lists SELECT 'eve' || (i % 7), 'l' || i, 'x' FROM n";
    run(&mut other, many).await;
    his.sync(&mobync, &bob, []).await;
    assert_eq!(marks(&mut other).await, (0, 5002));
    for who in ["ada", "eve0", "eve1", "eve2", "eve3", "eve4", "eve5", "eve6"] {
        let owner = owner(who);
        all_are_equal(&mobync, &mut other, &owner, &mut Device::default(), who).await;
    }
    assert_eq!(marks(&mut other).await, (0, 0));
}

#[tokio::test]
async fn marks_of_what_is_not_there_any_more_block_nobody() {
    let (mobync, mut other, _folder) = server().await;
    let (ada, mut device) = (ada(), Device::default());
    for sql in [
        "INSERT INTO lists VALUES ('ada', 'l1', 'Home')",
        "INSERT INTO counts VALUES ('ada', 'c1', 1)",
        "INSERT INTO tasks (owner, id) VALUES ('ada', 't1')",
        "DELETE FROM lists",
        "INSERT INTO lists VALUES ('ada', 'l2', 'Work')",
        "INSERT INTO diffs_marks (owner, model, id, at) VALUES ('ada', 'unknown', 'x', 1), ('ada', 'diffs', 'x', 1)",
        "DROP TABLE tasks",
        "ALTER TABLE counts RENAME n TO m",
    ] {
        run(&mut other, sql).await;
    }
    let back = device.sync(&mobync, &ada, []).await;
    assert_eq!(back, ["lists create l2 {\"name\":\"Work\"}"]);
    let sent = [update("l2", json!({"name": "x"})).model("lists").at(1)];
    assert_eq!(device.sync(&mobync, &ada, sent).await, [""; 0]);
    let left = "SELECT DISTINCT model FROM diffs_marked ORDER BY model";
    let left: Vec<String> = sqlx::query_scalar(left).fetch_all(&mut other).await.unwrap();
    assert_eq!(left, ["counts", "tasks"], "they wait for the next start");

    // After it, they are gone. The new table has its own triggers.
    run(&mut other, "ALTER TABLE counts RENAME m TO n").await;
    run(&mut other, TABLES[2]).await;
    let mobync = on(mobync.database().pool()).await;
    assert_eq!(device.sync(&mobync, &ada, []).await, ["counts create c1 {\"n\":1}"]);
    run(&mut other, "INSERT INTO tasks (owner, id) VALUES ('ada', 't2')").await;
    all_are_equal(&mobync, &mut other, &ada, &mut device, "the new table").await;
}

async fn made(connection: &mut SqliteConnection) -> Vec<String> {
    let sql = "SELECT name FROM sqlite_master WHERE name LIKE 'diffs%mark%' OR name LIKE 'diffs_capture%' \
               OR name LIKE 'diffs_objects%' ORDER BY name";
    sqlx::query_scalar(sql).fetch_all(connection).await.unwrap()
}

#[tokio::test]
async fn a_set_up_makes_what_is_missing_and_takes_away_what_is_not_captured() {
    let (pool, folder) = sqlite_with(&TABLES[..4]).await;
    let url = format!("sqlite://{}/test.sqlite", folder.path().display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    let build = async |tables: Vec<Table>| {
        let builder =
            tables.into_iter().fold(SqliteDatabase::builder(), mobync::sql::Builder::table);
        builder.allow_unheard_changes().pool(pool.clone()).await.unwrap()
    };
    let version = async |other: &mut SqliteConnection| -> i64 {
        sqlx::query_scalar("PRAGMA schema_version").fetch_one(other).await.unwrap()
    };
    let both = || vec![Table::new("lists").capture(), Table::new("tasks").capture()];
    build(both()).await.set_up().await.unwrap();
    let all = made(&mut other).await;
    assert!(all.iter().any(|name| name == "diffs_marks"), "{all:?}");
    // Nothing is created twice. What was altered is created again.
    let before = version(&mut other).await;
    build(both()).await.set_up().await.unwrap();
    assert_eq!(version(&mut other).await, before);
    run(
        &mut other,
        "DROP TRIGGER diffs_capture_lists_update; CREATE TRIGGER diffs_capture_lists_update \
         AFTER UPDATE ON lists BEGIN SELECT 1; END; DROP TRIGGER diffs_capture_tasks_delete",
    )
    .await;
    build(both()).await.set_up().await.unwrap();
    assert_eq!(made(&mut other).await, all);
    run(&mut other, "INSERT INTO lists VALUES ('ada', 'l1', 'x'); UPDATE lists SET name = 'y'")
        .await;
    assert_eq!(marks(&mut other).await, (2, 0));

    // A table without capture, and one that is no longer synced.
    let some = vec![Table::new("lists"), Table::new("tasks").capture()];
    build(some).await.set_up().await.unwrap();
    let left = made(&mut other).await;
    assert!(
        left.len() < all.len() && !left.iter().any(|name| name.contains("_lists_")),
        "{left:?}"
    );
    build(both()).await.set_up().await.unwrap();
    build(vec![Table::new("lists").capture()]).await.set_up().await.unwrap();
    let left = made(&mut other).await;
    assert!(
        left.len() < all.len() && !left.iter().any(|name| name.contains("_tasks_")),
        "{left:?}"
    );
    build(vec![Table::new("lists")]).await.set_up().await.unwrap();
    assert_eq!(made(&mut other).await, [""; 0]);

    // The statements for migrations: the same result, also when repeated.
    let sql = build(both()).await.schema_sql();
    for _ in 0..2 {
        run(&mut other, &sql).await;
        assert_eq!(made(&mut other).await, all);
    }
    let sql = build(vec![Table::new("lists"), Table::new("tasks")]).await.schema_sql();
    for _ in 0..2 {
        run(&mut other, &sql).await;
        assert_eq!(made(&mut other).await, [""; 0]);
    }
}

/// Several processes start at once, while the application writes.
#[tokio::test]
async fn set_ups_may_come_at_once() {
    let (pool, _folder) = sqlite_with(TABLES).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let pool = pool.clone();
        tasks.spawn(async move {
            if n % 2 == 0 {
                on(&pool).await;
            } else {
                let insert = "INSERT INTO lists VALUES ('ada', $1, 'x')";
                sqlx::query(insert).bind(n.to_string()).execute(&pool).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

/// A column that only our own trigger uses is as free as before: updates of one object are still merged
/// into one.
#[tokio::test]
async fn the_marks_triggers_bind_no_column() {
    use mobync::{Access, Database, UnitOfWork};

    let (pool, _folder) = sqlite_with(&TABLES[..2]).await;
    for what in ["no trigger yet", "triggers of ours", "another one"] {
        let builder = SqliteDatabase::builder().table("lists").capture();
        let database = builder.pool(pool.clone()).await.unwrap();
        database.set_up().await.unwrap();
        let unit = database.open(&ada(), Access::Read).await.unwrap();
        assert_eq!(unit.takes("lists", "name", "\"x\""), what != "another one", "{what}");
        if what == "triggers of ours" {
            let trigger = "CREATE TRIGGER looks AFTER INSERT ON lists BEGIN SELECT 1; END";
            sqlx::raw_sql(trigger).execute(&pool).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_watcher_hears_of_owners_whatever_else_is_marked() {
    use mobync::Database;

    let (mobync, mut other, _folder) = server().await;
    run(
        &mut other,
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) \
         INSERT INTO lists SELECT CASE i % 3 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE zeroblob(i) END, 'l' || i, 'x' FROM n; \
         INSERT INTO lists VALUES ('ada', 'l1', 'x'), ('bob', 'l1', 'y')",
    )
    .await;
    let marked = mobync.database().marked_owners(10).await.unwrap();
    assert_eq!(marked, [ada(), owner("bob")]);
    let mut hers = Device::default();
    all_are_equal(&mobync, &mut other, &ada(), &mut hers, "ada").await;
    assert_eq!(mobync.database().marked_owners(10).await.unwrap(), [owner("bob")]);
}

#[tokio::test]
async fn a_table_of_another_database_cannot_be_captured() {
    let (pool, folder) = sqlite_with(&TABLES[..2]).await;
    let options = (*pool.connect_options()).clone();
    let file = folder.path().join("other.sqlite").display().to_string();
    let one = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
    let pool = one.connect_with(options).await.unwrap();
    for statement in [
        format!("ATTACH '{file}' AS other"),
        "CREATE TABLE other.notes (owner TEXT, id TEXT, PRIMARY KEY (owner, id))".to_owned(),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&pool).await.unwrap();
    }
    let build = async |captured: bool| {
        let notes = Table::new("notes").in_schema("other");
        let notes = if captured { notes.capture() } else { notes };
        let lists = Table::new("lists").in_schema("MAIN").capture();
        SqliteDatabase::builder().table(lists).table(notes).pool(pool.clone()).await
    };
    let error = build(true).await.unwrap_err();
    assert!(matches!(error, SchemaError::ElsewhereCapture { .. }), "{error:?}");
    for word in ["notes", "other", "main database"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    build(false).await.unwrap().set_up().await.unwrap();
}
