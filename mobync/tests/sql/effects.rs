//! Cascades and triggers that change other synced rows than a sync writes. They are refused if no device
//! would receive these changes, unless the tables are captured or it is allowed explicitly.

use mobync::{
    sql::{Builder, Dialect, SchemaError, Table},
    sqlite::SqliteDatabase,
};

use super::{owners::Warnings, postgres_with, sqlite_with};

/// The result of a set-up.
#[derive(Clone, Copy, Debug)]
enum Said {
    Nothing,
    /// A warning that contains these words.
    Warned(&'static [&'static str]),
    /// An error that contains these words.
    Refused(&'static [&'static str]),
}
use Said::{Nothing, Refused, Warned};

/// Statements after the tables, and the expected result.
type Case = (&'static [&'static str], Said);

/// The synced tables are lists, tasks and notes; others and audit are not synced. `b` of notes is
/// hidden.
const TABLES: [&str; 5] = [
    "CREATE TABLE lists (id text, owner text, a text, PRIMARY KEY (owner, id))",
    "CREATE TABLE tasks (id text, owner text, a text, list text, PRIMARY KEY (owner, id))",
    "CREATE TABLE notes (id text, owner text, a text, b text, task text, PRIMARY KEY (owner, id))",
    "CREATE TABLE others (id text PRIMARY KEY, a text, c text)",
    "CREATE TABLE audit (a text, c text)",
];

const SQLITE: &[Case] = &[
    (&[], Nothing),
    (&["CREATE TABLE k (a REFERENCES lists (id) ON DELETE CASCADE)"], Nothing),
    // Cascades.
    (
        &[
            "DROP TABLE notes",
            "CREATE TABLE notes (id text, owner text, a text, b text, task text, PRIMARY KEY (owner, id), \
        FOREIGN KEY (owner, task) REFERENCES tasks (owner, id) ON DELETE CASCADE)",
        ],
        Refused(&[
            "foreign key on (owner, task) of notes (ON DELETE CASCADE)",
            "rows of notes",
            "Table::new(\"notes\").capture()",
            "allow_unheard_changes",
        ]),
    ),
    (
        &[
            "DROP TABLE notes",
            "CREATE TABLE notes (id text, owner text, a text, b text, task text, PRIMARY KEY (owner, id), \
        FOREIGN KEY (owner, task) REFERENCES Tasks ON DELETE SET NULL)",
        ],
        Refused(&["ON DELETE SET NULL", "rows of notes"]),
    ),
    (
        &[
            "DROP TABLE notes",
            "CREATE TABLE notes (id text, owner text, a text, b text, task text, PRIMARY KEY (owner, id), \
        FOREIGN KEY (b) REFERENCES others (id) ON DELETE SET DEFAULT)",
        ],
        Nothing,
    ),
    (
        &[
            "DROP TABLE notes",
            "CREATE TABLE notes (id text, owner text, a text, b text, task text, PRIMARY KEY (owner, id), \
        FOREIGN KEY (owner, task) REFERENCES tasks (owner, id) ON UPDATE CASCADE ON DELETE RESTRICT)",
        ],
        Nothing,
    ),
    (
        &[
            "CREATE UNIQUE INDEX u ON lists (owner, a)",
            "DROP TABLE notes",
            "CREATE TABLE notes (id text, owner text, a text, b text, task text, PRIMARY KEY (owner, id), \
        FOREIGN KEY (owner, task) REFERENCES lists (owner, a) ON UPDATE CASCADE)",
        ],
        Refused(&["ON UPDATE CASCADE", "rows of notes"]),
    ),
    (
        &[
            "DROP TABLE tasks",
            "CREATE TABLE tasks (id text, owner text, a text, list text REFERENCES others ON DELETE CASCADE, PRIMARY KEY (owner, id))",
        ],
        Warned(&["ON DELETE CASCADE", "rows of tasks", "capture"]),
    ),
    // Triggers.
    (
        &[
            "CREATE TRIGGER t AFTER UPDATE ON tasks BEGIN UPDATE tasks SET a = 'x' WHERE id = NEW.id; END",
        ],
        Refused(&["the trigger t of tasks", "rows of tasks"]),
    ),
    (
        &[
            "CREATE TRIGGER t AFTER UPDATE OF list ON \"tasks\" BEGIN DELETE FROM [Notes] WHERE task = OLD.id; END",
        ],
        Refused(&["the trigger t of tasks", "rows of notes"]),
    ),
    (
        &[
            "CREATE TRIGGER t AFTER UPDATE OF id ON tasks BEGIN DELETE FROM notes WHERE task = OLD.id; END",
        ],
        Nothing,
    ),
    (
        &[
            "CREATE TRIGGER t AFTER INSERT ON tasks BEGIN UPDATE notes SET b = 'x'; INSERT INTO audit VALUES (NEW.a, 'update tasks set a'); END",
        ],
        Nothing,
    ),
    (
        &[
            "CREATE TRIGGER t BEFORE INSERT ON tasks WHEN NEW.a = 'DELETE FROM notes' BEGIN SELECT RAISE(ABORT, 'UPDATE notes SET a'); END",
        ],
        Nothing,
    ),
    (
        &[
            "CREATE TRIGGER t AFTER INSERT ON others BEGIN INSERT OR REPLACE INTO notes (id) VALUES (1); END",
        ],
        Warned(&["the trigger t of others", "rows of notes"]),
    ),
    (
        &[
            "CREATE TRIGGER t AFTER DELETE ON lists BEGIN INSERT INTO audit VALUES (OLD.a, ''); END",
            "CREATE TRIGGER v AFTER INSERT ON audit BEGIN REPLACE INTO others VALUES (NEW.a, 1, 2); END",
            "CREATE TRIGGER w AFTER DELETE ON others BEGIN UPDATE lists SET a = 'x'; END",
        ],
        Refused(&["the trigger w of others", "rows of lists"]),
    ),
    (
        &[
            "CREATE VIEW seen AS SELECT * FROM lists",
            "CREATE TRIGGER i INSTEAD OF DELETE ON seen BEGIN DELETE FROM lists WHERE id = OLD.id; END",
            "CREATE TRIGGER t AFTER UPDATE ON tasks BEGIN DELETE FROM seen WHERE id = OLD.list; END",
        ],
        Refused(&["the trigger i of seen", "rows of lists"]),
    ),
    (
        &[
            "CREATE TRIGGER t AFTER UPDATE ON tasks BEGIN INSERT INTO others VALUES (1, 2, 3) ON CONFLICT (id) DO UPDATE SET c = 1; END",
            "CREATE TRIGGER v AFTER UPDATE OF c ON others BEGIN DELETE FROM tasks; END",
        ],
        Refused(&["the trigger v of others", "rows of tasks"]),
    ),
];

/// A function with this name and body, and a trigger that runs it at such an event.
macro_rules! trigger {
    ($event:literal, $body:literal) => {
        &[
            concat!(
                "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $f$BEGIN ",
                $body,
                " RETURN NEW; END$f$"
            ),
            concat!("CREATE TRIGGER t ", $event, " FOR EACH ROW EXECUTE FUNCTION f()"),
        ]
    };
}

const POSTGRES: &[Case] = &[
    (&[], Nothing),
    (
        &[
            "CREATE TABLE k (a text, o text, FOREIGN KEY (a, o) REFERENCES lists (id, owner) ON DELETE CASCADE)",
        ],
        Nothing,
    ),
    // Cascades.
    (
        &[
            "ALTER TABLE notes ADD CONSTRAINT n FOREIGN KEY (owner, task) REFERENCES tasks (owner, id) ON DELETE CASCADE",
        ],
        Refused(&[
            "the foreign key n of notes (ON DELETE CASCADE)",
            "rows of notes",
            "Table::new(\"notes\").capture()",
            "allow_unheard_changes",
        ]),
    ),
    (
        &[
            "ALTER TABLE notes ADD CONSTRAINT n FOREIGN KEY (owner, task) REFERENCES tasks (owner, id) ON DELETE SET NULL (task)",
        ],
        Refused(&["ON DELETE SET NULL", "rows of notes"]),
    ),
    (
        &[
            "ALTER TABLE notes ADD CONSTRAINT n FOREIGN KEY (owner, b) REFERENCES tasks (owner, id) ON DELETE SET NULL (b)",
        ],
        Nothing,
    ),
    (
        &[
            "ALTER TABLE notes ADD CONSTRAINT n FOREIGN KEY (owner, task) REFERENCES tasks (owner, id) ON UPDATE CASCADE",
        ],
        Nothing,
    ),
    (
        &[
            "ALTER TABLE lists ADD UNIQUE (owner, a)",
            "ALTER TABLE notes ADD CONSTRAINT n FOREIGN KEY (owner, task) REFERENCES lists (owner, a) ON UPDATE CASCADE",
        ],
        Refused(&["ON UPDATE CASCADE", "rows of notes"]),
    ),
    (
        &[
            "ALTER TABLE tasks ADD CONSTRAINT n FOREIGN KEY (list) REFERENCES others ON DELETE CASCADE",
        ],
        Warned(&["ON DELETE CASCADE", "rows of tasks", "capture"]),
    ),
    // Triggers.
    (
        trigger!(
            "BEFORE INSERT OR UPDATE ON tasks",
            "NEW.a := lower(NEW.a); IF NEW.a = 'bad' THEN RAISE EXCEPTION 'update tasks set a'; END IF;"
        ),
        Nothing,
    ),
    (
        trigger!("AFTER UPDATE ON tasks", "UPDATE lists SET a = 'x' WHERE id = NEW.list;"),
        Refused(&["the trigger t of tasks", "rows of lists"]),
    ),
    (
        trigger!("AFTER UPDATE OF list ON tasks", "DELETE FROM public.\"notes\";"),
        Refused(&["the trigger t of tasks", "rows of notes"]),
    ),
    (trigger!("AFTER UPDATE OF id ON tasks", "DELETE FROM notes;"), Nothing),
    (
        trigger!(
            "AFTER INSERT ON tasks",
            "UPDATE notes SET b = 'x'; INSERT INTO audit SELECT a FROM lists FOR UPDATE;"
        ),
        Nothing,
    ),
    (
        trigger!("AFTER INSERT ON others", "TRUNCATE notes;"),
        Warned(&["the trigger t of others", "rows of notes"]),
    ),
    (
        trigger!("AFTER INSERT ON tasks", "EXECUTE format('DELETE FROM %I', 'notes');"),
        Warned(&["it is unknown whether the trigger t of tasks", "capture"]),
    ),
    (trigger!("AFTER INSERT ON audit", "EXECUTE format('DELETE FROM %I', 'notes');"), Nothing),
    (
        &[
            "CREATE FUNCTION inner() RETURNS void LANGUAGE sql AS 'DELETE FROM notes'",
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM inner(); RETURN NULL; END'",
            "CREATE TRIGGER t AFTER DELETE ON lists EXECUTE FUNCTION f()",
        ],
        Refused(&["the trigger t of lists", "rows of notes"]),
    ),
    (
        &[
            "CREATE FUNCTION inner(x text) RETURNS void LANGUAGE sql BEGIN ATOMIC DELETE FROM notes WHERE id = x; END",
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM inner(OLD.id); RETURN NULL; END'",
            "CREATE TRIGGER t AFTER DELETE ON lists FOR EACH ROW EXECUTE FUNCTION f()",
        ],
        Refused(&["the trigger t of lists", "rows of notes"]),
    ),
    (
        &[
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM notes; RETURN NULL; END'",
            "CREATE TRIGGER t AFTER DELETE ON lists EXECUTE FUNCTION f()",
            "ALTER TABLE lists DISABLE TRIGGER t",
        ],
        Nothing,
    ),
    (
        &[
            "CREATE TRIGGER t BEFORE UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        ],
        Nothing,
    ),
    (
        &["CREATE RULE r AS ON DELETE TO lists DO ALSO DELETE FROM tasks WHERE list = OLD.id"],
        Refused(&["the rule r of lists", "rows of tasks"]),
    ),
    (
        &[
            "CREATE VIEW seen AS SELECT * FROM lists",
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM seen; RETURN NULL; END'",
            "CREATE TRIGGER t AFTER DELETE ON tasks EXECUTE FUNCTION f()",
        ],
        Refused(&["what is written to seen", "rows of lists"]),
    ),
    // Another table with that name.
    (
        &[
            "CREATE SCHEMA elsewhere",
            "CREATE TABLE elsewhere.notes (a text)",
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM elsewhere.notes; RETURN NULL; END'",
            "CREATE TRIGGER t AFTER DELETE ON tasks EXECUTE FUNCTION f()",
        ],
        Nothing,
    ),
    // A partition belongs to its table.
    (
        &[
            "DROP TABLE tasks",
            "CREATE TABLE tasks (id text, owner text, a text, PRIMARY KEY (owner, id)) PARTITION BY HASH (owner)",
            "CREATE TABLE tasks_0 PARTITION OF tasks FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN UPDATE tasks_0 SET a = 1; RETURN NULL; END'",
            "CREATE TRIGGER t AFTER DELETE ON lists EXECUTE FUNCTION f()",
        ],
        Refused(&["the trigger t of lists", "rows of tasks"]),
    ),
    (
        &[
            "DROP TABLE tasks",
            "CREATE TABLE tasks (id text, owner text, a text, PRIMARY KEY (owner, id)) PARTITION BY HASH (owner)",
            "CREATE TABLE tasks_0 PARTITION OF tasks FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM lists; RETURN NULL; END'",
            "CREATE TRIGGER t AFTER DELETE ON tasks_0 FOR EACH ROW EXECUTE FUNCTION f()",
        ],
        Refused(&["the trigger t of tasks_0", "rows of lists"]),
    ),
];

fn tables() -> [Table; 3] {
    ["lists".into(), "tasks".into(), Table::new("notes").hidden(["b"])]
}

/// The result of the set-up of such tables.
async fn set_up<D: Dialect>(
    builder: Builder<D>,
    pool: sqlx::Pool<D::Db>,
    tables: [Table; 3],
) -> (Result<(), SchemaError>, String) {
    let builder = tables.into_iter().fold(builder, Builder::table);
    let database = builder.allow_foreign_keys_across_owners().pool(pool).await.unwrap();
    Warnings::of(database.set_up()).await
}

/// The set-up has the expected result, also if it is allowed, and reports nothing if everything is
/// captured.
async fn says<D: Dialect>(pool: sqlx::Pool<D::Db>, (statements, said): &Case)
where
    Builder<D>: Default,
{
    let told = format!("{statements:?}");
    let (made, warnings) = set_up(Builder::<D>::default(), pool.clone(), tables()).await;
    let has_all = |text: &str, words: &[&str]| words.iter().all(|word| text.contains(word));
    match said {
        Nothing => assert!(made.is_ok() && warnings.is_empty(), "{told}: {made:?} {warnings}"),
        Warned(words) => {
            assert!(made.is_ok() && has_all(&warnings, words), "{told}: {made:?} {warnings}");
        }
        Refused(words) => {
            let error = made.unwrap_err();
            assert!(matches!(error, SchemaError::Unheard { .. }), "{told}: {error:?}");
            assert!(has_all(&error.to_string(), words), "{told}: {error}");
            let builder = Builder::<D>::default().allow_unheard_changes();
            let (made, warnings) = set_up(builder, pool.clone(), tables()).await;
            assert!(made.is_ok() && has_all(&warnings, words), "{told}: {made:?} {warnings}");
        }
    }
    let captured = tables().map(Table::capture);
    let (made, warnings) = set_up(Builder::<D>::default(), pool, captured).await;
    assert!(made.is_ok() && warnings.is_empty(), "{told}: {made:?} {warnings}");
}

#[tokio::test]
async fn what_a_sync_sets_off_on_sqlite_is_refused_or_captured() {
    for case in SQLITE {
        let (pool, _folder) = sqlite_with(&[&TABLES, case.0].concat()).await;
        says::<mobync::sqlite::Sqlite>(pool, case).await;
    }
}

/// A connection may have temporary triggers.
#[tokio::test]
async fn triggers_of_the_pools_connections_are_looked_at() {
    let one = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
    let pool = one.connect("sqlite::memory:").await.unwrap();
    let trigger =
        "CREATE TEMP TRIGGER t AFTER UPDATE ON main.tasks BEGIN UPDATE lists SET a = 'x'; END";
    for statement in TABLES.into_iter().chain([trigger]) {
        sqlx::raw_sql(statement).execute(&pool).await.unwrap();
    }
    let said = Refused(&["the trigger t of tasks", "rows of lists"]);
    says::<mobync::sqlite::Sqlite>(pool, &(&[], said)).await;
}

#[tokio::test]
async fn what_a_sync_sets_off_on_postgresql_is_refused_or_captured() {
    for case in POSTGRES {
        let pool = postgres_with(&[&TABLES, case.0].concat()).await;
        says::<mobync::postgres::Postgres>(pool, case).await;
    }
}

#[tokio::test]
async fn only_the_tables_that_are_changed_need_a_capture() {
    let cascade = "CREATE TABLE notes (id text, owner text, a text, b text, task text, PRIMARY KEY (owner, id), \
                   FOREIGN KEY (owner, task) REFERENCES tasks (owner, id) ON DELETE CASCADE)";
    let (pool, _folder) = sqlite_with(&[&TABLES[..2], &[cascade]].concat()).await;
    for (captured, taken) in [("tasks", false), ("notes", true)] {
        let table = |name: &str| {
            let table = Table::new(name);
            if name == captured { table.capture() } else { table }
        };
        let builder = SqliteDatabase::builder().table(table("tasks")).table(table("notes"));
        let made = builder.pool(pool.clone()).await.unwrap().set_up().await;
        assert_eq!(made.is_ok(), taken, "{captured}: {made:?}");
    }
}

#[tokio::test]
async fn a_refused_set_up_changes_nothing() {
    let trigger = "CREATE TRIGGER t AFTER UPDATE ON tasks BEGIN UPDATE tasks SET a = 'x'; END";
    let (pool, _folder) = sqlite_with(&[&TABLES[..], &[trigger]].concat()).await;
    let count = "SELECT count(*) FROM sqlite_master";
    let before: i64 = sqlx::query_scalar(count).fetch_one(&pool).await.unwrap();
    let database = SqliteDatabase::builder().table("tasks").pool(pool.clone()).await.unwrap();
    assert!(matches!(database.set_up().await, Err(SchemaError::Unheard { .. })));
    assert_eq!(sqlx::query_scalar::<_, i64>(count).fetch_one(&pool).await.unwrap(), before);
}
