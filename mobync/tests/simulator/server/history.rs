//! Heads and compactions: what a server has of its history.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use mobync::{Error, SyncResponse};

use super::{Posted, Server};
use crate::{hand::Place, ours::same, world::Failure};

/// How long logs are kept, in milliseconds.
const AGE: i64 = 6;

impl<D: Place> Server<D> {
    /// *Same* and *Noticed*: the code with which a device that has seen another history is refused.
    pub(super) async fn refusal(&self, posted: &Posted) -> Result<Option<&'static str>, Failure> {
        let Posted { owner, clock, head, .. } = posted;
        if *clock > self.owners[*owner].1.clock() {
            return Ok(Some("clock_ahead"));
        }
        let head = head.as_ref().filter(|head| *clock > 0 && !head.is_empty());
        let log = self.log(*owner).await?;
        let has = |head: &String| {
            log.iter().any(|entry| entry.id.as_ref() == Some(head) && entry.tick == clock - 1)
        };
        Ok(head.is_some_and(|head| !has(head)).then_some("other_history"))
    }

    /// An answer has a head if it was requested and there is something new: an entry of its last tick, and
    /// one of the request's own, if it has new ones.
    pub(super) async fn check_head(
        &self,
        Posted { owner, clock, diffs, head, .. }: &Posted,
        answer: &SyncResponse,
        has_new: bool,
    ) -> Result<(), Failure> {
        let is_told = head.is_some() && answer.logical_clock > *clock;
        same("whether there is a head", &answer.head.is_some(), &is_told)?;
        if let Some(head) = &answer.head {
            let log = self.log(*owner).await?;
            let entry = log.iter().find(|entry| entry.id.as_ref() == Some(head));
            let tick = entry.map(|entry| entry.tick + 1);
            same("the clock of a head", &tick, &Some(answer.logical_clock))?;
            let is_own = diffs.iter().any(|diff| diff.id == *head);
            same("that a head is one's own", &(is_own || !has_new), &true)?;
        }
        Ok(())
    }

    /// Compacts the owner's log; repeats it if the database fails. Does nothing if one of these ids would be
    /// forgotten.
    pub async fn compact(
        &mut self,
        owner: usize,
        repeated: &BTreeSet<String>,
    ) -> Result<(), Failure> {
        let now = self.time.load(Ordering::Relaxed);
        let (before, mut behind) = (&self.owners[owner].1, self.owners[owner].1.clone());
        behind.compact(now, AGE);
        if repeated.iter().any(|id| before.knows(id) && !behind.knows(id)) {
            return Ok(());
        }
        let age = Duration::from_millis(AGE.unsigned_abs());
        let compacted = loop {
            let outcome = self.mobync.compact(&self.owners[owner].0, age).await;
            let has_failed = self.database.hook.take_failure();
            match outcome {
                Ok(compacted) if !has_failed => break compacted,
                Err(Error::Internal(_) | Error::Busy { .. }) if has_failed => {}
                other => return Err(Failure(format!("a compaction: {other:?}"))),
            }
        };
        self.settle().await;
        let oracle = &mut self.owners[owner].1;
        oracle.compact(now, AGE);
        let said = (oracle.kept.horizon, oracle.kept.forgotten);
        same("the horizon", &(compacted.horizon, compacted.forgotten), &said)?;
        self.check().await
    }
}
