//! Tables whose ids the database counts: devices know their rows by a second id, as the guide says.

use mobync::{
    postgres::PostgresDatabase,
    sql::{Builder, Dialect, Table},
    sqlite::SqliteDatabase,
};
use serde_json::json;
use sqlx::{AssertSqlSafe, Pool};

use super::{
    Server, data, postgres_with, sqlite_with,
    support::{create, update},
};

const GUIDE: &str = include_str!("../../EXISTING.md");

/// The SQL of the guide that adds the second id: for PostgreSQL, and for SQLite.
fn statements() -> [&'static str; 2] {
    let section = GUIDE.split_once("### Serial ids").unwrap().1;
    let mut blocks =
        section.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    [blocks.next().unwrap(), blocks.next().unwrap()]
}

async fn devices_and_the_application_create_rows<D: Dialect>(
    builder: Builder<D>,
    pool: Pool<D::Db>,
    sql: impl AsyncFn(&'static str),
) {
    let orders = Table::new("orders").owner_column("customer").id_column("sync_id").hidden(["id"]);
    let server = Server::new(builder.table(orders).capture().pool(pool).await.unwrap()).await;
    server.0.reconcile_all(None, |_, _| {}).await.unwrap();
    sql("INSERT INTO orders (customer, item) VALUES ('ada', 'bread')").await;
    let id = "01890a5d-ac96-774b-bcce-b302099a8057";
    let answer = server.sync(1, [create(id, json!({"item": "tea"})).model("orders")]).await;
    assert_eq!(answer.refused.len(), 0, "{answer:?}");

    let rows = server.rows("orders").await;
    let mut items: Vec<_> = rows.iter().map(|row| row["item"].as_str().unwrap()).collect();
    items.sort_unstable();
    assert_eq!(items, ["bread", "milk", "tea"]);
    let new = server.sync(0, []).await;
    let sent: Vec<_> = new.diffs.iter().map(data).collect();
    assert_eq!(sent.len(), 3, "{sent:?}");
    for object in &sent {
        assert_eq!(object.keys().collect::<Vec<_>>(), ["id", "item"], "no number");
        let known = object["id"].as_str().unwrap();
        let change = update(known, json!({"item": "all"})).at(5).model("orders");
        assert_eq!(server.sync(new.logical_clock, [change.id(known)]).await.refused, []);
    }
    let rows = server.rows("orders").await;
    assert!(rows.iter().all(|row| row["item"] == "all"), "{rows:?}");
}

#[tokio::test]
async fn rows_with_serial_ids_sync_by_a_second_id_on_postgresql() {
    let pool = postgres_with(&[
        "CREATE TABLE orders (id bigserial PRIMARY KEY, customer text NOT NULL, item text)",
        "INSERT INTO orders (customer, item) VALUES ('ada', 'milk')",
    ])
    .await;
    sqlx::raw_sql(AssertSqlSafe(statements()[0])).execute(&pool).await.unwrap();
    let sql = async |statement: &'static str| {
        sqlx::query(statement).execute(&pool).await.unwrap();
    };
    devices_and_the_application_create_rows(PostgresDatabase::builder(), pool.clone(), sql).await;
}

#[tokio::test]
async fn rows_with_serial_ids_sync_by_a_second_id_on_sqlite() {
    let (pool, _folder) = sqlite_with(&[
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT NOT NULL, item TEXT)",
        "INSERT INTO orders (customer, item) VALUES ('ada', 'milk')",
    ])
    .await;
    sqlx::raw_sql(AssertSqlSafe(statements()[1])).execute(&pool).await.unwrap();
    let sql = async |statement: &'static str| {
        sqlx::query(statement).execute(&pool).await.unwrap();
    };
    devices_and_the_application_create_rows(SqliteDatabase::builder(), pool.clone(), sql).await;
}
