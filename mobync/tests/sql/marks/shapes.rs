//! The kinds of tables whose changes are marked.

use std::collections::{BTreeMap, BTreeSet};

use mobync::{postgres::PostgresDatabase, sql::Table};
use sqlx::{AssertSqlSafe, PgPool};

use super::super::postgres_with;

/// A kind of table, and how its values are written.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) made_by: Vec<String>,
    pub(super) schema: &'static str,
    pub(super) table: String,
    pub(super) owner: &'static str,
    pub(super) id: &'static str,
    /// The owners and ids are text; otherwise integers and UUIDs.
    pub(super) texts: bool,
    /// The partition that some rows can be written to directly, and an owner whose rows are in it.
    pub(super) part: Option<(&'static str, usize)>,
}

pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Shape {
    pub(super) fn new(name: &'static str, made_by: &[&str]) -> Self {
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

    pub(super) fn all() -> Vec<Self> {
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

    pub(super) fn in_sql(&self) -> String {
        format!("{}.{}", quote(self.schema), quote(&self.table))
    }

    pub(super) fn owner(&self, n: usize) -> String {
        if self.texts { format!("'o{n}'") } else { format!("{n}") }
    }

    pub(super) fn id(&self, n: usize) -> String {
        if self.texts {
            format!("'t{n}'")
        } else {
            format!("'00000000-0000-0000-0000-{n:012}'::uuid")
        }
    }

    /// A statement with this table's names and values: `T`, `O`, `I`, and `o1` and `t1`.
    pub(super) fn say(&self, sql: &str) -> String {
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

    pub(super) async fn database(&self) -> (PgPool, PostgresDatabase) {
        let statements: Vec<&str> = self.made_by.iter().map(String::as_str).collect();
        let pool = postgres_with(&statements).await;
        let table = Table::new(&self.table).in_schema(self.schema).capture();
        let table = table.owner_column(self.owner).id_column(self.id);
        let database = PostgresDatabase::builder().table(table).pool(pool.clone()).await.unwrap();
        database.set_up().await.unwrap();
        (pool, database)
    }

    pub(super) async fn rows(&self, pool: &PgPool) -> BTreeMap<(String, String), String> {
        let sql = self.say("SELECT CAST(O AS text), CAST(I AS text), CAST(r AS text) FROM T AS r");
        let rows: Vec<(String, String, String)> =
            sqlx::query_as(AssertSqlSafe(sql)).fetch_all(pool).await.unwrap();
        rows.into_iter().map(|(owner, id, row)| ((owner, id), row)).collect()
    }

    /// The rows that differ between two states.
    pub(super) fn changed(
        before: &BTreeMap<(String, String), String>,
        after: &BTreeMap<(String, String), String>,
    ) -> BTreeSet<(String, String)> {
        let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        keys.into_iter().filter(|key| before.get(*key) != after.get(*key)).cloned().collect()
    }
}
