//! Watching for what others write, so that devices that listen hear of it at once.

use std::{convert::Infallible, time::Duration};

use tokio::time::{sleep, timeout};

use super::{Mobync, log_failure};
use crate::{Database, Error, Owner};

/// How many owners are drained before there is another look at who is marked.
const OWNERS: usize = 100;
/// How long to wait behind a failure.
const REST: Duration = Duration::from_secs(1);

impl<D: Database, R> Mobync<D, R> {
    /// How often [`watch`](Self::watch) looks for what others have written, where the database does not
    /// tell it earlier; every second by default.
    #[must_use]
    pub fn watch_every(self, interval: Duration) -> Self {
        self.set(|settings| settings.watch_every = interval)
    }

    /// Brings what others write to the rows into the log soon after they have written it, and tells the
    /// devices that listen. Without it that waits for the next sync of the owner.
    ///
    /// It goes on until it is dropped; failures are logged, and tried again. Several processes may watch
    /// one database. Where changes of rows are not marked it finds nothing to do.
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
            // Whether there was news or not, somebody looks.
            let _ = timeout(self.settings.watch_every, self.database.news()).await;
        }
    }

    /// Drains some of the owners that are marked. Whether there may be others that can be drained.
    async fn drain_marked(&self) -> Result<bool, Error> {
        let owners = self.database.marked_owners(OWNERS).await.map_err(Error::of_database)?;
        let mut were_all_read = true;
        for owner in &owners {
            were_all_read &= self.drain_one(owner).await;
        }
        Ok(owners.len() >= OWNERS && were_all_read)
    }

    /// One owner that fails keeps no other waiting. Whether all marks could be drained.
    async fn drain_one(&self, owner: &Owner) -> bool {
        let drained = self.drain_in_turn(owner, false, &mut self.patience()).await;
        drained.unwrap_or_else(|error| {
            log_failure(&error);
            false
        })
    }
}
