//! Writes within a transaction of the application's own.

use std::sync::{Arc, Mutex, PoisonError};

use sqlx::{Database, Transaction};

use super::{Dialect, SqlDatabase, SqlUnit, session::Session};
use crate::{Change, Error, Mobync, Owner, Rules, SyncResponse};

/// A transaction of the application's own, to which it returns.
#[derive(Debug)]
pub(super) struct Joined<Db: Database> {
    transaction: Option<Transaction<'static, Db>>,
    back: Back<Db>,
}

/// Where the transaction returns to after all writes. Otherwise it is rolled back.
type Back<Db> = Arc<Mutex<Option<Transaction<'static, Db>>>>;

impl<Db: Database> Joined<Db> {
    pub(super) fn connection(&mut self) -> Option<&mut Db::Connection> {
        self.transaction.as_deref_mut()
    }

    pub(super) fn give_back(mut self) {
        *self.back.lock().unwrap_or_else(PoisonError::into_inner) = self.transaction.take();
    }
}

impl<D: Dialect, R: Rules> Mobync<SqlDatabase<D>, R> {
    /// As [`write`](Self::write), within a transaction that the application has begun: its own SQL and
    /// these changes are committed together, or not at all.
    ///
    /// The transaction is returned, for more statements and for the commit. Until it ends it holds the
    /// owner's turn, so syncs of the owner wait. To notify the devices that listen to this process, call
    /// [`Live::announce`](crate::Live::announce) after the commit. Begin a transaction of SQLite with
    /// `BEGIN IMMEDIATE`. If the tables are captured, you do not need this: the application's own
    /// statements are enough.
    ///
    /// # Errors
    /// As [`write`](Self::write). The transaction is then rolled back. Where `write` would retry by
    /// itself, for example after a conflict with another transaction, this returns [`Error::Busy`], and
    /// the application can retry.
    ///
    /// # Examples
    /// ```no_run
    /// use mobync::{Change, Mobync, Owner, Record, postgres::PostgresDatabase};
    ///
    /// # async fn pay(mobync: Mobync<PostgresDatabase>) -> Result<(), Box<dyn std::error::Error>> {
    /// let ada = Owner::new("ada")?;
    /// let mut transaction = mobync.database().pool().begin().await?;
    /// sqlx::query("UPDATE accounts SET balance = balance - 5").execute(&mut *transaction).await?;
    /// let paid = Change::update("invoices", Record::new("i1").with("paid", true));
    /// let (transaction, answer) = mobync.write_in(transaction, &ada, [paid]).await?;
    /// transaction.commit().await?;
    /// mobync.live().announce(&ada, answer.logical_clock);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn write_in(
        &self,
        mut transaction: Transaction<'static, D::Db>,
        owner: &Owner,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<(Transaction<'static, D::Db>, SyncResponse), Error> {
        let database = self.database();
        let known = database.fresh().await.map_err(Error::of_database)?;
        let joined = known.dialect.join(&mut transaction, &known.schema.log, owner).await;
        let settings = joined.map_err(Error::of_database)?;
        let back = Back::default();
        let joined = Joined { transaction: Some(transaction), back: Arc::clone(&back) };
        let unit = SqlUnit::new(known, Session::Joined(joined));
        let answer = self.write_in_unit(unit, owner, changes).await?;
        let back = back.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ended = || Error::Internal("the transaction has ended by itself".into());
        let mut transaction = back.ok_or_else(ended)?;
        D::leave(&mut transaction, settings).await.map_err(Error::of_database)?;
        Ok((transaction, answer))
    }
}
