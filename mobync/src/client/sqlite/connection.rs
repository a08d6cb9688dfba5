//! The one connection of a store, which is closed after any error.
//!
//! `SQLite` ends a transaction by itself when the disk is full or cannot be read, or when memory runs
//! out. After a COMMIT or ROLLBACK that failed it is unknown whether a transaction is open. In these
//! cases the connection is closed, which rolls back, and the next unit of work opens another.

use std::sync::Arc;

use sqlx::{
    Connection, Database, Sqlite, SqliteConnection,
    query::Query,
    sqlite::{SqliteConnectOptions, SqliteRow},
};
use tokio::{
    runtime::Handle,
    sync::{Mutex, OwnedMutexGuard},
};

use crate::client::StoreError;

/// The connection while it is not used. One is enough for one person, and waiting units get it in order.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    connection: Arc<Mutex<Option<SqliteConnection>>>,
    options: Arc<SqliteConnectOptions>,
}

/// The connection, used by one unit of work.
#[derive(Debug)]
pub(super) struct Lent {
    /// `None` from the beginning of a statement until it has succeeded.
    connection: Option<SqliteConnection>,
    place: Option<OwnedMutexGuard<Option<SqliteConnection>>>,
    in_transaction: bool,
}

impl Kept {
    pub(super) fn new(options: SqliteConnectOptions) -> Self {
        Self { connection: Arc::default(), options: Arc::new(options) }
    }

    pub(super) async fn lend(&self) -> Result<Lent, StoreError> {
        let mut place = Arc::clone(&self.connection).lock_owned().await;
        let connection = match place.take() {
            Some(connection) => connection,
            None => SqliteConnection::connect_with(&self.options).await.map_err(StoreError::new)?,
        };
        Ok(Lent { connection: Some(connection), place: Some(place), in_transaction: false })
    }

    /// Lends the connection, with a transaction begun by this statement.
    pub(super) async fn begin(&self, begin: &'static str) -> Result<Lent, StoreError> {
        let mut lent = self.lend().await?;
        lent.run(sqlx::query(begin)).await?;
        lent.in_transaction = true;
        Ok(lent)
    }
}

impl Lent {
    /// Runs a statement, and returns its rows. If it fails, or if its future is dropped, the connection is
    /// closed.
    pub(super) async fn run(
        &mut self,
        query: Query<'_, Sqlite, <Sqlite as Database>::Arguments>,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let connection = self.connection.take();
        let mut connection = connection
            .ok_or_else(|| StoreError::new("the unit of work has failed before this statement"))?;
        let rows = query.fetch_all(&mut connection).await.map_err(StoreError::new)?;
        self.connection = Some(connection);
        Ok(rows)
    }

    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        self.run(sqlx::query("COMMIT")).await?;
        self.in_transaction = false;
        Ok(())
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let (Some(mut connection), Some(mut place)) = (self.connection.take(), self.place.take())
        else {
            return;
        };
        if !self.in_transaction {
            *place = Some(connection);
        } else if let Ok(runtime) = Handle::try_current() {
            // The next unit of work waits until this is done.
            runtime.spawn(async move {
                if sqlx::query("ROLLBACK").execute(&mut connection).await.is_ok() {
                    *place = Some(connection);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn kept() -> (tempfile::TempDir, Kept) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("store.sqlite");
        let kept = Kept::new(SqliteConnectOptions::new().filename(file).create_if_missing(true));
        let mut lent = kept.begin("BEGIN IMMEDIATE").await.unwrap();
        lent.run(sqlx::query("CREATE TABLE t (n INTEGER)")).await.unwrap();
        lent.commit().await.unwrap();
        (directory, kept)
    }

    async fn write(kept: &Kept) -> Result<(), StoreError> {
        let mut lent = kept.begin("BEGIN IMMEDIATE").await?;
        lent.run(sqlx::query("INSERT INTO t VALUES (1)")).await?;
        lent.commit().await
    }

    async fn count(kept: &Kept) -> i64 {
        use sqlx::Row;
        let mut lent = kept.begin("BEGIN").await.unwrap();
        lent.run(sqlx::query("SELECT count(*) FROM t")).await.unwrap()[0].get(0)
    }

    #[tokio::test]
    async fn behind_a_transaction_that_ended_by_itself_work_goes_on() {
        let (_directory, kept) = kept().await;
        // SQLite ends the transaction by itself, with a rollback or a commit; or a statement fails.
        for end in ["ROLLBACK", "COMMIT", "SELECT nothing", "BEGIN"] {
            for writes in [0, 1, 2] {
                let before = count(&kept).await;
                let mut lent = kept.begin("BEGIN IMMEDIATE").await.unwrap();
                for _ in 0..writes {
                    lent.run(sqlx::query("INSERT INTO t VALUES (1)")).await.unwrap();
                }
                let ended = lent.run(sqlx::query(end)).await;
                assert!(lent.commit().await.is_err(), "{end}: there is nothing to commit");
                let kept_by_end = if end == "COMMIT" { writes } else { 0 };
                assert_eq!(count(&kept).await, before + kept_by_end, "{end}: {ended:?}");
                write(&kept).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_unit_that_is_dropped_anywhere_leaves_nothing_and_the_next_one_goes_on() {
        let (_directory, kept) = kept().await;
        for polls in 0..12 {
            let mut unit = Box::pin(write(&kept));
            let mut left = polls;
            // Dropped in the middle of its work, after this many polls.
            let given_up = std::future::poll_fn(|context| {
                if left == 0 {
                    return std::task::Poll::Ready(None);
                }
                left -= 1;
                unit.as_mut().poll(context).map(Some)
            });
            let before = given_up.await.is_some();
            drop(unit);
            let rows = count(&kept).await;
            write(&kept).await.unwrap();
            assert_eq!(count(&kept).await, rows + 1, "{polls} polls, done: {before}");
        }
    }
}
