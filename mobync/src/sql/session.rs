//! A connection or a transaction that runs statements.

use sqlx::{Database, Pool, pool::PoolConnection};

use super::{Arg, Dialect, LogRow, Model, Writer, join::Joined};
use crate::{error::DatabaseError, merge::Snapshot, owner::Owner};

const SAVEPOINT: &str = "SAVEPOINT mobync_statement";
const RELEASE: &str = "RELEASE SAVEPOINT mobync_statement";
const UNDO: &str = "ROLLBACK TO SAVEPOINT mobync_statement; RELEASE SAVEPOINT mobync_statement";

/// Where the statements of a unit of work run.
#[derive(Debug)]
pub(super) enum Session<D: Dialect> {
    /// For reading: each statement runs on any connection and sees the current state.
    Reading(Pool<D::Db>),
    Writing(D::Writer),
    /// In a transaction of the application's own.
    Joined(Joined<D::Db>),
}

/// How often to take a connection of the pool, of which the idle ones may be dead. While connections come and go, the
/// pool's count of idle ones is below zero for a moment, which is a very large number.
pub(crate) fn tries<Db: Database>(pool: &Pool<Db>) -> usize {
    let most = usize::try_from(pool.options().get_max_connections()).unwrap_or(usize::MAX);
    pool.num_idle().min(most).saturating_add(1)
}

/// Runs the statement on the session's connection. Idle connections of the pool may be dead because the
/// database was restarted. A reader then loses nothing, and takes the next one.
macro_rules! on_connection {
    ($session:expr, $connection:ident => $run:expr) => {
        match $session {
            Session::Writing(writer) => {
                let $connection = writer.connection().ok_or(sqlx::Error::WorkerCrashed)?;
                $run.await
            }
            Session::Joined(joined) => {
                let $connection = joined.connection().ok_or(sqlx::Error::WorkerCrashed)?;
                $run.await
            }
            Session::Reading(pool) => {
                let mut tries = tries(pool);
                loop {
                    let mut acquired: PoolConnection<_> = pool.acquire().await?;
                    let $connection = &mut *acquired;
                    match $run.await {
                        Err(error) if tries > 1 && D::is_dead(&error) => {
                            tries -= 1;
                            acquired.close_on_drop();
                        }
                        done => break done,
                    }
                }
            }
        }
    };
}

impl<D: Dialect> Session<D> {
    pub(super) async fn log_rows(
        &mut self,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<Vec<LogRow>, sqlx::Error> {
        on_connection!(self, connection => D::log_rows(connection, sql, args))
    }

    pub(super) async fn fold_log(
        &mut self,
        log: &Model,
        owner: &Owner,
        empty: &Snapshot,
    ) -> Result<Snapshot, sqlx::Error> {
        on_connection!(self, connection => D::fold_log(connection, log, owner, empty.another()))
    }

    pub(super) async fn texts(
        &mut self,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<Vec<String>, sqlx::Error> {
        on_connection!(self, connection => D::texts(connection, sql, args))
    }

    /// Reads after a savepoint, so that the transaction stays usable if the statement fails.
    pub(super) async fn attempt_texts(
        &mut self,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<Vec<String>, sqlx::Error> {
        if matches!(self, Self::Reading(_)) {
            return self.texts(sql, args).await;
        }
        let connection = self.writing().map_err(|_| sqlx::Error::WorkerCrashed)?;
        D::command(connection, SAVEPOINT).await?;
        let texts = D::texts(connection, sql, args).await;
        let end = if texts.is_ok() { RELEASE } else { UNDO };
        D::command(connection, end).await?;
        texts
    }

    /// The transaction's connection.
    ///
    /// # Errors
    /// If the unit was opened for reading.
    pub(super) fn writing(
        &mut self,
    ) -> Result<&mut <D::Db as Database>::Connection, DatabaseError> {
        let ended = || DatabaseError::failed("the unit of work has ended");
        match self {
            Self::Writing(writer) => writer.connection().ok_or_else(ended),
            Self::Joined(joined) => joined.connection().ok_or_else(ended),
            Self::Reading(_) => {
                Err(DatabaseError::failed("the unit of work was opened to read, not to write"))
            }
        }
    }

    /// Continues in a transaction that no other writer shares.
    pub(super) async fn alone(&mut self) -> Result<(), DatabaseError> {
        match self {
            Self::Writing(writer) => writer.alone().await,
            Self::Joined(_) | Self::Reading(_) => Ok(()),
        }
    }

    /// Whether statements can still be run.
    pub(super) fn is_alive(&self) -> bool {
        match self {
            Self::Writing(writer) => writer.is_alive(),
            // A rejected statement may have aborted the transaction.
            Self::Joined(_) => false,
            Self::Reading(_) => true,
        }
    }
}
