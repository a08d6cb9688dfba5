//! The statements of rows.

use serde_json::Value;

use crate::{
    merge::push_string,
    sql::{Arg, Column, Kind, Model, quote, quote_all},
    unit::IdleQuery,
};

pub(super) fn rows_with_ids(model: &Model, parameter: usize) -> String {
    let (table, owned, id) = (&model.table, model.owned(), model.id.quoted());
    // One row after another by the key, even with wrong statistics: no other index has this order.
    format!(
        "{ids} CROSS JOIN LATERAL (SELECT * FROM {table} AS t \
         WHERE {owned}t.{id} >= r.{id} AND t.{id} <= r.{id} ORDER BY t.{id} LIMIT 1) AS t",
        ids = ids(model, parameter)
    )
}

pub(super) fn compare(column: &Column, operator: &str, parameter: usize, value: &Value) -> String {
    let (name, sql_type) = (column.quoted(), &column.sql_type);
    match (column.kind, value.as_i64()) {
        // By code points, as everywhere. The database's own order depends on its language.
        (Kind::Text, _) if operator != "=" => {
            format!("t.{name} COLLATE \"C\" {operator} ${parameter}")
        }
        (Kind::Text, _) => format!("{} = ${parameter}", column.exact()),
        (Kind::Integer(64), Some(_)) | (Kind::Uuid | Kind::Boolean | Kind::Other, _) => {
            format!("t.{name} {operator} CAST(${parameter} AS {sql_type})")
        }
        (Kind::Json, _) => {
            format!("CAST(t.{name} AS jsonb) {operator} CAST(${parameter} AS jsonb)")
        }
        (Kind::Integer(_) | Kind::Float | Kind::Numeric, _) => {
            format!("CAST(t.{name} AS numeric) {operator} CAST(${parameter} AS numeric)")
        }
    }
}

pub(super) fn equals_one_of(column: &Column, parameter: usize) -> String {
    let (name, sql_type) = (column.quoted(), &column.sql_type);
    match column.kind {
        Kind::Json => {
            format!("CAST(t.{name} AS jsonb) = ANY (CAST(${parameter} AS jsonb[]))")
        }
        Kind::Text => format!("{} = ANY (${parameter})", column.exact()),
        _ => format!("t.{name} = ANY (CAST(${parameter} AS {sql_type}[]))"),
    }
}

pub(super) fn insert(model: &Model, columns: &[&Column]) -> String {
    let mut into = model.id.quoted();
    let mut values = format!("r.{}", model.id.quoted());
    if let Some(owner) = &model.owner {
        into += &format!(", {}", owner.quoted());
        values += &format!(", {}", owner.cast("$1"));
    }
    for column in columns {
        into += &format!(", {}", column.quoted());
        values += &format!(", r.{}", column.quoted());
    }
    let table = &model.table;
    format!("INSERT INTO {table} ({into}) SELECT {values} FROM {}", recordset(model, columns))
}

pub(super) fn update(model: &Model, columns: &[&Column]) -> String {
    let set: Vec<String> =
        columns.iter().map(|column| format!("{0} = r.{0}", column.quoted())).collect();
    format!(
        "UPDATE {} AS t SET {} FROM {}",
        model.table,
        set.join(", "),
        few(model, &recordset(model, columns))
    )
}

pub(super) fn delete(model: &Model) -> String {
    format!("DELETE FROM {} AS t USING {}", model.table, few(model, &ids(model, 2)))
}

/// An array of objects whose members are named like the columns.
pub(super) fn payload<'w>(
    model: &Model,
    columns: &[&Column],
    rows: impl Iterator<Item = (&'w str, Vec<&'w str>)>,
) -> String {
    let mut json = String::from("[");
    for (id, values) in rows {
        json.push_str(if json.len() > 1 { ",{" } else { "{" });
        push_string(&mut json, &model.id.stored);
        json.push(':');
        push_string(&mut json, id);
        for (column, value) in columns.iter().zip(values) {
            json.push(',');
            push_string(&mut json, &column.stored);
            json.push(':');
            json.push_str(value);
        }
        json.push('}');
    }
    json.push(']');
    json
}

pub(super) fn devices<'a>(devices: &[&IdleQuery<'a>]) -> (&'static str, Vec<Arg<'a>>) {
    let each = || devices.iter();
    let args = vec![
        Arg::Texts(each().map(|device| device.owner.as_str()).collect()),
        Arg::Integers(each().map(|device| device.since).collect()),
        Arg::Texts(each().map(|device| device.head.unwrap_or_default()).collect()),
    ];
    ("unnest($1, $2, $3) WITH ORDINALITY AS d (owner, since, head, place)", args)
}

/// Locks the owner's rows whose ids are `$2`.
pub(super) fn lock(model: &Model) -> String {
    format!("SELECT FROM {} AS t, {} FOR UPDATE OF t", model.table, few(model, &ids(model, 2)))
}

/// The parameter `$2`, converted by the database itself to rows of the id and these columns. (As rows
/// of the whole table, they would have nulls in the others, which a domain may not allow.)
fn recordset(model: &Model, columns: &[&Column]) -> String {
    format!("json_to_recordset(CAST($2 AS json)) AS r ({})", defined(model, columns))
}

/// The definitions of the id and these columns.
pub(super) fn defined(model: &Model, columns: &[&Column]) -> String {
    let columns = std::iter::once(&model.id).chain(columns.iter().copied());
    let columns: Vec<String> =
        columns.map(|column| format!("{} {}", column.quoted(), column.full_type)).collect();
    columns.join(", ")
}

/// The ids that the parameter has, as rows.
fn ids(model: &Model, parameter: usize) -> String {
    let id = &model.id;
    format!("unnest(CAST(${parameter} AS {}[])) AS r ({})", id.sql_type, id.quoted())
}

/// Joins the table `t` with rows `r` of a function, by the owner `$1` and the id.
///
/// PostgreSQL then finds each row by the key, and never reads all rows of the owner instead, as it
/// would with old statistics. The reason is that the owner is part of the rows to find, protected by
/// `OFFSET 0`, and PostgreSQL expects few of these rows because of a condition that is always true.
fn few(model: &Model, rows: &str) -> String {
    let id = model.id.quoted();
    let (mut select, mut on) = ("r.*".to_owned(), format!("t.{id} = r.{id}"));
    if let Some(owner) = &model.owner {
        // A name that no other column of these rows has.
        let name = owner.quoted();
        select += &format!(", {} AS {name}", owner.cast("$1"));
        on = format!("t.{name} = r.{name} AND {on}");
    }
    format!(
        "(SELECT {select} FROM {rows} WHERE (r.{id} = r.{id}) IS TRUE OFFSET 0) AS r WHERE {on}"
    )
}

/// A value as the text that a cast reads.
pub(super) fn text_of(column_value: &Value) -> String {
    match column_value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(super) fn set_default(table: &str, column: &str, default: &str) -> String {
    format!("run ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT {default}")
}

pub(super) fn unique_index(schema: Option<&str>, table: &str, columns: &[&str]) -> String {
    let table: Vec<String> = schema.into_iter().chain([table]).map(quote).collect();
    format!("CREATE UNIQUE INDEX ON {} ({})", table.join("."), quote_all(columns))
}
