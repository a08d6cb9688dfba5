//! Whatever error one write raises, only its diff is refused, wherever it is and however many there are.
//! Only errors of the server, and errors that the statement also raises without rows, fail the sync.

use std::collections::BTreeSet;

use mobync::{
    Database, Diff, SyncResponse, postgres::PostgresDatabase, sql::SqlDatabase,
    sqlite::SqliteDatabase,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{
    Server, data, postgres_server, postgres_with, sqlite_server, sqlite_with,
    support::{Sent, ada, create, delete, diffs, postgres::new_database, update},
};

/// A way in which a database rejects a row: the columns of the table and other statements, a value for
/// `a` that is accepted, and one that is rejected.
struct Kind {
    columns: &'static str,
    more: &'static [&'static str],
    good: fn() -> Value,
    bad: fn() -> Value,
}

macro_rules! kinds {
    ($($columns:literal [$($more:literal),*] $good:expr => $bad:expr;)*) => {
        &[$(Kind { columns: $columns, more: &[$($more),*], good: || json!($good), bad: || json!($bad) }),*]
    };
}

/// An incompressible text.
fn noise(length: usize) -> String {
    let mut state = 1_u64;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'a' + u8::try_from((state >> 33) % 26).unwrap())
    };
    (0..length).map(letter).collect()
}

const POSTGRES: &[Kind] = kinds! {
    "a text" ["CREATE INDEX ON tasks (a)"] "x" => noise(9000);
    "a tsvector" [] "a cat" => "'a";
    "a tsquery" [] "a & b" => "a &";
    "a jsonpath" [] "$.a" => "$.[";
    "a regclass" [] "pg_class" => "no_such_table";
    "a regproc" [] "now" => "no_such_function";
    "a regconfig" [] "simple" => "no_such_language";
    "a xml" [] "<a/>" => "<a";
    "a uuid" [] "0192f1c5-7b1e-7c33-9d7f-3b1f0a6d2e01" => "not one";
    "a date" [] "2026-02-28" => "2026-02-30";
    "a bytea" [] "\\x00" => "\\xg";
    "a numeric(4, 2)" [] 12.25 => 100;
    "a varchar(3)" [] "abc" => "abcd";
    "a integer[]" [] "{1,2}" => "{1,";
    "a int4range" [] "[1,3)" => "[3,1)";
    "a inet" [] "10.0.0.1" => "10.0.0.256";
    "a jsonb" [] json!({"a": 1}) => "a\u{0}b";
    "a real" [] 1.5 => 1e300;
    "a text NOT NULL DEFAULT ''" [] "x" => Value::Null;
    "a integer CHECK (10 / a > 0)" [] 1 => 0;
    "a text CHECK (CAST(a AS integer) > 0)" [] "1" => "x";
    "a text CHECK (a ~ '^[a-z]*$')" [] "x" => "X";
    "a integer, b integer GENERATED ALWAYS AS (2000000000 + a) STORED" [] 1 => 2_000_000_000;
    "a text" ["CREATE UNIQUE INDEX ON tasks ((lower(a))) WHERE a = 'taken'",
        "INSERT INTO tasks (owner, id, a) VALUES ('ada', 'first', 'taken')"] "x" => "taken";
    "a integer" ["CREATE TABLE parents (n integer PRIMARY KEY)", "INSERT INTO parents VALUES (1)",
        "ALTER TABLE tasks ADD FOREIGN KEY (a) REFERENCES parents DEFERRABLE INITIALLY DEFERRED"] 1 => 2;
    "a int4range, EXCLUDE USING gist (a WITH &&)" ["INSERT INTO tasks VALUES ('ada', 'first', '[1,9)')"]
        Value::Null => "[2,3)";
    "a text" ["CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.a = 'bad' THEN \
        RAISE EXCEPTION 'own' USING ERRCODE = 'APP42'; END IF; RETURN NEW; END$$",
        "CREATE TRIGGER no BEFORE INSERT OR UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION no()"] "x" => "bad";
    "a text" ["CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.a = 'bad' THEN \
        RAISE EXCEPTION 'no right' USING ERRCODE = '28000'; END IF; RETURN NEW; END$$",
        "CREATE TRIGGER no BEFORE INSERT OR UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION no()"] "x" => "bad";
    "a text" ["CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.a = 'bad' THEN \
        COMMIT; END IF; RETURN NULL; END$$",
        "CREATE TRIGGER no AFTER INSERT OR UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION no()"] "x" => "bad";
    "a text" ["CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN ASSERT NEW.a <> 'bad', \
        'asserted'; RETURN NEW; END$$",
        "CREATE TRIGGER no BEFORE INSERT OR UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION no()"] "x" => "bad";
    "a text" ["CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.a = 'bad' THEN \
        PERFORM * FROM no_such_table; END IF; RETURN NULL; END$$",
        "CREATE TRIGGER no AFTER INSERT OR UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION no()"] "x" => "bad";
    "a text" ["CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.a = 'bad' THEN \
        RETURN NULL; END IF; RETURN NEW; END$$",
        "CREATE TRIGGER no BEFORE INSERT OR UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION no()"] "x" => "bad";
    "a text" ["CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.a = 'bad' THEN \
        RAISE EXCEPTION 'late'; END IF; RETURN NULL; END$$",
        "CREATE CONSTRAINT TRIGGER no AFTER INSERT OR UPDATE ON tasks DEFERRABLE INITIALLY DEFERRED \
        FOR EACH ROW EXECUTE FUNCTION no()"] "x" => "bad";
    "a text, \"q$1\"\"$2\" text" ["CREATE DOMAIN there AS text NOT NULL",
        "ALTER TABLE tasks ADD COLUMN d there DEFAULT 'd', ADD CHECK (a <> 'bad')"] "x" => "bad";
};

const SQLITE: &[Kind] = kinds! {
    "a text CHECK (json_extract(a, '$.n') > 0)" [] "{\"n\":1}" => "{";
    "a integer CHECK (abs(a) > 0)" [] 1 => i64::MIN;
    "a text CHECK (a NOT LIKE a || 'x')" [] "y" => "%".repeat(60_000);
    "a text" ["CREATE INDEX tasks_a ON tasks (json_extract(a, '$.n'))"] "{}" => "{";
    "a text, b text GENERATED ALWAYS AS (json_extract(a, '$.n')) STORED" [] "{}" => "{";
    "a text NOT NULL DEFAULT ''" [] "x" => Value::Null;
    "a text UNIQUE ON CONFLICT ROLLBACK" ["INSERT INTO tasks VALUES ('ada', 'first', 'taken')"] Value::Null => "taken";
    "a text UNIQUE ON CONFLICT REPLACE" ["INSERT INTO tasks VALUES ('ada', 'first', 'taken')"] Value::Null => "taken";
    "a text UNIQUE ON CONFLICT IGNORE" ["INSERT INTO tasks VALUES ('ada', 'first', 'taken')"] Value::Null => "taken";
    "a text UNIQUE ON CONFLICT FAIL" ["INSERT INTO tasks VALUES ('ada', 'first', 'taken')"] Value::Null => "taken";
    "a text NOT NULL ON CONFLICT REPLACE DEFAULT 'd'" [] "x" => Value::Null;
    "a text NOT NULL ON CONFLICT IGNORE" [] "x" => Value::Null;
    "a text NOT NULL ON CONFLICT ROLLBACK" [] "x" => Value::Null;
    "a text, CHECK (a <> 'bad') ON CONFLICT ROLLBACK" [] "x" => "bad";
    "a text" ["CREATE TRIGGER no BEFORE INSERT ON tasks WHEN NEW.a = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END",
        "CREATE TRIGGER nu BEFORE UPDATE ON tasks WHEN NEW.a = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END"]
        "x" => "bad";
    "a text" ["CREATE TABLE audit (n)", "CREATE TRIGGER no AFTER INSERT ON tasks WHEN NEW.a = 'bad' BEGIN \
        INSERT INTO audit VALUES (1); SELECT RAISE(FAIL, 'no'); END",
        "CREATE TRIGGER nu AFTER UPDATE ON tasks WHEN NEW.a = 'bad' BEGIN SELECT RAISE(FAIL, 'no'); END"]
        "x" => "bad";
    "a text" ["CREATE TRIGGER no AFTER INSERT ON tasks WHEN NEW.a = 'bad' BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
        "CREATE TRIGGER nu AFTER UPDATE ON tasks WHEN NEW.a = 'bad' BEGIN SELECT RAISE(ROLLBACK, 'no'); END"]
        "x" => "bad";
    "a text" ["CREATE TRIGGER no BEFORE INSERT ON tasks WHEN NEW.a = 'bad' BEGIN SELECT RAISE(IGNORE); END",
        "CREATE TRIGGER nu BEFORE UPDATE ON tasks WHEN NEW.a = 'bad' BEGIN SELECT RAISE(IGNORE); END"]
        "x" => "bad";
    "a text" ["CREATE TABLE others (n UNIQUE ON CONFLICT ROLLBACK)", "INSERT INTO others VALUES ('bad')",
        "CREATE TRIGGER no AFTER INSERT ON tasks BEGIN INSERT INTO others VALUES (NEW.a); END",
        "CREATE TRIGGER nu AFTER UPDATE ON tasks WHEN NEW.a = 'bad' BEGIN INSERT INTO others VALUES (NEW.a); END"]
        Value::Null => "bad";
    "a text" ["CREATE TABLE parents (n text PRIMARY KEY)", "INSERT INTO parents VALUES ('x')",
        "ALTER TABLE tasks ADD COLUMN c text REFERENCES parents (n) DEFERRABLE INITIALLY DEFERRED",
        "CREATE TRIGGER no AFTER INSERT ON tasks BEGIN UPDATE tasks SET c = NEW.a WHERE id = NEW.id; END",
        "CREATE TRIGGER nu AFTER UPDATE OF a ON tasks BEGIN UPDATE tasks SET c = NEW.a WHERE id = NEW.id; END"]
        "x" => "gone";
    "a text REFERENCES parents (n) DEFERRABLE INITIALLY DEFERRED"
        ["CREATE TABLE parents (n text PRIMARY KEY)", "INSERT INTO parents VALUES ('x')"] "x" => "gone";
};

impl Kind {
    fn statements(&self) -> Vec<String> {
        let columns = self.columns;
        // Otherwise SQLite does not know the order of columns and constraints.
        let table =
            format!("CREATE TABLE tasks (owner text, id text, {columns}, PRIMARY KEY (owner, id))");
        let more = self.more.iter().map(|statement| (*statement).to_owned());
        std::iter::once(table).chain(more).collect()
    }
}

/// Of `of` changes, those at these places are bad: creates first, and then updates of other objects.
async fn refuses_alone<D: Database>(server: &Server<D>, kind: &Kind, bad: &[usize], of: usize) {
    let told = format!("{} {:?}, bad at {bad:?} of {of}", kind.columns, kind.more);
    let value = |place: usize| if bad.contains(&place) { (kind.bad)() } else { (kind.good)() };
    let (old, new) = (|n: usize| format!("old{of}-{n:02}"), |n: usize| format!("new{of}-{n:02}"));
    let clock = server.0.clock(&ada()).await.unwrap();
    let made = (0..of).map(|n| create(&old(n), json!({"a": (kind.good)()})));
    let clock = server.sync(clock, made).await.logical_clock;

    let creates = (0..of).map(|n| create(&new(n), json!({"a": value(n)})).id(&new(n)));
    let updates = (0..of).map(|n| update(&old(n), json!({"a": value(n)})).id(&old(n)).at(5));
    let sent: Vec<Sent> = creates.chain(updates).collect();
    let answer = server.sync(clock, sent.clone()).await;
    let refused: BTreeSet<String> =
        answer.refused.iter().map(|refused| refused.diff_id.clone()).collect();
    assert_eq!(refused, bad.iter().flat_map(|n| [old(*n), new(*n)]).collect(), "{told}");
    assert_eq!(answer.logical_clock, clock + 1, "{told}");

    let rows = server.rows("tasks").await;
    let ours = [format!("old{of}-"), format!("new{of}-")];
    let ours = |row: &&Value| ours.iter().any(|ours| row["id"].as_str().unwrap().starts_with(ours));
    let there: BTreeSet<String> =
        rows.iter().filter(ours).map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    let good = (0..of).filter(|place| !bad.contains(place)).map(new);
    assert_eq!(there, good.chain((0..of).map(old)).collect(), "{told}");
    assert!(rows.iter().filter(ours).all(|row| row["a"] != (kind.bad)()), "{told}");

    // It is undone on the device, and a retry changes nothing.
    let deleted = answer.diffs.iter().filter(|diff| diff.operation.as_str() == "delete").count();
    let undone = |diff: &&Diff| {
        let id = data(diff)["id"].as_str().unwrap().to_owned();
        bad.iter().any(|n| id == old(*n) || id == new(*n))
    };
    let undone = answer.diffs.iter().filter(undone).count();
    assert_eq!((deleted, undone), (bad.len(), 2 * bad.len()), "{told}");
    let retry = server.sync(clock, sent).await;
    assert_eq!((retry.logical_clock, retry.diffs.len()), (clock + 1, answer.diffs.len()), "{told}");
    let last = [create("last", json!({"a": (kind.good)()})), delete("last").at(1)];
    assert!(server.sync(clock + 1, last).await.refused.is_empty(), "{told}: it goes on");
}

/// The places of the bad ones, and the number of all.
const DRAWS: &[(&[usize], usize)] =
    &[(&[0], 1), (&[2], 3), (&[0, 1, 2, 3, 4], 5), (&[0, 33, 34, 69], 70)];

#[tokio::test]
async fn whatever_a_row_raises_on_postgresql_refuses_its_diff_alone() {
    for kind in POSTGRES {
        let statements = kind.statements();
        let statements: Vec<&str> = statements.iter().map(|statement| &**statement).collect();
        let server = postgres_server(&statements, &["tasks"]).await;
        for (bad, of) in DRAWS {
            refuses_alone(&server, kind, bad, *of).await;
        }
    }
}

#[tokio::test]
async fn whatever_a_row_raises_on_sqlite_refuses_its_diff_alone() {
    for kind in SQLITE {
        let statements = kind.statements();
        let statements: Vec<&str> = statements.iter().map(|statement| &**statement).collect();
        for captures in [false, true] {
            let (pool, _folder) = sqlite_with(&statements).await;
            let builder = SqliteDatabase::builder().table("tasks");
            let builder =
                if captures { builder.capture() } else { builder.allow_unheard_changes() };
            let server = Server::new(builder.pool(pool.clone()).await.unwrap()).await;
            server.0.reconcile(&ada()).await.unwrap();
            for (bad, of) in DRAWS {
                refuses_alone(&server, kind, bad, *of).await;
            }
            if captures {
                let left = sqlx::query_scalar("SELECT count(*) FROM diffs_marks");
                assert_eq!(left.fetch_one(&pool).await.ok(), Some(0_i64), "{statements:?}");
                let clock = server.0.clock(&ada()).await.unwrap();
                server.0.reconcile(&ada()).await.unwrap();
                let is_equal = server.0.clock(&ada()).await.unwrap() == clock;
                assert!(is_equal, "{statements:?}: rows and log differ");
            }
        }
    }
}

#[tokio::test]
async fn row_level_security_refuses_alone_and_a_missing_right_fails_the_sync() {
    let admin = postgres_with(&[
        "CREATE TABLE tasks (owner text, id text, a text, PRIMARY KEY (owner, id))",
        "ALTER TABLE tasks ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY no ON tasks USING (true) WITH CHECK (a <> 'bad')",
    ])
    .await;
    let role = format!("app_{}", uuid::Uuid::now_v7().simple());
    PostgresDatabase::builder()
        .table("tasks")
        .pool(admin.clone())
        .await
        .unwrap()
        .set_up()
        .await
        .unwrap();
    for statement in [
        format!("CREATE ROLE {role} LOGIN"),
        format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&admin).await.unwrap();
    }
    let options = (*admin.connect_options()).clone().username(&role);
    let pool = sqlx::PgPool::connect_with(options).await.unwrap();
    let database = PostgresDatabase::builder().table("tasks").pool(pool).await.unwrap();
    let server = Server(mobync::Mobync::new(database));

    let sent = || {
        [
            create("t1", json!({"a": "x"})),
            create("t2", json!({"a": "bad"})).id("bad"),
            create("t3", json!({"a": "x"})),
        ]
    };
    let refused = server.refused(0, sent()).await;
    assert_eq!((refused.len(), &*refused[0].0, &*refused[0].1), (1, "bad", "constraint"));

    let revoke = format!("REVOKE INSERT ON tasks FROM {role}");
    sqlx::query(AssertSqlSafe(revoke)).execute(&admin).await.unwrap();
    let more = [create("t4", json!({"a": "x"}))];
    let error = server.0.apply(&ada(), 1, diffs(more.clone())).await.unwrap_err();
    assert_eq!(error.code(), "internal", "no diff is to blame for that");
    let grant = format!("GRANT INSERT ON tasks TO {role}");
    sqlx::query(AssertSqlSafe(grant)).execute(&admin).await.unwrap();
    assert!(server.refused(1, more).await.is_empty(), "and nothing is lost");
}

/// A fault of the database that no diff causes, and how it is repaired.
const ILL: &[(&str, &str)] = &[
    ("ALTER TABLE tasks RENAME TO gone", "ALTER TABLE gone RENAME TO tasks"),
    ("ALTER TABLE tasks RENAME COLUMN a TO gone", "ALTER TABLE tasks RENAME COLUMN gone TO a"),
];

async fn fails_whole<D: mobync::sql::Dialect>(
    server: &Server<SqlDatabase<D>>,
    harm: impl AsyncFn(&'static str),
) {
    let mut clock = 0;
    for (ill, well) in ILL {
        let id = format!("t{clock}");
        let sent = [create(&id, json!({"a": "x"}))];
        harm(ill).await;
        let error = server.0.apply(&ada(), clock, diffs(sent.clone())).await.unwrap_err();
        assert_eq!(error.status().as_u16(), 500, "{ill}: {error:?}");
        harm(well).await;
        let answer = server.sync(clock, sent).await;
        assert!(answer.refused.is_empty(), "{ill}");
        clock = answer.logical_clock;
    }
}

#[tokio::test]
async fn what_a_statement_raises_for_no_row_as_well_is_no_diffs_fault() {
    let table = "CREATE TABLE tasks (owner text, id text, a text, PRIMARY KEY (owner, id))";
    let server = postgres_server(&[table], &["tasks"]).await;
    let pool = server.0.database().pool().clone();
    fails_whole(&server, async |sql| {
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
    })
    .await;
    // A trigger that fails before it looks at any row.
    let switch = async |sql: &'static str| {
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
    };
    switch(
        "CREATE FUNCTION shut() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN RAISE EXCEPTION 'shut' USING ERRCODE = 'APP01'; END$$; \
         CREATE TRIGGER shut BEFORE INSERT ON tasks EXECUTE FUNCTION shut()",
    )
    .await;
    let sent = [create("t9", json!({"a": "x"}))];
    let error = server.0.apply(&ada(), 2, diffs(sent.clone())).await.unwrap_err();
    assert_eq!(error.code(), "internal");
    switch("DROP TRIGGER shut ON tasks").await;
    assert!(server.refused(2, sent).await.is_empty());

    let (server, _folder) = sqlite_server(&[table], &["tasks"]).await;
    let pool = server.0.database().pool().clone();
    fails_whole(&server, async |sql| {
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
    })
    .await;
}

/// Responses that must be equal, however writes are joined.
fn told(answer: &SyncResponse) -> (i64, Vec<String>, Vec<(String, String)>) {
    let refused = answer.refused.iter().map(|one| (one.diff_id.clone(), one.code.clone()));
    (answer.logical_clock, super::support::lines(&answer.diffs), refused.collect())
}

#[tokio::test]
async fn updates_that_go_out_together_do_what_they_do_one_by_one() {
    let plain = "CREATE TABLE tasks (owner text, id text, a text, b integer, c text CHECK (c <> 'bad'), \
                 PRIMARY KEY (owner, id))";
    let postgres_trigger = [
        plain,
        "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$",
        "CREATE TRIGGER nothing BEFORE UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION nothing()",
    ];
    let sqlite_trigger = [plain, "CREATE TRIGGER looks BEFORE UPDATE ON tasks BEGIN SELECT 1; END"];
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let together = postgres_server(&[plain], &["tasks"]).await;
        let one_by_one = postgres_server(&postgres_trigger, &["tasks"]).await;
        let (sqlite, _folder) = sqlite_server(&[plain], &["tasks"]).await;
        let (sqlite_one_by_one, _other) = sqlite_server(&sqlite_trigger, &["tasks"]).await;
        let mut clock = 0;
        for round in 0..8 {
            let sent: Vec<Sent> = (0..12)
                .map(|n| {
                    let object = format!("t{}", random.u8(..3));
                    let field = ["a", "b", "c"][random.usize(..3)];
                    let value = [json!("x"), json!(n), json!(null), json!("bad"), json!("y")]
                        [random.usize(..5)]
                    .clone();
                    let fields = json!({field: value});
                    match random.u8(..8) {
                        0 => create(&object, fields),
                        1 => delete(&object),
                        _ => update(&object, fields),
                    }
                    .at(random.i64(0..9))
                    .id(&format!("d{round}-{n}"))
                })
                .collect();
            let since = if random.bool() { clock } else { 0 };
            let expected = one_by_one.sync(since, sent.clone()).await;
            let rows = one_by_one.rows("tasks").await;
            let answer = together.sync(since, sent.clone()).await;
            assert_eq!(told(&answer), told(&expected), "seed {seed}");
            assert_eq!(together.rows("tasks").await, rows, "seed {seed}");
            let expected = sqlite_one_by_one.sync(since, sent.clone()).await;
            assert_eq!(told(&sqlite.sync(since, sent).await), told(&expected), "seed {seed}");
            assert_eq!(
                sqlite.rows("tasks").await,
                sqlite_one_by_one.rows("tasks").await,
                "seed {seed}"
            );
            clock = answer.logical_clock;
        }
    }
}

#[tokio::test]
async fn a_database_restarted_or_a_connection_ended_is_not_seen_by_devices() {
    let url = new_database().await;
    let table = "CREATE TABLE tasks (owner text, id text, a text, PRIMARY KEY (owner, id))";
    let mut admin = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(table).execute(&mut admin).await.unwrap();
    let database =
        PostgresDatabase::builder().table("tasks").max_connections(3).connect(&url).await.unwrap();
    let server = Server::new(database).await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for round in 0..5 {
        // So that several connections are idle.
        let pulls = (0..3).map(|_| server.0.apply(&ADA, 0, Vec::new()));
        futures_util::future::join_all(pulls).await;
        sqlx::raw_sql(end).execute(&mut admin).await.unwrap();
        if round % 2 == 0 {
            assert_eq!(server.sync(0, []).await.logical_clock, round);
        }
        let answer = server.sync(round, [create(&format!("t{round}"), json!({}))]).await;
        assert_eq!(answer.logical_clock, round + 1);
    }
}

static ADA: std::sync::LazyLock<mobync::Owner> = std::sync::LazyLock::new(ada);

/// Texts with a NUL in them, or that look like it.
const NULS: &[fn() -> Value] = &[
    || json!("\0"),
    || json!("a\u{1e}\0b"),
    || json!({"\0": 1}),
    || json!([{"a": ["\0"]}]),
    || json!("\\u0000"),
    || json!("u0000"),
];

/// Fields that only the log stores, and lives apart, which have no row either.
async fn keeps_nuls<D: Database>(server: Server<D>) {
    let mut clock = 0;
    for (n, nul) in NULS.iter().enumerate() {
        let id = |name: &str| format!("{name}u000{n}");
        let kept = || json!({"a": "x", "kept": nul()});
        let made = [create(&id("made"), kept()), create(&id("meets"), json!({"a": "x"}))];
        assert!(server.refused(clock, made).await.is_empty());
        clock += 1;
        // A device that has seen nothing, so that there is a life apart, and a first create is searched
        // for.
        let sent = [
            update(&id("made"), kept()).at(1),
            create(&id("made"), json!({"a": nul().as_str().unwrap_or("x")})).at(2),
            update(&id("made"), kept()).at(3),
            delete(&id("made")).at(4),
            create(&id("meets"), kept()).at(1),
            update(&id("late"), kept()).at(1),
            create(&id("late"), kept()).at(2),
        ];
        for since in [0, clock] {
            let sent: Vec<Sent> = sent
                .iter()
                .cloned()
                .map(|sent| sent.id(&uuid::Uuid::now_v7().to_string()))
                .collect();
            let answer = server.0.apply(&ada(), since, diffs(sent.clone())).await;
            clock += 1;
            assert_eq!(answer.unwrap().logical_clock, clock, "{}", nul());
            assert_eq!(server.sync(since, sent).await.logical_clock, clock, "{}", nul());
        }
    }
    assert_eq!(server.sync(clock, []).await.logical_clock, clock);
    assert!(!server.sync(0, []).await.diffs.is_empty());
}

#[tokio::test]
async fn a_nul_that_no_column_gets_fails_no_sync() {
    let statement = "CREATE TABLE tasks (owner text, id text, a text, PRIMARY KEY (owner, id))";
    let table = || mobync::sql::Table::new("tasks").keep_unknown_fields();
    let pool = postgres_with(&[statement]).await;
    let database = PostgresDatabase::builder().table(table()).pool(pool).await.unwrap();
    keeps_nuls(Server::new(database).await).await;
    let (pool, _folder) = super::sqlite_with(&[statement]).await;
    let database =
        mobync::sqlite::SqliteDatabase::builder().table(table()).pool(pool).await.unwrap();
    keeps_nuls(Server::new(database).await).await;
}
