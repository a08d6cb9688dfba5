//! The ready-made database on PostgreSQL: your own tables, real transactions, any number of servers.
//!
//! [`sql`](crate::sql) is the guide: tables, types, scaling, the SQL of the library's own tables.
//!
//! ```no_run
//! use mobync::{Mobync, postgres::PostgresDatabase};
//!
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let url = "postgres://app@localhost/app";
//! let database = PostgresDatabase::builder().table("tasks").connect(url).await?;
//! database.set_up().await?;
//! let mobync = Mobync::new(database);
//! # Ok(())
//! # }
//! ```

mod dialect;
mod error;

use std::time::Duration;

pub use self::dialect::Postgres;
use crate::sql::{Builder, SqlDatabase};

/// A database on PostgreSQL.
pub type PostgresDatabase = SqlDatabase<Postgres>;

impl Builder<Postgres> {
    /// How long a sync waits for the other syncs of its owner, and for a connection, before it is
    /// answered as busy; 10 seconds unless set.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.dialect.lock_timeout = timeout;
        self
    }

    /// The greatest number of connections of the pool that [`connect`](Self::connect) makes; 10 unless
    /// set.
    #[must_use]
    pub fn max_connections(mut self, most: u32) -> Self {
        self.dialect.max_connections = most;
        self
    }
}
