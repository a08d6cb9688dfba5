//! Every change that plain SQL makes of captured rows is marked, whatever makes it, on PostgreSQL; and
//! no more than that.

use std::collections::{BTreeMap, BTreeSet};

use mobync::{postgres::PostgresDatabase, sql::Table};
use sqlx::{AssertSqlSafe, PgConnection, PgPool, postgres::PgPoolCopyExt};

use super::postgres_with;

/// A kind of table, and how its values are written.
struct Shape {
    name: &'static str,
    made_by: Vec<String>,
    schema: &'static str,
    table: String,
    owner: &'static str,
    id: &'static str,
    /// The owners and ids are text; else integers and UUIDs.
    texts: bool,
    /// The table that some rows can be written to directly, and an owner whose rows are in it.
    part: Option<(&'static str, usize)>,
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Shape {
    fn new(name: &'static str, made_by: &[&str]) -> Self {
        Self {
            name,
            made_by: made_by.iter().map(|sql| (*sql).to_owned()).collect(),
            schema: "public",
            table: "tasks".to_owned(),
            owner: "owner",
            id: "id",
            texts: true,
            part: None,
        }
    }

    fn all() -> Vec<Self> {
        let strange = ("s'p%$mobync$ \"x", "ta\"sk%s'\\", "ow\"ner%s", "i'd $mobync$\\ r");
        let long = "l".repeat(63);
        vec![
            Self::new(
                "plain",
                &["CREATE TABLE tasks (owner text, id text, a text, PRIMARY KEY (owner, id))"],
            ),
            Self {
                texts: false,
                ..Self::new(
                    "integers and UUIDs",
                    &["CREATE TABLE tasks (id uuid PRIMARY KEY, a text, owner bigint, \
                       n int GENERATED ALWAYS AS IDENTITY, g text GENERATED ALWAYS AS (a || 'x') STORED)"],
                )
            },
            Self {
                schema: strange.0,
                table: strange.1.to_owned(),
                owner: strange.2,
                id: strange.3,
                made_by: vec![
                    format!("CREATE SCHEMA {}", quote(strange.0)),
                    format!(
                        "CREATE TABLE {}.{} (a text, mobync_at int, new_rows int, {o} text, {i} text, PRIMARY KEY ({o}, {i}))",
                        quote(strange.0),
                        quote(strange.1),
                        o = quote(strange.2),
                        i = quote(strange.3)
                    ),
                ],
                ..Self::new("strange names", &[])
            },
            Self {
                made_by: vec![format!(
                    "CREATE TABLE {long} (owner varchar(99), id varchar(99) UNIQUE, a text)"
                )],
                table: long,
                ..Self::new("a long name", &[])
            },
            Self {
                part: Some(("part_ab", 1)),
                ..Self::new(
                    "partitioned",
                    &[
                        "CREATE TABLE tasks (owner text, id text, a text, PRIMARY KEY (owner, id)) \
                         PARTITION BY LIST (owner)",
                        "CREATE TABLE part_ab PARTITION OF tasks FOR VALUES IN ('o0', 'o1')",
                        "CREATE TABLE part_rest PARTITION OF tasks DEFAULT PARTITION BY HASH (id)",
                        "CREATE TABLE part_even PARTITION OF part_rest FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
                        "CREATE TABLE part_odd PARTITION OF part_rest FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
                    ],
                )
            },
            Self {
                part: Some(("heir", 1)),
                ..Self::new(
                    "inherited",
                    &[
                        "CREATE TABLE tasks (owner text, id text, a text, PRIMARY KEY (owner, id))",
                        "CREATE TABLE heir (b text, PRIMARY KEY (owner, id)) INHERITS (tasks)",
                    ],
                )
            },
        ]
    }

    fn in_sql(&self) -> String {
        format!("{}.{}", quote(self.schema), quote(&self.table))
    }

    fn owner(&self, n: usize) -> String {
        if self.texts { format!("'o{n}'") } else { format!("{n}") }
    }

    fn id(&self, n: usize) -> String {
        if self.texts {
            format!("'t{n}'")
        } else {
            format!("'00000000-0000-0000-0000-{n:012}'::uuid")
        }
    }

    /// A statement with this table's names and values: `T`, `O`, `I`, and `o1` and `t1`.
    fn say(&self, sql: &str) -> String {
        let mut said = String::new();
        for word in sql.split_inclusive(|letter: char| !letter.is_alphanumeric() && letter != '_') {
            let (name, behind) = match word.char_indices().last() {
                Some((at, last)) if !last.is_alphanumeric() && last != '_' => word.split_at(at),
                _ => (word, ""),
            };
            let number = |of: char| name.strip_prefix(of).and_then(|n| n.parse().ok());
            match (name, number('o'), number('t')) {
                ("T", ..) => said += &self.in_sql(),
                ("P", ..) => said += self.part.map_or("none", |part| part.0),
                ("O", ..) => said += &quote(self.owner),
                ("I", ..) => said += &quote(self.id),
                (_, Some(n), _) => said += &self.owner(n),
                (_, _, Some(n)) => said += &self.id(n),
                _ => said += name,
            }
            said += behind;
        }
        said
    }

    async fn database(&self) -> (PgPool, PostgresDatabase) {
        let statements: Vec<&str> = self.made_by.iter().map(String::as_str).collect();
        let pool = postgres_with(&statements).await;
        let table = Table::new(&self.table).in_schema(self.schema).capture();
        let table = table.owner_column(self.owner).id_column(self.id);
        let database = PostgresDatabase::builder().table(table).pool(pool.clone()).await.unwrap();
        database.set_up().await.unwrap();
        (pool, database)
    }

    async fn rows(&self, pool: &PgPool) -> BTreeMap<(String, String), String> {
        let sql = self.say("SELECT CAST(O AS text), CAST(I AS text), CAST(r AS text) FROM T AS r");
        let rows: Vec<(String, String, String)> =
            sqlx::query_as(AssertSqlSafe(sql)).fetch_all(pool).await.unwrap();
        rows.into_iter().map(|(owner, id, row)| ((owner, id), row)).collect()
    }

    /// The rows that differ between two states.
    fn changed(
        before: &BTreeMap<(String, String), String>,
        after: &BTreeMap<(String, String), String>,
    ) -> BTreeSet<(String, String)> {
        let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).cloned().collect()
    }
}

/// The marks that there are, which are then removed.
async fn marks(pool: &PgPool, model: &str) -> BTreeSet<(String, String)> {
    let sql = "WITH m AS (DELETE FROM diffs_marks RETURNING *) SELECT owner, id FROM m WHERE model = $1 \
               AND at BETWEEN 1700000000000 AND 9000000000000";
    sqlx::query_as(sql).bind(model).fetch_all(pool).await.unwrap().into_iter().collect()
}

/// Runs statements one by one, unless they have some within them.
async fn run(connection: &mut PgConnection, sql: String) {
    let statements = if sql.contains("$$") { vec![&*sql] } else { sql.split("; ").collect() };
    for sql in statements {
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

/// What changes rows: each on what those before it have left.
const CHANGES: &[&str] = &[
    "INSERT INTO T (O, I, a) VALUES (o1, t1, 'x')",
    "INSERT INTO T (O, I, a) VALUES (o1, t2, 'x'), (o2, t3, 'x'), (o3, t4, 'y'), (o4, t5, 'y')",
    "UPDATE T SET a = 'z' WHERE I = t1",
    "UPDATE T SET a = a || '!'",
    // To another owner, also where that is another partition; and back.
    "UPDATE T SET O = o4 WHERE I = t1",
    "UPDATE T SET O = o2 WHERE I IN (t1, t5)",
    "UPDATE T SET O = o1 WHERE I = t1",
    // Another id, and all of them.
    "UPDATE T SET I = t9 WHERE I = t1",
    "UPDATE T SET O = CASE O WHEN o1 THEN o2 WHEN o2 THEN o1 ELSE O END",
    "UPDATE T SET I = t1, O = o3, a = NULL WHERE I = t9",
    "DELETE FROM T WHERE I = t2",
    "WITH gone AS (DELETE FROM T WHERE I = t3 RETURNING a) INSERT INTO T (O, I, a) SELECT o1, t6, a FROM gone",
    "INSERT INTO T (O, I, a) SELECT o1, I, a FROM (VALUES (t7, 'm'), (t8, 'n')) AS v (I, a)",
    "MERGE INTO T AS m USING (VALUES (o1, t7), (o1, t8), (o2, t20)) AS v (o, i) ON m.O = v.o AND m.I = v.i \
     WHEN MATCHED AND m.a = 'm' THEN DELETE WHEN MATCHED THEN UPDATE SET a = 'merged' \
     WHEN NOT MATCHED THEN INSERT (O, I, a) VALUES (v.o, v.i, 'new')",
    "DO $$ BEGIN FOR turn IN 1..3 LOOP UPDATE T SET a = concat(a, turn) WHERE O = o1; END LOOP; END $$",
    "BEGIN; SAVEPOINT s; UPDATE T SET a = 'kept' WHERE I = t8; RELEASE s; SAVEPOINT s; \
     UPDATE T SET a = 'undone' WHERE I = t20; ROLLBACK TO s; COMMIT",
    "BEGIN; UPDATE T SET a = 'prepared' WHERE I = t20; PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'",
    "BEGIN; UPDATE T SET a = 'undone'; ROLLBACK",
    "BEGIN; DELETE FROM T; PREPARE TRANSACTION 'p'; ROLLBACK PREPARED 'p'",
    "SET mobync.sync = 'off'; UPDATE T SET a = 'off' WHERE I = t20; RESET mobync.sync",
    "BEGIN; SET LOCAL mobync.sync = 'on'; COMMIT; UPDATE T SET a = 'behind' WHERE I = t20",
    // What a trigger makes of it.
    "CREATE FUNCTION pass_on() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.O := o3; RETURN NEW; END $$; \
     CREATE TRIGGER pass_on BEFORE INSERT OR UPDATE ON T FOR EACH ROW WHEN (NEW.a = 'pass on') EXECUTE FUNCTION pass_on()",
    "INSERT INTO T (O, I, a) VALUES (o3, t30, 'pass on')",
    "DROP TRIGGER pass_on ON T",
    "TRUNCATE T",
    "INSERT INTO T (O, I, a) VALUES (o1, t1, 'again')",
    "TRUNCATE T CASCADE",
];

/// The same where a part of the table can be written directly.
const CHANGES_OF_PARTS: &[&str] = &[
    "INSERT INTO P (O, I, a) VALUES (o1, t1, 'x'), (o1, t2, 'y')",
    "UPDATE P SET a = 'z' WHERE I = t1",
    "UPDATE P SET O = o0 WHERE I = t1",
    "UPDATE P SET I = t9 WHERE I = t2",
    "UPDATE T SET a = 'all'",
    "UPDATE T SET O = o1",
    "DELETE FROM P WHERE I = t1",
    "INSERT INTO P (O, I, a) VALUES (o1, t1, 'x')",
    "TRUNCATE P",
    "INSERT INTO P (O, I, a) VALUES (o1, t1, 'x')",
    "DELETE FROM T",
    "INSERT INTO P (O, I, a) VALUES (o1, t1, 'x')",
    "TRUNCATE T",
];

#[tokio::test]
async fn every_change_is_marked_and_nothing_else() {
    for shape in Shape::all() {
        let (pool, _database) = shape.database().await;
        let mut connection = pool.acquire().await.unwrap();
        let parts = if shape.part.is_some() { CHANGES_OF_PARTS } else { &[] };
        // There each id is unique by itself, so rows can be told by it.
        let upsert = if shape.table.len() == 63 || !shape.texts { "(I)" } else { "(O, I)" };
        let upsert = format!(
            "INSERT INTO T (O, I, a) VALUES (o1, t1, 'b') ON CONFLICT {upsert} DO UPDATE SET a = excluded.a; \
             INSERT INTO T (O, I, a) VALUES (o1, t1, 'c') ON CONFLICT {upsert} DO UPDATE SET a = excluded.a; \
             INSERT INTO T (O, I, a) VALUES (o1, t1, 'd') ON CONFLICT DO NOTHING"
        );
        let mut changed_some = 0;
        for sql in CHANGES.iter().chain(parts).copied().chain([&*upsert]) {
            let before = shape.rows(&pool).await;
            run(&mut connection, shape.say(sql)).await;
            let after = shape.rows(&pool).await;
            let (changed, marked) =
                (Shape::changed(&before, &after), marks(&pool, &shape.table).await);
            let what = format!("{}: {sql}: {changed:?} {marked:?}", shape.name);
            assert!(changed.is_subset(&marked), "{what}");
            let there: BTreeSet<_> = before.into_keys().chain(after.into_keys()).collect();
            assert!(marked.is_subset(&there), "{what}");
            assert!(!changed.is_empty() || marked.is_empty() || sql.contains("UPDATE"), "{what}");
            changed_some += usize::from(!changed.is_empty());
        }
        assert!(changed_some > 20, "{}: {changed_some}", shape.name);

        let copy = shape.say("COPY T (O, I, a) FROM STDIN");
        let mut copying = pool.copy_in_raw(&copy).await.unwrap();
        let (owner, id) = if shape.texts {
            ("o1".to_owned(), "t50".to_owned())
        } else {
            ("1".to_owned(), "00000000-0000-0000-0000-000000000050".to_owned())
        };
        copying.send(format!("{owner}\t{id}\tx\n").into_bytes()).await.unwrap();
        copying.finish().await.unwrap();
        assert_eq!(
            marks(&pool, &shape.table).await,
            BTreeSet::from([(owner, id)]),
            "{}",
            shape.name
        );
    }
}
