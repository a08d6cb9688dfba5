//! On SQLite, every change of a captured row leaves a mark, however it is made. The test draws tables
//! with all kinds of keys, and statements with all kinds of conflicts.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use mobync::{sql::Table, sqlite::SqliteDatabase};
use sqlx::{
    AssertSqlSafe, Row, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

/// A table with the columns owner, id, `a` and `n`, and more.
struct Shape {
    table: &'static str,
    id: &'static str,
    owner: &'static str,
    statements: &'static [&'static str],
}

const fn shape(statements: &'static [&'static str]) -> Shape {
    Shape { table: "tasks", id: "id", owner: "owner", statements }
}

const SHAPES: &[Shape] = &[
    shape(&[
        "CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT, n INTEGER, PRIMARY KEY (owner, id))",
    ]),
    shape(&[
        "CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT, n INTEGER, PRIMARY KEY (owner, id)) WITHOUT ROWID",
    ]),
    shape(&["CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT UNIQUE, n INTEGER UNIQUE, \
             PRIMARY KEY (id, owner)) STRICT, WITHOUT ROWID"]),
    shape(&["CREATE TABLE tasks (owner TEXT, id TEXT PRIMARY KEY, a TEXT, n INTEGER)"]),
    shape(&["CREATE TABLE tasks (owner TEXT, id INTEGER PRIMARY KEY, a TEXT, n INTEGER)"]),
    shape(&[
        "CREATE TABLE tasks (owner TEXT, id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT UNIQUE, n INTEGER) STRICT",
    ]),
    shape(&[
        "CREATE TABLE tasks (owner INTEGER, id INTEGER, a TEXT, n INTEGER, PRIMARY KEY (owner, id))",
    ]),
    shape(&[
        "CREATE TABLE tasks (n INTEGER PRIMARY KEY, owner TEXT, id TEXT, a TEXT, UNIQUE (owner, id))",
    ]),
    shape(&[
        "CREATE TABLE tasks (n INTEGER PRIMARY KEY, owner TEXT, id TEXT, a TEXT, UNIQUE (owner, id))",
        "CREATE UNIQUE INDEX k ON tasks (n % 3)",
    ]),
    shape(&[
        "CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT, n INTEGER, PRIMARY KEY (owner, id))",
        "CREATE UNIQUE INDEX k ON tasks (owner COLLATE NOCASE, id, n IS NULL)",
    ]),
    shape(&[
        "CREATE TABLE tasks (rowid TEXT, owner TEXT, id TEXT, a TEXT UNIQUE, n INTEGER, PRIMARY KEY (owner, id))",
    ]),
    shape(&[
        "CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT UNIQUE, n INTEGER, PRIMARY KEY (owner, id), UNIQUE (n, a))",
    ]),
    shape(&[
        "CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT COLLATE NOCASE UNIQUE, n, PRIMARY KEY (owner, id), UNIQUE (owner, n))",
    ]),
    shape(&[
        "CREATE TABLE tasks (owner TEXT COLLATE NOCASE, id TEXT COLLATE RTRIM, a TEXT COLLATE NOCASE, n INTEGER)",
        "CREATE UNIQUE INDEX k ON tasks (owner COLLATE BINARY, id COLLATE BINARY)",
        "CREATE UNIQUE INDEX j ON tasks (a COLLATE BINARY DESC, n ASC)",
    ]),
    shape(&[
        "CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT, n INTEGER, PRIMARY KEY (owner, id))",
        "CREATE UNIQUE INDEX some ON tasks(a) WHERE n > 0 AND a IS NOT 'x'",
    ]),
    shape(&[
        "CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT, n INTEGER, PRIMARY KEY (owner, id))",
        "CREATE UNIQUE INDEX typed ON tasks(n) WHERE a > 5",
    ]),
    shape(&[
        "CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT, n NUMERIC, PRIMARY KEY (owner, id))",
        "CREATE UNIQUE INDEX typed ON tasks(n = '1', a) WHERE n = '1'",
    ]),
    shape(&[
        "CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT, n INTEGER, PRIMARY KEY (owner, id))",
        "CREATE UNIQUE INDEX lower ON tasks (lower(a))",
    ]),
    shape(&[
        "CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT, n INTEGER, PRIMARY KEY (owner, id))",
        "CREATE UNIQUE INDEX [on ( ] ON \"tasks\" /* ) */ ((\"n\" % 2) DESC, [a] || ',)' COLLATE NOCASE ASC) \
         WHERE -- )\n a <> 'x,('",
    ]),
    shape(&[
        "CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT, n INTEGER, PRIMARY KEY (owner, id))",
        "CREATE UNIQUE INDEX json ON tasks (json_extract(a, '$')) WHERE json_valid(a)",
    ]),
    shape(&[
        "CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT, n INTEGER, g TEXT AS (lower(a)) STORED UNIQUE, \
             v TEXT AS (n % 2) VIRTUAL, PRIMARY KEY (owner, id), UNIQUE (v, a))",
    ]),
    shape(&[
        "CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT NOT NULL ON CONFLICT REPLACE DEFAULT d UNIQUE, n INTEGER, \
             PRIMARY KEY (owner, id))",
    ]),
    shape(&[
        "CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT NOT NULL DEFAULT 'it''s', n INTEGER NOT NULL DEFAULT -1, \
             PRIMARY KEY (owner, id), UNIQUE (a), UNIQUE (n))",
    ]),
    shape(&[
        "CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT UNIQUE ON CONFLICT REPLACE, n INTEGER UNIQUE ON CONFLICT IGNORE, \
             PRIMARY KEY (owner, id) ON CONFLICT REPLACE)",
    ]),
    shape(&[
        "CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT UNIQUE ON CONFLICT FAIL, n INTEGER UNIQUE ON CONFLICT ROLLBACK, \
             PRIMARY KEY (owner, id) ON CONFLICT REPLACE)",
    ]),
    shape(&[
        "CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT, n INTEGER, PRIMARY KEY (owner, id), UNIQUE (owner, a), \
             FOREIGN KEY (owner, a) REFERENCES tasks (owner, id) ON DELETE CASCADE ON UPDATE CASCADE)",
    ]),
    shape(&[
        "CREATE TABLE parents (a TEXT PRIMARY KEY, n INTEGER UNIQUE)",
        "CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT DEFAULT 'x' REFERENCES parents ON DELETE SET DEFAULT ON UPDATE CASCADE, \
         n INTEGER REFERENCES parents (n) ON DELETE SET NULL ON UPDATE SET NULL, PRIMARY KEY (owner, id))",
        "INSERT INTO parents VALUES ('x', 0), ('X', 1), ('1', 2), ('it''s', 3)",
    ]),
    shape(&[
        "CREATE TABLE tasks (owner TEXT, id TEXT, a TEXT UNIQUE, n INTEGER, PRIMARY KEY (owner, id))",
        "CREATE TRIGGER counts AFTER UPDATE OF a ON tasks BEGIN UPDATE tasks SET n = n + 1 WHERE owner = NEW.owner; END",
        "CREATE TRIGGER twins BEFORE INSERT ON tasks WHEN NEW.n = 1 BEGIN \
         INSERT INTO tasks VALUES (NEW.owner, NEW.id || 't', NEW.a, 2); END",
        "CREATE TRIGGER takes AFTER DELETE ON tasks BEGIN DELETE FROM tasks WHERE n = OLD.n; END",
        "CREATE TRIGGER ignores BEFORE UPDATE ON tasks WHEN NEW.n = 0 BEGIN SELECT RAISE(IGNORE); END",
    ]),
    Shape {
        table: "we\"ird 'ta[b]le`",
        id: "i'd \"",
        owner: "select",
        statements: &[
            "CREATE TABLE \"we\"\"ird 'ta[b]le`\" (\"select\" TEXT, \"i'd \"\"\" TEXT, a TEXT, n INTEGER, \
            PRIMARY KEY (\"select\", \"i'd \"\"\"))",
            "CREATE UNIQUE INDEX \"a b\" ON \"we\"\"ird 'ta[b]le`\" (a, lower(\"i'd \"\"\"))",
            "CREATE UNIQUE INDEX \"c\" ON \"we\"\"ird 'ta[b]le`\" (n) WHERE \"select\" = 'ada'",
        ],
    },
];

/// Statements with owners, ids and values in `{o}`, `{i}`, `{a}`, `{n}`, each drawn anew.
const STATEMENTS: &[&str] = &[
    "INSERT{or} INTO {t} ({O}, {I}, a, n) VALUES ({o}, {i}, {a}, {n})",
    "INSERT{or} INTO {t} ({O}, {I}, a, n) VALUES ({o}, {i}, {a}, {n}), ({o}, {i}, {a}, {n}), ({o}, {i}, {a}, {n})",
    "INSERT{or} INTO {t} ({O}, {I}) VALUES ({o}, {i})",
    "INSERT{or} INTO {t} (a, n, {O}) VALUES ({a}, {n}, {o})",
    "INSERT{or} INTO {t} ({O}, {I}, a, n) SELECT {o}, {I}, a, n FROM {t} WHERE {O} = {o}",
    "REPLACE INTO {t} ({O}, {I}, a, n) VALUES ({o}, {i}, {a}, {n})",
    "REPLACE INTO {t} ({O}, {I}, a, n) VALUES ({o}, {i}, {a}, {n}), ({o}, {i}, {a}, {n})",
    "INSERT OR REPLACE INTO {t} (_rowid_, {O}, {I}, a, n) VALUES ({r}, {o}, {i}, {a}, {n})",
    "UPDATE OR REPLACE {t} SET oid = {r} WHERE {O} = {o} AND {I} = {i}",
    "INSERT INTO {t} ({O}, {I}, a, n) VALUES ({o}, {i}, {a}, {n}) ON CONFLICT DO UPDATE SET a = {a}, n = excluded.n",
    "INSERT INTO {t} ({O}, {I}, a, n) VALUES ({o}, {i}, {a}, {n}) ON CONFLICT DO NOTHING",
    "UPDATE{or} {t} SET a = {a} WHERE {O} = {o} AND {I} = {i}",
    "UPDATE{or} {t} SET a = {a}, n = {n} WHERE {I} = {i}",
    "UPDATE OR REPLACE {t} SET a = {a} WHERE rowid = (SELECT min(rowid) FROM {t})",
    "UPDATE OR REPLACE {t} SET oid = {r} WHERE n = {n}",
    "UPDATE{or} {t} SET n = {n} WHERE a IS NOT {a}",
    "UPDATE{or} {t} SET n = n + 1",
    "UPDATE{or} {t} SET {O} = {o} WHERE {I} = {i}",
    "UPDATE{or} {t} SET {I} = {i} WHERE {O} = {o} AND {I} = {i}",
    "UPDATE{or} {t} SET {O} = {o}, {I} = {i}, a = {a}, n = {n} WHERE {I} = {i}",
    "UPDATE{or} {t} SET {O} = upper({O}), {I} = {I} || ' ' WHERE {O} = {o}",
    "UPDATE OR REPLACE {t} SET {O} = {o}",
    "DELETE FROM {t} WHERE {O} = {o} AND {I} = {i}",
    "DELETE FROM {t} WHERE n = {n} RETURNING {I}",
    "DELETE FROM {t}",
    "UPDATE OR REPLACE parents SET a = {a} WHERE a = {a}",
    "UPDATE parents SET n = {n} WHERE n = {n}",
    "DELETE FROM parents WHERE a = {a}",
    "REPLACE INTO parents VALUES ({a}, {n})",
];

/// Statements between them.
const BETWEEN: &[&str] = &[
    "SAVEPOINT s",
    "ROLLBACK TO s",
    "RELEASE s",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "PRAGMA recursive_triggers = on",
    "PRAGMA recursive_triggers = off",
    "PRAGMA foreign_keys = on",
    "PRAGMA foreign_keys = off",
    "PRAGMA defer_foreign_keys = on",
];

const CONFLICTS: [&str; 8] = [
    "",
    " OR REPLACE",
    " OR REPLACE",
    " OR REPLACE",
    " OR IGNORE",
    " OR FAIL",
    " OR ABORT",
    " OR ROLLBACK",
];

impl Shape {
    fn draw(&self, random: &mut Rng) -> String {
        let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let statements = if random.u8(..8) == 0 { BETWEEN } else { STATEMENTS };
        let mut sql = random.choice(statements).unwrap().replace("{t}", &quote(self.table));
        sql = sql.replace("{O}", &quote(self.owner)).replace("{I}", &quote(self.id));
        let numbers = self.statements.iter().any(|one| one.contains("id INTEGER"));
        let owners: &[&str] = if self.statements.iter().any(|one| one.contains("owner INTEGER")) {
            &["1", "2", "NULL"]
        } else {
            &["'ada'", "'Ada'", "'bob'", "NULL", "''", "'eve '"]
        };
        let ids: &[&str] = if numbers {
            &["1", "2", "3", "-1", "NULL"]
        } else {
            &["'1'", "'2'", "'3'", "'b'", "'B'"]
        };
        let kinds: [(&str, &[&str]); 6] = [
            ("{or}", &CONFLICTS),
            ("{o}", owners),
            ("{i}", ids),
            ("{a}", &["NULL", "'x'", "'X'", "'1'", "'10'", "'d'", "'it''s'", "'x,('"]),
            ("{n}", &["NULL", "0", "1", "2", "3", "-1"]),
            ("{r}", &["0", "1", "2", "3", "4"]),
        ];
        for (place, values) in kinds {
            while sql.contains(place) {
                sql = sql.replacen(place, random.choice(values).unwrap(), 1);
            }
        }
        sql
    }
}

type Rows = BTreeMap<(String, String), String>;

/// A captured table, and a program that knows nothing about capture.
struct Tried {
    shape: &'static Shape,
    connection: SqliteConnection,
}

impl Tried {
    async fn new(shape: &'static Shape) -> Self {
        let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true);
        let one = SqlitePoolOptions::new().max_connections(1).idle_timeout(None);
        let pool = one.connect_with(options).await.unwrap();
        for statement in shape.statements {
            sqlx::raw_sql(*statement).execute(&pool).await.unwrap();
        }
        let table = Table::new(shape.table).id_column(shape.id).owner_column(shape.owner);
        let builder = SqliteDatabase::builder().table(table.capture());
        let database = builder.allow_foreign_keys_across_owners().pool(pool.clone()).await.unwrap();
        database.set_up().await.unwrap();
        let connection = pool.acquire().await.unwrap().detach();
        Self { shape, connection }
    }

    async fn rows(&mut self) -> Rows {
        let sql = format!(
            "SELECT quote(\"{0}\"), quote(\"{1}\"), quote(a) || ' ' || quote(n) FROM \"{2}\" \
             WHERE \"{0}\" IS NOT NULL AND \"{1}\" IS NOT NULL",
            self.shape.owner.replace('"', "\"\""),
            self.shape.id.replace('"', "\"\""),
            self.shape.table.replace('"', "\"\"")
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut self.connection).await.unwrap();
        rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect()
    }

    async fn take_marks(&mut self) -> BTreeSet<(String, String)> {
        let sql = "DELETE FROM diffs_marks RETURNING quote(owner), quote(id), model";
        let rows = sqlx::query(sql).fetch_all(&mut self.connection).await.unwrap();
        assert!(rows.iter().all(|row| row.get::<&str, _>(2) == self.shape.table));
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

#[tokio::test]
async fn every_change_leaves_a_mark() {
    let (mut failed, mut done) = (0, BTreeMap::<&str, usize>::new());
    for shape in SHAPES {
        for seed in 0..2 {
            let mut random = Rng::with_seed(seed);
            let mut tried = Tried::new(shape).await;
            // Statements in a transaction are checked after its end.
            let (mut before, mut since) = (Rows::new(), Vec::new());
            for _ in 0..250 {
                let sql = shape.draw(&mut random);
                match sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut tried.connection).await
                {
                    Ok(_) => {}
                    Err(error) => {
                        let told = error.to_string();
                        let is_of_the_row = [
                            "constraint",
                            "no such",
                            "no transaction",
                            "within a",
                            "mismatch",
                            "has no column",
                        ];
                        assert!(
                            is_of_the_row.iter().any(|word| told.contains(word)),
                            "{sql}: {told}"
                        );
                        failed += 1;
                    }
                }
                since.push(sql);
                let free = sqlx::raw_sql("BEGIN").execute(&mut tried.connection).await.is_ok();
                if !free {
                    continue;
                }
                let marks = tried.take_marks().await;
                sqlx::raw_sql("COMMIT").execute(&mut tried.connection).await.unwrap();
                let after = tried.rows().await;
                let keys = before.keys().chain(after.keys());
                for key in keys.filter(|key| before.get(key) != after.get(key)) {
                    assert!(
                        marks.contains(key),
                        "{key:?} of {:?}, seed {seed}: {since:?}",
                        shape.statements
                    );
                    *done.entry(shape.statements[0]).or_default() += 1;
                }
                (before, since) = (after, Vec::new());
            }
        }
    }
    assert_eq!(
        done.len(),
        SHAPES.iter().map(|shape| shape.statements[0]).collect::<BTreeSet<_>>().len()
    );
    assert!(done.values().all(|changes| *changes > 50), "{done:?}");
    assert!(failed > 1000, "{failed}");
}
