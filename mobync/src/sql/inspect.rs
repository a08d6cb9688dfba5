//! The requirements for a table that is synced, and for the log.

use super::{Column, Dialect, Found, FoundColumn, Kind, Model, SchemaError, Table, Unique, quote};

const LOG_TEXTS: [&str; 5] = ["id", "owner", "type", "model", "json_data"];
const LOG_INTEGERS: [&str; 2] = ["logical_clock", "utc_timestamp"];

/// The model of a table.
///
/// # Errors
/// The reason why it cannot be synced.
pub(super) fn model<D: Dialect>(table: &Table, found: Found) -> Result<Model, SchemaError> {
    let name = &table.name;
    let Found { schema, other, mut columns, unique, .. } = found;
    if let Some(what) = other {
        return Err(SchemaError::NotTable { table: name.clone(), what });
    }
    let in_sql = in_schema(schema, name);
    let mut name_of = |column: &str, advice| -> Result<Column, SchemaError> {
        let FoundColumn { column, generated, folds } = take(name, &mut columns, column, advice)?;
        if generated {
            return Err(refuse(
                name,
                &column,
                "it is generated, and ids and owners come from outside",
            ));
        }
        if !column.kind.can_name() {
            return Err(refuse(name, &column, "ids and owners must be text, a UUID or an integer"));
        }
        if folds { Err(folded::<D>(name, &in_sql, &column.name)) } else { Ok(column) }
    };
    let id = name_of(&table.id, "name another one with `id_column`")?;
    let owner = match &table.owner {
        None => None,
        Some(owner) => Some(name_of(
            owner,
            "add it, name another one with `owner_column`, or say that the rows are everybody's with `shared`",
        )?),
    };
    check_key::<D>(table, &in_sql, &unique)?;
    for column in &table.hidden {
        take(name, &mut columns, column, "take it out of those that are `hidden`")?;
    }
    let columns = columns.into_iter().filter(|found| !found.generated);
    let mut columns: Vec<Column> = columns.map(|found| found.column).collect();
    if let Some(column) = columns.iter().find(|column| column.name == "id") {
        return Err(refuse(name, column, "devices know the `id_column` by this name; rename one"));
    }
    for column in &table.as_strings {
        let found = columns.iter_mut().find(|found| found.name == *column);
        let advice = "take it out of `numbers_as_strings`";
        let found = found.ok_or_else(|| no_column(name, column, advice))?;
        if !matches!(found.kind, Kind::Integer(_) | Kind::Numeric) {
            return Err(refuse(name, found, "only integers and decimals can be strings of digits"));
        }
        found.as_strings = true;
    }
    let (hidden, keeps_unknown) = (table.hidden.clone(), table.keeps_unknown);
    let columns = columns.into();
    Ok(Model { name: name.clone(), table: in_sql, id, owner, columns, hidden, keeps_unknown })
}

/// A unique index must distinguish rows by exactly the bytes of owner and id.
fn check_key<D: Dialect>(
    table: &Table,
    in_sql: &str,
    unique: &[Unique],
) -> Result<(), SchemaError> {
    let (name, id, owner) = (&table.name, &*table.id, table.owner.as_deref());
    let both: Vec<&str> = owner.into_iter().chain([id]).collect();
    let keys = || unique.iter().filter(|index| index.is_of(&[id]) || index.is_of(&both));
    if let Some(column) = keys().flat_map(|index| &index.columns).find(|column| column.folds) {
        return Err(folded::<D>(name, in_sql, column.name.as_deref().unwrap_or_default()));
    }
    if !keys().any(|index| !index.partial) {
        let key = format!("({})", both.join(", "));
        return Err(SchemaError::NotUnique { table: name.clone(), key });
    }
    for index in unique {
        if owner.is_some_and(|owner| index.names().all(|column| column != owner)) {
            tracing::warn!(
                table = name,
                index = index.name,
                "a unique index forgets the owner: by what is refused, an owner finds out what others have; \
                 put the owner's column in front of its columns"
            );
        }
    }
    Ok(())
}

/// The log as it is, or as [`SqlDatabase::set_up`](super::SqlDatabase::set_up) will make it.
pub(super) fn log_model<D: Dialect>(
    table: &Table,
    found: Option<Found>,
) -> Result<Model, SchemaError> {
    let name = &table.name;
    let Found { schema, other, mut columns, unique, .. } = found.unwrap_or_else(|| Found {
        columns: LOG_TEXTS
            .map(|name| (name, "text", Kind::Text))
            .into_iter()
            .chain(LOG_INTEGERS.map(|name| (name, "bigint", Kind::Integer(64))))
            .map(|(name, sql_type, kind)| FoundColumn {
                column: Column::new(name, kind, sql_type),
                generated: false,
                folds: false,
            })
            .collect(),
        ..Found::default()
    });
    if let Some(what) = other {
        return Err(SchemaError::NotTable { table: name.clone(), what });
    }
    let in_sql = in_schema(schema, name);
    let advice = "it is the log; drop it if it is none, or name another one with `diffs_table`";
    for column in LOG_TEXTS.into_iter().chain(LOG_INTEGERS) {
        let found = columns.iter().find(|found| found.column.name == column);
        let found = found.ok_or_else(|| no_column(name, column, advice))?;
        let kind = if LOG_TEXTS.contains(&column) { Kind::Text } else { Kind::Integer(64) };
        if found.column.kind != kind || found.generated {
            let advice = "the log needs texts, and integers of 64 bits";
            return Err(refuse(name, &found.column, advice));
        }
        if found.folds {
            return Err(folded::<D>(name, &in_sql, column));
        }
    }
    if let Some(column) = unique.iter().flat_map(|index| &index.columns).find(|column| column.folds)
    {
        return Err(folded::<D>(name, &in_sql, column.name.as_deref().unwrap_or_default()));
    }
    let id = take(name, &mut columns, "id", advice)?.column;
    // Of rows the owner is the one who asks; a diff has it as a member.
    let owner = columns.iter().find(|found| found.column.name == "owner");
    let owner = owner.map(|found| found.column.clone());
    let columns: Vec<Column> = columns.into_iter().map(|found| found.column).collect();
    let columns = columns.into();
    let (name, hidden) = (name.clone(), Vec::new());
    Ok(Model { name, table: in_sql, id, owner, columns, hidden, keeps_unknown: false })
}

fn take(
    table: &str,
    columns: &mut Vec<FoundColumn>,
    name: &str,
    advice: &'static str,
) -> Result<FoundColumn, SchemaError> {
    let place = columns.iter().position(|found| found.column.name == name);
    place.map(|place| columns.remove(place)).ok_or_else(|| no_column(table, name, advice))
}

fn no_column(table: &str, column: &str, advice: &'static str) -> SchemaError {
    SchemaError::NoColumn { table: table.to_owned(), column: column.to_owned(), advice }
}

fn refuse(table: &str, column: &Column, advice: &'static str) -> SchemaError {
    SchemaError::Column {
        table: table.to_owned(),
        column: column.name.clone(),
        sql_type: column.sql_type.clone(),
        advice,
    }
}

fn folded<D: Dialect>(table: &str, in_sql: &str, column: &str) -> SchemaError {
    let mend = D::by_bytes(in_sql, &quote(column));
    SchemaError::Folds { table: table.to_owned(), column: column.to_owned(), mend }
}

fn in_schema(schema: Option<String>, table: &str) -> String {
    match schema {
        Some(schema) => format!("{}.{}", quote(&schema), quote(table)),
        None => quote(table),
    }
}
