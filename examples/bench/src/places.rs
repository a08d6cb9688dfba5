//! The locations of databases, and their tables.

use std::path::PathBuf;

use serde::Serialize;
use sqlx::{
    Connection, PgConnection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tempfile::TempDir;

use crate::{Result, throwaway};

/// The tables of the application, and those of the floors: the same rows, and a log with the indexes
/// that the protocol needs.
const TABLES: [&str; 4] = [
    "CREATE TABLE tasks (owner text NOT NULL, id text NOT NULL, name text, note text, done boolean, \
     position integer, PRIMARY KEY (owner, id))",
    "CREATE TABLE floor_clocks (owner text PRIMARY KEY, clock bigint NOT NULL)",
    "CREATE TABLE floor_log (id text NOT NULL, owner text NOT NULL, logical_clock bigint NOT NULL, \
     utc_timestamp bigint NOT NULL, type text NOT NULL, model text NOT NULL, json_data text NOT NULL, \
     PRIMARY KEY (owner, id))",
    "CREATE INDEX floor_log_clock ON floor_log (owner, logical_clock)",
];

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "their names say it")]
pub enum Database {
    Memory,
    Sqlite,
    Postgres,
}

/// Where new databases are created: a folder, and a PostgreSQL server with its default, durable
/// settings. Both are removed after the run.
#[derive(Debug)]
pub struct Places {
    folder: TempDir,
    made: u32,
}

impl Database {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Sqlite, Self::Postgres];

    /// Its name in commands and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

impl Places {
    /// No databases yet.
    ///
    /// # Errors
    /// If there is no folder for temporary files.
    pub fn new() -> Result<Self> {
        Ok(Self { folder: tempfile::tempdir()?, made: 0 })
    }

    /// The address of a new database, with empty tables.
    ///
    /// # Errors
    /// If it cannot be created.
    pub async fn make(&mut self, database: Database) -> Result<String> {
        match database {
            Database::Memory => Ok(String::new()),
            Database::Sqlite => {
                self.made += 1;
                let path = self.folder.path().join(format!("{}.sqlite", self.made));
                let path = path.to_str().ok_or("the temporary folder's name is no text")?;
                let mut connection = SqliteConnection::connect_with(&sqlite(path)).await?;
                for table in TABLES {
                    sqlx::query(table).execute(&mut connection).await?;
                }
                connection.close().await?;
                Ok(path.to_owned())
            }
            Database::Postgres => {
                let url = throwaway::new_database().await;
                let mut connection = PgConnection::connect(&url).await?;
                for table in TABLES {
                    sqlx::query(table).execute(&mut connection).await?;
                }
                connection.close().await?;
                Ok(url)
            }
        }
    }

    /// Lets a database analyse its tables after a bulk load, which `PostgreSQL` does by itself within a
    /// minute or two.
    ///
    /// # Errors
    /// If it cannot.
    pub async fn settle(&self, database: Database, at: &str) -> Result<()> {
        if database == Database::Postgres {
            let mut connection = PgConnection::connect(at).await?;
            sqlx::query("VACUUM ANALYZE").execute(&mut connection).await?;
            connection.close().await?;
        }
        Ok(())
    }
}

/// A SQLite file, opened with the library's settings.
pub(crate) fn sqlite(path: impl Into<PathBuf>) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path.into())
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
}
