//! The statements of rows.

use super::doubles;
use crate::{
    merge::push_string,
    sql::{Arg, Column, Kind, Model, quote, quote_all},
    unit::IdleQuery,
};

pub(super) fn rows_with_ids(model: &Model, parameter: usize) -> String {
    format!(
        "{} AS t WHERE {}{} IN (SELECT value FROM json_each(${parameter}))",
        model.table,
        model.owned(),
        model.id.exact()
    )
}

pub(super) fn devices<'a>(devices: &[&IdleQuery<'a>]) -> (&'static str, Vec<Arg<'a>>) {
    let columns = |device: &&IdleQuery<'a>| {
        let IdleQuery { owner, since, head } = **device;
        (owner.as_str(), since, head.unwrap_or_default())
    };
    let rows: Vec<_> = devices.iter().map(columns).collect();
    let table = "(SELECT r.key + 1 AS place, json_extract(r.value, '$[0]') AS owner, \
                 json_extract(r.value, '$[1]') AS since, json_extract(r.value, '$[2]') AS head \
                 FROM json_each($1) AS r) AS d";
    (table, vec![Arg::Owned(json_list(&rows))])
}

pub(super) fn compare(column: &Column, operator: &str, parameter: usize) -> String {
    match column.kind {
        Kind::Json => format!("json(t.{}) {operator} json(${parameter})", column.quoted()),
        _ => format!("{} {operator} json_extract(${parameter}, '$')", column.exact()),
    }
}

pub(super) fn equals_one_of(column: &Column, parameter: usize) -> String {
    match column.kind {
        Kind::Json => format!(
            "json(t.{}) IN (SELECT json(e.value -> '$') FROM json_each(${parameter}) AS e)",
            column.quoted()
        ),
        _ => format!("{} IN (SELECT value FROM json_each(${parameter}))", column.exact()),
    }
}

pub(super) fn insert(model: &Model, columns: &[&Column]) -> String {
    let mut into = model.id.quoted();
    let mut values = String::from("json_extract(r.value, '$[0]')");
    if let Some(owner) = &model.owner {
        into += &format!(", {}", owner.quoted());
        values += ", $1";
    }
    for (place, column) in columns.iter().enumerate() {
        into += &format!(", {}", column.quoted());
        values += &format!(", {}", doubles::element(column, place + 1, columns.len()));
    }
    // This clause overrides the conflict clauses of the table and of its triggers.
    format!("INSERT OR ABORT INTO {} ({into}) SELECT {values} FROM json_each($2) AS r", model.table)
}

pub(super) fn update(model: &Model, columns: &[&Column]) -> String {
    let set: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(place, column)| {
            format!("{} = {}", column.quoted(), doubles::element(column, place + 1, columns.len()))
        })
        .collect();
    // The limit keeps SQLite from flattening the subquery. Otherwise it reads all rows of the
    // owner, and searches for each of them among the values.
    format!(
        "UPDATE OR ABORT {table} AS t SET {set} FROM (SELECT value FROM json_each($2) LIMIT -1) AS r \
         WHERE {owned}{id} = json_extract(r.value, '$[0]')",
        table = model.table,
        set = set.join(", "),
        owned = model.owned(),
        id = model.id.exact()
    )
}

/// An array of arrays: the id, and then the values in the order of the columns.
pub(super) fn payload<'w>(
    columns: &[&Column],
    rows: impl Iterator<Item = (&'w str, Vec<&'w str>)>,
) -> String {
    let mut json = String::from("[");
    for (id, values) in rows {
        json.push_str(if json.len() > 1 { ",[" } else { "[" });
        push_string(&mut json, id);
        doubles::push_values(&mut json, columns, &values);
        json.push(']');
    }
    json.push(']');
    json
}

pub(super) fn set_default(table: &str, column: &str, default: &str) -> String {
    format!(
        "declare {column} of {table} with DEFAULT {default} (there is no ALTER TABLE for that: create another \
         table, copy the rows, and rename it)"
    )
}

pub(super) fn unique_index(schema: Option<&str>, table: &str, columns: &[&str]) -> String {
    let name = quote(&format!("{table}_{}", columns.join("_")));
    let name = schema.map_or_else(|| name.clone(), |schema| format!("{}.{name}", quote(schema)));
    format!("CREATE UNIQUE INDEX {name} ON {} ({})", quote(table), quote_all(columns))
}

pub(super) fn json_list<T: serde::Serialize>(list: &[T]) -> String {
    // Strings, numbers and JSON: JSON can represent all of them.
    serde_json::to_string(list).unwrap_or_default()
}
