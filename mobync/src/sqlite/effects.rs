//! Cascades and triggers, from SQLite's catalogue.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, SqliteConnection};

use crate::sql::{Change, Columns, Effect, Model, Script, Token, Tongue::Sqlite, quote, tokens};

/// A column of a foreign key: the table, the key's number, the referenced table, the column, the
/// referenced column, and the actions on update and on delete.
type Key = (String, i64, String, String, Option<String>, String, String);

/// The effects in the databases of the tables.
pub(super) async fn find(
    connection: &mut SqliteConnection,
    models: &[&Model],
) -> Result<Vec<Effect>, sqlx::Error> {
    let schema_of = |model: &&Model| model.schema.as_deref().unwrap_or("main").to_ascii_lowercase();
    let schemas: BTreeSet<String> = models.iter().map(schema_of).collect();
    let mut effects = Vec::new();
    for schema in &schemas {
        let sql = format!(
            "SELECT m.name, f.id, f.\"table\", lower(f.\"from\"), lower(coalesce(f.\"to\", p.name)), \
             f.on_update, f.on_delete \
             FROM {}.sqlite_master AS m, pragma_foreign_key_list(m.name, $1) AS f \
             LEFT JOIN pragma_table_info(f.\"table\", $1) AS p ON p.pk = f.seq + 1 \
             WHERE m.type = 'table' ORDER BY m.name, f.id, f.seq",
            quote(schema)
        );
        let keys: Vec<Key> =
            sqlx::query_as(AssertSqlSafe(sql)).bind(schema).fetch_all(&mut *connection).await?;
        for key in keys.chunk_by(|left, right| (&left.0, left.1) == (&right.0, right.1)) {
            effects.extend(cascades(schema, key));
        }
        // Connections may have temporary triggers, which are in no database.
        let sql = format!(
            "SELECT name, tbl_name, sql FROM {}.sqlite_master WHERE type = 'trigger' \
             UNION ALL SELECT name, tbl_name, sql FROM sqlite_temp_master WHERE type = 'trigger' \
             ORDER BY name",
            quote(schema)
        );
        let triggers: Vec<(String, String, String)> =
            sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&mut *connection).await?;
        for (name, table, sql) in triggers {
            effects.extend(sets_off(schema, &name, &table, &sql).unwrap_or_default());
        }
    }
    Ok(effects)
}

/// Names are case-insensitive.
fn identity(schema: &str, table: &str) -> String {
    format!("{schema}.{table}").to_ascii_lowercase()
}

fn cascades(schema: &str, key: &[Key]) -> Vec<Effect> {
    let Some((child, _, parent, _, _, on_update, on_delete)) = key.first() else {
        return Vec::new();
    };
    let of = key.iter().map(|(_, _, _, of, ..)| of.clone());
    let to = key.iter().filter_map(|(_, _, _, _, to, ..)| to.clone());
    let (of, to) = (Columns::these(of), Columns::these(to));
    let names: Vec<&str> = key.iter().map(|(_, _, _, of, ..)| &**of).collect();
    let effect = |event: &str, action: &str, when: Change| {
        let change = match (event, action) {
            ("DELETE", "CASCADE") => Change::Delete,
            (_, "CASCADE" | "SET NULL" | "SET DEFAULT") => Change::Update(of.clone()),
            _ => return None,
        };
        let names = names.join(", ");
        Some(Effect {
            on: identity(schema, parent),
            when: vec![when],
            by: format!("the foreign key on ({names}) of {child} (ON {event} {action})"),
            then: Some((identity(schema, child), change)),
        })
    };
    let deleted = effect("DELETE", on_delete, Change::Delete);
    deleted.into_iter().chain(effect("UPDATE", on_update, Change::Update(to))).collect()
}

/// What a trigger's statement says: `CREATE TRIGGER name BEFORE UPDATE OF column ON table … BEGIN … END`.
fn sets_off(schema: &str, name: &str, table: &str, sql: &str) -> Option<Vec<Effect>> {
    let all = tokens(sql, Sqlite);
    let mut head = all.get(3..)?;
    while let [first, rest @ ..] = head
        && first.is_any(&["before", "after", "instead", "of"])
    {
        head = rest;
    }
    let (event, rest) = head.split_first()?;
    let when = if event.is("insert") {
        Change::Insert
    } else if event.is("delete") {
        Change::Delete
    } else if rest.first()?.is("of") {
        let columns = rest.iter().skip(1).take_while(|token| !token.is("on"));
        Change::Update(Columns::these(columns.filter_map(|token| token.name(Sqlite))))
    } else {
        Change::Update(Columns::All)
    };
    // A column may have this name, too.
    let is_begin = |pair: &[Token<'_>]| match pair {
        [before, begin] => begin.is("begin") && !before.is_sign('.'),
        _ => false,
    };
    let begin = rest.windows(2).position(is_begin)? + 2;
    let script = Script::of(rest.get(begin..)?, Sqlite);
    let effects = script.writes.into_iter().map(|(written, change)| Effect {
        on: identity(schema, table),
        when: vec![when.clone()],
        by: format!("the trigger {name} of {table}"),
        then: Some((identity(schema, &written.table), change)),
    });
    Some(effects.collect())
}
