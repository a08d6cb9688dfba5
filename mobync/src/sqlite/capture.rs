//! Triggers that mark what changes, on SQLite.
//!
//! A mark is a row of a table whose only key is the row's number, so no statement fails because of a
//! mark, and a bulk update stays cheap. Marks are sorted when they are read ([`marks`](super::marks)).
//!
//! `recursive_triggers` may be off in the application's connections. Then no trigger fires for the rows
//! that `REPLACE` deletes. So these rows are marked before the row that replaces them is written.

use std::fmt::Write;

use sqlx::SqliteConnection;

use super::marks;
use crate::sql::{Clash, Model, SchemaError, marks_of, prefix_of, quote};

/// The time in milliseconds since 1970. It works on old versions of SQLite, which applications may use,
/// and is cheap enough for every mark.
const NOW: &str = "CAST((julianday('now') - 2440587.5) * 86400000.0 + 0.5 AS INTEGER)";

/// A trigger that marks changes.
struct Trigger {
    name: String,
    sql: String,
}

/// # Errors
/// If a table is in another database than the log: each database keeps its own triggers and marks, and
/// in WAL mode a commit to several files is not atomic.
pub(super) fn check(log: &Model, captured: &[&Model]) -> Result<(), SchemaError> {
    let is_main = |schema: &Option<String>| {
        schema.as_deref().is_none_or(|schema| schema.eq_ignore_ascii_case("main"))
    };
    match captured.iter().find(|model| !is_main(&model.schema)) {
        Some(model) => Err(SchemaError::ElsewhereCapture {
            table: model.name.clone(),
            schema: model.schema.clone().unwrap_or_default(),
            log: log.name.clone(),
        }),
        None => Ok(()),
    }
}

/// The statements that create the tables of marks and the triggers.
pub(super) fn make(log: &Model, captured: &[&Model]) -> Vec<String> {
    let mut statements = marks::make(log);
    for trigger in captured.iter().flat_map(|model| triggers(log, model)) {
        statements.push(trigger.drop());
        statements.push(trigger.sql);
    }
    statements
}

/// The statements that drop what `make` created: the triggers of these tables and, if nothing is
/// captured any more, the marks.
pub(super) fn remove(log: &Model, captured: &[&Model], others: &[&Model]) -> Vec<String> {
    let triggers = others.iter().flat_map(|model| triggers(log, model));
    let mut statements: Vec<String> = triggers.map(|trigger| trigger.drop()).collect();
    if captured.is_empty() {
        statements.extend(marks::remove(log));
    }
    statements
}

/// The statements that drop the triggers of all tables but the captured ones.
pub(super) async fn left_over(
    connection: &mut SqliteConnection,
    log: &Model,
    captured: &[&Model],
) -> Result<Vec<String>, sqlx::Error> {
    let wanted: Vec<String> = captured
        .iter()
        .flat_map(|model| triggers(log, model))
        .map(|trigger| trigger.name)
        .collect();
    let there = there(connection, log).await?.into_iter();
    let left = there.filter(|trigger| !wanted.contains(&trigger.name));
    Ok(left.map(|trigger| trigger.drop()).collect())
}

/// Removes from the statements of a set-up those that would create an existing trigger again.
pub(super) async fn missing(
    connection: &mut SqliteConnection,
    log: &Model,
    statements: Vec<String>,
) -> Result<Vec<String>, sqlx::Error> {
    let there: Vec<(String, String)> = there(connection, log)
        .await?
        .into_iter()
        .map(|trigger| (trigger.drop(), trigger.sql))
        .filter(|(_, sql)| statements.contains(sql))
        .collect();
    let is_missing =
        |statement: &String| !there.iter().any(|(drop, sql)| statement == drop || statement == sql);
    Ok(statements.into_iter().filter(is_missing).collect())
}

/// The log's existing triggers.
async fn there(
    connection: &mut SqliteConnection,
    log: &Model,
) -> Result<Vec<Trigger>, sqlx::Error> {
    let prefix = prefix_of(&log.name);
    let found: Vec<(String, String)> = sqlx::query_as(
        "SELECT name, sql FROM main.sqlite_master \
         WHERE type = 'trigger' AND substr(name, 1, length($1)) = $1",
    )
    .bind(prefix.clone())
    .fetch_all(connection)
    .await?;
    let there = found.into_iter().map(|(name, sql)| {
        // SQLite stores it without the name of its database.
        let sql = sql.replacen("CREATE TRIGGER ", "CREATE TRIGGER main.", 1);
        Trigger { name, sql }
    });
    Ok(there.collect())
}

/// All triggers of a table.
fn triggers(log: &Model, model: &Model) -> Vec<Trigger> {
    let Some(owner) = &model.owner else { return Vec::new() };
    let table = quote(&model.stored);
    let (owner, id) = (owner.quoted(), model.id.quoted());
    let into = format!("INSERT INTO {} (owner, model, id, at)", quote(&marks_of(&log.name)));
    let what = format!("'{}'", model.stored.replace('\'', "''"));
    let mark = |row: &str| format!("{into} VALUES ({row}.{owner}, {what}, {row}.{id}, {NOW})");
    let trigger = |name: &str, event: &str, when: &str, body: &str| {
        let name = format!("{}{}_{name}", prefix_of(&log.name), model.stored);
        let mut sql = format!("CREATE TRIGGER main.{} {event} ON {table}", quote(&name));
        if !when.is_empty() {
            let _ = write!(sql, " WHEN {when}");
        }
        let _ = write!(sql, " BEGIN {body}; END");
        Trigger { name, sql }
    };
    let is_other = format!(
        "OLD.{owner} COLLATE BINARY IS NOT NEW.{owner} OR OLD.{id} COLLATE BINARY IS NOT NEW.{id}"
    );
    let mut triggers = vec![
        trigger("insert", "AFTER INSERT", "", &mark("NEW")),
        trigger("update", "AFTER UPDATE", "", &mark("NEW")),
        trigger("moved", "AFTER UPDATE", &is_other, &mark("OLD")),
        trigger("delete", "AFTER DELETE", "", &mark("OLD")),
    ];
    for (place, clash) in model.clashes.iter().enumerate() {
        let Clash { with, on_insert, on_update, columns } = clash;
        let marks = format!(
            "{into} SELECT {table}.{owner}, {what}, {table}.{id}, {NOW} FROM {table} WHERE {with}"
        );
        let columns: Vec<String> = columns.iter().map(|name| quote(name)).collect();
        let of =
            if columns.is_empty() { String::new() } else { format!(" OF {}", columns.join(", ")) };
        let (inserted, updated) = (format!("insert{place}"), format!("update{place}"));
        triggers.push(trigger(&inserted, "BEFORE INSERT", on_insert, &marks));
        triggers.push(trigger(&updated, &format!("BEFORE UPDATE{of}"), on_update, &marks));
    }
    triggers
}

impl Trigger {
    fn drop(&self) -> String {
        format!("DROP TRIGGER IF EXISTS main.{}", quote(&self.name))
    }
}
