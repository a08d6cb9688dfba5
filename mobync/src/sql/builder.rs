//! From the names of tables to a database that syncs.

use std::collections::BTreeMap;

use sqlx::{Connection, Database, Pool};

use super::{
    Dialect, Model, SchemaError, SqlDatabase, Table, inspect, references::Keys, schema::Schema,
};

/// Collects the tables that are to be synced, and then looks at them in the database.
///
/// Made by `PostgresDatabase::builder()` or `SqliteDatabase::builder()`.
#[derive(Clone, Debug)]
pub struct Builder<D: Dialect> {
    pub(crate) dialect: D,
    tables: Vec<Table>,
    log: String,
    across_owners: bool,
    captured: bool,
    allows_unheard: bool,
}

impl<D: Dialect> Default for Builder<D> {
    fn default() -> Self {
        Self {
            dialect: D::default(),
            tables: Vec::new(),
            log: "diffs".to_owned(),
            across_owners: false,
            captured: false,
            allows_unheard: false,
        }
    }
}

impl<D: Dialect> Builder<D> {
    /// Syncs a table, as a model of the same name.
    #[must_use]
    pub fn table(mut self, table: impl Into<Table>) -> Self {
        self.tables.push(table.into());
        self
    }

    /// The name of the table that keeps the log; `diffs` unless set.
    #[must_use]
    pub fn diffs_table(mut self, name: impl Into<String>) -> Self {
        self.log = name.into();
        self
    }

    /// Changes of all the tables' rows reach the devices whoever makes them: as
    /// [`Table::capture`] says for one.
    #[must_use]
    pub fn capture(mut self) -> Self {
        self.captured = true;
        self
    }

    /// Lets rows of one owner refer to those of another: the foreign keys between synced tables that do
    /// not have the owner in them are not refused, only warned of.
    ///
    /// An owner can then find out which ids others have, by referring to them; and what is referred to
    /// cannot be deleted by the one whose it is. Prefer `FOREIGN KEY (owner, list) REFERENCES lists
    /// (owner, id)`.
    #[must_use]
    pub fn allow_foreign_keys_across_owners(mut self) -> Self {
        self.across_owners = true;
        self
    }

    /// Lets cascades and triggers change rows of synced tables that are not
    /// [captured](Table::capture), behind what a sync writes: `set_up` does not refuse them, and only warns.
    ///
    /// Devices do not hear of what these change, and go on with rows that are others than the server's.
    #[must_use]
    pub fn allow_unheard_changes(mut self) -> Self {
        self.allows_unheard = true;
        self
    }

    /// Connects, with a pool made for sync, and looks at the tables.
    ///
    /// # Errors
    /// [`SchemaError`]
    pub async fn connect(self, url: &str) -> Result<SqlDatabase<D>, SchemaError> {
        let pool = self.dialect.connect(url).await?;
        self.pool(pool).await
    }

    /// Uses the application's own pool, and looks at the tables.
    ///
    /// # Errors
    /// [`SchemaError`]
    pub async fn pool(mut self, pool: Pool<D::Db>) -> Result<SqlDatabase<D>, SchemaError> {
        let mut connection = pool.acquire().await?;
        let connection: &mut <D::Db as Database>::Connection = &mut connection;
        connection.ping().await?;
        D::check(connection, &self.log).await?;
        self.dialect.learn(connection).await?;
        let (mut models, mut keys) = (BTreeMap::new(), Keys::default());
        for mut table in self.tables {
            table.captured |= self.captured;
            // No table has a NUL in its name; SQLite would not see it.
            let has_nul = table.name.contains('\0');
            let found = if has_nul { None } else { D::find(connection, &table).await? };
            let Some(found) = found else {
                let create = D::create_table(&table);
                return Err(SchemaError::NoTable { table: table.name, create });
            };
            let references = found.references.clone();
            let identity = found.identity.clone();
            let mut model = inspect::model::<D>(&table, found)?;
            let free = D::free_columns(connection, &self.log, &model).await?;
            for column in model.columns.iter_mut() {
                column.is_free = free.contains(&column.name);
            }
            if model.name == self.log || models.contains_key(&model.name) {
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
        let log = Table::new(self.log);
        let found = D::find(connection, &log).await?;
        keys.check_log(&log.name, found.as_ref())?;
        let home = D::home(connection).await?;
        let schema = Schema::new(inspect::log_model::<D>(&log, found, home)?, models);
        let captured: Vec<&Model> = schema.captured().collect();
        if !captured.is_empty() {
            D::check_capture(connection, &schema.log, &captured).await?;
        }
        self.dialect.know(connection, &schema).await?;
        Ok(SqlDatabase::new(self.dialect, pool, schema, self.allows_unheard))
    }
}
