//! The ready-made database on SQLite: embedded, one file.
//!
//! [`sql`](crate::sql) is the guide: tables, types, the SQL of the library's own tables.
//!
//! ```no_run
//! use mobync::{Mobync, sqlite::SqliteDatabase};
//!
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let url = "sqlite://app.sqlite";
//! let database = SqliteDatabase::builder().table("tasks").connect(url).await?;
//! database.set_up().await?;
//! let mobync = Mobync::new(database);
//! # Ok(())
//! # }
//! ```

mod capture;
mod catalogue;
mod clashes;
mod columns;
mod dialect;
mod doubles;
mod effects;
mod error;
mod group;
mod isolate;
mod keys;
mod marks;
mod set_off;
mod statements;
mod ticks;
mod transaction;
mod triggers;

use std::time::Duration;

use sqlx::sqlite::SqliteSynchronous;

pub use self::dialect::Sqlite;
use crate::sql::{Builder, SqlDatabase};

/// A database on SQLite.
pub type SqliteDatabase = SqlDatabase<Sqlite>;

impl Builder<Sqlite> {
    /// Sets how long a sync waits for the writer before it fails with busy. The default is 5 seconds.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.dialect.busy_timeout = timeout;
        self
    }

    /// Sets the durability of commits on the connections of [`connect`](Self::connect). The default is
    /// `Full`: an acknowledged sync survives a power failure. With `Normal` the last syncs may be lost,
    /// and devices then get `clock_ahead`.
    #[must_use]
    pub fn synchronous(mut self, synchronous: SqliteSynchronous) -> Self {
        self.dialect.synchronous = synchronous;
        self
    }
}
