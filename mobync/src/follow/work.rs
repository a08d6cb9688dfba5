//! The loops of a running follower: the sweep, and the workers that handle owners batch by batch.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{
    Cursors, Place, Start,
    changes::changes,
    queue::{Queue, Went},
};
use crate::{
    Access, DatabaseError, Diff, Mobync, Owner, engine::in_one_line, error::BoxError,
    locks::OwnerGuard,
};

/// How many owners a sweep examines in one statement.
const PAGE: usize = 1_000;

/// A running follower.
#[derive(Debug)]
pub(super) struct Work<D, H> {
    pub(super) mobync: Mobync<D>,
    pub(super) name: String,
    pub(super) handler: Arc<H>,
    pub(super) settings: Settings,
    pub(super) queue: Arc<Queue>,
    /// Unique for this run.
    pub(super) holder: String,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) start: Start,
    pub(super) batch: usize,
    pub(super) owners_at_once: usize,
    pub(super) lease: Duration,
    pub(super) sweep: Duration,
    pub(super) pauses: (Duration, Duration),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            start: Start::Beginning,
            batch: 100,
            owners_at_once: 8,
            lease: Duration::from_secs(30),
            sweep: Duration::from_secs(30),
            pauses: (Duration::from_secs(1), Duration::from_mins(5)),
        }
    }
}

/// Why a batch was not handled.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the database failed")]
    Database(#[from] DatabaseError),
    #[error("the handler failed")]
    Handler(#[source] BoxError),
    // The message went to the panic hook.
    #[error("the handler panicked")]
    Panic,
}

impl<D, H, F, E> Work<D, H>
where
    D: Cursors,
    H: Fn(Owner, Vec<Diff>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: Into<BoxError> + 'static,
{
    /// Prepares the database, and retries until that succeeds.
    pub(super) async fn prepare(&self) {
        let mut failures = 0;
        loop {
            let prepared =
                self.mobync.database().prepare(self.log(), &self.name, self.settings.start).await;
            let Err(error) = prepared else { return };
            self.complain(&error.into(), failures);
            tokio::time::sleep(self.pause(failures)).await;
            failures = failures.saturating_add(1);
        }
    }

    /// Looks at all owners again and again, to find entries that were not announced.
    pub(super) async fn sweep(self: Arc<Self>) {
        let (mut after, mut failures) = (None, 0);
        loop {
            let database = self.mobync.database();
            match database.behind(self.log(), &self.name, after.as_ref(), PAGE).await {
                Ok(page) => {
                    failures = 0;
                    self.queue.add(page.behind).await;
                    after = page.last;
                    if after.is_none() {
                        self.queue.missed(self.settings.sweep).await;
                    }
                }
                Err(error) => {
                    self.complain(&error.into(), failures);
                    tokio::time::sleep(self.pause(failures)).await;
                    failures = failures.saturating_add(1);
                }
            }
        }
    }

    /// A worker: handles one owner after another.
    pub(super) async fn work(self: Arc<Self>) {
        loop {
            let (owner, failures) = self.queue.next().await;
            let went = self.visit(&owner, failures).await;
            self.queue.leave(owner, went);
        }
    }

    async fn visit(&self, owner: &Owner, failures: u32) -> Went {
        let pause = self.pause(failures);
        let place = Place::new(self.log(), &self.name, owner, &self.holder);
        let mut clock = match self.take(&place).await {
            Ok(Some(clock)) => clock,
            Ok(None) => return Went::Held(pause.min(self.settings.lease)),
            Err(error) => {
                self.complain(&error.into(), failures);
                return Went::Failed(pause);
            }
        };
        match self.follow(&place, &mut clock).await {
            Ok(went) => went,
            Err(failure) => {
                self.complain(&failure, failures);
                // The backoff also holds for the other processes.
                if let Err(error) = self.keep(&place, clock, pause).await {
                    tracing::debug!(%error, "a lease was not released");
                }
                Went::Failed(pause)
            }
        }
    }

    /// Handles the owner's entries, batch by batch, as long as no other owner waits. `clock` is updated
    /// with the cursor.
    async fn follow(&self, place: &Place<'_>, clock: &mut i64) -> Result<Went, Failure> {
        loop {
            let (log, most) = (self.log(), self.settings.batch);
            let news = self.mobync.database().entries(log, place.owner, *clock, most).await?;
            let next =
                news.entries.last().map_or(*clock, |last| last.logical_clock.saturating_add(1));
            let mut entries = news.entries;
            for entry in &mut entries {
                self.mobync.settings().schema.read(entry);
            }
            let told = changes(entries, log)?;
            if !told.is_empty() && !self.handle(place, *clock, told).await? {
                return Ok(self.lost());
            }
            let goes_on = news.more && !self.queue.others_wait();
            let hold = if goes_on { self.settings.lease } else { Duration::ZERO };
            if !self.keep(place, next, hold).await? {
                return Ok(self.lost());
            }
            *clock = next;
            if !goes_on {
                return Ok(if news.more { Went::More } else { Went::Done(next) });
            }
        }
    }

    /// Calls the handler, and renews the lease meanwhile. Returns false if the lease was lost.
    async fn handle(
        &self,
        place: &Place<'_>,
        clock: i64,
        entries: Vec<Diff>,
    ) -> Result<bool, Failure> {
        let (handler, owner) = (Arc::clone(&self.handler), place.owner.clone());
        let mut handling = JoinSet::new();
        handling.spawn(async move { handler(owner, entries).await.map_err(Into::into) });
        let lease = self.settings.lease;
        let mut kept_at = Instant::now();
        loop {
            if let Ok(handled) = timeout(lease / 3, handling.join_next()).await {
                return match handled {
                    Some(Ok(Ok(()))) => Ok(true),
                    Some(Ok(Err(error))) => Err(Failure::Handler(error)),
                    Some(Err(_)) | None => Err(Failure::Panic),
                };
            }
            let now = Instant::now();
            let is_kept = match timeout(lease / 3, self.keep(place, clock, lease)).await {
                Ok(Ok(is_kept)) => is_kept,
                Ok(Err(_)) | Err(_) if now - kept_at < lease * 2 / 3 => continue,
                Ok(Err(_)) | Err(_) => false,
            };
            if !is_kept {
                handling.shutdown().await;
                return Ok(false);
            }
            kept_at = now;
        }
    }

    async fn take(&self, place: &Place<'_>) -> Result<Option<i64>, DatabaseError> {
        let _turn = self.turn(place.owner).await?;
        self.mobync.database().take(place, self.settings.lease).await
    }

    async fn keep(
        &self,
        place: &Place<'_>,
        clock: i64,
        hold: Duration,
    ) -> Result<bool, DatabaseError> {
        let _turn = self.turn(place.owner).await?;
        self.mobync.database().keep(place, clock, hold).await
    }

    /// The owner's turn to write, for a database that does not serialize by itself.
    async fn turn(&self, owner: &Owner) -> Result<Option<OwnerGuard>, DatabaseError> {
        if self.mobync.database().serialises() {
            return Ok(None);
        }
        self.mobync.turn(owner, Access::Write).await.map_err(DatabaseError::busy)
    }

    fn lost(&self) -> Went {
        tracing::warn!(
            follower = self.name,
            "a lease was lost, and another process may handle the owner now"
        );
        Went::Held(self.settings.lease)
    }

    fn log(&self) -> &str {
        &self.mobync.settings().diffs_model
    }

    fn pause(&self, failures: u32) -> Duration {
        let (first, longest) = self.settings.pauses;
        first.saturating_mul(2_u32.saturating_pow(failures.min(31))).min(longest)
    }

    fn complain(&self, failure: &Failure, failures: u32) {
        let cause = in_one_line(failure);
        let pause_ms = u64::try_from(self.pause(failures).as_millis()).unwrap_or(u64::MAX);
        let failures = failures.saturating_add(1);
        tracing::error!(
            follower = self.name,
            failures,
            pause_ms,
            cause,
            "a follower failed, and will retry"
        );
    }
}
