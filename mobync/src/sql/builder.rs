//! From the names of tables to a database that syncs.

use std::collections::BTreeMap;

use sqlx::{Connection, Database, Pool};

use super::{
    Dialect, Model, SchemaError, SqlDatabase, Table, inspect, references::Keys, schema::Schema,
};

/// Collects the tables to sync, and then reads them from the database's catalogue.
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
    first: Vec<String>,
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
            first: Vec::new(),
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

    /// Captures all tables: changes of their rows reach the devices, whoever makes them. See
    /// [`Table::capture`] for a single table.
    #[must_use]
    pub fn capture(mut self) -> Self {
        self.captured = true;
        self
    }

    /// Allows foreign keys between synced tables that do not include the owner. `set_up` then logs a
    /// warning and does not refuse them.
    ///
    /// Rows of one owner can then reference rows of another. So an owner can find out which ids others
    /// have, and the other owner cannot delete a referenced row. Prefer `FOREIGN KEY (owner, list)
    /// REFERENCES lists (owner, id)`.
    #[must_use]
    pub fn allow_foreign_keys_across_owners(mut self) -> Self {
        self.across_owners = true;
        self
    }

    /// Allows cascades and triggers to change rows of synced tables that are not
    /// [captured](Table::capture). `set_up` then logs a warning and does not refuse them.
    ///
    /// Devices do not receive these changes, so their rows differ from the server's.
    #[must_use]
    pub fn allow_unheard_changes(mut self) -> Self {
        self.allows_unheard = true;
        self
    }

    /// Runs SQL before the tables are read: statements that create them, each with `IF NOT EXISTS`,
    /// because they run every time the database is built.
    ///
    /// All of it is one transaction, and several processes may start at the same time. Use it for first
    /// steps and tests. For tables that change, use migrations: see
    /// [`sql`](crate::sql#tables-that-change).
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use mobync::{Mobync, sqlite::SqliteDatabase};
    ///
    /// let database = SqliteDatabase::builder()
    ///     .run_first(
    ///         "CREATE TABLE IF NOT EXISTS tasks (
    ///             owner TEXT, id TEXT, name TEXT, done BOOLEAN, PRIMARY KEY (owner, id)
    ///         )",
    ///     )
    ///     .table("tasks")
    ///     .connect("sqlite::memory:")
    ///     .await?;
    /// database.set_up().await?;
    /// let mobync = Mobync::new(database);
    /// # let _ = mobync;
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "sqlite"))]
    /// # fn main() {}
    /// ```
    #[must_use]
    pub fn run_first(mut self, statements: impl Into<String>) -> Self {
        self.first.push(statements.into());
        self
    }

    /// Connects with a pool that is configured for sync, and reads the tables from the catalogue.
    ///
    /// A pool belongs to the Tokio runtime on which it was opened. Open it on the framework's runtime:
    /// in `#[tokio::main]`, in `#[actix_web::main]`, in `#[rocket::main]` or a Rocket fairing's
    /// `on_ignite`.
    ///
    /// # Errors
    /// [`SchemaError`]
    pub async fn connect(self, url: &str) -> Result<SqlDatabase<D>, SchemaError> {
        let pool = self.dialect.connect(url).await?;
        self.pool(pool).await
    }

    /// Uses the application's own pool, and reads the tables from the catalogue. The pool must have
    /// been opened on the runtime that syncs run on: see [`connect`](Self::connect).
    ///
    /// # Errors
    /// [`SchemaError`]
    pub async fn pool(mut self, pool: Pool<D::Db>) -> Result<SqlDatabase<D>, SchemaError> {
        let mut connection = pool.acquire().await?;
        let connection: &mut <D::Db as Database>::Connection = &mut connection;
        connection.ping().await?;
        if !self.first.is_empty() {
            run_all::<D>(connection, &self.first).await?;
        }
        D::check(connection, &self.log).await?;
        self.dialect.learn(connection).await?;
        let (mut models, mut keys) = (BTreeMap::new(), Keys::default());
        for mut table in self.tables {
            table.captured |= self.captured;
            // No table has a NUL in its name, and SQLite would ignore what follows it.
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

/// Runs statements in one transaction, one process at a time.
async fn run_all<D: Dialect>(
    connection: &mut <D::Db as Database>::Connection,
    statements: &[String],
) -> Result<(), SchemaError> {
    D::command(connection, D::BEGIN_SET_UP).await?;
    let run = async {
        for sql in statements {
            D::script(connection, sql).await?;
        }
        D::command(connection, "COMMIT").await
    };
    match run.await {
        Ok(()) => Ok(()),
        Err(error) => {
            // Otherwise the next user of the connection would be in this transaction.
            let _ = D::command(connection, "ROLLBACK").await;
            Err(SchemaError::RunFirst(error))
        }
    }
}
