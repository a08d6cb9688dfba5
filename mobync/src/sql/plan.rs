//! Reads the tables to sync from the catalogue.

use std::collections::BTreeMap;

use super::{
    Dialect, Found, SchemaError, Table, inspect, naming::Naming, quote, reading::Reading,
    references::Keys, schema::Schema,
};
use crate::schema::{History, Schema as Steps};

/// What a builder has been told: enough to read the catalogue at any time.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) tables: Vec<Table>,
    pub(super) log: String,
    pub(super) across_owners: bool,
    pub(super) steps: Steps,
}

impl Plan {
    /// Reads the tables. Their settings are kept by the newest names of the fields.
    pub(super) async fn read<D: Dialect>(
        &mut self,
        dialect: &mut D,
        connection: &mut <D::Db as sqlx::Database>::Connection,
    ) -> Result<Schema, SchemaError> {
        let reading = Reading::new(self.steps.has_renames());
        let (mut models, mut keys) = (BTreeMap::new(), Keys::default());
        for planned in &mut self.tables {
            let history = self.steps.history(&planned.name);
            let (table, found) = find::<D>(connection, planned, history).await?;
            let naming = Naming { table: &table, in_sql: "", history };
            let table = naming.by_newest_names(&found.columns);
            *planned = Table { name: planned.name.clone(), ..table.clone() };
            let (references, identity) = (found.references.clone(), found.identity.clone());
            let mut model = inspect::model::<D>(&table, found, history)?;
            model.reading = reading.clone();
            let free = D::free_columns(connection, &self.log, &model).await?;
            for column in model.columns.iter_mut() {
                column.is_free = free.contains(&column.stored);
            }
            let is_log = model.name == self.log || model.stored == self.log;
            if is_log || models.contains_key(&model.name) {
                return Err(SchemaError::Twice { table: model.name });
            }
            keys.add(&model, identity, references)?;
            models.insert(model.name.clone(), model);
        }
        keys.check(self.across_owners)?;
        let ranks = keys.ranks();
        for model in models.values_mut() {
            model.rank = ranks.get(&model.name).copied().unwrap_or_default();
        }
        let log = Table::new(&*self.log);
        let found = D::find(connection, &log).await?;
        keys.check_log(&log.name, found.as_ref())?;
        let home = D::home(connection).await?;
        let mut log = inspect::log_model::<D>(&log, found, home)?;
        log.reading = reading;
        let schema = Schema::new(log, models);
        dialect.know(connection, &schema).await?;
        Ok(schema)
    }
}

/// Finds a table by the newest of its names that it has. Returns it with that name.
///
/// # Errors
/// If the model was removed, if there is no such table, or if two of its names are tables.
async fn find<D: Dialect>(
    connection: &mut <D::Db as sqlx::Database>::Connection,
    table: &Table,
    history: Option<History<'_>>,
) -> Result<(Table, Found), SchemaError> {
    if history.is_some_and(|model| model.line.is_removed()) {
        return Err(SchemaError::RemovedModel { model: table.name.clone() });
    }
    let names: Vec<&str> =
        history.map_or_else(|| vec![&*table.name], |model| model.line.names().collect());
    let mut tables: Vec<(Table, Found)> = Vec::new();
    for name in names {
        let table = Table { name: name.to_owned(), ..table.clone() };
        // No table has a NUL in its name, and SQLite would ignore what follows it.
        let has_nul = name.contains('\0');
        let found = if has_nul { None } else { D::find(connection, &table).await? };
        tables.extend(found.map(|found| (table, found)));
    }
    // A view may keep an older name for others.
    let is_view = |(_, found): &(Table, Found)| found.other.is_some();
    if tables.iter().any(|table| !is_view(table)) {
        tables.retain(|table| !is_view(table));
    }
    let mut others = tables.iter();
    if let Some((newer, found)) = others.next()
        && let Some((older, _)) = others.find(|(_, other)| other.identity != found.identity)
    {
        let drop = format!("DROP TABLE {}", quote(&older.name));
        let (newer, older) = (newer.name.clone(), older.name.clone());
        return Err(SchemaError::TwoTables { newer, older, drop });
    }
    // Names that differ in case only may be the same table.
    let exact = tables.iter().position(|(table, found)| table.name == found.name);
    let place = exact.unwrap_or_default();
    if place < tables.len() {
        return Ok(tables.swap_remove(place));
    }
    let newest = history.map_or(&*table.name, |model| model.line.now());
    let table = Table { name: newest.to_owned(), ..table.clone() };
    let create = D::create_table(&table);
    Err(SchemaError::NoTable { table: table.name, create })
}
