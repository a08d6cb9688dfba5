//! The plans of a sync's statements on SQLite: none of them reads a whole table.

use std::sync::{Arc, Mutex};

use mobync::{Mobync, sqlite::SqliteDatabase};
use serde_json::json;
use sqlx::{AssertSqlSafe, Row};
use tracing_subscriber::layer::SubscriberExt;

use super::{
    costs::{TASKS, creates, retain_each_owner},
    diffs, sqlite_with,
    support::{Sent, create, delete, owner, update},
};

/// Collects the statements that sqlx logs, on any thread.
struct Statements(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Statements {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if event.metadata().target() != "sqlx::query" {
            return;
        }
        let heard = Arc::clone(&self.0);
        let mut said = (String::new(), String::new());
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            let value = format!("{value:?}");
            match field.name() {
                "summary" => said.0 = value,
                "db.statement" => said.1 = value,
                _ => {}
            }
        });
        let (summary, statement) = said;
        let unquoted: String = serde_json::from_str(&statement).unwrap_or_default();
        let statement = if unquoted.trim().is_empty() {
            serde_json::from_str(&summary).unwrap_or_default()
        } else {
            unquoted
        };
        heard.lock().unwrap().push(statement);
    }
}

#[tokio::test]
async fn no_statement_of_a_sync_on_sqlite_reads_a_whole_table() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let subscriber = tracing_subscriber::registry().with(Statements(Arc::clone(&heard)));
    tracing::subscriber::set_global_default(subscriber).unwrap();

    // Unique names, because the statements of all tests in this process are collected.
    let table = TASKS.replace("tasks", "errands");
    let (pool, _folder) = sqlite_with(&[&table]).await;
    let builder = SqliteDatabase::builder().table("errands").diffs_table("changes");
    let database = builder.pool(pool.clone()).await.unwrap();
    database.set_up().await.unwrap();
    let numbers =
        "WITH RECURSIVE s (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < 199999)";
    for statement in [
        "INSERT INTO changes SELECT 'e' || n, 'owner' || (n % 2), n / 2, n, 'create', 'errands', \
         json_object('id', 't' || n, 'name', 'Milk') FROM s",
        "INSERT INTO errands SELECT 't' || n, 'owner' || (n % 2), 'Milk', 0 FROM s",
    ] {
        let sql = match statement.split_once(" SELECT ") {
            Some((insert, select)) => format!("{insert} {numbers} SELECT {select}"),
            None => unreachable!("both are"),
        };
        sqlx::query(AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    }
    heard.lock().unwrap().clear();
    let heard_of_changes =
        || heard.lock().unwrap().iter().filter(|sql| sql.contains("\"changes\"")).count();

    let mobync = Mobync::new(database);
    let mut sent = creates("new");
    sent.extend([
        update("t8", json!({"name": "Bread"})),
        update("t10", json!({"name": "Bread"})),
        delete("t12"),
        update("first", json!({"name": "x"})),
        create("first", json!({"name": "y"})),
    ]);
    let sent: Vec<Sent> = sent.into_iter().map(|sent| sent.model("errands")).collect();
    let one = owner("owner0");
    for clock in [100_000, 99_900] {
        mobync.apply(&one, clock, diffs(sent.clone())).await.unwrap();
        mobync.apply(&one, clock, Vec::new()).await.unwrap();
    }
    mobync.answer(&one, &super::pages::page("e1998")).await.unwrap();
    let before = heard_of_changes();
    let idle = json!({"logical_clock": 100_000, "head": "e199999", "diffs": []});
    let answers = super::idle::several(&mobync, &["owner1"; 30], vec![idle; 30]).await;
    assert!(answers.iter().all(|answer| answer["status"] == 200), "{answers:?}");
    assert_eq!(heard_of_changes() - before, 1, "one statement for thirty idle spaces");
    retain_each_owner(&mobync, "changes").await;

    let mut statements = heard.lock().unwrap().clone();
    statements.retain(|sql| sql.contains("\"errands\"") || sql.contains("\"changes\""));
    assert!(statements.len() >= 8, "{statements:?}");
    let (mut pages, mut idle) = (0, 0);
    for sql in statements {
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
        let plan = plan.fetch_all(&pool).await.unwrap();
        let details: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        let words: Vec<&str> = sql.split_whitespace().take(2).collect();
        if words == ["WITH", "page"] {
            // But for the head, the entries and those of the log itself, the index of ticks is enough.
            let of_table =
                details.iter().filter(|detail| detail.starts_with("SEARCH t USING INDEX"));
            let of_table: Vec<&String> = of_table.collect();
            assert_eq!(of_table.len(), 4, "{details:?}");
            assert!(of_table[0].contains("(owner=? AND logical_clock>? AND logical_clock<?)"));
            assert!(of_table[1].contains("(owner=?)"), "the last entry may be the head");
            assert!(of_table[2].contains("(owner=? AND id=?)"));
            assert!(of_table[3].contains("changes_own (owner=?)"));
            pages += 1;
        }
        if sql.contains("d.place") {
            let of_table = details.iter().filter(|detail| detail.starts_with("SEARCH t USING"));
            let by: Vec<&str> =
                of_table.filter_map(|detail| detail.split(" USING ").nth(1)).collect();
            let last = "INDEX changes_owner_logical_clock (owner=?)";
            assert_eq!(by, [last, "INDEX sqlite_autoindex_changes_1 (owner=? AND id=?)"]);
            idle += 1;
        }
        for detail in details {
            // `t` is the table. Other scans are of the request's own values.
            let whole = ["SCAN t", "SCAN errands", "SCAN changes"];
            assert!(
                !whole.contains(&&*detail) && !detail.starts_with("SCAN t USING"),
                "{detail}: {sql}"
            );
            // It does not read all rows of the owner either.
            let rows = detail.contains("_errands_") && detail.ends_with("(owner=?)");
            assert!(!rows, "{detail}: {sql}");
        }
    }
    assert_eq!((pages, idle), (1, 1), "they were heard");
}
