//! Where units of work come from.

use std::{future::Future, time::Duration};

use crate::{error::DatabaseError, owner::Owner, unit::UnitOfWork};

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
