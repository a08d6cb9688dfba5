//! Hostile and strange names: nothing that comes over the network becomes SQL.

use mobync::{Database, Owner, postgres::PostgresDatabase, sql::Table, sqlite::SqliteDatabase};
use serde_json::{Value, json};

use super::{
    Server, diffs, postgres_with, sqlite_with,
    support::{create, delete, update},
};

const HOSTILE: [&str; 9] = [
    "'; DROP TABLE tasks; --",
    "\"; DROP TABLE tasks; --",
    "$1",
    "tasks\" WHERE 1=1; --",
    "\\'; DELETE FROM diffs; --",
    "' OR '1'='1",
    "%s{}$(id)`id`",
    "]};\u{202e}\u{feff}",
    "\"owner\"",
];

async fn nothing_from_the_network_becomes_sql<D: Database>(server: Server<D>) {
    for text in HOSTILE {
        let owner = Owner::new(text).unwrap();
        let sent = diffs([
            create(text, json!({"a": text})).id(text),
            update(text, json!({"a": format!("{text}{text}")})).at(1).id(&format!("{text}2")),
            create("t1", json!({"a": text})).id(&format!("{text}3")),
            delete("t1").at(1).id(&format!("{text}4")),
        ]);
        let answer = server.0.apply(&owner, 0, sent.clone()).await.unwrap();
        assert!(answer.refused.is_empty(), "{text}: {answer:?}");
        assert_eq!(server.0.apply(&owner, 0, sent).await.unwrap().logical_clock, 1);
        let back = server.0.apply(&owner, 0, Vec::new()).await.unwrap();
        assert_eq!(back.diffs.len(), 1, "{text}");
        let data: Value = serde_json::from_str(&back.diffs[0].json_data).unwrap();
        assert_eq!(data, json!({"id": text, "a": format!("{text}{text}")}));

        let model = diffs([create("t1", json!({})).model(text)]);
        assert_eq!(server.0.apply(&owner, 0, model).await.unwrap_err().code(), "unknown_model");
        let field = diffs([create("t1", json!({text: 1}))]);
        assert_eq!(server.0.apply(&owner, 0, field).await.unwrap_err().code(), "unknown_field");
    }
}

#[tokio::test]
async fn no_string_of_the_protocol_becomes_sql() {
    let statements = &["CREATE TABLE tasks (id text, owner text, a text, PRIMARY KEY (owner, id))"];
    let postgres = PostgresDatabase::builder().table("tasks").pool(postgres_with(statements).await);
    nothing_from_the_network_becomes_sql(Server::new(postgres.await.unwrap()).await).await;
    let (pool, _folder) = sqlite_with(statements).await;
    let sqlite = SqliteDatabase::builder().table("tasks").pool(pool).await.unwrap();
    nothing_from_the_network_becomes_sql(Server::new(sqlite).await).await;
}

/// Names that must be quoted, which the application's schema may have.
const TABLE: &str = "Or\"der; 'by' größe\\";
const ID: &str = "the \"id\"";
const OWNER: &str = "user";
const FIELD: &str = "select \"a\", 'b' $1 ?";
// The longest name in PostgreSQL.
const LONG: &str = "long_long_long_long_long_long_long_long_long_long_long_long_lon";

fn statement() -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    format!(
        "CREATE TABLE {} ({} text, {} text, {} text, {} text, PRIMARY KEY ({}, {}))",
        quoted(TABLE),
        quoted(ID),
        quoted(OWNER),
        quoted(FIELD),
        quoted(LONG),
        quoted(OWNER),
        quoted(ID)
    )
}

async fn names_of_the_schema_are_quoted<D: Database>(server: Server<D>) {
    let sent = [
        create("t1", json!({FIELD: "x", LONG: "y"})).model(TABLE),
        create("t2", json!({FIELD: "x"})).model(TABLE),
        update("t1", json!({FIELD: "z"})).model(TABLE).at(1),
        delete("t2").model(TABLE).at(2),
    ];
    assert!(server.refused(0, sent).await.is_empty());
    assert_eq!(server.rows(TABLE).await, [json!({"id": "t1", FIELD: "z", LONG: "y"})]);
    let too_long = format!("{LONG}g");
    let sent = diffs([update("t1", json!({too_long: "x"})).model(TABLE)]);
    let error = server.0.apply(&super::ada(), 1, sent).await.unwrap_err();
    assert_eq!(error.code(), "unknown_field", "it is not cut to the one there is");
}

#[tokio::test]
async fn names_of_the_applications_schema_are_quoted() {
    let table = || Table::new(TABLE).id_column(ID).owner_column(OWNER);
    let pool = postgres_with(&[&statement()]).await;
    let postgres =
        PostgresDatabase::builder().table(table()).diffs_table("my \"diffs\"").pool(pool);
    names_of_the_schema_are_quoted(Server::new(postgres.await.unwrap()).await).await;
    let (pool, _folder) = sqlite_with(&[&statement()]).await;
    let sqlite = SqliteDatabase::builder().table(table()).diffs_table("my \"diffs\"").pool(pool);
    names_of_the_schema_are_quoted(Server::new(sqlite.await.unwrap()).await).await;
}

/// Names that the library's statements use for something else.
const TAKEN: [&str; 12] =
    ["r", "t", "k", "l", "e", "value", "key", "kind", "last", "rowid_", "entries", "json_data"];

async fn columns_may_have_names_that_statements_use<D: Database>(server: Server<D>) {
    let fields = |text: &str| {
        Value::Object(TAKEN.iter().map(|name| ((*name).to_owned(), json!(text))).collect())
    };
    let sent = [create("t1", fields("x")), create("t2", fields("y")), create("t3", fields("z"))];
    assert!(server.refused(0, sent).await.is_empty());
    let sent = [update("t1", fields("new")).at(1), delete("t2").at(1)];
    assert!(server.refused(1, sent).await.is_empty());
    let rows = server.rows("tasks").await;
    for (row, text) in rows.iter().zip(["new", "z"]) {
        for name in TAKEN {
            assert_eq!(row[name], text, "{name}");
        }
    }
    assert_eq!(rows.len(), 2);
}

#[tokio::test]
async fn columns_may_be_named_like_what_statements_use() {
    let columns = TAKEN.map(|name| format!("\"{name}\" text")).join(", ");
    let statement =
        format!("CREATE TABLE tasks (id text, owner text, {columns}, PRIMARY KEY (owner, id))");
    let postgres = super::postgres_server(&[&statement], &["tasks"]).await;
    columns_may_have_names_that_statements_use(postgres).await;
    let (sqlite, _folder) = super::sqlite_server(&[&statement], &["tasks"]).await;
    columns_may_have_names_that_statements_use(sqlite).await;
}

#[tokio::test]
async fn a_table_can_be_in_a_schema_of_its_own() {
    let statements = &[
        "CREATE SCHEMA \"the app\"",
        "CREATE TABLE tasks (wrong integer)",
        "CREATE TABLE \"the app\".tasks (id bigint, owner integer, a text, PRIMARY KEY (id))",
    ];
    let table = Table::new("tasks").in_schema("the app");
    let pool = postgres_with(statements).await;
    let server =
        Server::new(PostgresDatabase::builder().table(table).pool(pool).await.unwrap()).await;
    let owner = Owner::new("42").unwrap();
    let sent = diffs([create("7", json!({"a": "x"})), create("8", json!({"a": "y"}))]);
    assert!(server.0.apply(&owner, 0, sent).await.unwrap().refused.is_empty());
    let sent = diffs([update("7", json!({"a": "z"})).at(1), delete("8").at(1)]);
    assert!(server.0.apply(&owner, 1, sent).await.unwrap().message.is_empty());
    let back = server.0.apply(&owner, 0, Vec::new()).await.unwrap();
    assert_eq!(super::data(&back.diffs[0])["a"], "z");

    let not_a_number = Owner::new("ada").unwrap();
    let sent = diffs([create("9", json!({}))]);
    assert_eq!(server.0.apply(&not_a_number, 0, sent).await.unwrap_err().code(), "internal");
}

/// Names that our own statements use for their rows, values, variables and parameters.
const OURS: [&str; 14] = [
    "r",
    "t",
    "e",
    "o",
    "u",
    "item",
    "items",
    "place",
    "value",
    "mobync_rows",
    "mobync_field",
    "mobync_expected",
    "$1",
    "$2",
];

async fn our_names_are_the_applications_too<D: Database>(server: Server<D>) {
    let fields = |a: &str| {
        let mut fields = json!({"a": a});
        for name in OURS {
            fields[name] = json!(name);
        }
        fields
    };
    let change = |sent: super::Sent, id: &str| sent.model("mobync_rows").id(id);
    let made = ["t1", "t2", "t3"].map(|id| change(create(id, fields("x")), id));
    assert!(server.refused(0, made).await.is_empty());
    let sent = [
        change(create("t4", fields("y")), "good create"),
        change(create("t5", fields("bad")), "bad create"),
        change(update("t1", fields("y")).at(1), "good update"),
        change(update("t2", fields("bad")).at(1), "bad update"),
        change(delete("t3").at(1), "good delete"),
    ];
    let refused = server.refused(1, sent).await;
    let refused: Vec<&str> = refused.iter().map(|(id, ..)| &**id).collect();
    assert_eq!(refused, ["bad create", "bad update"]);
    let rows = server.rows("mobync_rows").await;
    for (row, (id, a)) in rows.iter().zip([("t1", "y"), ("t2", "x"), ("t4", "y")]) {
        let mut expected = fields(a);
        expected["id"] = json!(id);
        assert_eq!(row, &expected);
    }
    assert_eq!(rows.len(), 3);
}

#[tokio::test]
async fn names_that_our_own_statements_use_are_an_applications_too() {
    let columns = OURS.map(|name| format!("\"{name}\" text, ")).concat();
    let statement = format!(
        "CREATE TABLE mobync_rows (mobync_owner text, mobync_all text, {columns} \
         a text CHECK (a <> 'bad'), PRIMARY KEY (mobync_all, mobync_owner))"
    );
    let table = || Table::new("mobync_rows").id_column("mobync_owner").owner_column("mobync_all");
    let pool = postgres_with(&[&statement]).await;
    let postgres = PostgresDatabase::builder().table(table()).pool(pool).await.unwrap();
    our_names_are_the_applications_too(Server::new(postgres).await).await;
    let (pool, _folder) = sqlite_with(&[&statement]).await;
    let sqlite = SqliteDatabase::builder().table(table()).pool(pool).await.unwrap();
    our_names_are_the_applications_too(Server::new(sqlite).await).await;
}

async fn many_columns_are_written_and_read<D: Database>(server: Server<D>, columns: usize) {
    let name = |n: usize| format!("c{n}");
    let some: serde_json::Map<String, Value> =
        (0..columns).step_by(100).map(|n| (name(n), json!("x"))).collect();
    let mut bad = some.clone();
    bad.insert(name(1), json!("bad"));
    let sent = [create("t1", Value::Object(some)), create("t2", Value::Object(bad)).id("bad")];
    let refused = server.refused(0, sent).await;
    assert_eq!((refused.len(), &*refused[0].0), (1, "bad"));
    let rows = server.rows("tasks").await;
    assert_eq!((rows.len(), &rows[0]["c100"], &rows[0]["c101"]), (1, &json!("x"), &Value::Null));
    assert_eq!(rows[0].as_object().unwrap().len(), columns + 1);
}

#[tokio::test]
async fn a_table_can_have_as_many_columns_as_the_database_lets_it() {
    let statement = |columns: usize| {
        let columns: Vec<String> = (0..columns).map(|n| format!("c{n} text")).collect();
        format!(
            "CREATE TABLE tasks (id text, owner text, {}, CHECK (c1 <> 'bad'), PRIMARY KEY (owner, id))",
            columns.join(", ")
        )
    };
    let (pool, _folder) = sqlite_with(&[&statement(1_990)]).await;
    let sqlite = SqliteDatabase::builder().table("tasks").pool(pool).await.unwrap();
    many_columns_are_written_and_read(Server::new(sqlite).await, 1_990).await;
    let postgres = PostgresDatabase::builder().table("tasks");
    let postgres = postgres.pool(postgres_with(&[&statement(1_590)]).await).await.unwrap();
    many_columns_are_written_and_read(Server::new(postgres).await, 1_590).await;
}
