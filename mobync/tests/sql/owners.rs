//! Keys between tables, and what of a table must stay hidden.

use std::sync::{Arc, Mutex};

use mobync::{
    Change, Database, Mobync, Record,
    postgres::PostgresDatabase,
    sql::{Builder, Dialect, SchemaError, SqlDatabase, Table},
    sqlite::SqliteDatabase,
};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tracing::{Event, Metadata, Subscriber, field::Visit, span};

use super::{
    Server, data, diffs, postgres_with, sqlite_with,
    support::{Sent, ada, create, owner, update},
};

/// Collects the warnings of this thread.
#[derive(Clone, Default)]
pub(super) struct Warnings(Arc<Mutex<String>>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN && metadata.target().starts_with("mobync")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        struct Text<'t>(&'t mut String);
        impl Visit for Text<'_> {
            fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                *self.0 += &format!("{value:?} ");
            }
        }
        event.record(&mut Text(&mut self.0.lock().unwrap()));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Warnings {
    /// The warnings during this future.
    pub(super) async fn of<T>(work: impl Future<Output = T>) -> (T, String) {
        let warnings = Self::default();
        let guard = tracing::subscriber::set_default(warnings.clone());
        let done = work.await;
        drop(guard);
        let text = warnings.0.lock().unwrap().clone();
        (done, text)
    }
}

fn builder<D: Dialect>(tables: &[Table]) -> Builder<D> {
    tables.iter().cloned().fold(Builder::default(), Builder::table)
}

/// Lists and tasks with these columns, and whether each table has an owner.
struct Keys(&'static str, &'static str, [bool; 2]);

const FORGETTING: [Keys; 8] = [
    Keys("PRIMARY KEY (id)", "list text REFERENCES lists", [true; 2]),
    Keys("PRIMARY KEY (id)", "list text REFERENCES lists (id)", [true; 2]),
    Keys("PRIMARY KEY (owner, id), UNIQUE (id)", "list text REFERENCES lists (id)", [true; 2]),
    Keys(
        "PRIMARY KEY (owner, id), UNIQUE (id)",
        "list text, FOREIGN KEY (list) REFERENCES lists (id)",
        [true; 2],
    ),
    Keys(
        "PRIMARY KEY (owner, id)",
        "list text, other text, FOREIGN KEY (other, list) REFERENCES lists (owner, id)",
        [true; 2],
    ),
    Keys("n text UNIQUE, PRIMARY KEY (owner, id)", "list text REFERENCES lists (n)", [true; 2]),
    Keys(
        "PRIMARY KEY (owner, id), UNIQUE (id)",
        "list text REFERENCES lists (id) DEFERRABLE INITIALLY DEFERRED",
        [true; 2],
    ),
    // Shared rows would reference the rows of one owner.
    Keys("PRIMARY KEY (owner, id), UNIQUE (id)", "list text REFERENCES lists (id)", [true, false]),
];

const KEEPING: [Keys; 5] = [
    Keys(
        "PRIMARY KEY (owner, id)",
        "list text, FOREIGN KEY (owner, list) REFERENCES lists",
        [true; 2],
    ),
    Keys(
        "PRIMARY KEY (owner, id)",
        "list text, FOREIGN KEY (owner, list) REFERENCES lists (owner, id)",
        [true; 2],
    ),
    Keys(
        "PRIMARY KEY (id, owner)",
        "list text, FOREIGN KEY (list, owner) REFERENCES lists (id, owner)",
        [true; 2],
    ),
    // They reference shared rows.
    Keys("PRIMARY KEY (id)", "list text REFERENCES lists (id)", [false, true]),
    Keys("PRIMARY KEY (id)", "list text REFERENCES lists (id)", [false, false]),
];

impl Keys {
    fn statements(&self) -> [String; 2] {
        let key = if self.2[1] { "PRIMARY KEY (owner, id)" } else { "PRIMARY KEY (id)" };
        let (list, more) = self.1.split_once(", ").unwrap_or((self.1, key));
        let more = if more == key { more.to_owned() } else { format!("{more}, {key}") };
        // Columns before constraints.
        let columns: Vec<&str> =
            more.split(", ").filter(|part| part.starts_with("other ")).collect();
        let rest = more.replace("other text, ", "");
        let columns = [&[list], &*columns].concat().join(", ");
        [
            format!("CREATE TABLE lists (id text, owner text, {})", self.0),
            format!("CREATE TABLE tasks (id text, owner text, {columns}, {rest})"),
        ]
    }

    fn tables(&self) -> [Table; 2] {
        let table = |name, is_owned| {
            let table = Table::new(name);
            if is_owned { table } else { table.shared() }
        };
        [table("lists", self.2[0]), table("tasks", self.2[1])]
    }
}

async fn databases_of(keys: &Keys, allowed: bool) -> [Result<(), SchemaError>; 2] {
    let statements = keys.statements();
    let statements: Vec<&str> = statements.iter().map(|statement| &**statement).collect();
    let (pool, _folder) = sqlite_with(&statements).await;
    let mut sqlite = builder(&keys.tables());
    let mut postgres = builder(&keys.tables());
    if allowed {
        sqlite = sqlite.allow_foreign_keys_across_owners();
        postgres = postgres.allow_foreign_keys_across_owners();
    }
    [
        sqlite.pool(pool).await.map(|_: SqliteDatabase| ()),
        postgres.pool(postgres_with(&statements).await).await.map(|_: PostgresDatabase| ()),
    ]
}

#[tokio::test]
async fn a_foreign_key_that_forgets_the_owner_is_refused_or_warned_of() {
    for keys in &FORGETTING {
        for refused in databases_of(keys, false).await {
            let error = refused.unwrap_err();
            assert!(
                matches!(&error, SchemaError::ForeignKey { table, .. } if table == "tasks"),
                "{error}"
            );
            let word = if keys.2[1] { "FOREIGN KEY (owner, " } else { "owner column" };
            assert!(error.to_string().contains(word), "{}: {error}", keys.1);
        }
        let (done, warnings) = Warnings::of(databases_of(keys, true)).await;
        assert!(done.iter().all(Result::is_ok), "{}: {done:?}", keys.1);
        assert!(
            warnings.matches("does not include the owner, so one").count() == 2,
            "{}: {warnings}",
            keys.1
        );
    }
    for keys in &KEEPING {
        for done in databases_of(keys, false).await {
            done.unwrap();
        }
    }
}

#[tokio::test]
async fn a_unique_index_that_forgets_the_owner_is_warned_of() {
    let cases = [
        ("PRIMARY KEY (owner, id)", false),
        ("PRIMARY KEY (id)", true),
        ("name text UNIQUE, PRIMARY KEY (owner, id)", true),
        ("name text, PRIMARY KEY (owner, id), UNIQUE (name, owner)", false),
        ("UNIQUE (id, owner)", false),
    ];
    for (key, is_warned) in cases {
        let statement = format!("CREATE TABLE tasks (id text, owner text, {key})");
        let pool = postgres_with(&[&statement]).await;
        let postgres = PostgresDatabase::builder().table("tasks").pool(pool);
        let (done, warnings) = Warnings::of(postgres).await;
        done.unwrap();
        assert_eq!(warnings.contains("does not include the owner"), is_warned, "{key}: {warnings}");
        let (pool, _folder) = sqlite_with(&[&statement]).await;
        let (done, warnings) =
            Warnings::of(SqliteDatabase::builder().table("tasks").pool(pool)).await;
        done.unwrap();
        assert_eq!(warnings.contains("does not include the owner"), is_warned, "{key}: {warnings}");
    }
}

const ORDERS: &str = "CREATE TABLE orders (id text, owner text, item text, staff_notes text DEFAULT 'none', \
                      margin integer, PRIMARY KEY (owner, id))";
const OLD: &str = "INSERT INTO orders VALUES ('old', 'ada', 'Milk', 'rude customer', 7)";
const SECRETS: [&str; 4] = ["staff_notes", "margin", "rude", "none"];

fn orders() -> Table {
    Table::new("orders").hidden(["staff_notes", "margin"])
}

fn sent(change: Sent) -> Sent {
    change.model("orders")
}

async fn hidden_columns_stay<D: Dialect>(database: SqlDatabase<D>, keeping: SqlDatabase<D>) {
    let server = Server::new(database).await;
    assert_eq!(server.0.database().import("orders", |_| {}).await.unwrap().rows, 1);
    server.sync(1, [sent(create("new", json!({"item": "Tea"})))]).await;

    let mut answers = vec![server.sync(0, []).await];
    assert_eq!(answers[0].diffs.len(), 2);
    // An undo of a row that is older than the window; and a life of that age that is returned as a
    // whole.
    let bad = |clock: i64| sent(update("old", json!({"item": 5}))).at(clock).id("bad");
    answers.push(server.sync(2, [bad(2)]).await);
    let mobync = &server.0;
    let rename = Change::update("orders", Record::new("old").with("item", "Bread"));
    answers.push(mobync.write(&ada(), [rename]).await.unwrap());
    answers.push(server.sync(0, [sent(update("old", json!({}))), bad(9)]).await);
    for field in ["staff_notes", "margin"] {
        for database in [server.0.database(), &keeping] {
            let wrong = [sent(update("old", json!({field: "x"})))];
            let mobync = Mobync::new(database.clone());
            let error = mobync.apply(&ada(), 0, diffs(wrong)).await.unwrap_err();
            assert_eq!(error.code(), "unknown_field");
            let known = error.to_string().replace(&format!("\"{field}\""), "");
            assert!(SECRETS.iter().all(|secret| !known.contains(secret)), "{known}");
        }
    }
    answers.push(server.sync(0, []).await);
    for answer in answers {
        let text = serde_json::to_string(&answer).unwrap();
        assert!(SECRETS.iter().all(|secret| !text.contains(secret)), "{text}");
    }
    for row in server.rows("orders").await {
        assert_eq!(row.as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "item"]);
    }
}

/// The hidden columns of the row, which are unchanged.
type Hidden = Option<(String, i32)>;

fn are_untouched(hidden: &Hidden) {
    assert_eq!(
        hidden.as_ref().map(|(notes, margin)| (&**notes, *margin)),
        Some(("rude customer", 7))
    );
}

#[tokio::test]
async fn hidden_columns_never_leave_the_server_and_no_device_writes_them() {
    let sql = "SELECT staff_notes, margin FROM orders WHERE id = 'old'";
    let pool = postgres_with(&[ORDERS, OLD]).await;
    let made = |table| PostgresDatabase::builder().table(table).pool(pool.clone());
    let keeping = made(orders().keep_unknown_fields()).await.unwrap();
    hidden_columns_stay(made(orders()).await.unwrap(), keeping).await;
    are_untouched(&sqlx::query_as(sql).fetch_optional(&pool).await.unwrap());

    let (pool, _folder) = sqlite_with(&[ORDERS, OLD]).await;
    let made = |table| SqliteDatabase::builder().table(table).pool(pool.clone());
    let keeping = made(orders().keep_unknown_fields()).await.unwrap();
    hidden_columns_stay(made(orders()).await.unwrap(), keeping).await;
    are_untouched(&sqlx::query_as(sql).fetch_optional(&pool).await.unwrap());

    for column in ["stuff_notes", "owner", "id", "Margin"] {
        let error = made(Table::new("orders").hidden([column])).await.unwrap_err();
        assert!(error.to_string().contains(&format!("no column {column}")), "{error}");
    }
}

/// With a key on the id alone, an id of one owner is refused to the others. The existing rows stay.
#[tokio::test]
async fn with_a_key_on_the_id_alone_nothing_of_another_owner_is_changed() {
    async fn try_it<D: Database>(server: Server<D>) {
        server.sync(0, [create("t1", json!({"a": "x"}))]).await;
        let bob = owner("bob");
        let sent = diffs([create("t1", json!({"a": "y"})).id("taken"), create("t2", json!({}))]);
        let answer = server.0.apply(&bob, 0, sent).await.unwrap();
        assert_eq!(
            (&*answer.refused[0].diff_id, &*answer.refused[0].code),
            ("taken", "constraint")
        );
        let sent = diffs([update("t1", json!({"a": "z"}))]);
        assert!(server.0.apply(&bob, 1, sent).await.unwrap().message.starts_with("1 of 1"));
        assert_eq!(server.rows("tasks").await, [json!({"id": "t1", "a": "x"})]);
        let back = server.0.apply(&bob, 0, Vec::new()).await.unwrap();
        let ids: Vec<Value> = back.diffs.iter().map(|diff| data(diff)["id"].clone()).collect();
        assert_eq!(ids, ["t2"]);
    }
    let statement = AssertSqlSafe("CREATE TABLE tasks (id text PRIMARY KEY, owner text, a text)").0;
    try_it(super::postgres_server(&[statement], &["tasks"]).await).await;
    let (server, _folder) = super::sqlite_server(&[statement], &["tasks"]).await;
    try_it(server).await;
}
