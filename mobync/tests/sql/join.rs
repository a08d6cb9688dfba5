//! Changes within a transaction of the application's own.

use std::time::Duration;

use mobync::{
    Change, Error, Record,
    sql::{Dialect, SqlDatabase},
};
use serde_json::json;
use sqlx::{AssertSqlSafe, Transaction};

use super::{
    Server, data, postgres_server, sqlite_server,
    support::{ada, create, owner, update},
};

const TABLES: [&str; 2] = [
    "CREATE TABLE tasks (id text, owner text, a text CHECK (a <> 'bad'), PRIMARY KEY (owner, id))",
    "CREATE TABLE accounts (name text PRIMARY KEY, balance integer)",
];

fn task(id: &str, a: &str) -> Change {
    Change::create("tasks", Record::new(id).with("a", a))
}

/// The application's own statement.
trait Own: Dialect {
    async fn started(database: &SqlDatabase<Self>) -> Transaction<'static, Self::Db>;
    async fn run(transaction: &mut Transaction<'static, Self::Db>, sql: &str);
    async fn commit(transaction: Transaction<'static, Self::Db>);
    async fn balances(database: &SqlDatabase<Self>) -> i64;
}

macro_rules! own {
    ($dialect:ty, $begin:literal) => {
        impl Own for $dialect {
            async fn started(database: &SqlDatabase<Self>) -> Transaction<'static, Self::Db> {
                database.pool().begin_with($begin).await.unwrap()
            }

            async fn run(transaction: &mut Transaction<'static, Self::Db>, sql: &str) {
                let query = sqlx::query(AssertSqlSafe(sql.to_owned()));
                query.execute(&mut **transaction).await.unwrap();
            }

            async fn commit(transaction: Transaction<'static, Self::Db>) {
                transaction.commit().await.unwrap();
            }

            async fn balances(database: &SqlDatabase<Self>) -> i64 {
                let count = sqlx::query_scalar("SELECT count(*) FROM accounts");
                count.fetch_one(database.pool()).await.unwrap()
            }
        }
    };
}

own!(mobync::postgres::Postgres, "BEGIN");
own!(mobync::sqlite::Sqlite, "BEGIN IMMEDIATE");

async fn both_are_kept_or_neither_is<D: Own>(server: Server<SqlDatabase<D>>) {
    let (mobync, ada) = (&server.0, ada());
    let insert = "INSERT INTO accounts VALUES ('ada', 5)";

    // Rolled back by the application.
    let mut transaction = D::started(mobync.database()).await;
    D::run(&mut transaction, insert).await;
    let (transaction, answer) =
        mobync.write_in(transaction, &ada, [task("t1", "x")]).await.unwrap();
    assert_eq!(answer.logical_clock, 1);
    transaction.rollback().await.unwrap();
    assert_eq!(
        (server.sync(0, []).await.logical_clock, D::balances(mobync.database()).await),
        (0, 0)
    );

    // A change that the database rejects, after one that it accepts.
    let mut transaction = D::started(mobync.database()).await;
    D::run(&mut transaction, insert).await;
    let changes = [task("t1", "x"), task("t2", "bad"), task("t3", "x")];
    let error = mobync.write_in(transaction, &ada, changes).await.unwrap_err();
    assert!(matches!(error, Error::Constraint { .. }), "{error:?}");
    assert_eq!(
        (server.sync(0, []).await.logical_clock, D::balances(mobync.database()).await),
        (0, 0)
    );

    // Committed, with what comes after it.
    let mut transaction = D::started(mobync.database()).await;
    D::run(&mut transaction, insert).await;
    let changes = [task("t1", "x"), Change::update("tasks", Record::new("t1").with("a", "y"))];
    let (transaction, _) = mobync.write_in(transaction, &ada, changes).await.unwrap();
    let (mut transaction, answer) =
        mobync.write_in(transaction, &owner("bob"), [task("t1", "bob's")]).await.unwrap();
    assert_eq!(answer.logical_clock, 1);
    D::run(&mut transaction, "UPDATE accounts SET balance = 4").await;
    D::commit(transaction).await;
    assert_eq!(D::balances(mobync.database()).await, 1);
    let back = server.sync(0, []).await;
    assert_eq!(back.diffs.iter().map(data).collect::<Vec<_>>().len(), 1);
    assert_eq!(data(&back.diffs[0])["a"], "y");

    // A sync of the owner waits for the transaction.
    let transaction = D::started(mobync.database()).await;
    let changed = Change::update("tasks", Record::new("t1").with("a", "z"));
    let (transaction, _) = mobync.write_in(transaction, &ada, [changed]).await.unwrap();
    let sent = [create("t9", json!({"a": "late"})), update("t1", json!({"a": "old"})).at(-60_000)];
    let sync = server.sync(1, sent);
    let commit = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        D::commit(transaction).await;
    };
    let (answer, ()) = tokio::join!(sync, commit);
    assert_eq!(answer.logical_clock, 3);
    assert_eq!(data(&answer.diffs[0])["a"], "z");
}

#[tokio::test]
async fn what_the_application_writes_and_its_changes_are_one_transaction_on_postgresql() {
    both_are_kept_or_neither_is(postgres_server(&TABLES, &["tasks"]).await).await;
}

#[tokio::test]
async fn what_the_application_writes_and_its_changes_are_one_transaction_on_sqlite() {
    let (server, _folder) = sqlite_server(&TABLES, &["tasks"]).await;
    both_are_kept_or_neither_is(server).await;
}

/// Values are read and returned as in any sync, whatever the session of the application is set to, and
/// afterwards its settings are what they were.
#[tokio::test]
async fn the_settings_of_the_applications_session_change_no_value() {
    let tables =
        ["CREATE TABLE tasks (id text, owner text, at timestamptz, PRIMARY KEY (owner, id))"];
    let server = postgres_server(&tables, &["tasks"]).await;
    let (mobync, ada) = (&server.0, ada());
    let at = "2026-01-02 03:04:05";
    let record = |id: &str| Record::new(id).with("at", at);
    mobync.write(&ada, [Change::create("tasks", record("t1"))]).await.unwrap();

    let mut transaction = mobync.database().pool().begin().await.unwrap();
    let zone = "SET LOCAL TimeZone = 'Asia/Tokyo'; SET LOCAL DateStyle = 'German'";
    sqlx::raw_sql(zone).execute(&mut *transaction).await.unwrap();
    let change = Change::create("tasks", record("t2"));
    let (mut transaction, _) = mobync.write_in(transaction, &ada, [change]).await.unwrap();
    let settings = "SELECT current_setting('TimeZone') || ' ' || current_setting('DateStyle')";
    let settings: String = sqlx::query_scalar(settings).fetch_one(&mut *transaction).await.unwrap();
    assert_eq!(settings, "Asia/Tokyo German, DMY");
    transaction.commit().await.unwrap();

    let back = server.sync(0, []).await;
    let times: Vec<_> = back.diffs.iter().map(|diff| data(diff)["at"].clone()).collect();
    assert_eq!(times.len(), 2);
    assert_eq!(times[0], times[1]);
}
