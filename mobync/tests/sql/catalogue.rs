//! Which databases and tables can be synced. The others are refused at start.

use mobync::{
    Database,
    postgres::PostgresDatabase,
    sql::{SchemaError, Table},
    sqlite::SqliteDatabase,
};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use super::{
    Server,
    owners::Warnings,
    postgres_server, postgres_with, sqlite_server, sqlite_with,
    support::{create, delete, postgres::new_database, update},
};

const TASKS: &str = "CREATE TABLE tasks (id text, owner text, a text, PRIMARY KEY (owner, id))";

/// Creates, updates, deletes; and what is left.
async fn it_syncs<D: Database>(server: Server<D>, what: &str) {
    let text = "Grüße 🎉 \u{10ffff} 日本";
    let sent = [create("t1", json!({"a": text})), create("🎉", json!({"a": "x"}))];
    assert_eq!(server.refused(0, sent).await, [], "{what}");
    let sent = [
        update("t1", json!({"a": "y"})).at(1),
        delete("🎉").at(1),
        create("\u{ffff}", json!({"a": text})),
    ];
    assert_eq!(server.refused(1, sent).await, [], "{what}");
    let expected: [(&str, &str); 2] = [("t1", "y"), ("\u{ffff}", text)];
    let rows = server.rows("tasks").await;
    let rows: Vec<_> = rows.iter().map(|row| (row["id"].as_str(), row["a"].as_str())).collect();
    assert_eq!(rows, expected.map(|(id, a)| (Some(id), Some(a))), "{what}");
    assert_eq!(server.sync(0, []).await.diffs.len(), 2, "{what}");
}

#[tokio::test]
async fn only_databases_that_have_every_character_are_taken() {
    let url = new_database().await;
    let (server, name) = url.rsplit_once('/').unwrap();
    for encoding in ["UTF8", "LATIN1", "LATIN9", "SQL_ASCII", "WIN1252", "EUC_JP", "KOI8R"] {
        let database = format!("{name}_{}", encoding.to_lowercase());
        let create = format!(
            "CREATE DATABASE {database} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
        );
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::query(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
        let pool = PgPool::connect(&format!("{server}/{database}")).await.unwrap();
        sqlx::query(TASKS).execute(&pool).await.unwrap();
        match PostgresDatabase::builder().table("tasks").pool(pool).await {
            Ok(database) => {
                assert_eq!(encoding, "UTF8");
                it_syncs(Server::new(database).await, encoding).await;
            }
            Err(error) => {
                assert!(
                    matches!(&error, SchemaError::Encoding { encoding: found, .. } if found == encoding)
                );
                assert!(
                    error.to_string().contains("CREATE DATABASE app ENCODING 'UTF8'"),
                    "{error}"
                );
                assert_ne!(encoding, "UTF8");
            }
        }
    }
    for encoding in ["UTF-8", "UTF-16", "UTF-16le", "UTF-16be"] {
        let pragma = format!("PRAGMA encoding = '{encoding}'");
        let (server, _folder) = sqlite_server(&[&pragma, TASKS], &["tasks"]).await;
        it_syncs(server, encoding).await;
    }
}

#[tokio::test]
async fn tables_of_every_kind_sync() {
    let postgres: [&[&str]; 4] = [
        &[
            "CREATE TABLE tasks (id text, owner text, a text, PRIMARY KEY (owner, id)) PARTITION BY HASH (owner)",
            "CREATE TABLE tasks_0 PARTITION OF tasks FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
            "CREATE TABLE tasks_1 PARTITION OF tasks FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        ],
        &[
            "CREATE UNLOGGED TABLE tasks (id text, owner text, a text, CONSTRAINT k UNIQUE (id, owner))",
        ],
        &[
            "CREATE TABLE tasks (id text, owner text, a text, b text GENERATED ALWAYS AS (a || a) STORED, \
           n bigint GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (owner, id) INCLUDE (a))",
            "ALTER TABLE tasks ADD gone integer",
            "ALTER TABLE tasks DROP gone",
        ],
        &[
            "CREATE TABLE base (id text, owner text, a text)",
            "CREATE TABLE tasks (PRIMARY KEY (owner, id)) INHERITS (base)",
        ],
    ];
    for statements in postgres {
        it_syncs(postgres_server(statements, &["tasks"]).await, statements[0]).await;
    }
    let sqlite = [
        "CREATE TABLE tasks (id TEXT, owner TEXT, a TEXT, PRIMARY KEY (owner, id)) WITHOUT ROWID",
        "CREATE TABLE tasks (id TEXT, owner TEXT, a TEXT, PRIMARY KEY (owner, id)) STRICT, WITHOUT ROWID",
        "CREATE TABLE tasks (id TEXT, owner TEXT, a TEXT, UNIQUE (id, owner))",
        "CREATE TABLE tasks (id TEXT, owner TEXT, a TEXT, b TEXT AS (a || a) STORED, c TEXT AS (a) VIRTUAL, \
         PRIMARY KEY (owner DESC, id))",
        "CREATE TABLE tasks (n INTEGER PRIMARY KEY, id TEXT, owner TEXT, a TEXT, UNIQUE (owner, id))",
    ];
    for statement in sqlite {
        let statement = statement.replace("(n INTEGER PRIMARY KEY, ", "(");
        let (server, _folder) = sqlite_server(&[&statement], &["tasks"]).await;
        it_syncs(server, &statement).await;
    }
}

#[tokio::test]
async fn what_is_no_table_or_one_twice_is_told_at_start() {
    let long = "x".repeat(64);
    let cases: Vec<(Vec<&str>, Vec<Table>, &str, &str)> = vec![
        (vec!["CREATE VIEW v AS SELECT * FROM tasks"], vec!["v".into()], "diffs", "v is a view"),
        (vec![], vec!["tasks\0".into()], "diffs", "no table tasks"),
        (vec![], vec![(&*long).into()], "diffs", "no table x"),
        (vec![], vec!["tasks".into(), "tasks".into()], "diffs", "named twice"),
        (vec![], vec!["tasks".into()], "tasks", "named twice"),
        (vec!["CREATE TABLE diffs (a integer)"], vec!["tasks".into()], "diffs", "it is the log"),
        (
            vec!["CREATE VIEW diffs AS SELECT * FROM tasks"],
            vec!["tasks".into()],
            "diffs",
            "diffs is a view",
        ),
    ];
    let postgres: Vec<(Vec<&str>, Vec<Table>, &str, &str)> = vec![
        (
            vec!["CREATE MATERIALIZED VIEW m AS SELECT * FROM tasks"],
            vec!["m".into()],
            "diffs",
            "m is a view",
        ),
        (
            vec![
                "CREATE FOREIGN DATA WRAPPER w",
                "CREATE SERVER s FOREIGN DATA WRAPPER w",
                "CREATE FOREIGN TABLE f (id text, owner text) SERVER s",
            ],
            vec!["f".into()],
            "diffs",
            "f is a foreign table",
        ),
        (
            vec![],
            vec!["tasks".into(), Table::new("tasks").in_schema("public")],
            "diffs",
            "named twice",
        ),
        (vec![], vec!["Tasks".into()], "diffs", "no table Tasks"),
        (vec![], vec!["tasks".into()], &long[..56], "it may have 55 bytes"),
        (
            vec!["CREATE TABLE g (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner text)"],
            vec!["g".into()],
            "diffs",
            "ALTER TABLE \"public\".\"g\" ALTER COLUMN \"id\" SET GENERATED BY DEFAULT",
        ),
    ];
    for (statements, tables, log, word) in cases.iter().chain(&postgres) {
        let pool = postgres_with(&[&[TASKS], &**statements].concat()).await;
        let builder = PostgresDatabase::builder().diffs_table(*log);
        let builder = tables.iter().cloned().fold(builder, mobync::sql::Builder::table);
        let error = builder.pool(pool).await.unwrap_err();
        assert!(error.to_string().contains(word), "{statements:?} {tables:?}: {error}");
    }
    let sqlite: Vec<(Vec<&str>, Vec<Table>, &str, &str)> = vec![
        (vec![], vec!["tasks".into(), "Tasks".into()], "diffs", "named twice"),
        (
            vec![],
            vec!["tasks".into(), Table::new("TASKS").in_schema("main")],
            "diffs",
            "named twice",
        ),
        (vec![], vec!["tasks".into()], "TASKS", "named twice"),
        (
            vec!["CREATE VIRTUAL TABLE f USING fts5 (id, owner)"],
            vec!["f".into()],
            "diffs",
            "f is a virtual table",
        ),
        (
            vec!["CREATE TABLE g (a TEXT, owner TEXT, id TEXT AS (a) STORED, UNIQUE (owner, id))"],
            vec!["g".into()],
            "diffs",
            "is generated",
        ),
        (
            vec![
                "CREATE TABLE p (id TEXT, owner TEXT)",
                "CREATE UNIQUE INDEX i ON p (owner, id) WHERE id > ''",
            ],
            vec!["p".into()],
            "diffs",
            "unique index",
        ),
    ];
    for (statements, tables, log, word) in cases.iter().chain(&sqlite) {
        let (pool, _folder) = sqlite_with(&[&[TASKS], &**statements].concat()).await;
        let builder = SqliteDatabase::builder().diffs_table(*log);
        let builder = tables.iter().cloned().fold(builder, mobync::sql::Builder::table);
        let error = builder.pool(pool).await.unwrap_err();
        assert!(error.to_string().contains(word), "{statements:?} {tables:?}: {error}");
    }
}

#[tokio::test]
async fn the_longest_name_of_a_log_gives_all_of_its_tables_and_indexes() {
    let log = "x".repeat(55);
    let pool = postgres_with(&[TASKS]).await;
    let builder = PostgresDatabase::builder().table("tasks").diffs_table(&log);
    it_syncs(Server::new(builder.pool(pool.clone()).await.unwrap()).await, "a long log").await;
    let sql = "SELECT count(*) FROM pg_indexes WHERE tablename = $1";
    let indexes: i64 = sqlx::query_scalar(sql).bind(log).fetch_one(&pool).await.unwrap();
    assert_eq!(indexes, 2);
}

#[tokio::test]
async fn a_pool_that_reads_doubles_with_too_few_digits_is_warned_of() {
    let options = (*postgres_with(&[TASKS]).await.connect_options()).clone();
    for digits in [0, 1] {
        let pool = PgPool::connect_with(options.clone().extra_float_digits(digits)).await.unwrap();
        let database = PostgresDatabase::builder().table("tasks").pool(pool);
        let (database, warnings) = Warnings::of(database).await;
        database.unwrap();
        assert_eq!(warnings.contains("extra_float_digits"), digits == 0, "{warnings}");
    }
}

const NAMES: [&str; 4] = ["tasks", "Or\"der; 'by' größe\\", "select", "a.b"];

#[tokio::test]
async fn a_table_without_a_key_is_refused_with_the_statement_that_mends_it() {
    let schema = "CREATE SCHEMA \"o\"\"ther\"";
    for name in NAMES {
        let table = || Table::new(name).id_column(name).owner_column("owner");
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        let columns = format!("({quoted} text, owner text, a text)");
        for (table, in_sql) in [
            (table(), quoted.clone()),
            (table().in_schema("o\"ther"), format!("\"o\"\"ther\".{quoted}")),
        ] {
            let pool = postgres_with(&[schema, &format!("CREATE TABLE {in_sql} {columns}")]).await;
            let build = || PostgresDatabase::builder().table(table.clone()).pool(pool.clone());
            let SchemaError::NotUnique { mend, .. } = build().await.unwrap_err() else { panic!() };
            sqlx::raw_sql(AssertSqlSafe(mend)).execute(&pool).await.unwrap();
            build().await.unwrap();
        }
        for table in [table(), table().in_schema("main")] {
            let (pool, _folder) = sqlite_with(&[&format!("CREATE TABLE {quoted} {columns}")]).await;
            let build = || SqliteDatabase::builder().table(table.clone()).pool(pool.clone());
            let error = build().await.unwrap_err();
            let SchemaError::NotUnique { mend, .. } = &error else { panic!("{error}") };
            assert!(format!("{error:?}").ends_with(mend), "a main that returns it shows it");
            sqlx::raw_sql(AssertSqlSafe(mend.clone())).execute(&pool).await.unwrap();
            build().await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_error_that_main_returns_is_printed_with_its_causes() {
    let nowhere = SqliteDatabase::builder().table("tasks").connect("sqlite:///nowhere/a.sqlite");
    let error = nowhere.await.unwrap_err();
    let printed = format!("{error:?}");
    let (message, cause) = printed.split_once("\nCaused by: ").unwrap();
    assert_eq!(message, error.to_string());
    assert!(cause.contains("unable to open database file"), "{cause}");
}
