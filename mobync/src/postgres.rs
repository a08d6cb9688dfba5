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

mod capture;
mod catalogue;
mod clocks;
mod columns;
mod dialect;
mod effects;
mod error;
mod isolate;
mod log;
mod marks;
mod news;
mod quoting;
mod record;
mod session;
mod settings;
mod statements;
mod triggers;
mod writer;

use std::time::Duration;

pub use self::dialect::Postgres;
use crate::{
    Owner,
    sql::{Builder, SqlDatabase},
};

/// A database on PostgreSQL.
pub type PostgresDatabase = SqlDatabase<Postgres>;

impl Builder<Postgres> {
    /// Sets how long a sync waits for other syncs of its owner, and for a connection, before it fails with
    /// busy. The default is 10 seconds.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.dialect.lock_timeout = timeout;
        self
    }

    /// Sets the greatest number of connections of the pool that [`connect`](Self::connect) creates. The
    /// default is 10.
    #[must_use]
    pub fn max_connections(mut self, most: u32) -> Self {
        self.dialect.max_connections = most;
        self
    }

    /// Sets session settings, by name and value, for the transaction of each sync. The application's
    /// policies, triggers and audits read them with `current_setting`. They need no further round trip.
    ///
    /// ```
    /// use mobync::postgres::PostgresDatabase;
    ///
    /// // CREATE POLICY own ON tasks USING (owner = current_setting('app.user_id'));
    /// let builder = PostgresDatabase::builder()
    ///     .table("tasks")
    ///     .session(|owner| vec![("app.user_id".to_owned(), owner.as_str().to_owned())]);
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn session(
        mut self,
        settings: impl Fn(&Owner) -> Vec<(String, String)> + Send + Sync + 'static,
    ) -> Self {
        self.dialect.settings = settings::Settings::new(settings);
        self
    }

    /// Notifies other processes of the owner's clock with each commit of new diffs. They listen with
    /// [`hear_clocks`](crate::sql::SqlDatabase::hear_clocks). Off by default.
    ///
    /// It needs no further round trip, but PostgreSQL commits all transactions that notify one after
    /// another, even for different owners.
    #[must_use]
    pub fn announce_clocks(mut self) -> Self {
        self.dialect.announces = true;
        self
    }
}
