//! The database's result of a write is returned to the device in the same response, and is in the log
//! (*Truth*). Columns of the server's own.

use mobync::{
    Change, Database, Mobync, Record,
    postgres::PostgresDatabase,
    sql::{Dialect, SqlDatabase, Table},
    sqlite::SqliteDatabase,
};
use serde_json::{Value, json};

use super::{
    Server, data, diffs, postgres_with, sqlite_with,
    support::{Sent, ada, create, delete, line, update},
};

/// The returned diffs, one line each.
async fn back<D: Database>(
    server: &Server<D>,
    clock: i64,
    sent: impl IntoIterator<Item = Sent>,
) -> Vec<String> {
    let answer = server.sync(clock, sent).await;
    assert_eq!(answer.refused.len(), 0, "{answer:?}");
    answer.diffs.iter().map(line).collect()
}

const SHOP: [&str; 5] = [
    "CREATE SEQUENCE numbers START 7",
    "CREATE TABLE orders (id text, owner text, number bigint DEFAULT nextval('numbers'), item varchar(5), \
     price numeric(10,2), total numeric(12,2) GENERATED ALWAYS AS (price * 2) STORED, \
     state text DEFAULT 'new', words text, PRIMARY KEY (owner, id))",
    "CREATE FUNCTION words() RETURNS trigger LANGUAGE plpgsql AS \
     $$ BEGIN NEW.words := upper(NEW.item); RETURN NEW; END $$",
    "CREATE TRIGGER words BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION words()",
    "ALTER TABLE orders ADD secret text DEFAULT 'rude'",
];

const LITE_SHOP: [&str; 2] = [
    "CREATE TABLE orders (id TEXT, owner TEXT, number INTEGER DEFAULT (3 + 4), item TEXT, price NUMERIC, \
     total NUMERIC AS (price * 2), state TEXT DEFAULT 'new', words TEXT, secret TEXT DEFAULT 'rude', \
     PRIMARY KEY (owner, id))",
    "CREATE TRIGGER words AFTER INSERT ON orders BEGIN \
     UPDATE orders SET words = upper(item) WHERE owner = NEW.owner AND id = NEW.id; END",
];

fn shop() -> Table {
    Table::new("orders").hidden(["secret"]).computed(["words"])
}

async fn all_comes_back<D: Dialect>(
    database: SqlDatabase<D>,
    price: Value,
    rounded: Value,
    total: Value,
) {
    let server = Server::new(database).await;
    let order = |sent: Sent| sent.model("orders");
    // Values for computed columns are ignored, whatever they are.
    let sent = create("o1", json!({"item": "tea", "price": price, "total": "x", "words": 5}));
    let answer = server.sync(0, [order(sent.clone()).id("o1")]).await;
    assert_eq!(answer.refused.len(), 0, "{answer:?}");
    let mut expected = json!({"id": "o1", "number": 7, "total": total, "words": "TEA"});
    if price != rounded {
        expected["price"] = rounded.clone();
    }
    assert_eq!(Value::Object(data(&answer.diffs[0])), expected);
    assert_eq!(answer.diffs[0].operation.as_str(), "update");
    // The same for a retry. Other devices and new ones receive it.
    let retry = server.sync(0, [order(sent).id("o1")]).await;
    assert_eq!(Value::Object(data(&retry.diffs[0])), expected);
    assert_eq!(retry.logical_clock, 1);
    let new = server.sync(0, []).await;
    expected["item"] = json!("tea");
    expected["price"] = rounded;
    assert_eq!(Value::Object(data(&new.diffs[0])), expected);
    assert!(!serde_json::to_string(&(answer, retry, new)).unwrap().contains("rude"));

    // A later edit by another device in the meantime still wins.
    let early = order(update("o1", json!({"item": "milk"})).at(10));
    let late = order(update("o1", json!({"item": "bread"})).at(20));
    server.sync(1, [late]).await;
    let answer = server.sync(1, [early]).await;
    assert_eq!(data(&answer.diffs[0])["item"], "bread", "{answer:?}");
    assert_eq!(server.rows("orders").await[0]["item"], "bread");
}

#[tokio::test]
async fn what_the_database_makes_of_a_row_comes_back_with_the_answer() {
    let pool = postgres_with(&SHOP).await;
    let database = PostgresDatabase::builder().table(shop()).pool(pool).await.unwrap();
    all_comes_back(database, json!(1.005), json!(1.01), json!(2.02)).await;
    // A trigger that changes the row after the write is allowed if the table is captured.
    let (pool, _folder) = sqlite_with(&LITE_SHOP).await;
    let database = SqliteDatabase::builder().table(shop().capture()).pool(pool).await.unwrap();
    all_comes_back(database, json!("1.50"), json!(1.5), json!(3)).await;
}

#[tokio::test]
async fn what_was_written_as_it_is_does_not_come_back() {
    let statement = "CREATE TABLE tasks (id text, owner text, a varchar(5), b numeric(5,2), c uuid, d date, \
                     e boolean, f integer DEFAULT 7, g real, h double precision, PRIMARY KEY (owner, id))";
    let server = super::postgres_server(&[statement], &["tasks"]).await;
    let fields = json!({"a": "abc", "b": 12.5, "c": "0192f1c5-7b1e-7c33-9d7f-3b1f0a6d2e01",
        "d": "2020-01-02", "e": true, "g": 1.5, "h": 0.1});
    assert_eq!(back(&server, 0, [create("t1", fields.clone())]).await, [""; 0]);
    assert_eq!(back(&server, 1, [update("t1", fields).at(1)]).await, [""; 0]);
    // A diff that was not refused is changed by it.
    let fields = json!({"a": "abc     ", "b": "0012.345", "e": 1, "g": 0.123_456_789});
    assert_eq!(
        back(&server, 2, [update("t1", fields).at(2)]).await,
        [r#"update t1 {"a":"abc  ","b":12.35,"e":true,"g":0.12345679}"#]
    );
}

const USERS: &str = "CREATE TABLE users (id text, owner text, name text, is_admin boolean DEFAULT false, \
                     notes text DEFAULT 'none', PRIMARY KEY (owner, id))";

async fn only_the_backend_writes<D: Dialect>(database: SqlDatabase<D>) {
    let server = Server::new(database).await;
    let user = |sent: Sent| sent.model("users");
    let sent = [
        user(create("u1", json!({"name": "Ada"}))),
        user(create("u2", json!({"name": "Eve", "is_admin": true}))).id("bad1"),
        user(update("u1", json!({"name": "Ada L.", "is_admin": true})).at(1)).id("bad2"),
        user(delete("u3").at(2)),
    ];
    let answer = server.sync(0, sent).await;
    let refused: Vec<_> =
        answer.refused.iter().map(|one| (&*one.diff_id, &*one.code, &*one.message)).collect();
    let sentence = "You are not allowed to write \"is_admin\" in users.";
    assert_eq!(refused, [("bad1", "forbidden", sentence), ("bad2", "forbidden", sentence)]);
    // The undone value is the default.
    let lines: Vec<String> = answer.diffs.iter().map(line).collect();
    assert_eq!(lines, ["delete u2", r#"update u1 {"is_admin":false,"name":"Ada"}"#]);
    let ada_is_one = Change::update("users", Record::new("u1").with("is_admin", true));
    server.0.write(&ada(), [ada_is_one]).await.unwrap();
    assert_eq!(server.rows("users").await, [json!({"id": "u1", "name": "Ada", "is_admin": true})]);
    let back = server.sync(1, []).await;
    assert_eq!(line(&back.diffs[0]), r#"update u1 {"is_admin":true}"#);
    // With all or nothing, the whole request is.
    let strict = Mobync::new(server.0.database().clone()).all_or_nothing(true);
    let sent = diffs([user(update("u1", json!({"is_admin": false})).at(9)).id("bad3")]);
    let error = strict.apply(&ada(), 2, sent).await.unwrap_err();
    assert_eq!((error.code(), error.diff_id()), ("forbidden", Some("bad3")));
    // Columns that are not in the list are hidden.
    let sent = diffs([user(update("u1", json!({"notes": "x"})))]);
    let error = server.0.apply(&ada(), 2, sent).await.unwrap_err();
    assert_eq!(error.code(), "unknown_field");
}

#[tokio::test]
async fn a_column_that_is_read_only_is_written_by_the_backend_alone() {
    let table = || Table::new("users").columns(["name", "is_admin"]).read_only(["is_admin"]);
    let pool = postgres_with(&[USERS]).await;
    only_the_backend_writes(PostgresDatabase::builder().table(table()).pool(pool).await.unwrap())
        .await;
    let (pool, _folder) = sqlite_with(&[USERS]).await;
    only_the_backend_writes(SqliteDatabase::builder().table(table()).pool(pool).await.unwrap())
        .await;
}

/// An undo keeps digits that a reader of doubles would lose.
#[tokio::test]
async fn an_undone_value_has_all_of_its_digits() {
    let statement =
        "CREATE TABLE tasks (id text, owner text, n numeric, a integer, PRIMARY KEY (owner, id))";
    let server = super::postgres_server(&[statement], &["tasks"]).await;
    let mut sent = create("t1", json!({}));
    sent.0.json_data = r#"{"id":"t1","n":123456789.1234567890123}"#.to_owned();
    server.sync(0, [sent]).await;
    let bad = update("t1", json!({"n": 1, "a": "no integer"})).at(1);
    let answer = server.sync(1, [bad]).await;
    assert_eq!(answer.refused.len(), 1);
    assert_eq!(answer.diffs[0].json_data, r#"{"id":"t1","a":null,"n":123456789.1234567890123}"#);
}

/// An integer beyond 64 bits in a JSON column. The database returns all of its digits.
#[tokio::test]
async fn a_long_integer_in_a_document_is_a_number_like_others() {
    let statement =
        "CREATE TABLE tasks (id text, owner text, j jsonb, n serial, PRIMARY KEY (owner, id))";
    let server = super::postgres_server(&[statement], &["tasks"]).await;
    let mut sent = create("t1", json!({}));
    sent.0.json_data = r#"{"id":"t1","j":{"a":[1e25,-1e30,"1"]}}"#.to_owned();
    assert_eq!(back(&server, 0, [sent]).await, [r#"update t1 {"n":1}"#]);
    assert_eq!(server.sync(0, []).await.diffs.len(), 1);
}
