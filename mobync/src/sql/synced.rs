//! Which columns of a table devices see, and who writes them.

use super::{
    FoundColumn, Generated, Kind, SchemaError, Table, WrittenBy,
    inspect::{find, refuse, take},
};

/// Keeps the columns that devices see, besides the id and the owner, and returns the names of the
/// others.
///
/// # Errors
/// If the table does not have one of the named columns.
pub(super) fn choose(
    table: &Table,
    columns: &mut Vec<FoundColumn>,
) -> Result<Vec<String>, SchemaError> {
    let name = &table.name;
    let mut hidden = table.hidden.clone();
    for column in &table.hidden {
        take(name, columns, column, "take it out of those that are `hidden`")?;
    }
    if let Some(synced) = &table.columns {
        for column in synced {
            let advice = "take it out of `columns`, which are those besides the id and the owner";
            find(name, columns, column, advice)?;
        }
        let others = columns.extract_if(.., |found| !synced.contains(&found.column.name));
        hidden.extend(others.map(|found| found.column.name));
    }
    for column in &table.read_only {
        let found = find(name, columns, column, "take it out of those that are `read_only`")?;
        found.column.written_by = WrittenBy::Backend;
    }
    for column in &table.computed {
        let found = find(name, columns, column, "take it out of those that are `computed`")?;
        found.column.written_by = WrittenBy::Database;
    }
    if let Some(found) = columns.iter().find(|found| found.column.name == "id") {
        let advice = "devices know the `id_column` by this name; rename one";
        return Err(refuse(name, &found.column, advice));
    }
    for column in &table.as_strings {
        let advice = "take it out of `numbers_as_strings`";
        let found = find(name, columns, column, advice)?;
        if !matches!(found.column.kind, Kind::Integer(_) | Kind::Numeric) {
            let advice = "only integers and decimals can be strings of digits";
            return Err(refuse(name, &found.column, advice));
        }
        found.column.as_strings = true;
    }
    for found in columns.iter_mut().filter(|found| found.generated != Generated::No) {
        found.column.written_by = WrittenBy::Database;
    }
    Ok(hidden)
}
