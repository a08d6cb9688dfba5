//! A connection, or a transaction, that statements go through.

use sqlx::{Acquire, Connection, Database, Pool, Transaction, pool::PoolConnection};

use super::{Arg, Dialect, LogRow, Model};
use crate::DatabaseError;

/// Where the statements of a unit of work go.
#[derive(Debug)]
pub(super) enum Session<Db: Database> {
    /// Nothing will be written: each statement sees the state of its time, on any connection.
    Reading(Pool<Db>),
    Writing(Transaction<'static, Db>),
}

/// Runs the statement on the session's connection. Idle connections of the pool may be dead since the
/// database was restarted; a reader has lost nothing by that, and takes the next one.
macro_rules! on_connection {
    ($session:expr, $connection:ident => $run:expr) => {
        match $session {
            Session::Writing(transaction) => {
                let $connection = &mut **transaction;
                $run.await
            }
            Session::Reading(pool) => {
                let mut tries = pool.num_idle() + 1;
                loop {
                    let mut acquired: PoolConnection<_> = pool.acquire().await?;
                    let $connection = &mut *acquired;
                    match $run.await {
                        Err(sqlx::Error::Io(_)) if tries > 1 => {
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

impl<Db: Database> Session<Db> {
    pub(super) async fn log_rows<D: Dialect<Db = Db>>(
        &mut self,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<Vec<LogRow>, sqlx::Error> {
        on_connection!(self, connection => D::log_rows(connection, sql, args))
    }

    pub(super) async fn texts<D: Dialect<Db = Db>>(
        &mut self,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<Vec<String>, sqlx::Error> {
        on_connection!(self, connection => D::texts(connection, sql, args))
    }

    /// Reads behind a savepoint, so that a transaction goes on if the statement fails.
    pub(super) async fn attempt_texts<D: Dialect<Db = Db>>(
        &mut self,
        model: &Model,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<Vec<String>, DatabaseError> {
        let failed = |error| D::explain(model, error);
        let Self::Writing(transaction) = self else {
            return self.texts::<D>(sql, args).await.map_err(failed);
        };
        let mut savepoint = transaction.begin().await.map_err(failed)?;
        match D::texts(&mut savepoint, sql, args).await {
            Ok(texts) => savepoint.commit().await.map(|()| texts).map_err(failed),
            Err(error) => {
                savepoint.rollback().await.map_err(failed)?;
                Err(failed(error))
            }
        }
    }

    /// The transaction's connection.
    ///
    /// # Errors
    /// If the unit was opened to read.
    pub(super) fn writing(&mut self) -> Result<&mut Db::Connection, DatabaseError> {
        match self {
            Self::Writing(transaction) => Ok(&mut **transaction),
            Self::Reading(_) => {
                Err(DatabaseError::failed("the unit of work was opened to read, not to write"))
            }
        }
    }

    /// Runs a statement behind a savepoint, so that the transaction goes on if it fails, or leaves
    /// more violations than there were.
    pub(super) async fn attempt<D: Dialect<Db = Db>>(
        &mut self,
        model: &Model,
        violations: i64,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<(), DatabaseError> {
        let failed = |error| D::explain(model, error);
        let connection = self.writing()?;
        let mut savepoint = connection.begin().await.map_err(failed)?;
        let done = match D::execute(&mut savepoint, sql, args).await.map_err(failed) {
            Ok(()) if D::violations(&mut savepoint).await.map_err(failed)? > violations => {
                Err(DatabaseError::constraint(format!("foreign key of {}", model.name)))
            }
            done => done,
        };
        match done {
            Ok(()) => savepoint.commit().await.map_err(failed),
            Err(error) => {
                savepoint.rollback().await.map_err(failed)?;
                Err(error)
            }
        }
    }
}
