//! Owners and ids are compared by their bytes, whatever the columns' types and collations are.

use mobync::{
    Access, Database, Owner, ReadFilter, UnitOfWork,
    postgres::PostgresDatabase,
    sql::{Dialect, SqlDatabase},
    sqlite::SqliteDatabase,
};
use serde_json::{Value, json};

use super::{
    Server, data, diffs, postgres_with, sqlite_with,
    support::{create, delete, owner, update},
};

/// Different texts that some column or collation treats as equal.
const NAMES: [&str; 24] = [
    "ada",
    "ADA",
    "Ada",
    "ada ",
    "ada  ",
    " ada",
    "ad\u{e1}",
    "ada\u{301}",
    "\u{ff41}da",
    "ada\t",
    "1",
    "01",
    "1e0",
    " 1",
    "1 ",
    "+1",
    "1.0",
    "0x1",
    "-0",
    "0192f1c5-7b1e-7c33-9d7f-3b1f0a6d2e01",
    "0192F1C5-7B1E-7C33-9D7F-3B1F0A6D2E01",
    "{0192f1c5-7b1e-7c33-9d7f-3b1f0a6d2e01}",
    "0192f1c57b1e7c339d7f3b1f0a6d2e01",
    "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg",
];

/// For every pair of owners: each has an object with the same id, and neither sees the other's changes.
/// If an owner's name does not fit the column's type, nothing is written for that owner.
async fn owners_are_told_apart<D: Dialect>(server: &Server<SqlDatabase<D>>, id: &str, what: &str) {
    let mut there: Vec<(Owner, i64)> = Vec::new();
    for name in NAMES {
        let owner = owner(name);
        // A third owner sees nothing, not even that something exists.
        let sent = diffs([update(id, json!({"a": "stolen"})), delete(id).at(1)]);
        match server.0.apply(&owner, 0, sent).await {
            Err(error) => {
                assert_eq!(error.code(), "internal", "{what}: {name:?}");
                let sent = diffs([create(id, json!({"a": name}))]);
                assert!(server.0.apply(&owner, 0, sent).await.is_err(), "{what}: {name:?}");
                continue;
            }
            Ok(answer) => {
                assert!(answer.message.starts_with("2 of 2"), "{what}: {name:?} {answer:?}");
                assert!(answer.diffs.is_empty() && answer.refused.is_empty());
            }
        }
        let sent = diffs([create(id, json!({"a": name}))]);
        let answer = server.0.apply(&owner, 1, sent).await.unwrap();
        assert!(answer.refused.is_empty(), "{what}: {name:?} {answer:?}");
        assert_eq!(answer.logical_clock, 2, "{what}: {name:?}");
        there.push((owner, 2));
        for (owner, clock) in &there {
            let back = server.0.apply(owner, 0, Vec::new()).await.unwrap();
            assert_eq!((back.logical_clock, back.diffs.len()), (*clock, 1), "{what}: {owner:?}");
            assert_eq!(data(&back.diffs[0])["a"], owner.as_str(), "{what}");
            let mut unit = server.0.database().open(owner, Access::Read).await.unwrap();
            let rows = unit.read(owner, "tasks", &[]).await.unwrap();
            assert_eq!(rows.len(), 1, "{what}: {owner:?}");
            assert_eq!(rows[0].get("a"), Some(&json!(owner.as_str())), "{what}");
        }
    }
    assert!(!there.is_empty(), "{what}: somebody can sync");
    // Whatever one deletes, the others keep.
    while let Some((owner, clock)) = there.pop() {
        let answer = server.0.apply(&owner, clock, diffs([delete(id)])).await.unwrap();
        assert!(answer.message.is_empty() && answer.refused.is_empty(), "{what}: {answer:?}");
        for (owner, _) in &there {
            let mut unit = server.0.database().open(owner, Access::Read).await.unwrap();
            assert_eq!(unit.read(owner, "tasks", &[]).await.unwrap().len(), 1, "{what}: {owner:?}");
        }
    }
}

/// For every pair of ids of one owner: there are two objects, or one is refused alone.
async fn ids_are_told_apart<D: Dialect>(server: &Server<SqlDatabase<D>>, what: &str) {
    let user = &owner(if what.contains("owner uuid") { NAMES[19] } else { "1" });
    let sent = diffs(NAMES.map(|id| create(id, json!({"a": id})).id(id)));
    let answer = server.0.apply(user, 0, sent).await.unwrap();
    assert!(answer.refused.iter().all(|refused| refused.code == "invalid_value"), "{what}");
    let refused: Vec<&str> = answer.refused.iter().map(|refused| &*refused.diff_id).collect();
    let mut there: Vec<&str> = NAMES.into_iter().filter(|id| !refused.contains(id)).collect();
    assert!(!there.is_empty(), "{what}");
    let sent = diffs(refused.iter().map(|id| update(id, json!({"a": "changed"})).at(1)));
    let mut clock = server.0.apply(user, 1, sent).await.unwrap().logical_clock;
    while let Some(id) = there.pop() {
        let mut unit = server.0.database().open(user, Access::Read).await.unwrap();
        for id in &there {
            let rows = unit.read(user, "tasks", &[ReadFilter::equal("id", *id)]).await.unwrap();
            assert_eq!(rows.len(), 1, "{what}: {id:?}");
            assert_eq!(rows[0].get("a"), Some(&json!(id)), "{what}");
        }
        let all =
            unit.read(user, "tasks", &[ReadFilter::any_of("id", there.clone())]).await.unwrap();
        assert_eq!(all.len(), there.len(), "{what}");
        let sent = diffs([delete(id).at(clock)]);
        clock = server.0.apply(user, clock, sent).await.unwrap().logical_clock;
        let back = server.0.apply(user, 0, Vec::new()).await.unwrap();
        let mut ids: Vec<String> =
            back.diffs.iter().map(|diff| data(diff)["id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        let mut expected = there.clone();
        expected.sort_unstable();
        assert_eq!(ids, expected, "{what}");
    }
}

fn table(owner: &str, id: &str, key: &str) -> String {
    format!("CREATE TABLE tasks (owner {owner} NOT NULL, id {id} NOT NULL, a text, {key})")
}

const KEY: &str = "PRIMARY KEY (owner, id)";

#[tokio::test]
async fn no_type_of_postgresql_takes_two_owners_or_ids_for_one() {
    let collations = [
        "CREATE COLLATION icu (provider = icu, locale = 'und')",
        "CREATE COLLATION other (provider = libc, locale = 'C')",
    ];
    let types = [
        "text",
        "text COLLATE \"C\"",
        "text COLLATE icu",
        "text COLLATE other",
        "varchar",
        "varchar(3)",
        "varchar(40)",
        "varchar(64) COLLATE icu",
        "bigint",
        "integer",
        "smallint",
        "uuid",
    ];
    for names in types {
        for (owner, id) in [(names, "text"), ("text", names)] {
            let what = format!("owner {owner}, id {id}");
            let statement = table(owner, id, KEY);
            let pool = postgres_with(&[collations[0], collations[1], &statement]).await;
            let database = PostgresDatabase::builder().table("tasks").pool(pool).await;
            let server = Server::new(database.unwrap()).await;
            if id == "text" {
                owners_are_told_apart(&server, "t1", &what).await;
            } else {
                ids_are_told_apart(&server, &what).await;
            }
        }
    }
}

#[tokio::test]
async fn no_type_of_sqlite_takes_two_owners_or_ids_for_one() {
    let types = [
        "TEXT",
        "VARCHAR(3)",
        "CHAR(2)",
        "CLOB",
        "TEXT COLLATE BINARY",
        "INTEGER",
        "BIGINT",
        "INT",
    ];
    let by_bytes = "UNIQUE (owner COLLATE BINARY, id COLLATE BINARY)";
    let types = types.map(|names| (names, KEY)).into_iter();
    // Whatever the columns' collation is, the index distinguishes them.
    let folding = ["TEXT COLLATE NOCASE", "TEXT COLLATE RTRIM"];
    for (names, key) in types.chain(folding.map(|names| (names, ""))) {
        for (owner, id) in [(names, "TEXT"), ("TEXT", names)] {
            for encoding in ["UTF-8", "UTF-16le", "UTF-16be"] {
                let what = format!("owner {owner}, id {id}, {encoding}");
                let (encoding, key) = (format!("PRAGMA encoding = '{encoding}'"), key.to_owned());
                let (statement, index) = if key.is_empty() {
                    let statement = table(owner, id, "").replace(", )", ")");
                    (statement, format!("CREATE UNIQUE INDEX key ON tasks {}", &by_bytes[7..]))
                } else {
                    (table(owner, id, &key), "SELECT 1".to_owned())
                };
                let (pool, _folder) = sqlite_with(&[&encoding, &statement, &index]).await;
                let database = SqliteDatabase::builder().table("tasks").pool(pool).await;
                let server = Server::new(database.unwrap()).await;
                if id == "TEXT" {
                    owners_are_told_apart(&server, "t1", &what).await;
                } else {
                    ids_are_told_apart(&server, &what).await;
                }
            }
        }
    }
}

const LOG: &str = "CREATE TABLE diffs (id text COLLATE X, owner text COLLATE X, logical_clock bigint, \
                   utc_timestamp bigint, type text, model text COLLATE X, json_data text, PRIMARY KEY (owner, id))";

#[tokio::test]
async fn what_takes_different_owners_or_ids_for_equal_is_refused_at_start() {
    let tasks = table("text", "text", KEY);
    let folding =
        "CREATE COLLATION nd (provider = icu, locale = 'und-u-ks-level1', deterministic = false)";
    let postgres = [
        (table("text COLLATE nd", "text", KEY), "COLLATE \"C\""),
        (table("text", "text COLLATE nd", KEY), "COLLATE \"C\""),
        (table("varchar(50) COLLATE nd", "text", KEY), "ALTER TABLE"),
        (table("char(50)", "text", KEY), "must be text"),
        (table("text", "char(3)", KEY), "must be text"),
        (table("name", "text", KEY), "must be text"),
        (table("folded", "text", KEY), "must be text"),
        (table("numeric", "text", KEY), "must be text"),
        (format!("{tasks}; {}", LOG.replace('X', "nd")), "column id of diffs"),
        (
            format!("{tasks}; CREATE TABLE diffs_owners (owner text COLLATE nd PRIMARY KEY)"),
            "diffs_owners",
        ),
        (
            format!("{tasks}; CREATE TABLE diffs_owners (owner varchar(9) PRIMARY KEY)"),
            "diffs_owners",
        ),
        (format!("{tasks}; CREATE TABLE diffs_owners (name text)"), "diffs_table"),
        (format!("{tasks}; CREATE VIEW diffs_owners AS SELECT owner FROM tasks"), "a view"),
        (
            format!(
                "{}; CREATE UNIQUE INDEX i ON tasks (owner COLLATE nd, id)",
                table("text", "text", "UNIQUE (owner, id)")
            ),
            "treats different texts as equal",
        ),
    ];
    for (statements, word) in postgres {
        let domain = "CREATE DOMAIN folded AS text COLLATE nd";
        let pool = postgres_with(&[folding, domain]).await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(&*statements)).execute(&pool).await.unwrap();
        let error = PostgresDatabase::builder().table("tasks").pool(pool).await.unwrap_err();
        assert!(error.to_string().contains(word), "{statements}: {error}");
    }

    let by_bytes = "CREATE UNIQUE INDEX key ON tasks (owner COLLATE BINARY, id COLLATE BINARY)";
    let sqlite = [
        (table("TEXT COLLATE NOCASE", "TEXT", KEY), "COLLATE BINARY"),
        (table("TEXT", "TEXT COLLATE RTRIM", KEY), "COLLATE BINARY"),
        (
            table("TEXT COLLATE RTRIM", "TEXT", "PRIMARY KEY (owner, id)) WITHOUT ROWID; --"),
            "column owner",
        ),
        (format!("{}; {by_bytes}", table("TEXT COLLATE NOCASE", "TEXT", KEY)), "column owner"),
        (table("TEXT", "TEXT COLLATE NOCASE PRIMARY KEY", "CHECK (1)"), "column id"),
        (table("BLOB", "TEXT", KEY), "must be text"),
        (table("NUMERIC", "TEXT", KEY), "must be text"),
        (table("UUID", "TEXT", KEY), "must be text"),
        (table("TEXT", "REAL", KEY), "must be text"),
        (table("JSON", "TEXT", KEY), "must be text"),
        (table("", "TEXT", KEY), "must be text"),
        (format!("{}; {}", table("TEXT", "TEXT", KEY), LOG.replace('X', "NOCASE")), "of diffs"),
    ];
    for (statements, word) in sqlite {
        let (pool, _folder) = sqlite_with(&[]).await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(&*statements)).execute(&pool).await.unwrap();
        let error = SqliteDatabase::builder().table("tasks").pool(pool).await.unwrap_err();
        assert!(error.to_string().contains(word), "{statements}: {error}");
    }
}

#[tokio::test]
async fn a_log_that_has_no_room_for_an_owner_or_a_diff_takes_nothing_in_part() {
    let log = LOG.replace("text COLLATE X", "varchar(5)");
    let pool = postgres_with(&[&table("text", "text", KEY), &log]).await;
    let server = PostgresDatabase::builder().table("tasks").pool(pool).await.unwrap();
    let server = Server::new(server).await;
    let sent = || [create("t1", json!({"a": "x"})).id("12345")];
    for (who, id) in [("ada   ", "d"), ("adalovelace", "d"), ("ada", "12345 "), ("ada", "123456")] {
        let error = server.0.apply(&owner(who), 0, diffs(sent().map(|sent| sent.id(id)))).await;
        assert_eq!(error.unwrap_err().code(), "internal", "{who:?} {id:?}");
    }
    assert_eq!(server.rows("tasks").await, [] as [Value; 0]);
    server.sync(0, sent()).await;
    assert_eq!(server.sync(0, sent()).await.logical_clock, 1, "it is known");
}

#[tokio::test]
async fn references_meet_what_they_mean() {
    const LIST: &str = "0192f1c5-7b1e-7c33-9d7f-3b1f0a6d2e01";
    const TASK: &str = "0192f1c5-7b1e-7c33-9d7f-3b1f0a6d2e02";
    let statements = [
        "CREATE TABLE lists (id uuid, owner text, PRIMARY KEY (owner, id))",
        "CREATE TABLE tasks (id uuid, owner text, list uuid, PRIMARY KEY (owner, id), \
         FOREIGN KEY (owner, list) REFERENCES lists (owner, id))",
    ];
    let server = super::postgres_server(&statements, &["lists", "tasks"]).await;
    server.sync(0, [create(LIST, json!({})).model("lists")]).await;
    // In whatever format a reference is sent, the id's own format is returned, and goes to the others.
    let spellings = [LIST.to_uppercase(), format!("{{{LIST}}}"), LIST.replace('-', "")];
    let mut clock = 1;
    for list in &spellings {
        let answer = server.sync(clock, [create(TASK, json!({"list": list}))]).await;
        assert!(answer.refused.is_empty(), "{list}: {answer:?}");
        assert_eq!(Value::Object(data(&answer.diffs[0])), json!({"id": TASK, "list": LIST}));
        let back = server.sync(0, []).await;
        assert_eq!(data(&back.diffs[1])["list"], data(&back.diffs[0])["id"]);
        let answer = server.sync(clock + 1, [delete(TASK).at(clock)]).await;
        assert!(answer.diffs.is_empty() && answer.refused.is_empty());
        clock += 2;
    }
    let kept = server.sync(clock, [create(TASK, json!({"list": LIST}))]).await;
    assert!(kept.diffs.is_empty() && kept.refused.is_empty(), "{kept:?}");
    for list in [format!("urn:uuid:{LIST}"), "list".to_owned()] {
        let sent = [update(TASK, json!({"list": list})).id(&list)];
        let refused = server.refused(clock + 1, sent).await;
        assert_eq!((&refused[0].0, &*refused[0].1), (&list, "invalid_value"));
        assert!(refused[0].2.contains("must be a string with a UUID"), "{refused:?}");
        clock += 1;
    }
}

#[tokio::test]
async fn texts_keep_every_character_or_are_refused() {
    let statement = "CREATE TABLE tasks (id text, owner text, a varchar(3), c char(5), PRIMARY KEY (owner, id))";
    let server = super::postgres_server(&[statement], &["tasks"]).await;
    let sent = ["abc", "ab ", "   ", "äöü", "🎉🎉🎉"];
    let sent = sent.map(|text| create(text, json!({"a": text, "c": "ab"})));
    assert_eq!(server.refused(0, sent).await, []);
    let bad = ["abcd", "abc d", "äöüß"].map(|text| create(text, json!({"a": text})).id(text));
    let refused = server.refused(1, bad).await;
    assert_eq!(refused.len(), 3);
    assert!(
        refused.iter().all(|(_, code, what)| code == "invalid_value" && what.contains("\"a\""))
    );
    for row in server.rows("tasks").await {
        assert_eq!((&row["a"], &row["c"]), (&row["id"], &json!("ab")), "neither cut nor padded");
    }
}
