//! How many bytes all requests together hold in memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The unit of counting, in bytes.
const UNIT: usize = 1024;

/// A number of bytes that requests share. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    free: Arc<Semaphore>,
    most: u32,
}

/// One request's share of a [`Budget`], until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Share(Option<OwnedSemaphorePermit>);

/// What a request that has been read has of it, until the last clone is dropped. It says nothing of the
/// request itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held(#[expect(dead_code, reason = "to be dropped")] Option<Arc<Share>>);

impl From<Share> for Held {
    fn from(share: Share) -> Self {
        Self(Some(Arc::new(share)))
    }
}

impl PartialEq for Held {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Held {}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        let most = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).max(1);
        let permits = usize::try_from(most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(permits)), most }
    }

    /// Grows a share to that size, if enough is left. A size greater than the whole budget needs the
    /// whole budget.
    pub(super) fn try_grow(&self, share: &mut Share, bytes: usize) -> bool {
        let more = self.units(bytes).saturating_sub(share.units());
        if more == 0 {
            return true;
        }
        let Ok(permit) = Arc::clone(&self.free).try_acquire_many_owned(more) else { return false };
        match &mut share.0 {
            Some(held) => held.merge(permit),
            held => *held = Some(permit),
        }
        true
    }

    /// Waits for a share of that size, in order.
    pub(super) async fn take(&self, bytes: usize) -> Share {
        // It is never closed.
        Share(Arc::clone(&self.free).acquire_many_owned(self.units(bytes)).await.ok())
    }

    /// Whether the whole budget is that large.
    pub(super) fn has(&self, bytes: usize) -> bool {
        u32::try_from(bytes.div_ceil(UNIT)).is_ok_and(|units| units <= self.most)
    }

    fn units(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.most)
    }
}

impl Share {
    /// Both shares in one.
    pub(super) fn merge(&mut self, other: Self) {
        match (&mut self.0, other.0) {
            (Some(held), Some(more)) => held.merge(more),
            (held, more) => *held = held.take().or(more),
        }
    }

    fn units(&self) -> u32 {
        let units = self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        u32::try_from(units).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn shares_are_given_until_all_is_held_and_come_back() {
        let budget = Budget::new(10 * UNIT);
        let (mut one, mut two) = (Share::default(), Share::default());
        for bytes in [1, UNIT, 3 * UNIT, 6 * UNIT] {
            assert!(budget.try_grow(&mut one, bytes));
        }
        assert!(budget.try_grow(&mut one, 1), "a share does not shrink");
        assert!(budget.try_grow(&mut two, 4 * UNIT));
        assert!(!budget.try_grow(&mut two, 4 * UNIT + 1));
        drop(one);
        assert!(budget.try_grow(&mut two, 10 * UNIT));
    }

    #[tokio::test]
    async fn what_is_larger_than_all_there_is_comes_alone() {
        let budget = Budget::new(2 * UNIT);
        let all = budget.take(usize::MAX).await;
        assert!(!budget.try_grow(&mut Share::default(), 1));
        drop(all);
        assert!(budget.try_grow(&mut Share::default(), 1));
        assert!(Budget::new(0).try_grow(&mut Share::default(), usize::MAX), "one at a time");
    }
}
