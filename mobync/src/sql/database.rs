//! A database that speaks SQL.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::Pool;

use super::{
    Builder, Dialect, Model, SchemaError, SkippedRow, SqlUnit, capture,
    effects::Effects,
    known::{Known, Newest},
    plan::Plan,
    session::Session,
};
use crate::{
    database::{Access, Database, Turns},
    error::DatabaseError,
    owner::Owner,
    unit::IdleQuery,
};

/// A database that speaks SQL, with the application's own tables. Cheap to clone.
///
/// It can share the application's pool, and the application can use its pool: see [`pool`](Self::pool).
#[derive(Debug)]
pub struct SqlDatabase<D: Dialect> {
    pub(super) pool: Pool<D::Db>,
    /// What is known since the start. The log stays the same.
    pub(super) first: Known<D>,
    pub(super) newest: Arc<Newest<D>>,
    allows_unheard: bool,
}

impl<D: Dialect> SqlDatabase<D> {
    pub(super) fn new(
        pool: Pool<D::Db>,
        plan: Plan,
        known: Known<D>,
        allows_unheard: bool,
    ) -> Self {
        let newest = Arc::new(Newest::new(known.clone(), plan));
        Self { pool, first: known, newest, allows_unheard }
    }

    /// Names tables to sync.
    pub fn builder() -> Builder<D> {
        Builder::default()
    }

    /// The pool of connections, for the application's own queries.
    pub fn pool(&self) -> &Pool<D::Db> {
        &self.pool
    }

    pub(crate) fn log(&self) -> &Model {
        &self.first.schema.log
    }

    /// Creates the library's own tables if they do not exist. Call it at every start: it does nothing
    /// the second time, and several processes may call it at the same time.
    ///
    /// # Errors
    /// [`SchemaError::Unheard`], [`SchemaError::SetUp`] or [`SchemaError::Database`]
    pub async fn set_up(&self) -> Result<(), SchemaError> {
        let Known { dialect, schema } = self.newest.get();
        if schema.models.values().any(|model| !model.captured) {
            let mut connection = self.pool.acquire().await?;
            let effects = Effects::find::<D>(&mut connection, &schema).await?;
            effects.check(&schema, self.allows_unheard)?;
        }
        let started = Instant::now();
        let mut wait = Duration::from_millis(50);
        loop {
            match self.try_to_set_up().await {
                Err(DatabaseError::Busy(_) | DatabaseError::Conflict(_))
                    if started.elapsed() + wait < dialect.set_up_patience() =>
                {
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(1));
                }
                Err(DatabaseError::Conflict(cause)) => {
                    return Err(SchemaError::SetUp(DatabaseError::Busy(cause)));
                }
                done => return done.map_err(SchemaError::SetUp),
            }
        }
    }

    async fn try_to_set_up(&self) -> Result<(), DatabaseError> {
        let failed = |error| D::explain(self.log(), error);
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        let made = self.make_tables(&mut connection).await;
        // sqlx does not notice if SQLite has ended the transaction by itself.
        if made.is_err() && D::command(&mut connection, "ROLLBACK").await.is_err() {
            connection.close_on_drop();
        }
        made.map_err(failed)
    }

    /// The statements that [`set_up`](Self::set_up) runs in a transaction, for migrations of your own.
    /// Each ends with a semicolon, and all are idempotent.
    pub fn schema_sql(&self) -> String {
        let Known { dialect, schema } = self.newest.get();
        let statements = capture::statements(&dialect, &schema).into_iter();
        statements.map(|statement| statement + ";\n").collect()
    }

    async fn make_tables(
        &self,
        connection: &mut <D::Db as sqlx::Database>::Connection,
    ) -> Result<(), sqlx::Error> {
        let Known { dialect, schema } = self.newest.get();
        D::command(connection, D::BEGIN_SET_UP).await?;
        let statements = capture::statements(&dialect, &schema);
        for statement in D::missing(connection, &schema.log, statements).await? {
            D::execute(connection, &statement, &[]).await?;
        }
        let captured: Vec<&Model> = schema.captured().collect();
        for statement in D::left_over(connection, &schema.log, &captured).await? {
            D::execute(connection, &statement, &[]).await?;
        }
        D::command(connection, "COMMIT").await
    }
}

impl<D: Dialect> Clone for SqlDatabase<D> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            first: self.first.clone(),
            newest: Arc::clone(&self.newest),
            allows_unheard: self.allows_unheard,
        }
    }
}

impl<D: Dialect> Database for SqlDatabase<D> {
    type Unit = SqlUnit<D>;

    async fn open(&self, owner: &Owner, access: Access) -> Result<SqlUnit<D>, DatabaseError> {
        let known = self.fresh().await?;
        Ok(match access {
            Access::Read => SqlUnit::new(known, Session::Reading(self.pool.clone())),
            Access::Write => {
                let begun = known.dialect.begin(&self.pool, &known.schema.log, owner);
                let session = Session::Writing(Box::pin(begun).await?);
                // Others may have read the catalogue again while this one waited for its turn.
                SqlUnit::new(self.newest.get(), session)
            }
        })
    }

    fn schema(&self) -> Option<&crate::schema::Schema> {
        Some(&self.newest.plan().steps)
    }

    fn diffs_model(&self) -> &str {
        &self.log().name
    }

    async fn marked_owners(&self, most: usize) -> Result<Vec<Owner>, DatabaseError> {
        let log = self.log();
        if self.first.schema.captured().next().is_none() {
            return Ok(Vec::new());
        }
        let failed = |error| D::explain(log, error);
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        let names = D::marked_owners(&mut connection, log, most).await.map_err(failed)?;
        // Only valid names are marked.
        Ok(names.into_iter().filter_map(|name| Owner::new(name).ok()).collect())
    }

    async fn news(&self) {
        self.first.dialect.news(&self.pool, self.log()).await;
    }

    async fn owners(
        &self,
        last: Option<&Owner>,
        most: usize,
    ) -> Result<Option<Vec<Owner>>, DatabaseError> {
        loop {
            let known = self.fresh().await?;
            match self.owners_behind(&known.schema, last, most).await {
                Err(DatabaseError::Conflict(_)) if known.is_doubted() => {}
                done => return done.map(Some),
            }
        }
    }

    async fn logged_owners(
        &self,
        last: Option<&Owner>,
        most: usize,
    ) -> Result<Option<Vec<Owner>>, DatabaseError> {
        self.logged_behind(last, most).await.map(Some)
    }

    async fn idle(&self, log: &str, devices: &[IdleQuery<'_>]) -> Result<Vec<bool>, DatabaseError> {
        self.idle_among(log, devices).await
    }

    async fn unsound_rows(
        &self,
        owner: Option<&Owner>,
        model: &str,
        most: usize,
    ) -> Result<(u64, Vec<SkippedRow>), DatabaseError> {
        loop {
            let known = self.fresh().await?;
            let model = known.schema.model(model)?;
            let rows = match owner {
                Some(_) => self.unsound(owner, model, most).await,
                None => self.nameless(model, most).await,
            };
            match rows {
                Err(DatabaseError::Conflict(_)) if known.is_doubted() => {}
                done => return done,
            }
        }
    }

    fn time_limit(&self) -> Option<Duration> {
        Some(Duration::from_secs(30))
    }

    fn turns(&self) -> Option<Turns> {
        Some(self.first.dialect.turns())
    }
}
