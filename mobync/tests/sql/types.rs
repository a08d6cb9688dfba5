//! JSON to columns and back. What a column cannot hold is refused alone, with its name.

use mobync::{Access, Database, ReadFilter, UnitOfWork};
use serde_json::{Value, json};

use super::{
    Server, data, postgres_server, sqlite_server,
    support::{ada, create, update},
};

const POSTGRES: &[&str] = &[
    "CREATE TYPE mood AS ENUM ('fine', 'so so')",
    "CREATE DOMAIN percent AS integer CHECK (VALUE BETWEEN 0 AND 100)",
    "CREATE TABLE tasks (id uuid PRIMARY KEY, owner varchar(50) NOT NULL, txt text, short varchar(5), \
     i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision, num numeric(30, 10), \
     yes boolean, j json, jb jsonb, u uuid, d date, ts timestamptz, bytes bytea, feeling mood, \
     tags text[], numbers integer[], share percent, twice integer GENERATED ALWAYS AS (i4 * 2) STORED, \
     made timestamptz NOT NULL DEFAULT now())",
];

const ID: &str = "0192f1c5-7b1e-7c33-9d7f-3b1f0a6d2e01";

#[tokio::test]
async fn every_type_of_postgresql_comes_back_as_it_was_sent() {
    let server = postgres_server(POSTGRES, &["tasks"]).await;
    let fields = json!({
        "txt": "Grüße, \"Ada\"; DROP TABLE tasks; -- 🎉", "short": "12345", "i2": -32768, "i4": 1_073_741_823,
        "i8": i64::MIN, "f4": 1.5, "f8": 1e-300, "num": 12.5, "yes": true, "j": {"a": [1, null, "x"]},
        "jb": [{"b": false}], "u": "0192f1c5-7b1e-7c33-9d7f-3b1f0a6d2eff", "d": "2026-02-28",
        "ts": "2026-02-28T12:34:56.789+00:00", "bytes": "\\x00ff10", "feeling": "so so",
        "tags": ["a", "b\"c", "{,}"], "numbers": [1, null, 3], "share": 50,
        "made": "2020-01-01T00:00:00+00:00",
    });
    assert_eq!(server.refused(0, [create(ID, fields.clone())]).await, []);
    let mut row = server.rows("tasks").await.remove(0);
    assert_eq!(row["id"], ID);
    row.as_object_mut().unwrap().remove("id");
    assert_eq!(row.as_object_mut().unwrap().remove("twice"), Some(json!(2_147_483_646)));
    assert_eq!(row, fields);

    let nulls: serde_json::Map<String, Value> = fields
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| *name != "made")
        .map(|name| (name.clone(), Value::Null))
        .collect();
    server.sync(1, [update(ID, Value::Object(nulls.clone())).at(1)]).await;
    let row = server.rows("tasks").await.remove(0);
    for name in nulls.keys() {
        assert_eq!(row[name], Value::Null, "{name}");
    }
}

#[tokio::test]
async fn digits_beyond_those_of_floats_reach_the_column_and_the_other_devices() {
    let server = postgres_server(POSTGRES, &["tasks"]).await;
    let mut sent = create(ID, json!({}));
    sent.0.json_data = format!(r#"{{"id": "{ID}", "num": 12345678901234567890.0123456789}}"#);
    server.sync(0, [sent]).await;
    let pool = server.0.database().pool();
    let num: String =
        sqlx::query_scalar("SELECT num::text FROM tasks").fetch_one(pool).await.unwrap();
    assert_eq!(num, "12345678901234567890.0123456789");
    let back = server.sync(0, []).await;
    assert!(back.diffs[0].json_data.contains("12345678901234567890.0123456789"));
}

#[tokio::test]
async fn what_a_column_of_postgresql_cannot_hold_is_refused_alone_and_named() {
    let server = postgres_server(POSTGRES, &["tasks"]).await;
    server.sync(0, [create(ID, json!({"i4": 1}))]).await;
    let bad = [
        ("txt", json!(5)),
        ("txt", json!("a\u{0}b")),
        ("short", json!("123456")),
        ("i2", json!(32_768)),
        ("i4", json!("abc")),
        ("i4", json!(1.5)),
        ("i8", json!(9.3e18)),
        ("f8", json!("x")),
        ("num", json!("abc")),
        ("num", json!(1e25)),
        ("yes", json!("perhaps")),
        ("jb", json!("a\u{0}b")),
        ("u", json!("not a uuid")),
        ("d", json!("2026-02-30")),
        ("ts", json!({"a": 1})),
        ("bytes", json!("\\xzz")),
        ("feeling", json!("angry")),
        ("tags", json!("no array")),
        ("numbers", json!(["x"])),
    ];
    let mut clock = 1;
    for (field, value) in bad {
        let sent = [
            update(ID, json!({"i8": clock})).at(clock),
            update(ID, json!({"i4": clock, field: value.clone()}))
                .at(clock + 1)
                .id(&format!("bad{clock}")),
            create(&format!("0192f1c5-7b1e-7c33-9d7f-{clock:012}"), json!({"txt": "stands"})),
        ];
        let refused = server.refused(clock, sent).await;
        assert_eq!(refused.len(), 1, "{field} {value}: {refused:?}");
        let (diff_id, code, message) = &refused[0];
        assert_eq!((diff_id, &**code), (&format!("bad{clock}"), "invalid_value"), "{field}");
        assert!(message.contains(&format!("\"{field}\"")), "{field} {value}: {message}");
        clock += 1;
    }
    let rows = server.rows("tasks").await;
    assert_eq!(rows.len(), usize::try_from(clock).unwrap(), "the others stand");
    let row = rows.iter().find(|row| row["id"] == ID).unwrap();
    assert_eq!((&row["i4"], &row["i8"]), (&json!(1), &json!(clock - 1)));
}

#[tokio::test]
async fn an_id_that_the_column_would_spell_otherwise_is_refused() {
    let server = postgres_server(POSTGRES, &["tasks"]).await;
    let upper = ID.to_uppercase();
    for id in ["t1", &upper, &format!("{{{ID}}}")] {
        let refused = server.refused(0, [create(id, json!({})).id(id)]).await;
        assert_eq!((&*refused[0].0, &*refused[0].1), (id, "invalid_value"), "{refused:?}");
    }
    let answer =
        server.sync(3, [update("t1", json!({"i4": 1})), super::support::delete("t1")]).await;
    assert!(answer.refused.is_empty() && answer.message.starts_with("2 of 2"), "{answer:?}");
}

const SQLITE: &[&str] = &[
    "CREATE TABLE tasks (id TEXT NOT NULL, owner TEXT NOT NULL, txt TEXT, short VARCHAR(5), i INTEGER, \
     f REAL, yes BOOLEAN, j JSON, day DATE, anything BLOB, twice INTEGER AS (i * 2), PRIMARY KEY (owner, id))",
    "CREATE TABLE strict (id TEXT NOT NULL, owner TEXT NOT NULL, i INT, b BLOB, x ANY, \
     PRIMARY KEY (owner, id)) STRICT",
];

#[tokio::test]
async fn every_type_of_sqlite_comes_back_as_it_was_sent() {
    let (server, _folder) = sqlite_server(SQLITE, &["tasks"]).await;
    let fields = json!({
        "txt": "Grüße, 'Ada'; DROP TABLE tasks; -- 🎉", "short": "12345", "i": i64::MAX / 2, "f": 1e-300,
        "yes": true, "j": {"a": [1, null, "x'y"]}, "day": "2026-02-28", "anything": "text",
    });
    assert!(server.refused(0, [create("t1", fields.clone())]).await.is_empty());
    let mut row = server.rows("tasks").await.remove(0);
    row.as_object_mut().unwrap().remove("id");
    assert_eq!(row.as_object_mut().unwrap().remove("twice"), Some(json!(i64::MAX - 1)));
    assert_eq!(row, fields);
    server
        .sync(1, [update("t1", json!({"yes": null, "j": null, "f": null, "day": null})).at(1)])
        .await;
    let row = server.rows("tasks").await.remove(0);
    assert_eq!((&row["yes"], &row["j"], &row["f"]), (&Value::Null, &Value::Null, &Value::Null));
}

#[tokio::test]
async fn what_a_column_of_sqlite_is_not_for_is_refused_alone_and_named() {
    let (server, _folder) = sqlite_server(SQLITE, &["tasks", "strict"]).await;
    let bad = [
        ("tasks", "txt", json!(5)),
        ("tasks", "txt", json!("a\u{0}b")),
        ("tasks", "i", json!("abc")),
        ("tasks", "i", json!(1.5)),
        ("tasks", "f", json!("x")),
        ("tasks", "yes", json!("perhaps")),
        ("strict", "i", json!("abc")),
        ("strict", "b", json!("text")),
    ];
    for (place, (model, field, value)) in bad.into_iter().enumerate() {
        let id = format!("bad{place}");
        let sent = [
            create(&format!("a{place}"), json!({})).model(model),
            create(&format!("b{place}"), json!({field: value.clone()})).model(model).id(&id),
            create(&format!("c{place}"), json!({})).model(model),
        ];
        let refused = server.refused(0, sent).await;
        assert_eq!(refused.len(), 1, "{field} {value}: {refused:?}");
        assert_eq!((&refused[0].0, &*refused[0].1), (&id, "invalid_value"), "{field}");
        assert!(
            refused[0].2.contains(&format!("\"{field}\"")),
            "{field} {value}: {}",
            refused[0].2
        );
    }
    assert_eq!(server.rows("tasks").await.len(), 12);
    assert_eq!(server.rows("strict").await.len(), 4);
}

#[tokio::test]
async fn fields_that_a_create_does_not_name_get_the_columns_default() {
    let statements = &[
        "CREATE TABLE tasks (id text, owner text, a text DEFAULT 'given', b integer NOT NULL DEFAULT 7, PRIMARY KEY (owner, id))",
    ];
    let postgres = postgres_server(statements, &["tasks"]).await;
    let (sqlite, _folder) = sqlite_server(statements, &["tasks"]).await;
    let expected = json!({"id": "t1", "a": "given", "b": 7});
    postgres.sync(0, [create("t1", json!({}))]).await;
    sqlite.sync(0, [create("t1", json!({}))]).await;
    assert_eq!(postgres.rows("tasks").await, std::slice::from_ref(&expected));
    assert_eq!(sqlite.rows("tasks").await, [expected]);
}

#[tokio::test]
async fn fields_unknown_to_the_table_fail_the_request_or_are_kept_in_the_log() {
    let statements = &["CREATE TABLE tasks (id text, owner text, a text, PRIMARY KEY (owner, id))"];
    let (pool, _folder) = super::sqlite_with(statements).await;
    let strict = mobync::sqlite::SqliteDatabase::builder().table("tasks").pool(pool.clone());
    let strict = Server::new(strict.await.unwrap()).await;
    for field in ["b", "owner"] {
        let sent = super::diffs([create("t1", json!({"a": "x", field: "y"}))]);
        let error = strict.0.apply(&ada(), 0, sent).await.unwrap_err();
        assert_eq!(error.code(), "unknown_field");
        assert!(error.to_string().contains("(it has a)"), "{error}");
    }

    let table = mobync::sql::Table::new("tasks").keep_unknown_fields();
    let keeping = mobync::sqlite::SqliteDatabase::builder().table(table).pool(pool);
    let keeping = Server::new(keeping.await.unwrap()).await;
    keeping.sync(0, [create("t1", json!({"a": "x", "b": "y", "owner": "bob"}))]).await;
    keeping.sync(1, [update("t1", json!({"c": 1})).at(1)]).await;
    assert_eq!(keeping.rows("tasks").await, [json!({"id": "t1", "a": "x"})]);
    let back = keeping.sync(0, []).await;
    assert_eq!(back.diffs[0].owner, "ada");
    assert_eq!(
        Value::Object(data(&back.diffs[0])),
        json!({"id": "t1", "a": "x", "b": "y", "c": 1, "owner": "bob"})
    );
}

/// The ids of the records that match a filter.
pub(crate) async fn ids<D: Database>(server: &Server<D>, filter: ReadFilter) -> Vec<String> {
    let mut unit = server.0.database().open(&ada(), Access::Write).await.unwrap();
    let records = unit.read(&ada(), "tasks", &[filter]).await.unwrap();
    // The unit stays usable after a filter that the database could not read.
    unit.read(&ada(), "tasks", &[]).await.unwrap();
    let mut ids: Vec<String> = records.iter().map(|record| record.id().to_owned()).collect();
    ids.sort();
    ids
}

async fn filters_hold<D: Database>(server: Server<D>) {
    server
        .sync(
            0,
            [
                create("a", json!({"txt": "a", "n": 1, "f": 1.5, "yes": true, "d": "2026-01-01"})),
                create("b", json!({"txt": "B", "n": 2, "f": 2.0, "yes": false, "d": "2026-02-01"})),
                create("c", json!({"txt": null, "n": null})),
            ],
        )
        .await;
    let none: [&str; 0] = [];
    let cases: Vec<(ReadFilter, Vec<&str>)> = vec![
        (ReadFilter::equal("id", "a"), vec!["a"]),
        (ReadFilter::any_of("id", ["a", "c", "x"]), vec!["a", "c"]),
        (ReadFilter::any_of("id", none), vec![]),
        (ReadFilter::greater("id", "a"), vec!["b", "c"]),
        (ReadFilter::equal("txt", "a"), vec!["a"]),
        (ReadFilter::greater("txt", "B"), vec!["a"]), // by code points
        (ReadFilter::less("txt", "a"), vec!["b"]),
        (ReadFilter::equal("txt", Value::Null), vec!["c"]),
        (ReadFilter::equal("txt", 1), vec![]),
        (ReadFilter::equal("n", 1), vec!["a"]),
        (ReadFilter::equal("n", 2.0), vec!["b"]),
        (ReadFilter::greater_or_equal("n", 1.5), vec!["b"]),
        (ReadFilter::equal("n", i64::MAX), vec![]),
        (ReadFilter::equal("n", "word"), vec![]),
        (ReadFilter::less_or_equal("f", 1.5), vec!["a"]),
        (
            ReadFilter::any_of("n", [json!(1), json!("x"), Value::Null, json!(i64::MAX)]),
            vec!["a", "c"],
        ),
        (ReadFilter::equal("yes", true), vec!["a"]),
        (ReadFilter::any_of("yes", [false]), vec!["b"]),
        (ReadFilter::equal("yes", "perhaps"), vec![]),
        (ReadFilter::equal("d", "2026-01-01"), vec!["a"]),
        (ReadFilter::greater("d", "2026-01-15"), vec!["b"]),
        (ReadFilter::equal("d", "no date"), vec![]),
    ];
    for (filter, expected) in cases {
        assert_eq!(ids(&server, filter.clone()).await, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn filters_hold_for_what_their_names_say() {
    let statements = &[
        "CREATE TABLE tasks (id text, owner text, txt text, n integer, f double precision, yes boolean, \
         d date, PRIMARY KEY (owner, id))",
    ];
    filters_hold(postgres_server(statements, &["tasks"]).await).await;
    let (sqlite, _folder) = sqlite_server(statements, &["tasks"]).await;
    filters_hold(sqlite).await;
    filters_hold(Server(mobync::Mobync::new(mobync::memory::MemoryDatabase::new()))).await;
}
