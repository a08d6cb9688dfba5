//! Numbers are returned unchanged, whatever their digits are, and integers beyond doubles as strings.

use mobync::{Database, postgres::PostgresDatabase, sql::Table, sqlite::SqliteDatabase};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};

use super::{
    Server, diffs, postgres_server, postgres_with, sqlite_server, sqlite_with,
    support::{ada, create, update},
};

/// Doubles of all bit patterns, and doubles that are known to be difficult.
fn doubles() -> Vec<f64> {
    let mut doubles = vec![
        0.0,
        -0.0,
        1.0,
        0.1,
        0.3,
        0.1 + 0.2,
        1e15,
        1e16,
        1e22,
        1e23,
        123_456_789.123_456_79,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        f64::EPSILON,
        5e-324,
        2.225_073_858_507_201e-308,
        1e-300,
        1e300,
        9_007_199_254_740_993.0,
        18_446_744_073_709_551_616.0,
        1e19,
        9_223_372_036_854_775_808.0,
        -9_223_372_036_854_775_808.0,
        1e70,
        1e-70,
    ];
    let mut runner = TestRunner::deterministic();
    let random = proptest::collection::vec(
        prop_oneof![
            any::<u64>().prop_map(f64::from_bits),
            // Subnormals, and the limits of what is read exactly.
            any::<u64>().prop_map(|bits| f64::from_bits(bits & 0x800f_ffff_ffff_ffff)),
            (any::<u64>(), 700_u64..1300).prop_map(|(bits, power)| f64::from_bits(
                bits & 0x800f_ffff_ffff_ffff | power << 52
            )),
            any::<i32>().prop_map(|number| f64::from(number) / 100.0),
        ],
        2000,
    );
    let random = random.new_tree(&mut runner).unwrap().current();
    doubles.extend(random.into_iter().filter(|double| double.is_finite()));
    doubles
}

/// Each double to a row, from there to JSON, to another row and to JSON again.
async fn doubles_come_back<D: Database>(server: Server<D>, fields: &[&str]) {
    let doubles = doubles();
    let record = |double: f64| {
        Value::Object(fields.iter().map(|field| ((*field).to_owned(), json!(double))).collect())
    };
    let sent =
        doubles.iter().enumerate().map(|(n, double)| create(&format!("{n:05}"), record(*double)));
    assert_eq!(server.refused(0, sent).await, []);
    let rows = server.rows("tasks").await;
    let again = rows.iter().map(|row| {
        let mut fields = row.as_object().unwrap().clone();
        let id = format!("1{}", fields.remove("id").unwrap().as_str().unwrap());
        create(&id, Value::Object(fields))
    });
    assert_eq!(server.refused(1, again).await, []);
    let rows = server.rows("tasks").await;
    assert_eq!(rows.len(), 2 * doubles.len());
    for (row, double) in rows.iter().zip(doubles.iter().chain(&doubles)) {
        for field in fields {
            let read = row[field].as_f64().unwrap();
            let same = read.to_bits() == double.to_bits();
            // SQLite keeps no sign of a zero that it stores as an integer, and PostgreSQL's numeric has
            // none.
            assert!(same || read == 0.0 && *double == 0.0, "{field}: {double:e} {read:e}");
        }
    }
}

#[tokio::test]
async fn every_double_comes_back_as_itself_on_sqlite() {
    let table = "CREATE TABLE tasks (id TEXT, owner TEXT, r REAL, d DOUBLE, n NUMERIC, c DECIMAL(10, 5), j JSON, \
                 t JSONTEXT, untyped, b BLOB, PRIMARY KEY (owner, id))";
    let (server, _folder) = sqlite_server(&[table], &["tasks"]).await;
    let fields = ["r", "d", "n", "c", "j", "t", "untyped", "b"];
    doubles_come_back(server, &fields).await;
    let strict =
        "CREATE TABLE tasks (id TEXT, owner TEXT, r REAL, a ANY, PRIMARY KEY (owner, id)) STRICT";
    let (server, _folder) = sqlite_server(&[strict], &["tasks"]).await;
    doubles_come_back(server, &["r", "a"]).await;
}

#[tokio::test]
async fn every_double_comes_back_as_itself_on_postgresql() {
    let table = "CREATE TABLE tasks (id text, owner text, d double precision, j json, n numeric, b jsonb, \
                 PRIMARY KEY (owner, id))";
    let server = postgres_server(&[table], &["tasks"]).await;
    doubles_come_back(server, &["d", "j", "n", "b"]).await;
}

const ODD_SQLITE: &[&str] = &[
    "CREATE TABLE tasks (id TEXT, owner TEXT, f REAL, n NUMERIC, j JSON, i INTEGER, yes BOOLEAN, \
     PRIMARY KEY (owner, id))",
    "INSERT INTO tasks VALUES ('a', 'ada', 9e999, -9e999, 9e999, 1.5, 2.5), \
     ('b', 'ada', 'word', x'00ff', 'no json', 'word', 1.0), ('c', 'ada', 1, 1.0, x'ffff', 2e30, 'word')",
];

#[tokio::test]
async fn what_no_number_can_be_in_json_is_read_from_rows_all_the_same() {
    let (server, _folder) = sqlite_server(ODD_SQLITE, &["tasks"]).await;
    let rows = server.rows("tasks").await;
    assert_eq!(
        rows,
        [
            json!({"id": "a", "f": null, "n": null, "j": null, "i": 1.5, "yes": 2.5}),
            json!({"id": "b", "f": "word", "n": "00FF", "j": "no json", "i": "word", "yes": true}),
            json!({"id": "c", "f": 1.0, "n": 1, "j": "FFFF", "i": 2e30, "yes": "word"}),
        ]
    );

    let statements = &[
        "CREATE TABLE tasks (id text, owner text, d double precision, r real, n numeric, PRIMARY KEY (owner, id))",
        "INSERT INTO tasks VALUES ('a', 'ada', 'NaN', 'Infinity', 'NaN'), \
         ('b', 'ada', '-Infinity', 'NaN', '-Infinity'), ('c', 'ada', 0.1, 0.1, 1e400), \
         ('d', 'ada', -1e308, -0.5, -12345678901234567890.5)",
    ];
    let server = postgres_server(statements, &["tasks"]).await;
    let rows = server.rows("tasks").await;
    let large = format!("1{}", "0".repeat(400));
    assert_eq!(
        rows,
        [
            json!({"id": "a", "d": null, "r": null, "n": null}),
            json!({"id": "b", "d": null, "r": null, "n": null}),
            json!({"id": "c", "d": 0.1, "r": 0.1, "n": large}),
            json!({"id": "d", "d": -1e308, "r": -0.5, "n": -12_345_678_901_234_567_890.5}),
        ]
    );
    // What is returned can be sent again.
    for (clock, word) in ["NaN", "Infinity", "-infinity", "0x1f", " 7"].into_iter().enumerate() {
        let clock = i64::try_from(clock).unwrap();
        let sent = [create(&format!("t{clock}"), json!({"n": word})).id(word)];
        let refused = server.refused(clock, sent).await;
        assert_eq!((&*refused[0].0, &*refused[0].1), (word, "invalid_value"));
    }
    let sent =
        [create("e", json!({"n": large})), create("f", json!({"n": "-12345678901234567890.5"}))];
    assert_eq!(server.refused(5, sent).await, []);
}

const PAYMENTS: &str = "CREATE TABLE tasks (id text, owner text, big bigint, asked bigint, small smallint, PRIMARY KEY (owner, id))";

/// Integers as strings of digits: each in exactly one format.
async fn integers_may_be_strings<D: Database>(server: Server<D>) {
    let good = [i64::MIN, -1, 0, 7, 9_007_199_254_740_993, i64::MAX];
    let sent = good.iter().enumerate().map(|(n, number)| {
        let digits = number.to_string();
        create(&format!("g{n}"), json!({"big": digits, "asked": digits, "small": "7"}))
    });
    assert_eq!(server.refused(0, sent).await, []);
    for (row, number) in server.rows("tasks").await.iter().zip(good) {
        assert_eq!((&row["big"], &row["small"]), (&json!(number), &json!(7)));
        assert_eq!(row["asked"], json!(number.to_string()));
    }
    // If the database reads an integer from a text, its own format is returned.
    let mut clock = 1;
    for (digits, number) in [("007", 7), ("+7", 7), (" 7", 7), ("7 ", 7), ("-0", 0)] {
        let fields = json!({"big": digits, "asked": digits, "small": digits});
        let back = server.sync(clock, [update("g1", fields).at(clock)]).await;
        assert_eq!(back.refused.len(), 0, "{digits:?}");
        let asked = number.to_string();
        let expected = json!({"id": "g1", "big": number, "asked": asked, "small": number});
        assert_eq!(Value::Object(super::data(&back.diffs[0])), expected, "{digits:?}");
        clock += 1;
    }
    let bad = ["1e0", "7.0", "0x7", "", "٧", "9223372036854775808", "seven"];
    for field in ["big", "asked", "small"] {
        for digits in bad {
            let sent = [
                create(&format!("b{clock}"), json!({field: digits})).id(&format!("bad{clock}")),
                update("g0", json!({"small": 1})).at(clock),
            ];
            let refused = server.refused(clock, sent).await;
            assert_eq!(refused.len(), 1, "{field} {digits:?}: {refused:?}");
            let (id, code, sentence) = &refused[0];
            assert_eq!((id, &**code), (&format!("bad{clock}"), "invalid_value"), "{digits:?}");
            assert!(sentence.contains(field), "{sentence}");
            clock += 1;
        }
    }
    // If strings are requested, a number that readers could round is sent as a string.
    let sent = [
        create("n0", json!({"asked": 9_007_199_254_740_991_i64, "big": 9_007_199_254_740_993_i64})),
        create("n1", json!({"asked": 9_007_199_254_740_992_i64})).id("unsafe"),
    ];
    let refused = server.refused(clock, sent).await;
    let told: Vec<_> = refused.iter().map(|(id, code, _)| (&**id, &**code)).collect();
    assert_eq!(told, [("unsafe", "invalid_value")]);
    for (field, value) in [("big", "9007199254740993"), ("asked", "9007199254740993")] {
        let mut found = super::types::ids(&server, mobync::ReadFilter::equal(field, value)).await;
        assert_eq!(found.remove(0), "g4", "{field}");
        let any = mobync::ReadFilter::any_of(field, [value, "7", "word"]);
        assert!(super::types::ids(&server, any).await.starts_with(&["g3".into(), "g4".into()]));
    }
}

#[tokio::test]
async fn integers_come_as_strings_of_digits_and_go_back_so_where_that_is_asked_for() {
    let table = || Table::new("tasks").numbers_as_strings(["asked"]);
    let pool = postgres_with(&[PAYMENTS]).await;
    let postgres = PostgresDatabase::builder().table(table()).pool(pool).await.unwrap();
    integers_may_be_strings(Server::new(postgres).await).await;
    let (pool, _folder) = sqlite_with(&[PAYMENTS]).await;
    let sqlite = SqliteDatabase::builder().table(table()).pool(pool.clone()).await.unwrap();
    integers_may_be_strings(Server::new(sqlite).await).await;

    for (column, word) in [("nothing", "no column nothing"), ("owner", "no column owner")] {
        let table = Table::new("tasks").numbers_as_strings([column]);
        let error = SqliteDatabase::builder().table(table).pool(pool.clone()).await.unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }
}

async fn a_change_of_an_integer_key_is_undone<D: Database>(server: Server<D>) {
    server.sync(0, [create("7", json!({"n": 1}))]).await;
    let sent = [update("7", json!({"n": "word"})).at(1).id("bad")];
    let answer = server.0.apply(&ada(), 1, diffs(sent)).await.unwrap();
    assert_eq!(answer.refused.len(), 1);
    assert_eq!(super::data(&answer.diffs[0])["n"], json!(1), "{answer:?}");
}

#[tokio::test]
async fn a_refused_change_of_a_row_with_an_integer_key_is_undone() {
    let table = "CREATE TABLE tasks (id bigint, owner text, n integer, PRIMARY KEY (owner, id))";
    a_change_of_an_integer_key_is_undone(postgres_server(&[table], &["tasks"]).await).await;
    let (server, _folder) = sqlite_server(&[table], &["tasks"]).await;
    a_change_of_an_integer_key_is_undone(server).await;
}
