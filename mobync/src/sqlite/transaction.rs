//! A transaction of SQLite that detects when it has ended by itself.

use sqlx::{AssertSqlSafe, SqliteConnection, SqlitePool, pool::PoolConnection};

/// A connection in a transaction, with a savepoint at its beginning.
///
/// SQLite rolls a transaction back by itself if the disk is full, or if a trigger does so. Later writes
/// are then committed one by one. sqlx does not notice this: its own transaction type would return the
/// connection to the pool, where the next transaction fails.
#[derive(Debug)]
pub(super) struct Transaction {
    connection: Option<PoolConnection<sqlx::Sqlite>>,
    /// The database is lost if its connection is closed.
    in_memory: bool,
}

/// The savepoint at the beginning of a writer's turn.
const TURN: &str = "SAVEPOINT mobync_sync";

impl Transaction {
    pub(super) async fn begin(pool: &SqlitePool, in_memory: bool) -> Result<Self, sqlx::Error> {
        let connection = Some(pool.acquire().await?);
        let mut transaction = Self { connection, in_memory };
        match transaction.run("BEGIN IMMEDIATE; SAVEPOINT mobync_sync").await {
            Ok(()) => Ok(transaction),
            // Another process writes: nothing has begun.
            Err(error) if is_busy(&error) => {
                transaction.connection = None;
                Err(error)
            }
            Err(error) => {
                transaction.rollback().await;
                Err(error)
            }
        }
    }

    pub(super) fn connection(&mut self) -> Option<&mut SqliteConnection> {
        self.connection.as_deref_mut()
    }

    /// Keeps the writes of the last turn, and begins the next one.
    pub(super) async fn next_turn(&mut self) -> Result<(), sqlx::Error> {
        self.run(&format!("RELEASE mobync_sync; {TURN}")).await
    }

    /// Undoes the writes of the last turn.
    pub(super) async fn undo_turn(&mut self) -> Result<(), sqlx::Error> {
        self.run("ROLLBACK TO mobync_sync").await
    }

    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        let committed = self.run("COMMIT").await;
        let rolled_back = committed.is_err() && self.run("ROLLBACK").await.is_ok();
        if committed.is_ok() || rolled_back && self.in_memory {
            self.connection = None;
        }
        committed
    }

    /// Undoes everything. A connection whose transaction has ended by itself is closed.
    pub(super) async fn rollback(mut self) {
        if self.run("ROLLBACK").await.is_ok() || self.in_memory {
            self.connection = None;
        }
    }

    async fn run(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        let connection = self.connection().ok_or(sqlx::Error::WorkerCrashed)?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.close_on_drop();
        }
    }
}

fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.and_then(|code| code.parse::<i32>().ok()).is_some_and(|code| matches!(code & 0xff, 5 | 6))
}
