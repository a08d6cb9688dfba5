//! From the names of tables to a database that syncs.

use sqlx::{Connection, Database, Pool};

use super::{Dialect, Model, SchemaError, SqlDatabase, Table, known::Known, plan::Plan};
use crate::schema::Schema as Steps;

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
    schema: Steps,
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
            schema: Steps::default(),
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

    /// Sets the [schema](crate::schema): what was added, renamed and removed since the first version.
    ///
    /// Models and fields have their newest names everywhere, and [tables](Self::table) and settings are named
    /// by these. A table or column may still have an older name: it can be renamed while servers run that
    /// know both names. See [Changing your schema](crate::schemas).
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")] {
    /// use mobync::{schema::{Schema, Step}, sqlite::SqliteDatabase};
    ///
    /// let schema = Schema::new([Step::renamed(2, "tasks", "name", "title")])?;
    /// let builder = SqliteDatabase::builder().schema(schema).table("tasks");
    /// # let _ = builder;
    /// # }
    /// # Ok::<(), mobync::schema::InvalidSchema>(())
    /// ```
    #[must_use]
    pub fn schema(mut self, schema: Steps) -> Self {
        self.schema = schema;
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
    pub async fn pool(self, pool: Pool<D::Db>) -> Result<SqlDatabase<D>, SchemaError> {
        let mut connection = pool.acquire().await?;
        let connection: &mut <D::Db as Database>::Connection = &mut connection;
        connection.ping().await?;
        if !self.first.is_empty() {
            run_all::<D>(connection, &self.first).await?;
        }
        let Self { mut dialect, mut tables, log, across_owners, schema: steps, .. } = self;
        D::check(connection, &log).await?;
        dialect.learn(connection).await?;
        for table in &mut tables {
            table.captured |= self.captured;
        }
        let mut plan = Plan { tables, log, across_owners, steps };
        let schema = plan.read(&mut dialect, connection).await?;
        let captured: Vec<&Model> = schema.captured().collect();
        if !captured.is_empty() {
            D::check_capture(connection, &schema.log, &captured).await?;
        }
        for model in plan.steps.models().filter(|model| !schema.has(model)) {
            tracing::warn!(model, "the schema has steps of a model that no table is named for");
        }
        let known = Known::new(dialect, schema);
        Ok(SqlDatabase::new(pool, plan, known, self.allows_unheard))
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
