//! What the catalogue tells of columns: defaults, who writes them, what they make of values; and rows as
//! devices are sent them.

use mobync::{
    Access, Database, Operation, UnitOfWork, Will,
    postgres::PostgresDatabase,
    sql::{Dialect, SqlDatabase, SqlUnit, Table},
    sqlite::SqliteDatabase,
};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::{postgres_with, sqlite_with, support::ada};

async fn unit<D: Dialect>(database: &SqlDatabase<D>) -> SqlUnit<D> {
    database.open(&ada(), Access::Read).await.unwrap()
}

/// A type, a default, and what the latter is in JSON; the database's own ones are none.
type Given = (&'static str, &'static str, Option<Value>);

fn table(given: &[Given]) -> String {
    let columns = given.iter().enumerate().map(|(place, (sql_type, default, _))| {
        let default =
            if default.is_empty() { String::new() } else { format!(" DEFAULT {default}") };
        format!("c{place} {sql_type}{default}, ")
    });
    let columns: String = columns.collect();
    format!("CREATE TABLE tasks (id text, owner text, {columns}PRIMARY KEY (owner, id))")
}

/// What is told of a default is what a row has that was made without a value.
async fn defaults_are_told<D: Dialect>(database: &SqlDatabase<D>, given: &[Given]) {
    let mut unit = unit(database).await;
    let row = unit.rows(&ada(), "tasks", &["t1"]).await.unwrap().remove(0);
    let row: Value = serde_json::from_str(&row).unwrap();
    let has_constant = |(_, (_, _, expected)): &(usize, &Given)| expected.is_some();
    let constant = given.iter().enumerate().filter(has_constant);
    let names: Vec<String> = constant.map(|(place, _)| format!("c{place}")).collect();
    let all = unit.defaults("tasks");
    assert_eq!(all.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names);
    assert!(all.iter().all(|(name, json)| unit.default_of("tasks", name) == Some(json)));
    for (place, (sql_type, default, expected)) in given.iter().enumerate() {
        let name = format!("c{place}");
        let told: Option<Value> =
            unit.default_of("tasks", &name).map(|told| serde_json::from_str(told).unwrap());
        assert_eq!(told, *expected, "{sql_type} DEFAULT {default}");
        if let Some(expected) = expected {
            assert_eq!(row[&name], *expected, "{sql_type} DEFAULT {default}");
        }
    }
}

const INSERT: &str = "INSERT INTO tasks (id, owner) VALUES ('t1', 'ada')";

#[tokio::test]
async fn constant_defaults_of_postgresql_are_told() {
    let given: Vec<Given> = vec![
        ("text", "'a''b'", Some(json!("a'b"))),
        ("text", "", None),
        ("text", "NULL", None),
        ("varchar(3)", "'abc'", Some(json!("abc"))),
        ("char(5)", "'ab'", Some(json!("ab"))),
        ("integer", "-7", Some(json!(-7))),
        ("integer", "3 + 4", Some(json!(7))),
        ("numeric(5,2)", "1.5", Some(json!(1.5))),
        ("real", "0.1", Some(json!(0.1))),
        ("boolean", "true", Some(json!(true))),
        ("date", "'2020-01-02'", Some(json!("2020-01-02"))),
        ("timestamptz", "'2020-01-02 03:04:05+00'", Some(json!("2020-01-02T03:04:05+00:00"))),
        ("interval", "'90 minutes'", Some(json!("01:30:00"))),
        (
            "uuid",
            "'0192F1C57B1E7C339D7F3B1F0A6D2E01'",
            Some(json!("0192f1c5-7b1e-7c33-9d7f-3b1f0a6d2e01")),
        ),
        ("jsonb", "'{\"a\": [1]}'", Some(json!({"a": [1]}))),
        ("text[]", "'{}'", Some(json!([]))),
        ("integer[]", "ARRAY[1, 2]", Some(json!([1, 2]))),
        ("bytea", "'\\x00ff'", Some(json!("\\x00ff"))),
        ("mood", "'fine'", Some(json!("fine"))),
        ("percent", "", Some(json!(50))),
        ("percent", "7", Some(json!(7))),
        ("text", "lower('ABC')", Some(json!("abc"))),
        // What the database says anew each time.
        ("serial", "", None),
        ("integer", "mine()", None),
        ("timestamptz", "now()", None),
        ("date", "current_date", None),
        ("text", "current_user", None),
        ("uuid", "gen_random_uuid()", None),
        ("text", "CAST(random() AS text)", None),
        ("date", "CAST(CAST('now' AS text) AS date)", None),
    ];
    let pool = postgres_with(&[
        "CREATE TYPE mood AS ENUM ('fine')",
        "CREATE DOMAIN percent AS integer DEFAULT 50 CHECK (VALUE <= 100)",
        "CREATE FUNCTION mine() RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT 7'",
        &table(&given),
        INSERT,
    ])
    .await;
    let database = PostgresDatabase::builder().table("tasks").pool(pool).await.unwrap();
    defaults_are_told(&database, &given).await;
}

#[tokio::test]
async fn constant_defaults_of_sqlite_are_told() {
    let given: Vec<Given> = vec![
        ("TEXT", "'a''b'", Some(json!("a'b"))),
        ("TEXT", "\"word\"", Some(json!("word"))),
        ("TEXT", "", None),
        ("TEXT", "NULL", None),
        ("TEXT", "7", Some(json!("7"))),
        ("INTEGER", "'7'", Some(json!(7))),
        ("INTEGER", "-7", Some(json!(-7))),
        ("INTEGER", "(0x1F)", Some(json!(31))),
        ("REAL", "0.1", Some(json!(0.1))),
        ("NUMERIC(10,2)", "1.5", Some(json!(1.5))),
        ("BOOLEAN", "1", Some(json!(true))),
        ("BOOLEAN", "FALSE", Some(json!(false))),
        ("DATE", "'2020-01-02'", Some(json!("2020-01-02"))),
        ("DATE", "'2020'", Some(json!(2020))),
        ("JSON", "'{\"a\":[1]}'", Some(json!({"a": [1]}))),
        ("BLOB", "x'00ff'", Some(json!("00FF"))),
        ("", "'01'", Some(json!("01"))),
        ("\"weird, type\"", "'01'", Some(json!(1))),
        ("TEXT", "CURRENT_TIMESTAMP", None),
        ("TEXT", "(lower(hex(randomblob(4))))", None),
        ("INTEGER", "(1 + 1)", None),
    ];
    let (pool, _folder) = sqlite_with(&[&table(&given), INSERT]).await;
    let database = SqliteDatabase::builder().table("tasks").pool(pool.clone()).await.unwrap();
    defaults_are_told(&database, &given).await;

    let strict: Vec<Given> = vec![
        ("TEXT", "7", Some(json!("7"))),
        ("ANY", "'01'", Some(json!("01"))),
        ("INT", "7", Some(json!(7))),
    ];
    let (pool, _folder) = sqlite_with(&[&format!("{} STRICT", table(&strict)), INSERT]).await;
    let database = SqliteDatabase::builder().table("tasks").pool(pool).await.unwrap();
    defaults_are_told(&database, &strict).await;
}

/// A table's other columns, statements behind it, and whether its columns have a will of their own.
type Willed = (&'static str, &'static [&'static str], Will);

fn willed(columns: &str) -> String {
    format!("CREATE TABLE tasks (id text, owner text, a text, {columns}, PRIMARY KEY (owner, id))")
}

#[tokio::test]
async fn columns_of_postgresql_with_a_will_of_their_own_are_told() {
    const FUNCTION: &str =
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'";
    let postgres: [Willed; 14] = [
        ("b text", &[], Will::None),
        ("b jsonb DEFAULT '{}'", &[], Will::None),
        ("b varchar(5)", &[], Will::Named),
        ("b numeric(10,2)", &[], Will::Named),
        ("b uuid", &[], Will::Named),
        ("b text DEFAULT now()", &[], Will::Named),
        ("b integer GENERATED BY DEFAULT AS IDENTITY", &[], Will::Named),
        ("b integer GENERATED ALWAYS AS IDENTITY", &[], Will::Any),
        ("b text GENERATED ALWAYS AS (lower(a)) STORED", &[], Will::Any),
        (
            "b text",
            &[
                FUNCTION,
                "CREATE TRIGGER t BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION f()",
            ],
            Will::Any,
        ),
        (
            "b text",
            &[FUNCTION, "CREATE TRIGGER t AFTER UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION f()"],
            Will::Any,
        ),
        (
            "b text",
            &[
                FUNCTION,
                "CREATE TRIGGER t BEFORE DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION f()",
            ],
            Will::None,
        ),
        (
            "b text",
            &[
                FUNCTION,
                "CREATE TRIGGER t BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION f()",
                "ALTER TABLE tasks DISABLE TRIGGER t",
            ],
            Will::None,
        ),
        (
            "b text",
            &["CREATE RULE r AS ON INSERT TO tasks DO ALSO UPDATE tasks SET a = 'x'"],
            Will::Any,
        ),
    ];
    for (columns, behind, expected) in postgres {
        let pool = postgres_with(&[&[&*willed(columns)], behind].concat()).await;
        let database = PostgresDatabase::builder().table("tasks").pool(pool).await.unwrap();
        assert_eq!(unit(&database).await.will("tasks"), expected, "{columns} {behind:?}");
    }
    let parts: [&[&str]; 2] = [
        &[
            "CREATE TABLE tasks (id text, owner text, PRIMARY KEY (owner, id)) PARTITION BY HASH (owner)",
            "CREATE TABLE part PARTITION OF tasks FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
            FUNCTION,
            "CREATE TRIGGER t BEFORE INSERT ON part FOR EACH ROW EXECUTE FUNCTION f()",
        ],
        &[
            "CREATE TABLE tasks (id text, owner text, PRIMARY KEY (owner, id))",
            "CREATE TABLE child () INHERITS (tasks)",
            FUNCTION,
            "CREATE TRIGGER t BEFORE UPDATE ON child FOR EACH ROW EXECUTE FUNCTION f()",
        ],
    ];
    for statements in parts {
        let pool = postgres_with(statements).await;
        let database = PostgresDatabase::builder().table("tasks").pool(pool).await.unwrap();
        assert_eq!(unit(&database).await.will("tasks"), Will::Any, "{statements:?}");
    }
}

#[tokio::test]
async fn columns_of_sqlite_with_a_will_of_their_own_are_told() {
    let sqlite: [Willed; 8] = [
        ("b TEXT", &[], Will::None),
        ("b CLOB DEFAULT '{}'", &[], Will::None),
        ("b DATE", &[], Will::Named),
        ("b TEXT DEFAULT CURRENT_TIMESTAMP", &[], Will::Named),
        ("b TEXT AS (lower(a))", &[], Will::Any),
        ("b TEXT AS (lower(a)) STORED", &[], Will::Any),
        (
            "b TEXT",
            &[
                "CREATE TRIGGER t AFTER INSERT ON tasks BEGIN UPDATE tasks SET b = 'x' WHERE id = NEW.id; END",
            ],
            Will::Any,
        ),
        (
            "b TEXT",
            &[
                "CREATE TRIGGER t BEFORE INSERT ON tasks WHEN NEW.b = '' BEGIN SELECT RAISE(ABORT, 'no'); END",
            ],
            Will::None,
        ),
    ];
    for (columns, behind, expected) in sqlite {
        let (pool, _folder) = sqlite_with(&[&[&*willed(columns)], behind].concat()).await;
        let database = SqliteDatabase::builder().table("tasks").pool(pool).await.unwrap();
        assert_eq!(unit(&database).await.will("tasks"), expected, "{columns} {behind:?}");
    }
    let statement =
        "CREATE TABLE tasks (n INTEGER PRIMARY KEY, id TEXT, owner TEXT, UNIQUE (owner, id))";
    let (pool, _folder) = sqlite_with(&[statement]).await;
    let database = SqliteDatabase::builder().table("tasks").pool(pool).await.unwrap();
    assert_eq!(unit(&database).await.will("tasks"), Will::Named);
}

const TREE: [&str; 3] = [
    "CREATE TABLE a (id text, owner text, b text, above text, PRIMARY KEY (owner, id), \
     FOREIGN KEY (owner, above) REFERENCES a (owner, id))",
    "CREATE TABLE c (id text, owner text, PRIMARY KEY (owner, id))",
    "CREATE TABLE b (id text, owner text, c text, PRIMARY KEY (owner, id), \
     FOREIGN KEY (owner, c) REFERENCES c (owner, id))",
];

#[tokio::test]
async fn parents_come_before_children() {
    async fn check<D: Dialect>(database: SqlDatabase<D>) {
        let unit = unit(&database).await;
        assert!(unit.rank("c") < unit.rank("b") && unit.rank("b") < unit.rank("a"));
        assert_eq!((unit.parents("a"), unit.parents("b")), (vec!["above"], vec![]));
        assert_eq!(unit.models(), ["a", "b", "c"]);
    }
    let more = "ALTER TABLE a ADD FOREIGN KEY (owner, b) REFERENCES b (owner, id)";
    let pool = postgres_with(&[TREE[0], TREE[1], TREE[2], more]).await;
    let builder = PostgresDatabase::builder().table("a").table("b").table("c");
    check(builder.pool(pool).await.unwrap()).await;

    let more = "FOREIGN KEY (owner, b) REFERENCES b (owner, id), FOREIGN KEY (owner, above)";
    let first = TREE[0].replace("FOREIGN KEY (owner, above)", more);
    let (pool, _folder) = sqlite_with(&[&first, TREE[1], TREE[2]]).await;
    let builder = SqliteDatabase::builder().table("a").table("b").table("c");
    check(builder.pool(pool).await.unwrap()).await;

    // In a circle, no table comes first; that is no reason to refuse it.
    let circle = "ALTER TABLE c ADD a text, ADD FOREIGN KEY (owner, a) REFERENCES a (owner, id)";
    let more = "ALTER TABLE a ADD FOREIGN KEY (owner, b) REFERENCES b (owner, id)";
    let pool = postgres_with(&[TREE[0], TREE[1], TREE[2], more, circle]).await;
    let builder = PostgresDatabase::builder().table("a").table("b").table("c");
    let database = builder.pool(pool).await.unwrap();
    let unit = unit(&database).await;
    let mut ranks = ["a", "b", "c"].map(|model| unit.rank(model));
    ranks.sort_unstable();
    assert_eq!(ranks, [0, 1, 2]);
}

/// What is said of a table, a column that it names, and what the error says.
type Listed = (fn(Table, &'static str) -> Table, &'static str);

#[tokio::test]
async fn columns_that_are_named_are_there() {
    let statement =
        "CREATE TABLE tasks (id text, owner text, a text, b text, PRIMARY KEY (owner, id))";
    let pool = postgres_with(&[statement]).await;
    let (lite, _folder) = sqlite_with(&[statement]).await;
    let lists: [Listed; 4] = [
        (|table, column| table.hidden([column]), "`hidden`"),
        (|table, column| table.columns(["a", column]), "`columns`"),
        (|table, column| table.read_only(["a", column]), "`read_only`"),
        (|table, column| table.computed(["a", column]), "`computed`"),
    ];
    for (list, word) in lists {
        for column in ["c", "A", "owner", "id", ""] {
            let made = |table| PostgresDatabase::builder().table(table).pool(pool.clone());
            let error = made(list(Table::new("tasks"), column)).await.unwrap_err().to_string();
            assert!(
                error.contains(&format!("no column {column}")) && error.contains(word),
                "{error}"
            );
            let made = |table| SqliteDatabase::builder().table(table).pool(lite.clone());
            let error = made(list(Table::new("tasks"), column)).await.unwrap_err().to_string();
            assert!(
                error.contains(&format!("no column {column}")) && error.contains(word),
                "{error}"
            );
        }
        let table = list(Table::new("tasks"), "b");
        PostgresDatabase::builder().table(table.clone()).pool(pool.clone()).await.unwrap();
        SqliteDatabase::builder().table(table).pool(lite.clone()).await.unwrap();
    }
    let both = Table::new("tasks").hidden(["a"]).read_only(["a"]);
    assert!(PostgresDatabase::builder().table(both).pool(pool).await.is_err());
}

async fn rows_are_read<D: Dialect>(database: &SqlDatabase<D>, access: Access) {
    let mut unit = database.open(&ada(), access).await.unwrap();
    let mut rows = unit.rows(&ada(), "tasks", &["t1", "t2", "t3", "T1"]).await.unwrap();
    rows.sort();
    let rows: Vec<Value> = rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!(
        rows,
        [
            json!({"id": "t1", "a": 1.25, "twice": 2.5}),
            json!({"id": "t2", "a": null, "twice": null})
        ]
    );
    let (mut last, mut ids) = (None, Vec::new());
    loop {
        let rows = unit.rows_behind(&ada(), "tasks", last.as_deref(), 1).await.unwrap();
        let Some(row) = rows.last() else { break };
        let row: Value = serde_json::from_str(row).unwrap();
        ids.push(row["id"].clone());
        last = row["id"].as_str().map(str::to_owned);
    }
    assert_eq!(ids, ["t1", "t2"]);
    let error = unit.rows(&ada(), "others", &["t1"]).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no model \"others\"");
}

const ROWS: [&str; 2] = [
    "CREATE TABLE tasks (id text, owner text, a double precision, secret text, \
     twice double precision GENERATED ALWAYS AS (a * 2) STORED, PRIMARY KEY (owner, id))",
    "INSERT INTO tasks VALUES ('t1', 'ada', 1.25, 'x'), ('t2', 'ada', NULL, 'x'), ('t3', 'ada', INF, 'x'), \
     ('t1', 'bob', 1, 'x')",
];

#[tokio::test]
async fn rows_have_all_that_devices_see_and_nothing_else() {
    let table = || Table::new("tasks").hidden(["secret"]);
    let pool = postgres_with(&[ROWS[0], &ROWS[1].replace("INF", "'Infinity'")]).await;
    let database = PostgresDatabase::builder().table(table()).pool(pool.clone()).await.unwrap();
    database.set_up().await.unwrap();
    rows_are_read(&database, Access::Read).await;
    rows_are_read(&database, Access::Write).await;
    let (lite, _folder) = sqlite_with(&[ROWS[0], &ROWS[1].replace("INF", "9e999")]).await;
    let sqlite = SqliteDatabase::builder().table(table()).pool(lite.clone()).await.unwrap();
    sqlite.set_up().await.unwrap();
    rows_are_read(&sqlite, Access::Read).await;
    rows_are_read(&sqlite, Access::Write).await;

    // Of a table that was altered since, rows cannot be read; the unit goes on.
    sqlx::query("ALTER TABLE tasks RENAME a TO b").execute(&pool).await.unwrap();
    sqlx::query("ALTER TABLE tasks RENAME a TO b").execute(&lite).await.unwrap();
    cannot_be_read(&database).await;
    cannot_be_read(&sqlite).await;
    sqlx::query("DROP TABLE tasks").execute(&pool).await.unwrap();
    sqlx::query("DROP TABLE tasks").execute(&lite).await.unwrap();
    cannot_be_read(&database).await;
    cannot_be_read(&sqlite).await;
}

#[tokio::test]
async fn a_text_that_is_none_is_read_all_the_same() {
    let insert =
        "INSERT INTO tasks (id, owner, a, b) VALUES ('t1', 'ada', CAST(x'61ff22' AS TEXT), 'x')";
    let (pool, _folder) = sqlite_with(&[&willed("b text"), insert]).await;
    let database = SqliteDatabase::builder().table("tasks").pool(pool).await.unwrap();
    let rows = unit(&database).await.rows(&ada(), "tasks", &["t1"]).await.unwrap();
    let row: Value = serde_json::from_str(&rows[0]).unwrap();
    assert_eq!(row, json!({"id": "t1", "a": "a\u{fffd}\"", "b": "x"}));
}

async fn cannot_be_read<D: Dialect>(database: &SqlDatabase<D>) {
    let mut unit = database.open(&ada(), Access::Write).await.unwrap();
    let error = unit.rows(&ada(), "tasks", &["t1"]).await.unwrap_err();
    assert!(
        error.is_rejection() || error.to_string() == "there is no model \"tasks\"",
        "{error:?}"
    );
    unit.clock(&ada(), "diffs").await.unwrap();
}

#[tokio::test]
async fn values_are_told_as_the_columns_would_hold_them() {
    let id = "0192f1c5-7b1e-7c33-9d7f-3b1f0a6d2e01";
    let columns = "b numeric(10,2), c char(5), d date, e timestamptz, f uuid, g integer, h boolean, \
                   i percent NOT NULL";
    let pool =
        postgres_with(&["CREATE DOMAIN percent AS integer NOT NULL", &willed(columns)]).await;
    let database = PostgresDatabase::builder().table("tasks").pool(pool).await.unwrap();
    for access in [Access::Read, Access::Write] {
        database.set_up().await.unwrap();
        let mut unit = database.open(&ada(), access).await.unwrap();
        let records = [
            json!({"id": "1", "b": 1.005, "c": "ab   ", "f": id.to_uppercase()}),
            json!({"id": "2", "d": "2020-1-2", "e": "2020-01-02T00:00:00Z"}),
            json!({"id": "3", "d": "no date", "e": "2020-01-02T00:00:00Z"}),
            json!({"id": "4", "d": "20200103", "e": "2020-01-02T00:00:00Z"}),
            json!({"id": "5", "g": "007", "h": 1}),
            json!({"id": "6", "i": 7, "unknown": 7}),
        ];
        let told = unit.as_columns("tasks", records.iter().map(Value::to_string).collect()).await;
        let told: Vec<Value> =
            told.unwrap().iter().map(|told| serde_json::from_str(told).unwrap()).collect();
        assert_eq!(
            told,
            [
                json!({"id": "1", "b": 1.01, "c": "ab", "f": id}),
                json!({"id": "2", "d": "2020-01-02", "e": "2020-01-02T00:00:00+00:00"}),
                records[2].clone(),
                json!({"id": "4", "d": "2020-01-03", "e": "2020-01-02T00:00:00+00:00"}),
                json!({"id": "5", "g": 7, "h": true}),
                json!({"id": "6", "i": 7}),
            ]
        );
    }
    let (pool, _folder) = sqlite_with(&[&willed("g INTEGER, h BOOLEAN")]).await;
    let database = SqliteDatabase::builder().table("tasks").pool(pool).await.unwrap();
    let record = json!({"id": "5", "g": "9007199254740993", "h": 1}).to_string();
    let told = unit(&database).await.as_columns("tasks", vec![record]).await.unwrap();
    assert_eq!(told, [r#"{"id":"5","g":9007199254740993,"h":true}"#]);
}

#[tokio::test]
async fn devices_may_not_write_what_is_read_only() {
    let statement =
        "CREATE TABLE tasks (id text, owner text, a text, b text, PRIMARY KEY (owner, id))";
    let (pool, _folder) = sqlite_with(&[AssertSqlSafe(statement).0]).await;
    let table = Table::new("tasks").read_only(["b"]);
    let database = SqliteDatabase::builder().table(table).pool(pool).await.unwrap();
    let unit = unit(&database).await;
    for operation in [Operation::Create, Operation::Update] {
        assert_eq!(unit.permits("tasks", operation, &["a"]), Ok(()));
        let sentence = unit.permits("tasks", operation, &["a", "b"]).unwrap_err();
        assert_eq!(sentence, "You are not allowed to write \"b\" in tasks.");
    }
    assert_eq!(unit.permits("tasks", Operation::Delete, &["b"]), Ok(()));
}
