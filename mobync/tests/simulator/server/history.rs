//! Heads and compactions: what a server has of its history.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use mobync::{Error, SyncResponse};

use super::{Kind, Oracle, Posted, Server};
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
        let passes = self.passes(posted).await?;
        let head = head.as_ref().filter(|head| *clock > 0 && !head.is_empty() && !passes);
        let log = self.log(*owner).await?;
        let has = |head: &String| {
            log.iter().any(|entry| entry.id.as_ref() == Some(head) && entry.tick == clock - 1)
        };
        Ok(head.is_some_and(|head| !has(head)).then_some("other_history"))
    }

    /// *Exact*: whether a device gets a 410, and if so, whether with `forgotten`.
    pub(super) async fn too_old(&self, posted: &Posted) -> Result<Option<bool>, Failure> {
        let passes = self.passes(posted).await?;
        Ok(self.owners[posted.owner].1.too_old(posted.clock, passes))
    }

    /// Whether it is a request for the next page of what is below the horizon.
    async fn passes(&self, posted: &Posted) -> Result<bool, Failure> {
        let horizon = self.horizon(posted.owner).await?;
        let is_below = posted.clock < self.owners[posted.owner].1.kept.horizon;
        Ok(is_below && posted.diffs.is_empty() && horizon.is_some() && posted.head == horizon)
    }

    /// The id of the horizon.
    async fn horizon(&self, owner: usize) -> Result<Option<String>, Failure> {
        let log = self.whole_log(owner).await?;
        let horizon = log.into_iter().find(|it| it.model == "diffs" && it.object == "horizon");
        Ok(horizon.and_then(|horizon| horizon.id))
    }

    /// An answer has a head if it was requested and there is something new: an entry of its last tick, and
    /// one of the request's own, if it has new ones. Below the horizon it is the horizon.
    pub(super) async fn check_head(
        &self,
        Posted { owner, clock, diffs, head, .. }: &Posted,
        answer: &SyncResponse,
        has_new: bool,
    ) -> Result<(), Failure> {
        let is_told = head.is_some() && answer.logical_clock > *clock;
        same("whether there is a head", &answer.head.is_some(), &is_told)?;
        if is_told && answer.logical_clock < self.owners[*owner].1.kept.horizon {
            return same("a head below the horizon", &answer.head, &self.horizon(*owner).await?);
        }
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

    /// Compacts the owner's log; repeats it if the database fails, unless it is to die after so many calls.
    /// Does nothing if one of these ids would be forgotten.
    pub async fn compact(
        &mut self,
        owner: usize,
        calls: Option<usize>,
        repeated: &BTreeSet<String>,
    ) -> Result<(), Failure> {
        let now = self.time.load(Ordering::Relaxed);
        let horizon = self.horizon(owner).await?;
        let before = self.owners[owner].1.clone();
        let mut behind = before.clone();
        behind.compact(now, AGE);
        if repeated.iter().any(|id| before.knows(id) && !behind.knows(id)) {
            return Ok(());
        }
        if let Some(calls) = calls {
            self.fail_in(calls, false);
        }
        let age = Duration::from_millis(AGE.unsigned_abs());
        let compacted = loop {
            let outcome = self.mobync.compact(&self.owners[owner].0, age).await;
            let has_failed = self.database.hook.take_failure();
            match outcome {
                Ok(compacted) if !has_failed => break compacted,
                Err(_) if has_failed && calls.is_some() => {
                    self.compacted_until(owner, now).await?;
                    return self.check_horizon(owner, &before, horizon.as_deref()).await;
                }
                Err(Error::Internal(_) | Error::Busy { .. }) if has_failed => {}
                other => return Err(Failure(format!("a compaction: {other:?}"))),
            }
        };
        self.settle().await;
        let oracle = &mut self.owners[owner].1;
        oracle.compact(now, AGE);
        let said = (oracle.kept.horizon, oracle.kept.forgotten);
        same("the horizon", &(compacted.horizon, compacted.forgotten), &said)?;
        self.check().await?;
        self.check_horizon(owner, &before, horizon.as_deref()).await
    }

    /// The horizon has another id since then, if it has moved or a life was removed, and only then.
    async fn check_horizon(
        &self,
        owner: usize,
        before: &Oracle,
        horizon: Option<&str>,
    ) -> Result<(), Failure> {
        let is = |oracle: &Oracle| {
            let lives = oracle.thinned().into_iter().filter(|entry| entry.kind != Kind::Update);
            (oracle.kept.horizon, oracle.kept.forgotten, lives.count())
        };
        let has_moved = is(&self.owners[owner].1) != is(before);
        let is_renewed = self.horizon(owner).await?.as_deref() != horizon;
        same("whether the horizon has another id", &is_renewed, &has_moved)
    }

    /// A compaction at that time was not finished: what the server has then must be on the way.
    async fn compacted_until(&mut self, owner: usize, now: i64) -> Result<(), Failure> {
        self.settle().await;
        let of = |oracle: &Oracle| {
            let kept = &oracle.kept;
            (kept.milestones.clone(), kept.horizon, kept.forgotten)
        };
        let own = self.own(owner, "horizon").await?;
        let (horizon, forgotten) = own.first().map_or((0, 0), |(tick, at)| (tick + 1, *at));
        let is = (self.own(owner, "milestone").await?, horizon, forgotten);
        let is_thinning = !self.own(owner, "thinning").await?.is_empty();
        let mut below = self.log(owner).await?;
        below.retain(|entry| entry.tick < horizon);

        let oracle = &mut self.owners[owner].1;
        let mut begun = oracle.clone();
        begun.begin_to_compact(now, AGE);
        if is == of(&begun) {
            let may_be = begun.may_have_thinned(&below);
            same("that what is thinned so far keeps the laws", &may_be, &true)?;
            begun.hold_below(below, is_thinning);
            *oracle = begun;
        }
        self.check().await
    }
}
