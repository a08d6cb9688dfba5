//! A transaction of PostgreSQL that holds the lock on its owner.

use sqlx::{AssertSqlSafe, PgConnection, PgPool, pool::PoolConnection};

use super::error::explain;
use crate::{
    error::DatabaseError,
    sql::{Model, Writer},
};

/// A connection in a transaction. sqlx's own transaction type would return a connection to the pool
/// inside a transaction, if the statements that begin it fail after `BEGIN`.
#[derive(Debug)]
pub struct Transaction(Option<PoolConnection<sqlx::Postgres>>);

impl Transaction {
    /// Runs the statements. The first one is `BEGIN`.
    pub(super) async fn begin(pool: &PgPool, sql: &str) -> Result<Self, sqlx::Error> {
        let mut transaction = Self(Some(pool.acquire().await?));
        if let Some(connection) = &mut transaction.0 {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut **connection).await?;
        }
        Ok(transaction)
    }
}

impl Writer<sqlx::Postgres> for Transaction {
    fn connection(&mut self) -> Option<&mut PgConnection> {
        self.0.as_deref_mut()
    }

    fn is_alive(&self) -> bool {
        self.0.is_some()
    }

    async fn commit(mut self, log: &Model) -> Result<(), DatabaseError> {
        if let Some(connection) = &mut self.0 {
            let committed = sqlx::raw_sql("COMMIT").execute(&mut **connection).await;
            committed.map_err(|error| explain(log, error))?;
        }
        // After a commit no rollback is needed.
        self.0 = None;
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let Some(mut connection) = self.0.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                if sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await.is_err() {
                    connection.close_on_drop();
                }
            })),
            Err(_) => connection.close_on_drop(),
        }
    }
}
