//! What an application writes, in SQL.

use serde_json::Value;

use crate::support::captured::{Row, Statement};

/// Adds the SQL of a statement, for SQLite or PostgreSQL.
pub(super) fn write(statement: &Statement, is_sqlite: bool, sql: &mut Vec<String>) {
    match statement {
        Statement::Put { owner, model, id, fields } => {
            let insert = insert("INSERT", model, [owner, id], fields, false);
            let taken = taken(fields);
            sql.push(format!("{insert} ON CONFLICT (owner, id) DO UPDATE SET {taken}"));
        }
        Statement::Bulk { owner, model, fields } => {
            let set = fields.iter().map(|(name, value)| format!("{name} = {}", literal(value)));
            let set = set.collect::<Vec<_>>().join(", ");
            sql.push(format!("UPDATE {model} SET {set} WHERE owner = '{owner}'"));
        }
        Statement::Delete { owner, model, id } => {
            sql.push(format!("DELETE FROM {model} WHERE owner = '{owner}' AND id = '{id}'"));
        }
        Statement::Give { owner, model, id, to } => sql.push(format!(
            "UPDATE {model} SET owner = '{to}' WHERE owner = '{owner}' AND id = '{id}' \
             AND NOT EXISTS (SELECT 1 FROM {model} WHERE owner = '{to}' AND id = '{id}')"
        )),
        Statement::Rename { owner, model, id, to } => sql.push(format!(
            "UPDATE {model} SET id = '{to}' WHERE owner = '{owner}' AND id = '{id}' \
             AND NOT EXISTS (SELECT 1 FROM {model} WHERE owner = '{owner}' AND id = '{to}')"
        )),
        Statement::Replace { owner, model, id, fields } if is_sqlite => {
            sql.push(insert("INSERT OR REPLACE", model, [owner, id], fields, true));
        }
        // The row in the slot becomes this one.
        Statement::Replace { owner, model, id, fields } => {
            let insert = insert("INSERT", model, [owner, id], fields, true);
            let taken = taken(fields);
            sql.push(format!("{insert} ON CONFLICT (owner, slot) DO UPDATE SET {taken}"));
        }
        // Others reference the tasks.
        Statement::Empty { model } if is_sqlite || model == "tasks" => {
            sql.push(format!("DELETE FROM {model}"));
        }
        Statement::Empty { model } => sql.push(format!("TRUNCATE {model}")),
        Statement::Undone(statements) => {
            sql.push("SAVEPOINT s".to_owned());
            for statement in statements {
                write(statement, is_sqlite, sql);
            }
            sql.push("ROLLBACK TO s".to_owned());
        }
    }
}

/// An insert of a row, which may take the only slot of an owner.
fn insert(verb: &str, model: &str, key: [&str; 2], fields: &Row, takes_slot: bool) -> String {
    let (mut names, mut values) = (vec!["owner", "id"], key.map(|it| format!("'{it}'")).to_vec());
    if takes_slot {
        names.push("slot");
        values.push("'s'".to_owned());
    }
    names.extend(fields.keys().map(String::as_str));
    values.extend(fields.values().map(literal));
    format!("{verb} INTO {model} ({}) VALUES ({})", names.join(", "), values.join(", "))
}

/// The values that an upsert takes from the row that it could not insert.
fn taken(fields: &Row) -> String {
    let names = fields.keys().map(String::as_str).chain(["id"]);
    names.map(|name| format!("{name} = excluded.{name}")).collect::<Vec<_>>().join(", ")
}

fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{text}'"),
        value => value.to_string(),
    }
}
