//! From the names of tables to a database that syncs.

use std::collections::BTreeMap;

use sqlx::{Connection, Database, Pool};

use super::{Column, Dialect, Found, Kind, Model, SqlDatabase, Table, quote, schema::Schema};

/// Collects the tables that are to be synced, and then looks at them in the database.
///
/// Made by `PostgresDatabase::builder()` or `SqliteDatabase::builder()`.
#[derive(Clone, Debug)]
pub struct Builder<D: Dialect> {
    pub(crate) dialect: D,
    tables: Vec<Table>,
    log: String,
}

/// Why a database cannot be synced with as it was described. The sentence says what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The database cannot be reached, or cannot be asked.
    #[error("the database cannot be asked for its tables")]
    Database(#[from] sqlx::Error),
    /// There is no such table.
    #[error("there is no table {table}; create it first, for example: {create}")]
    NoTable {
        /// The table.
        table: String,
        /// Statements that would create it, without its other columns.
        create: String,
    },
    /// The table has no such column.
    #[error("the table {table} has no column {column}: {advice}")]
    NoColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What to do.
        advice: &'static str,
    },
    /// A column cannot be what it is to be.
    #[error("the column {column} of {table} is {sql_type}: {advice}")]
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type in the database.
        sql_type: String,
        /// What to do.
        advice: &'static str,
    },
    /// Nothing keeps two rows of the table from having the same id.
    #[error("the table {table} needs a primary key or unique index on {key}")]
    NotUnique {
        /// The table.
        table: String,
        /// The columns that must be unique together.
        key: String,
    },
    /// Two of the tables have the same name.
    #[error("the table {table} is named twice, or is the one that keeps the log")]
    Twice {
        /// The table.
        table: String,
    },
}

const LOG_TEXTS: [&str; 5] = ["id", "owner", "type", "model", "json_data"];
const LOG_INTEGERS: [&str; 2] = ["logical_clock", "utc_timestamp"];

impl<D: Dialect> Default for Builder<D> {
    fn default() -> Self {
        Self { dialect: D::default(), tables: Vec::new(), log: "diffs".to_owned() }
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
        self.dialect.learn(connection).await?;
        let mut models = BTreeMap::new();
        for table in self.tables {
            let found = D::find(connection, &table).await?;
            let mut model = model::<D>(&table, found)?;
            let free = D::free_columns(connection, &model).await?;
            for column in model.columns.iter_mut() {
                column.is_free = free.contains(&column.name);
            }
            if model.name == self.log || models.contains_key(&model.name) {
                return Err(SchemaError::Twice { table: model.name });
            }
            models.insert(model.name.clone(), model);
        }
        let log = Table::new(self.log);
        let found = D::find(connection, &log).await?;
        let schema = Schema { log: log_model(&log, found)?, models };
        Ok(SqlDatabase::new(self.dialect, pool, schema))
    }
}

fn model<D: Dialect>(table: &Table, found: Option<Found>) -> Result<Model, SchemaError> {
    let name = &table.name;
    let Found { schema, mut columns, unique } = found.ok_or_else(|| SchemaError::NoTable {
        table: name.clone(),
        create: D::create_table(table),
    })?;
    let id = take(name, &mut columns, &table.id, "name another one with `id_column`")?;
    let owner = match &table.owner {
        None => None,
        Some(owner) => Some(take(
            name,
            &mut columns,
            owner,
            "add it, name another one with `owner_column`, or say that the rows are everybody's with `shared`",
        )?),
    };
    for column in [Some(&id), owner.as_ref()].into_iter().flatten() {
        if !column.kind.can_name() {
            return Err(refuse(name, column, "ids and owners must be text, a UUID or an integer"));
        }
    }
    if let Some(column) = columns.iter().find(|column| column.name == "id") {
        return Err(refuse(name, column, "devices know the `id_column` by this name; rename one"));
    }

    let alone = |columns: &Vec<String>| *columns == [table.id.clone()];
    let with_owner = |columns: &Vec<String>| {
        let [left, right] = &**columns else { return false };
        let owner = table.owner.as_ref();
        (Some(left), right) == (owner, &table.id) || (Some(right), left) == (owner, &table.id)
    };
    if !unique.iter().any(|columns| alone(columns) || with_owner(columns)) {
        let key = [table.owner.as_deref(), Some(&*table.id)];
        let key = key.into_iter().flatten().collect::<Vec<_>>().join(", ");
        return Err(SchemaError::NotUnique { table: name.clone(), key: format!("({key})") });
    }
    Ok(Model {
        name: name.clone(),
        table: in_schema(schema, name),
        id,
        owner,
        columns: columns.into(),
        keeps_unknown: table.keeps_unknown,
    })
}

/// The log as it is, or as [`SqlDatabase::set_up`] will make it.
fn log_model(table: &Table, found: Option<Found>) -> Result<Model, SchemaError> {
    let name = &table.name;
    let Found { schema, mut columns, .. } = found.unwrap_or_else(|| Found {
        schema: None,
        columns: LOG_TEXTS
            .map(|name| (name, "text", Kind::Text))
            .into_iter()
            .chain(LOG_INTEGERS.map(|name| (name, "bigint", Kind::Integer(64))))
            .map(|(name, sql_type, kind)| Column {
                name: name.to_owned(),
                sql_type: sql_type.to_owned(),
                full_type: sql_type.to_owned(),
                kind,
                is_free: false,
            })
            .collect(),
        unique: Vec::new(),
    });
    let advice = "it is the log; drop it if it is none, or name another one with `diffs_table`";
    for column in LOG_TEXTS.into_iter().chain(LOG_INTEGERS) {
        let found = columns.iter().find(|found| found.name == column);
        let found = found.ok_or_else(|| no_column(name, column, advice))?;
        let kind = if LOG_TEXTS.contains(&column) { Kind::Text } else { Kind::Integer(64) };
        if found.kind != kind {
            return Err(refuse(name, found, "the log needs texts, and integers of 64 bits"));
        }
    }
    let id = take(name, &mut columns, "id", advice)?;
    let owner = take(name, &mut columns, "owner", advice)?;
    Ok(Model {
        name: name.clone(),
        table: in_schema(schema, name),
        id,
        owner: Some(owner),
        columns: columns.into(),
        keeps_unknown: false,
    })
}

fn take(
    table: &str,
    columns: &mut Vec<Column>,
    name: &str,
    advice: &'static str,
) -> Result<Column, SchemaError> {
    let place = columns.iter().position(|column| column.name == name);
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

fn in_schema(schema: Option<String>, table: &str) -> String {
    match schema {
        Some(schema) => format!("{}.{}", quote(&schema), quote(table)),
        None => quote(table),
    }
}
