//! Watching for changes outside of syncs, so that listening devices learn of them at once.

use std::{convert::Infallible, time::Duration};

use tokio::time::{sleep, timeout};

use super::{Mobync, log_failure};
use crate::{Database, Error, Owner};

/// How many owners are drained before the marked owners are queried again.
const OWNERS: usize = 100;
/// How long to wait after a failure.
const REST: Duration = Duration::from_secs(1);

impl<D: Database, R> Mobync<D, R> {
    /// Sets how often [`watch`](Self::watch) checks for changes outside of syncs, if the database does not
    /// announce them earlier. The default is one second; the least is a millisecond.
    #[must_use]
    pub fn watch_every(self, interval: Duration) -> Self {
        self.set(|settings| settings.watch_every = interval.max(Duration::from_millis(1)))
    }

    /// Brings changes of rows outside of syncs into the log soon after they are made, and notifies
    /// listening devices. Without it, these changes wait for the owner's next sync.
    ///
    /// It runs until it is dropped. Failures are logged, and it tries again. Several processes may watch
    /// one database. If changes of rows are not marked, it does nothing.
    ///
    /// ```
    /// use mobync::{Mobync, memory::MemoryDatabase};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mobync = Mobync::new(MemoryDatabase::new());
    /// let watching = mobync.clone();
    /// let watcher = tokio::spawn(async move { watching.watch().await });
    /// # watcher.abort();
    /// # }
    /// ```
    pub async fn watch(&self) -> Infallible {
        loop {
            match self.drain_marked().await {
                // There may be more.
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    log_failure(&error);
                    sleep(REST).await;
                }
            }
            // Checks even if there was no news.
            let _ = timeout(self.settings.watch_every, self.database.news()).await;
        }
    }

    /// Drains some of the marked owners. Returns whether there may be others that can be drained.
    async fn drain_marked(&self) -> Result<bool, Error> {
        let owners = self.database.marked_owners(OWNERS).await.map_err(Error::of_database)?;
        let mut were_all_read = true;
        for owner in &owners {
            were_all_read &= self.drain_one(owner).await;
        }
        Ok(owners.len() >= OWNERS && were_all_read)
    }

    /// Drains one owner; a failure does not block the others. Returns whether all marks could be drained.
    async fn drain_one(&self, owner: &Owner) -> bool {
        let drained = self.drain_in_turn(owner, false, &mut self.patience()).await;
        drained.unwrap_or_else(|error| {
            log_failure(&error);
            false
        })
    }
}
