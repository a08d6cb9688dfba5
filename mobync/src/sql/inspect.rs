//! The requirements for a table that is synced, and for the log.

use super::{
    Column, Dialect, Found, FoundColumn, Generated, Kind, Model, OnLocks, SchemaError, Table,
    Unique, WrittenBy, naming::Naming, quote, reading::Reading, synced,
};
use crate::schema::History;

const LOG_TEXTS: [&str; 5] = ["id", "owner", "type", "model", "json_data"];
const LOG_INTEGERS: [&str; 2] = ["logical_clock", "utc_timestamp"];

/// The model of a table.
///
/// # Errors
/// The reason why it cannot be synced.
pub(super) fn model<D: Dialect>(
    table: &Table,
    found: Found,
    history: Option<History<'_>>,
) -> Result<Model, SchemaError> {
    let name = &table.name;
    let Found {
        schema,
        other,
        mut columns,
        unique,
        changes_rows,
        identity,
        references,
        clashes,
        ..
    } = found;
    if let Some(what) = other {
        return Err(SchemaError::NotTable { table: name.clone(), what });
    }
    let (schema_name, in_sql) = (schema.clone(), in_schema(schema, name));
    let mut name_of = |column: &str, advice| -> Result<Column, SchemaError> {
        let FoundColumn { column, generated, folds, .. } =
            take(name, &mut columns, column, advice)?;
        match generated {
            Generated::No => {}
            Generated::Identity => {
                let mend = D::by_default(&in_sql, &column.quoted());
                return Err(SchemaError::Identity {
                    table: name.clone(),
                    column: column.name,
                    mend,
                });
            }
            Generated::Computed => {
                let advice = "it is generated, but the database must accept ids and owners";
                return Err(refuse(name, &column, advice));
            }
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
            "add it, name another one with `owner_column`, or declare the table as `shared`",
        )?),
    };
    if table.captured && owner.is_none() {
        return Err(SchemaError::SharedCapture { table: name.clone() });
    }
    check_key::<D>(table, schema_name.as_deref(), &in_sql, &unique)?;
    let naming = Naming { table, in_sql: &in_sql, history };
    naming.check_keys()?;
    let hidden = synced::choose::<D>(naming, &mut columns)?;
    let is_computed = |found: &FoundColumn| found.column.written_by == WrittenBy::Database;
    let has_own_will = changes_rows || columns.iter().any(is_computed);
    let columns: Vec<Column> = columns.into_iter().map(|found| found.column).collect();
    let to_itself = references.into_iter().filter(|reference| reference.to == identity);
    let field = |of: String| {
        let column = columns.iter().find(|column| column.stored == of);
        column.map_or(of, |column| column.name.clone())
    };
    let to_id = |(of, to): (String, String)| (to == id.stored).then(|| field(of));
    let parents = to_itself.flat_map(|reference| reference.columns).filter_map(to_id).collect();
    let now = history.map_or(&**name, |model| model.line.now());
    let names = history.map_or_else(
        || vec![name.clone()],
        |model| model.line.names().map(str::to_owned).collect(),
    );
    Ok(Model {
        name: now.to_owned(),
        stored: name.clone(),
        names,
        reading: Reading::default(),
        schema: schema_name,
        identity,
        table: in_sql,
        id,
        owner,
        columns: columns.into(),
        hidden,
        keeps_unknown: table.keeps_unknown,
        has_own_will,
        rank: 0,
        parents,
        captured: table.captured,
        on_locks: OnLocks::Fails,
        clashes,
    })
}

/// A unique index must distinguish rows by exactly the bytes of owner and id.
fn check_key<D: Dialect>(
    table: &Table,
    schema: Option<&str>,
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
        let mend = D::unique_index(schema, name, &both);
        return Err(SchemaError::NotUnique { table: name.clone(), key, mend });
    }
    for index in unique {
        if owner.is_some_and(|owner| index.names().all(|column| column != owner)) {
            tracing::warn!(
                table = name,
                index = index.name,
                "a unique index does not include the owner, so refusals show an owner what others have: put the \
                 owner's column in front of its columns"
            );
        }
    }
    Ok(())
}

/// The log as it exists, or as [`SqlDatabase::set_up`](super::SqlDatabase::set_up) will create it in the
/// schema `home`.
pub(super) fn log_model<D: Dialect>(
    table: &Table,
    found: Option<Found>,
    home: Option<String>,
) -> Result<Model, SchemaError> {
    let name = &table.name;
    let Found { schema, other, mut columns, unique, .. } = found.unwrap_or_else(|| Found {
        columns: LOG_TEXTS
            .map(|name| (name, "text", Kind::Text))
            .into_iter()
            .chain(LOG_INTEGERS.map(|name| (name, "bigint", Kind::Integer(64))))
            .map(|(name, sql_type, kind)| FoundColumn {
                column: Column::new(name, kind, sql_type),
                generated: Generated::No,
                folds: false,
            })
            .collect(),
        schema: home,
        ..Found::default()
    });
    if let Some(what) = other {
        return Err(SchemaError::NotTable { table: name.clone(), what });
    }
    let (schema_name, in_sql) = (schema.clone(), in_schema(schema, name));
    let advice =
        "it is the log; drop it if it is something else, or name another log with `diffs_table`";
    for column in LOG_TEXTS.into_iter().chain(LOG_INTEGERS) {
        let found = columns.iter().find(|found| found.column.name == column);
        let found = found.ok_or_else(|| no_column(name, column, advice))?;
        let kind = if LOG_TEXTS.contains(&column) { Kind::Text } else { Kind::Integer(64) };
        if found.column.kind != kind || found.generated != Generated::No {
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
    // For rows, the owner is the one of the request. A diff has it as a member.
    let owner = columns.iter().find(|found| found.column.name == "owner");
    let owner = owner.map(|found| found.column.clone());
    let columns: Vec<Column> = columns.into_iter().map(|found| found.column).collect();
    Ok(Model {
        name: name.clone(),
        stored: name.clone(),
        names: vec![name.clone()],
        reading: Reading::default(),
        schema: schema_name,
        identity: String::new(),
        table: in_sql,
        id,
        owner,
        columns: columns.into(),
        hidden: Vec::new(),
        keeps_unknown: false,
        captured: false,
        on_locks: OnLocks::Fails,
        clashes: Vec::new(),
        has_own_will: false,
        rank: 0,
        parents: Vec::new(),
    })
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

pub(super) fn no_column(table: &str, column: &str, advice: &'static str) -> SchemaError {
    SchemaError::NoColumn { table: table.to_owned(), column: column.to_owned(), advice }
}

pub(super) fn refuse(table: &str, column: &Column, advice: &'static str) -> SchemaError {
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
