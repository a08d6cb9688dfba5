//! Backend code that hears of accepted changes after their commit: mails, webhooks, search indexes.
//!
//! [`Mobync::follow`] gives each owner's log entries to a function of the application, batch by batch and in the
//! log's order. How far it has come is kept in the database, so nothing is skipped, whenever a process is killed.
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
//! # What it hears
//! Entries of the log: what each diff *did*. A create has the fields that it named, an update those that it took,
//! whoever made them: devices, the backend, other followers. Left out is what changed nothing for others:
//! receipts, what was refused, and an object that was made and deleted again in one sync. So the entries, done
//! in their order, give the rows that there are (but for the defaults of columns). For all that was ever sent,
//! such as for an audit, read the log itself.
//!
//! # What it promises
//! - **After the commit.** A handler never hears of what was rolled back.
//! - **In order.** An owner's batches come one after another, in the log's order, and a batch has whole ticks.
//!   Owners do not wait for each other.
//! - **At least once.** The cursor advances when the handler has returned `Ok`. Who is killed between the two
//!   hears of the batch again: so make the effect idempotent, say by the entry's `id`, which no other entry of
//!   its owner has.
//! - **Never skipped.** An error of the handler, or a panic, is logged, and the same batch tried again, after
//!   a pause that doubles from a second to five minutes. Only that owner waits. To give an entry up, return
//!   `Ok`.
//! - **One at a time.** In several processes with followers of one name, one of them has an owner at a time, by a lease
//!   of 30 seconds that it renews. If it dies, another one takes over when the lease is over. (A
//!   process that is frozen for longer than that, and then goes on, is not alone for a moment.)
//!
//! # When it hears
//! Of a sync in the same process at once, and so of all that [`Live`](crate::Live) is told: on PostgreSQL that of the other
//! processes, with [`hear_clocks`](crate::sql::SqlDatabase::hear_clocks). Of all else by a sweep over the owners, each
//! 30 seconds: one probe of the log's index and one of the cursors for each of them.
//!
//! # Where the cursors are
//! | database | cursors |
//! | --- | --- |
//! | SQLite, PostgreSQL | in the table `diffs_followers`, which the first follower makes |
//! | in memory | in memory, gone with the process as the log is |
//! | seven methods, a [`Database`] of your own | a record of each owner in the model `diffs_followers`, see [`Cursors`]. There is no sweep: what a process has left undone is done when the owner syncs next |
//!
//! Who empties an owner's log removes its cursors, too. Of a follower that is no more, `DELETE FROM diffs_followers
//! WHERE name = …` removes them.

mod changes;
mod cursors;
mod queue;
mod rows;
mod work;

use std::{convert::Infallible, fmt, future::Future, sync::Arc, time::Duration};

use tokio::task::JoinSet;

pub use self::cursors::{Cursors, News, Page, Place, Start};
pub(crate) use self::queue::Queue;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use self::rows::followers_of;
use self::work::{Settings, Work};
use crate::{Database, Diff, Mobync, NoRules, Owner, engine::mint, error::BoxError};

impl<D: Database, R> Mobync<D, R> {
    /// Has a function hear of the accepted changes of all owners, after their commit, in order and at
    /// least once; see [`follow`](crate::follow).
    ///
    /// Its cursors are kept under the name, which must not be another follower's. It does nothing until
    /// it is [run](Follower::run).
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

/// Backend code that hears of accepted changes: made by [`Mobync::follow`].
#[must_use = "a follower does nothing until it is run"]
pub struct Follower<D, H> {
    mobync: Mobync<D>,
    name: String,
    handler: Arc<H>,
    settings: Settings,
}

impl<D, H> Follower<D, H> {
    /// Lets a follower that was never there begin behind all that is in the log; unless set, it begins
    /// at the beginning. The database must be able to tell which owners there are, as the ready-made
    /// ones are.
    pub fn from_now(mut self) -> Self {
        self.settings.start = Start::Now;
        self
    }

    /// How many entries are handled at once; 100 unless set. Those of one sync always come together.
    pub fn batch(mut self, most: usize) -> Self {
        self.settings.batch = most.max(1);
        self
    }

    /// How many owners are handled at once in this process; 8 unless set.
    pub fn owners_at_once(mut self, most: usize) -> Self {
        self.settings.owners_at_once = most.max(1);
        self
    }

    /// How long other processes keep away from an owner if this one dies at it; 30 seconds unless set.
    /// A handler may take longer: the lease is renewed meanwhile.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease.max(Duration::from_millis(10));
        self
    }

    /// How long to wait between two sweeps; 30 seconds unless set.
    pub fn sweep_each(mut self, pause: Duration) -> Self {
        self.settings.sweep = pause;
        self
    }

    /// The pause behind a first failure, which doubles with each further one, and the longest; one
    /// second and five minutes unless set.
    pub fn pauses(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.pauses = (first, longest);
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
    /// Follows until it is dropped, on a Tokio runtime.
    ///
    /// Handlers that are at work then are stopped where they wait, and what they were given is handled
    /// anew when the follower runs again; that may be a lease later.
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
        // The runtime is about to end.
        std::future::pending().await
    }
}

impl<D, H> fmt::Debug for Follower<D, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name = f.debug_struct("Follower");
        name.field("name", &self.name).field("settings", &self.settings).finish_non_exhaustive()
    }
}
