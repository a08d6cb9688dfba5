//! Backend code that reacts to accepted changes after their commit: mails, webhooks, search indexes.
//!
//! [`Mobync::follow`] calls an async function of the application with each owner's log entries, in batches and in
//! the log's order. Its position (a cursor per owner) is kept in the database, so no entry is skipped when the
//! process is killed.
//!
//! ```
//! use mobync::{Change, Diff, Mobync, Operation, Owner, Record, memory::MemoryDatabase};
//! use tokio::sync::mpsc;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mobync = Mobync::new(MemoryDatabase::new());
//! let (outbox, mut mails) = mpsc::unbounded_channel();
//!
//! let mailer = mobync.follow("mailer", move |owner: Owner, entries: Vec<Diff>| {
//!     let outbox = outbox.clone();
//!     async move {
//!         for entry in entries {
//!             if entry.model == "orders" && entry.operation == Operation::Create {
//!                 let order = entry.record()?;
//!                 outbox.send(format!("To {owner}: thank you for order {}.", order.id()))?;
//!             }
//!         }
//!         Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
//!     }
//! });
//! tokio::spawn(mailer.run());
//!
//! let order = Change::create("orders", Record::new("o1").with("item", "Milk"));
//! mobync.write(&Owner::new("ada")?, [order]).await?;
//! assert_eq!(mails.recv().await.unwrap(), "To ada: thank you for order o1.");
//! # Ok(())
//! # }
//! ```
//!
//! # What the handler gets
//! Log entries, which say what each diff *did*: a create has the fields that it named, an update the fields that it
//! changed. It does not matter who made the change: a device, the backend, another follower, or the application's own
//! SQL on captured tables. Applied in order, the entries give the rows (except for column defaults).
//!
//! Entries that changed nothing for anybody else are left out: receipts, refused diffs, and objects that were
//! created and deleted again in the same sync. An audit of everything that was ever sent should read the log
//! table itself. If the log is [compacted](Mobync::compact), a follower that starts at its beginning gets what is left;
//! what a follower has not handled yet is not compacted.
//!
//! # Guarantees
//! - **After the commit.** The handler never sees changes that were rolled back.
//! - **In order.** The batches of an owner come one after another, in the log's order. A batch consists of whole
//!   ticks. Owners are independent of each other.
//! - **At least once.** The cursor is written after the handler has returned `Ok`. If the process is killed in
//!   between, the batch is delivered again. Make the effect idempotent: an entry's `id` is unique per owner.
//! - **Never skipped.** When the handler returns an error or panics, this is logged, and the same batch is retried
//!   with exponential backoff, from one second to five minutes. Only that owner waits. To give up on an
//!   entry, return `Ok`.
//! - **One process at a time.** If several processes run a follower of the same name, an owner is handled by one of them
//!   at a time. It holds a lease of 30 seconds and renews it while the handler runs. If the process dies, another one
//!   takes over when the lease has expired. (A process that is suspended for longer than its lease, and
//!   then resumes, can overlap with its successor until its next renewal fails.)
//!
//! # Latency
//! Syncs in the same process are seen at once, and so is everything that [`Live`](crate::Live) learns: on PostgreSQL,
//! syncs of the other processes by `hear_clocks`, and changes by plain SQL by [`watch`](Mobync::watch). Everything
//! else is found by a sweep over all owners every 30 seconds, which costs three index probes per owner. With very
//! many owners, make it [less frequent](Follower::sweep_each).
//!
//! # Where cursors are kept
//! | database | cursors |
//! | --- | --- |
//! | SQLite, PostgreSQL | the table `diffs_followers`, which the first follower creates |
//! | memory | in memory: they are lost with the process, as the log is |
//! | seven methods, or a [`Database`] of your own | one record per owner in the model `diffs_followers`: see [`Cursors`]. There is no sweep, so entries that a process has left unhandled are handled after the owner's next sync |
//!
//! If you delete an owner's log, delete the owner's cursors as well.
//!
//! # Followers and retention
//! A [compaction](Mobync::compact) removes nothing that a follower has not handled. It goes by the stored cursors,
//! and does not know which followers the code still has. So one that was removed from the code, but has cursors, or
//! one that always fails, keeps the log of every owner from its position on, for ever: the compaction logs a warning,
//! [`Compacted::waits`](crate::Compacted::waits) is true, and devices never become too old. A follower without a cursor
//! for an owner (it has not looked there yet) counts as one at the beginning of that owner's log. When you remove a
//! follower from the code, call [`unfollow`](Mobync::unfollow) with its name, or delete its rows:
//! `DELETE FROM diffs_followers WHERE name = 'mailer'`.

mod changes;
mod cursors;
mod queue;
mod rows;
mod work;

use std::{convert::Infallible, fmt, future::Future, sync::Arc, time::Duration};

use tokio::task::JoinSet;

pub use self::cursors::{Cursors, News, Page, Place, Start};
pub(crate) use self::queue::Queue;
pub(crate) use self::rows::followers_of;
use self::work::{Settings, Work};
use crate::{Database, Diff, Error, Mobync, NoRules, Owner, engine::mint, error::BoxError};

/// Between two looks for the same thing: less would be a busy loop.
const SHORTEST: Duration = Duration::from_millis(1);
/// More cannot be added to every time.
pub(crate) const LONGEST: Duration = Duration::from_hours(24);

impl<D: Database, R> Mobync<D, R> {
    /// Makes a follower, which calls `handler` with the accepted changes of all owners: after their commit,
    /// in order, at least once. See [`follow`](crate::follow) for the guarantees.
    ///
    /// Its cursors are stored under `name`, which must be unique among the followers of this log. It does
    /// nothing until it is [run](Follower::run). There is no time limit for the handler: one that never
    /// returns blocks its owner, so use [`timeout`](tokio::time::timeout) where it waits for others.
    ///
    /// Make followers before the `Mobync` is [erased](Self::erase): the trait object cannot follow.
    pub fn follow<H, F, E>(&self, name: impl Into<String>, handler: H) -> Follower<D, H>
    where
        H: Fn(Owner, Vec<Diff>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let mobync = self.clone().rules(NoRules);
        Follower {
            mobync,
            name: name.into(),
            handler: Arc::new(handler),
            settings: Settings::default(),
        }
    }
}

impl<D: Cursors, R> Mobync<D, R> {
    /// Removes a follower that no longer exists in the code, with its position.
    ///
    /// As long as it is not removed, [compactions](Self::compact) keep the log for it from its position on,
    /// and warn of that. Stop it in all processes first: one that still runs starts again at the beginning of
    /// the log. So does a new follower of that name. It is no error if there is none.
    ///
    /// ```
    /// use mobync::{Mobync, memory::MemoryDatabase};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), mobync::Error> {
    /// let mobync = Mobync::new(MemoryDatabase::new());
    /// mobync.unfollow("mailer-of-last-year").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Internal`] or [`Error::Busy`] if the database fails, or cannot list its owners (seven
    /// methods): then delete the records of the model `diffs_followers` whose id is the name.
    pub async fn unfollow(&self, name: &str) -> Result<(), Error> {
        let log = &self.settings().diffs_model;
        self.database().forget(log, name).await.map_err(Error::of_database)
    }
}

/// A handler for accepted changes, with settings. Made by [`Mobync::follow`].
#[must_use = "a follower does nothing until it is run"]
pub struct Follower<D, H> {
    mobync: Mobync<D>,
    name: String,
    handler: Arc<H>,
    settings: Settings,
}

impl<D, H> Follower<D, H> {
    /// Lets a new follower start at the end of the log, instead of at its beginning. It has no effect on a
    /// follower that has run before. The database must be able to list its owners, as the ready-made
    /// ones can; otherwise the follower logs an error and does not start.
    pub fn from_now(mut self) -> Self {
        self.settings.start = Start::Now;
        self
    }

    /// The maximum number of entries in a batch; 100 by default. The entries of one sync always stay
    /// together, even if there are more.
    pub fn batch(mut self, most: usize) -> Self {
        self.settings.batch = most.max(1);
        self
    }

    /// The maximum number of owners that this process handles concurrently; 8 by default.
    pub fn owners_at_once(mut self, most: usize) -> Self {
        self.settings.owners_at_once = most.max(1);
        self
    }

    /// How long an owner stays reserved after this process has died while handling it; 30 seconds by
    /// default. A handler may take longer, since the lease is renewed while it runs. From 10 milliseconds
    /// to a day.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease.clamp(Duration::from_millis(10), LONGEST);
        self
    }

    /// The interval between two sweeps over all owners; 30 seconds by default. From a millisecond to a day.
    pub fn sweep_each(mut self, pause: Duration) -> Self {
        self.settings.sweep = pause.clamp(SHORTEST, LONGEST);
        self
    }

    /// The backoff after failures: the first pause, which doubles with each further failure, and the
    /// longest one. One second and five minutes by default. From a millisecond to a day.
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.pauses = (first.clamp(SHORTEST, LONGEST), longest.clamp(SHORTEST, LONGEST));
        self
    }
}

impl<D, H, F, E> Follower<D, H>
where
    D: Cursors,
    H: Fn(Owner, Vec<Diff>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    /// Runs the follower until the returned future is dropped. Needs a Tokio runtime.
    ///
    /// On drop, running handlers are cancelled at their next await. Their batches are delivered again
    /// when the follower next runs, once the lease has expired.
    pub async fn run(self) -> Infallible {
        let Self { mobync, name, handler, settings } = self;
        let queue = Arc::new(Queue::default());
        mobync.live().follow(&queue);
        let work = Arc::new(Work { mobync, name, handler, settings, queue, holder: mint() });
        work.prepare().await;
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&work).sweep());
        for _ in 0..settings.owners_at_once {
            tasks.spawn(Arc::clone(&work).work());
        }
        drop(work);
        while tasks.join_next().await.is_some() {}
        // Only at the end of the runtime.
        std::future::pending().await
    }
}

impl<D, H> fmt::Debug for Follower<D, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name = f.debug_struct("Follower");
        name.field("name", &self.name).field("settings", &self.settings).finish_non_exhaustive()
    }
}
