//! Others who write to the rows of an SQL database: an application with connections of its own.

mod sql;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use mobync::{
    Access, Database, DatabaseError, IdleQuery, Owner, SkippedRow, Turns,
    postgres::PostgresDatabase, sqlite::SqliteDatabase,
};
use sqlx::{AssertSqlSafe, PgPool, SqlitePool};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use self::sql::write;
use super::{
    hand::{Done, Hand, Place},
    oracle::Key,
    support::captured::Statement,
};

/// A database that is also used by such an application.
#[derive(Clone)]
pub struct ByHand<D> {
    pub database: D,
    pub hand: Arc<SqlHand>,
    /// Must not be dropped before the database is.
    pub _folder: Option<Arc<TempDir>>,
}

impl Place for ByHand<SqliteDatabase> {
    const HAS_HAND: bool = true;
    const HAS_NUMBERS: bool = true;

    fn hand(&self) -> Option<Arc<dyn Hand>> {
        Some(Arc::clone(&self.hand) as Arc<dyn Hand>)
    }
}

impl Place for ByHand<PostgresDatabase> {
    const HAS_HAND: bool = true;
    const HAS_NUMBERS: bool = true;

    fn hand(&self) -> Option<Arc<dyn Hand>> {
        Some(Arc::clone(&self.hand) as Arc<dyn Hand>)
    }
}

impl<D: Database> Database for ByHand<D> {
    type Unit = D::Unit;

    async fn open(&self, owner: &Owner, access: Access) -> Result<D::Unit, DatabaseError> {
        self.database.open(owner, access).await
    }

    fn serialises(&self) -> bool {
        self.database.serialises()
    }

    fn turns(&self) -> Option<Turns> {
        self.database.turns()
    }

    async fn idle(&self, log: &str, devices: &[IdleQuery<'_>]) -> Result<Vec<bool>, DatabaseError> {
        self.database.idle(log, devices).await
    }

    async fn marked_owners(&self, most: usize) -> Result<Vec<Owner>, DatabaseError> {
        self.database.marked_owners(most).await
    }

    async fn owners(
        &self,
        last: Option<&Owner>,
        most: usize,
    ) -> Result<Option<Vec<Owner>>, DatabaseError> {
        self.database.owners(last, most).await
    }

    async fn unsound_rows(
        &self,
        owner: Option<&Owner>,
        model: &str,
        most: usize,
    ) -> Result<(u64, Vec<SkippedRow>), DatabaseError> {
        self.database.unsound_rows(owner, model, most).await
    }

    fn time_limit(&self) -> Option<Duration> {
        self.database.time_limit()
    }
}

/// The connections of the application.
#[derive(Clone)]
pub enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// Runs one transaction after the other, so that only a sync can block one.
pub struct SqlHand {
    pool: Pool,
    now: AtomicI64,
    turn: Arc<tokio::sync::Mutex<()>>,
    begun: Mutex<Vec<JoinHandle<Result<(), String>>>>,
}

/// How long a sync lets others continue before its next statement.
const MEANWHILE: Duration = Duration::from_millis(8);

/// How long a transaction may take on a busy machine before something must be wrong.
const TOO_LONG: Duration = Duration::from_secs(30);

impl SqlHand {
    pub fn new(pool: Pool) -> Arc<Self> {
        let (now, turn, begun) = (AtomicI64::new(0), Arc::default(), Mutex::default());
        Arc::new(Self { pool, now, turn, begun })
    }

    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Waits for all transactions that have begun, and returns their failure.
    pub async fn end(&self) -> Result<(), String> {
        let begun = std::mem::take(&mut *self.begun.lock().unwrap());
        let mut all = Ok(());
        for task in begun {
            let done = tokio::time::timeout(TOO_LONG, task).await;
            let done = done.map_err(|_| "a transaction of others waits for ever".to_owned());
            all = all.and(done.and_then(|done| done.unwrap()));
        }
        all
    }
}

impl Hand for SqlHand {
    fn set_time(&self, now: i64) {
        self.now.store(now, Ordering::Relaxed);
    }

    fn begin(&self, statements: Vec<Statement>, rolls_back: bool) {
        let (pool, turn) = (self.pool.clone(), Arc::clone(&self.turn));
        let now = self.now.load(Ordering::Relaxed);
        let transaction = async move {
            let _turn = turn.lock().await;
            pool.transact(&statements, rolls_back, now).await
        };
        self.begun.lock().unwrap().push(tokio::spawn(transaction));
    }

    fn proceed(&self) -> Done<'_, ()> {
        Box::pin(async {
            let are_done =
                || self.begun.lock().unwrap().iter().all(tokio::task::JoinHandle::is_finished);
            let until = tokio::time::Instant::now() + MEANWHILE;
            while !are_done() && tokio::time::Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
    }

    fn settle(&self) -> Done<'_, ()> {
        Box::pin(async { self.end().await.unwrap_or_else(|failure| panic!("{failure}")) })
    }

    fn marked<'h>(&'h self, owner: &'h str) -> Done<'h, BTreeSet<Key>> {
        let marks = "SELECT model, id FROM diffs_marks WHERE owner = $1";
        Box::pin(async move {
            let marked: Vec<Key> = match &self.pool {
                Pool::Sqlite(pool) => {
                    let marks = format!(
                        "{marks} UNION SELECT model, id FROM diffs_marked WHERE owner = $1"
                    );
                    let query = sqlx::query_as(AssertSqlSafe(marks)).bind(owner);
                    query.fetch_all(pool).await.unwrap()
                }
                Pool::Postgres(pool) => {
                    sqlx::query_as(marks).bind(owner).fetch_all(pool).await.unwrap()
                }
            };
            marked.into_iter().collect()
        })
    }
}

impl Pool {
    /// Returns an error that an application should not see. A constraint violation is rolled back.
    async fn transact(
        &self,
        statements: &[Statement],
        rolls_back: bool,
        now: i64,
    ) -> Result<(), String> {
        let is_sqlite = matches!(self, Self::Sqlite(_));
        let mut sql = vec![if is_sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" }.to_owned()];
        for statement in statements {
            write(statement, is_sqlite, &mut sql);
        }
        // Marks have the database's time, which the world does not know.
        sql.push(if is_sqlite {
            format!("UPDATE diffs_marks SET at = {now} WHERE at > 1750000000000")
        } else {
            format!("UPDATE diffs_marks SET at = {now} WHERE tx = pg_current_xact_id()")
        });
        sql.push(if rolls_back { "ROLLBACK" } else { "COMMIT" }.to_owned());
        match self.run(&sql).await {
            Ok(()) => Ok(()),
            Err(sqlx::Error::Database(error)) if is_constraint(&*error) => Ok(()),
            Err(error) => Err(format!("{error:?} in {sql:#?}")),
        }
    }

    /// Runs statements on one connection, until one fails: then it rolls back.
    pub async fn run(&self, sql: &[String]) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(pool) => {
                let mut connection = pool.acquire().await?;
                for sql in sql {
                    let done = sqlx::raw_sql(AssertSqlSafe(&**sql)).execute(&mut *connection).await;
                    if let Err(error) = done {
                        let _ = sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await;
                        return Err(error);
                    }
                }
            }
            Self::Postgres(pool) => {
                let mut connection = pool.acquire().await?;
                for sql in sql {
                    let done = sqlx::raw_sql(AssertSqlSafe(&**sql)).execute(&mut *connection).await;
                    if let Err(error) = done {
                        let _ = sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await;
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }
}

fn is_constraint(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.is_unique_violation() || error.is_foreign_key_violation()
}
