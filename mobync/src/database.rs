//! How units of work are opened.

use std::{future::Future, time::Duration};

use crate::{
    error::DatabaseError,
    owner::Owner,
    reconcile::SkippedRow,
    schema::Schema,
    unit::{IdleQuery, UnitOfWork},
};

/// A database for syncs: it opens a unit of work for an owner.
///
/// Ready-made databases implement it with real transactions. A cloneable
/// [`Synchronizer`](crate::Synchronizer) implements it automatically: each unit of work is a clone, and
/// [`Mobync`](crate::Mobync) ensures that the units of one owner do not overlap (create one `Mobync` and
/// clone it).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no database that mobync can sync with",
    note = "a cloneable `mobync::Synchronizer` is one, and so are the ready-made databases"
)]
pub trait Database: Send + Sync + 'static {
    /// The unit of work.
    type Unit: UnitOfWork;

    /// Opens a unit of work for the owner.
    ///
    /// A unit opened to write must not overlap with another one of the same owner, in this or any other
    /// process. Units of different owners should not wait for each other. A unit opened to read sees one
    /// snapshot, without uncommitted writes.
    ///
    /// # Errors
    /// [`DatabaseError::Busy`] if waiting for the owner takes too long, or [`DatabaseError::Failed`].
    fn open(
        &self,
        owner: &Owner,
        access: Access,
    ) -> impl Future<Output = Result<Self::Unit, DatabaseError>> + Send;

    /// The name of the model that stores the log, unless [`Mobync`](crate::Mobync) sets another. The
    /// default is `diffs`.
    #[allow(clippy::unnecessary_literal_bound, reason = "others keep the name in themselves")]
    fn diffs_model(&self) -> &str {
        "diffs"
    }

    /// Whether [`open`](Self::open) itself prevents overlapping units. The default is `true`. If not,
    /// [`Mobync`](crate::Mobync) prevents them within one process.
    fn serialises(&self) -> bool {
        true
    }

    /// How an owner's syncs that write wait for each other in [`Mobync`](crate::Mobync), in order, before
    /// [`open`](Self::open). There they hold no connection that other owners need. By default they wait in
    /// `open` instead.
    fn turns(&self) -> Option<Turns> {
        None
    }

    /// Returns at most `most` owners whose rows were changed outside of syncs, for
    /// [`Mobync::watch`](crate::Mobync::watch). The default returns none.
    fn marked_owners(
        &self,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Owner>, DatabaseError>> + Send {
        let _ = most;
        async { Ok(Vec::new()) }
    }

    /// Completes when there may be new [marked owners](Self::marked_owners). By default it never completes,
    /// so that they are queried periodically.
    fn news(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// The owners after `last` that have rows or a log, in the byte order of their names. Returns `most`
    /// owners, or fewer at the end. By default `None`: the database cannot list its owners.
    fn owners(
        &self,
        last: Option<&Owner>,
        most: usize,
    ) -> impl Future<Output = Result<Option<Vec<Owner>>, DatabaseError>> + Send {
        let _ = (last, most);
        async { Ok(None) }
    }

    /// The owners after `last` that have a log, in any order that stays the same: what
    /// [`Mobync::retain`](crate::Mobync::retain) goes through. Returns `most` owners, or fewer; none at the
    /// end. Others may be among them. By default those of [`owners`](Self::owners).
    fn logged_owners(
        &self,
        last: Option<&Owner>,
        most: usize,
    ) -> impl Future<Output = Result<Option<Vec<Owner>>, DatabaseError>> + Send {
        self.owners(last, most)
    }

    /// The model's rows that no diff can represent, as far as the database itself knows: their number, and
    /// some of them. With an owner, that owner's rows; without one, rows whose owner is not a valid name. A
    /// row whose owner is null does not count. The default returns none.
    fn unsound_rows(
        &self,
        owner: Option<&Owner>,
        model: &str,
        most: usize,
    ) -> impl Future<Output = Result<(u64, Vec<SkippedRow>), DatabaseError>> + Send {
        let _ = (owner, model, most);
        async { Ok((0, Vec::new())) }
    }

    /// Whether each of these devices, none of which sends diffs, has missed nothing: its clock is its owner's,
    /// the log of this name has its [head](IdleQuery::head), and the owner has no marks. For requests that sync
    /// several owners at once, so that those with nothing new cost one query together.
    ///
    /// `false` only means that the device's request has to be answered by a unit of work. A shorter result has
    /// `false` for the others; the default is empty. Each `true` must be right at one moment during the call. It
    /// is called without the owners' turns, and dropped if it takes long.
    ///
    /// # Errors
    /// As [`open`](Self::open). The requests are then answered one by one.
    fn idle(
        &self,
        log: &str,
        devices: &[IdleQuery<'_>],
    ) -> impl Future<Output = Result<Vec<bool>, DatabaseError>> + Send {
        let _ = (log, devices);
        async { Ok(Vec::new()) }
    }

    /// The schema that the database was made for, unless [`Mobync`](crate::Mobync) sets another. The default is
    /// none.
    fn schema(&self) -> Option<&Schema> {
        None
    }

    /// How long a sync may take, unless [`Mobync`](crate::Mobync) sets a limit. The default is no limit.
    fn time_limit(&self) -> Option<Duration> {
        None
    }
}

/// How an owner's syncs that write wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turns {
    /// How many have a turn at the same time.
    pub at_once: usize,
    /// How long the others wait before they fail with busy.
    pub patience: Duration,
}

impl Turns {
    /// This number of turns at the same time; the others wait for at most this duration.
    pub fn new(at_once: usize, patience: Duration) -> Self {
        Self { at_once, patience }
    }
}

/// What a unit of work is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing will be written.
    Read,
    /// Something may be written.
    Write,
}

impl<U> Database for U
where
    U: UnitOfWork + Clone + Sync + 'static,
{
    type Unit = U;

    async fn open(&self, _: &Owner, _: Access) -> Result<U, DatabaseError> {
        Ok(self.clone())
    }

    fn serialises(&self) -> bool {
        false
    }
}
