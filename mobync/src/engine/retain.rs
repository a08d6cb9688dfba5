//! Compacts the logs of all owners in the background, one owner after another.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::{Compacted, Mobync, log_failure};
use crate::{Database, Error, Owner};

/// How many owners are read at once.
const OWNERS: usize = 10_000;
/// How long to wait after a failure.
const REST: Duration = Duration::from_mins(1);
/// From the beginning of a round to the next one: less would be a busy loop.
const SHORTEST: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_hours(1);
/// Less than this is more likely a mistake than an age.
const DAY: Duration = Duration::from_hours(24);

/// How long logs are kept, and at what pace they are compacted in the background. For [`Mobync::retain`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Retention {
    older_than: Duration,
    owners_an_hour: u32,
    every: Duration,
}

impl Retention {
    /// Devices may be away for this long without having to fetch everything again. See [`Mobync::compact`]
    /// for the details.
    pub fn new(older_than: Duration) -> Self {
        let every = 24 * HOUR;
        Self { older_than, owners_an_hour: 3_600, every }
    }

    /// Sets the greatest number of owners that are processed in an hour. The default is 3,600. Their logs
    /// are read one after another.
    #[must_use]
    pub fn owners_an_hour(self, most: u32) -> Self {
        Self { owners_an_hour: most.max(1), ..self }
    }

    /// Sets how often each owner is processed, if the pace allows it. The default is once a day; less than
    /// 100 milliseconds count as 100.
    #[must_use]
    pub fn every(self, interval: Duration) -> Self {
        Self { every: interval.max(SHORTEST), ..self }
    }
}

impl<D: Database, R> Mobync<D, R> {
    /// [Compacts](Self::compact) the logs of all owners, again and again, at the configured pace.
    ///
    /// It runs until it is dropped. Failures are logged, and do not block the other owners. One process is
    /// enough; several do no harm. The database must be able to list its owners, as the ready-made ones
    /// can.
    ///
    /// It emits a `tracing` event for each owner, with the fields `removed`, `thinned`, `kept`, `horizon`,
    /// `forgotten` and `waits`, and one at the end of each round, with `owners`, `failed`, `removed`,
    /// `waiting` and `duration_s`. If logs are kept for a [follower](crate::follow) that has not handled
    /// their old entries, `waiting` says of how many owners, and the event is a warning.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use mobync::{Mobync, Retention, memory::MemoryDatabase};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mobync = Mobync::new(MemoryDatabase::new());
    /// let half_a_year = Duration::from_secs(180 * 24 * 60 * 60);
    /// let keeper = mobync.clone();
    /// let keeping =
    ///     tokio::spawn(async move { keeper.retain(Retention::new(half_a_year)).await });
    /// # keeping.abort();
    /// # }
    /// ```
    pub async fn retain(&self, retention: Retention) -> Infallible {
        if retention.older_than < DAY {
            let hours = retention.older_than.as_secs_f64() / HOUR.as_secs_f64();
            tracing::warn!(hours, "logs are kept for less than a day: is that the right unit?");
        }
        loop {
            let started = Instant::now();
            if let Err(error) = self.retain_all(&retention).await {
                log_failure(&error);
                sleep(REST).await;
                continue;
            }
            sleep(retention.every.saturating_sub(started.elapsed())).await;
        }
    }

    /// One round over all owners.
    async fn retain_all(&self, retention: &Retention) -> Result<(), Error> {
        let started = Instant::now();
        let pace = HOUR.checked_div(retention.owners_an_hour).unwrap_or(HOUR);
        let (mut count, mut failed, mut removed, mut waiting) = (0_u64, 0_u64, 0_u64, 0_u64);
        let mut last: Option<Owner> = None;
        loop {
            let owners = self.database.logged_owners(last.as_ref(), OWNERS).await;
            let owners = owners.map_err(Error::of_database)?.ok_or_else(|| {
                Error::Internal("the database cannot list its owners: compact one by one".into())
            })?;
            if owners.is_empty() {
                break;
            }
            for owner in owners {
                let begun = Instant::now();
                match self.compact_one(&owner, retention.older_than).await {
                    Ok(Compacted { removed: of_owner, waits, .. }) => {
                        removed += of_owner;
                        waiting += u64::from(waits);
                    }
                    Err(error) => {
                        log_failure(&error);
                        failed += 1;
                    }
                }
                count += 1;
                last = Some(owner);
                sleep(pace.saturating_sub(begun.elapsed())).await;
            }
        }
        let duration_s = started.elapsed().as_secs();
        let owners = count;
        if waiting > 0 {
            tracing::warn!(
                owners,
                failed,
                removed,
                waiting,
                duration_s,
                "looked at the logs of all owners: some are kept for a follower that has not handled their \
                 old entries: repair the follower, or remove it with `unfollow`"
            );
        } else {
            tracing::info!(
                owners,
                failed,
                removed,
                waiting,
                duration_s,
                "looked at the logs of all owners"
            );
        }
        Ok(())
    }
}
