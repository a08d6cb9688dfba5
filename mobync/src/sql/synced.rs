//! Which columns of a table devices see, and who writes them.

use super::{
    Dialect, FoundColumn, Generated, Kind, SchemaError, WrittenBy, inspect::refuse, naming::Naming,
};

/// Keeps the columns that devices see, besides the id and the owner, and gives them the names of their
/// fields. Returns the names of the others.
///
/// # Errors
/// If the table does not have one of the named columns.
pub(super) fn choose<D: Dialect>(
    naming: Naming<'_>,
    columns: &mut Vec<FoundColumn>,
) -> Result<Vec<String>, SchemaError> {
    let table = naming.table;
    let name = &table.name;
    let mut hidden = table.hidden.clone();
    for column in &table.hidden {
        match naming.place(columns, column) {
            Some(place) => hidden.push(columns.remove(place).column.stored),
            // It may be dropped at any time.
            None if naming.is_removed(column) => {}
            None => {
                let advice = "take it out of those that are `hidden`";
                return Err(naming.no_column(column, advice));
            }
        }
    }
    if let Some(synced) = &table.columns {
        let mut chosen = Vec::new();
        for column in synced {
            let advice = "take it out of `columns`, which are those besides the id and the owner";
            let place = naming.place(columns, column).ok_or_else(|| {
                let missing = naming.missing::<D>(column);
                missing.unwrap_or_else(|| naming.no_column(column, advice))
            })?;
            chosen.extend(columns.get(place).map(|found| found.column.stored.clone()));
        }
        let others = columns.extract_if(.., |found| !chosen.contains(&found.column.stored));
        let others = others.map(|found| found.column.stored);
        hidden.extend(others.flat_map(|name| [naming.now(&name).to_owned(), name]));
    }
    naming.name::<D>(columns, &hidden)?;
    for column in &table.read_only {
        let found = find(naming, columns, column, "take it out of those that are `read_only`")?;
        found.column.written_by = WrittenBy::Backend;
    }
    for column in &table.computed {
        let found = find(naming, columns, column, "take it out of those that are `computed`")?;
        found.column.written_by = WrittenBy::Database;
    }
    if let Some(found) = columns.iter().find(|found| found.column.name == "id") {
        let advice = "devices know the `id_column` by this name; rename one";
        return Err(refuse(name, &found.column, advice));
    }
    for column in &table.as_strings {
        let advice = "take it out of `numbers_as_strings`";
        let found = find(naming, columns, column, advice)?;
        if !matches!(found.column.kind, Kind::Integer(_) | Kind::Numeric) {
            let advice = "only integers and decimals can be strings of digits";
            return Err(refuse(name, &found.column, advice));
        }
        found.column.as_strings = true;
    }
    for found in columns.iter_mut().filter(|found| found.generated != Generated::No) {
        found.column.written_by = WrittenBy::Database;
    }
    naming.check_defaults::<D>(columns)?;
    Ok(hidden)
}

fn find<'c>(
    naming: Naming<'_>,
    columns: &'c mut [FoundColumn],
    name: &str,
    advice: &'static str,
) -> Result<&'c mut FoundColumn, SchemaError> {
    let place = naming.place(columns, name);
    let found = place.and_then(|place| columns.get_mut(place));
    found.ok_or_else(|| naming.no_column(name, advice))
}
