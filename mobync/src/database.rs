//! Where units of work come from.

use std::{future::Future, time::Duration};

use crate::{error::DatabaseError, owner::Owner, reconcile::SkippedRow, unit::UnitOfWork};

/// A database that syncs can run on: it opens a unit of work for an owner.
///
/// Ready-made databases implement it with real transactions. Whoever implements only a cloneable
/// [`Synchronizer`](crate::Synchronizer) has it already: each unit of work is a clone, and [`Mobync`](crate::Mobync) sees to
/// it that those of one owner do not overlap (make one `Mobync` and clone it).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no database that mobync can sync with",
    note = "a cloneable `mobync::Synchronizer` is one, and so are the ready-made databases"
)]
pub trait Database: Send + Sync + 'static {
    /// The unit of work.
    type Unit: UnitOfWork;

    /// Opens a unit of work for the owner.
    ///
    /// A unit opened to write must not overlap with another one of that owner, in this process or any
    /// other; units of different owners should not wait for each other. A unit opened to read sees one
    /// state, without the writes of units that have not been committed.
    ///
    /// # Errors
    /// [`DatabaseError::Busy`] if the owner's turn does not come in time, or [`DatabaseError::Failed`].
    fn open(
        &self,
        owner: &Owner,
        access: Access,
    ) -> impl Future<Output = Result<Self::Unit, DatabaseError>> + Send;

    /// The name of the model that keeps the log, unless [`Mobync`](crate::Mobync) is told another.
    /// Provided: `diffs`.
    #[allow(clippy::unnecessary_literal_bound, reason = "others keep the name in themselves")]
    fn diffs_model(&self) -> &str {
        "diffs"
    }

    /// Whether [`open`](Self::open) keeps the promise on overlapping by itself. Provided: yes.
    /// If not, [`Mobync`](crate::Mobync) keeps it, within one process.
    fn serialises(&self) -> bool {
        true
    }

    /// How syncs of one owner that write wait for each other in [`Mobync`](crate::Mobync), first come
    /// first served, before [`open`](Self::open): there they hold no connection that other owners need.
    /// Provided: they do not, but wait in `open`.
    fn turns(&self) -> Option<Turns> {
        None
    }

    /// Owners whose rows others have changed, so many at the most: what
    /// [`Mobync::watch`](crate::Mobync::watch) looks at. Provided: none.
    fn marked_owners(
        &self,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Owner>, DatabaseError>> + Send {
        let _ = most;
        async { Ok(Vec::new()) }
    }

    /// Comes to an end when there may be [marked owners](Self::marked_owners) that were not there
    /// before. Provided: never does, so that they are asked for from time to time.
    fn news(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// The next owners behind that one, in the order of their bytes: so many at the most, fewer at the
    /// end. They are those that have rows or a log. Provided: it cannot tell.
    fn owners(
        &self,
        last: Option<&Owner>,
        most: usize,
    ) -> impl Future<Output = Result<Option<Vec<Owner>>, DatabaseError>> + Send {
        let _ = (last, most);
        async { Ok(None) }
    }

    /// Rows of the model that no diff can bring, as far as the database itself can tell: those of the
    /// owner, or of all with those whose owner is no name; how many, and some of them. Null as an owner
    /// is nobody's row, and does not count. Provided: none.
    fn unsound_rows(
        &self,
        owner: Option<&Owner>,
        model: &str,
        most: usize,
    ) -> impl Future<Output = Result<(u64, Vec<SkippedRow>), DatabaseError>> + Send {
        let _ = (owner, model, most);
        async { Ok((0, Vec::new())) }
    }

    /// How long a sync may take, unless [`Mobync`](crate::Mobync) is told. Provided: without a limit.
    fn time_limit(&self) -> Option<Duration> {
        None
    }
}

/// How syncs of one owner that write wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Turns {
    /// How many have a turn at once.
    pub at_once: usize,
    /// How long the others wait before they are answered as busy.
    pub patience: Duration,
}

impl Turns {
    /// So many at once; the others wait for so long.
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
