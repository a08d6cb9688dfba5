//! A database that speaks SQL.

use std::{sync::Arc, time::Duration};

use sqlx::Pool;

use super::{Builder, Dialect, SqlUnit, schema::Schema, session::Session};
use crate::{
    database::{Access, Database, Turns},
    error::DatabaseError,
    owner::Owner,
};

/// A database that speaks SQL, with the application's own tables. Cheap to clone.
///
/// It can share the application's pool, and the application can use its pool: see [`pool`](Self::pool).
#[derive(Debug)]
pub struct SqlDatabase<D: Dialect> {
    pub(super) dialect: D,
    pub(super) pool: Pool<D::Db>,
    pub(super) schema: Arc<Schema>,
}

impl<D: Dialect> SqlDatabase<D> {
    pub(super) fn new(dialect: D, pool: Pool<D::Db>, schema: Schema) -> Self {
        Self { dialect, pool, schema: Arc::new(schema) }
    }

    /// Names tables to sync.
    pub fn builder() -> Builder<D> {
        Builder::default()
    }

    /// The pool of connections, for the application's own queries.
    pub fn pool(&self) -> &Pool<D::Db> {
        &self.pool
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn log(&self) -> &super::Model {
        &self.schema.log
    }

    /// Creates the library's own tables if they do not exist. Call it at every start: it does nothing
    /// the second time, and several processes may call it at the same time.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`] or [`DatabaseError::Busy`]
    pub async fn set_up(&self) -> Result<(), DatabaseError> {
        let failed = |error| D::explain(&self.schema.log, error);
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        let made = self.make_tables(&mut connection).await;
        // sqlx does not notice if SQLite has ended the transaction by itself.
        if made.is_err() && D::command(&mut connection, "ROLLBACK").await.is_err() {
            connection.close_on_drop();
        }
        made.map_err(failed)
    }

    async fn make_tables(
        &self,
        connection: &mut <D::Db as sqlx::Database>::Connection,
    ) -> Result<(), sqlx::Error> {
        D::command(connection, D::BEGIN_SET_UP).await?;
        for statement in D::set_up(&self.schema.log.name) {
            D::execute(connection, &statement, &[]).await?;
        }
        D::command(connection, "COMMIT").await
    }
}

impl<D: Dialect> Clone for SqlDatabase<D> {
    fn clone(&self) -> Self {
        Self {
            dialect: self.dialect.clone(),
            pool: self.pool.clone(),
            schema: Arc::clone(&self.schema),
        }
    }
}

impl<D: Dialect> Database for SqlDatabase<D> {
    type Unit = SqlUnit<D>;

    async fn open(&self, owner: &Owner, access: Access) -> Result<SqlUnit<D>, DatabaseError> {
        let session = match access {
            Access::Read => Session::Reading(self.pool.clone()),
            Access::Write => {
                let begun = self.dialect.begin(&self.pool, &self.schema.log, owner);
                Session::Writing(Box::pin(begun).await?)
            }
        };
        Ok(SqlUnit::new(self.dialect.clone(), Arc::clone(&self.schema), session))
    }

    fn diffs_model(&self) -> &str {
        &self.schema.log.name
    }

    fn time_limit(&self) -> Option<Duration> {
        Some(Duration::from_secs(30))
    }

    fn turns(&self) -> Option<Turns> {
        Some(self.dialect.turns())
    }
}
