//! Clocks that one process announces to the others with NOTIFY and LISTEN.

use std::{convert::Infallible, io, time::Duration};

use sqlx::{
    AssertSqlSafe, PgPool,
    postgres::{PgListener, PgPoolOptions},
};
use tokio::time::{Instant, sleep, timeout};

use super::Postgres;
use crate::{
    live::Live,
    owner::Owner,
    sql::{Model, SqlDatabase},
};

/// After this time without notifications the connection is checked.
const QUIET: Duration = Duration::from_secs(30);
/// The time limit for connecting, and for the check.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before connecting again, at first and at most.
const WAIT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

impl SqlDatabase<Postgres> {
    /// Reports syncs of other processes to the listeners of this process: all syncs of databases with
    /// [`announce_clocks`](crate::sql::Builder::announce_clocks) and the same log.
    ///
    /// It runs until it is dropped. It has its own connection, in addition to those of the pool, with
    /// the pool's options. That connection must not go through a PgBouncer in transaction mode. If it
    /// is lost, it is opened again, at first immediately and then every 10 seconds, and all streams are
    /// [disconnected](Live::disconnect), because notifications may have been missed.
    ///
    /// ```no_run
    /// use mobync::{Mobync, postgres::PostgresDatabase};
    ///
    /// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
    /// let url = "postgres://app@localhost/app";
    /// let database = PostgresDatabase::builder().table("tasks").announce_clocks().connect(url).await?;
    /// database.set_up().await?;
    /// let mobync = Mobync::new(database);
    ///
    /// let (database, live) = (mobync.database().clone(), mobync.live().clone());
    /// tokio::spawn(async move { database.hear_clocks(&live).await });
    /// # Ok(())
    /// # }
    /// ```
    pub async fn hear_clocks(&self, live: &Live) -> Infallible {
        let mut wait = WAIT.0;
        loop {
            let started = Instant::now();
            let Err(error) = self.hear(live).await;
            tracing::warn!(%error, "notifications of other processes are not received");
            // If the last connection was short-lived, wait before the next one.
            wait = if started.elapsed() > PATIENCE + WAIT.1 { WAIT.0 } else { wait };
            sleep(wait).await;
            wait = (wait * 2).min(WAIT.1);
        }
    }

    /// Listens until the connection is lost.
    async fn hear(&self, live: &Live) -> Result<Infallible, sqlx::Error> {
        let mut listener =
            timeout(PATIENCE, listen(self.pool(), self.log())).await.map_err(late)??;
        live.disconnect();
        loop {
            match timeout(QUIET, listener.try_recv()).await {
                Ok(Ok(Some(heard))) => {
                    if let Some((owner, clock)) = read(heard.payload()) {
                        live.announce(&owner, clock);
                    }
                }
                Ok(Ok(None)) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    let asked = sqlx::raw_sql("SELECT 1").execute(&mut listener);
                    timeout(PATIENCE, asked).await.map_err(late)??;
                }
            }
        }
    }
}

/// The payload about new marks. A payload about a clock has the clock and the owner.
pub(super) const MARKS: &str = "marks";

/// A connection of its own, outside the pool, that listens to the log's channel.
pub(super) async fn listen(pool: &PgPool, log: &Model) -> Result<PgListener, sqlx::Error> {
    let options = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let own = options.connect_with((*pool.connect_options()).clone()).await?;
    let sql = AssertSqlSafe(format!("SELECT {}", channel("$1")));
    let channel: String = sqlx::query_scalar(sql).bind(&log.table).fetch_one(&own).await?;
    let mut listener = PgListener::connect_with(&own).await?;
    // A lost connection must be detected, to disconnect the streams after the next one.
    listener.eager_reconnect(false);
    listener.listen(&channel).await?;
    Ok(listener)
}

/// The channel of a log, whose name in SQL is the parameter (or literal). It is named by the table's
/// number, so that all processes mean the same one, whatever their search paths and however long the
/// name.
pub(super) fn channel(parameter: &str) -> String {
    format!("concat('mobync_', CAST(CAST({parameter} AS regclass) AS oid))")
}

/// Extends a statement that inserts for the owner `$1`, so that the commit announces the clock. The
/// parameter with that number is the log's name in SQL.
pub(super) fn announce(insert: &str, log: usize) -> String {
    format!(
        "WITH appended AS ({insert} RETURNING logical_clock) \
         SELECT pg_notify({}, concat(max(logical_clock) + 1, ' ', CAST($1 AS text))) \
         FROM appended HAVING count(*) > 0",
        channel(&format!("${log}"))
    )
}

fn read(payload: &str) -> Option<(Owner, i64)> {
    let (clock, owner) = payload.split_once(' ')?;
    Some((Owner::new(owner).ok()?, clock.parse().ok()?))
}

fn late(elapsed: tokio::time::error::Elapsed) -> sqlx::Error {
    io::Error::new(io::ErrorKind::TimedOut, elapsed).into()
}
