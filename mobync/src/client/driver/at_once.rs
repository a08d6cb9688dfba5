//! How many requests the server takes in one, as far as that is known.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A server accepts this many requests in one.
pub(super) const MOST_AT_ONCE: usize = 100;
/// After so many full bodies in a row that were answered, twice as many are tried. A server with a lower limit
/// refuses few bodies by that.
const PROOF: usize = 16;

/// The greatest number of requests in one body.
#[derive(Debug)]
pub(super) struct AtOnce {
    most: AtomicUsize,
    /// How many bodies with so many requests were answered in a row.
    answered: AtomicUsize,
}

impl Default for AtOnce {
    fn default() -> Self {
        Self { most: AtomicUsize::new(MOST_AT_ONCE), answered: AtomicUsize::new(0) }
    }
}

impl AtOnce {
    pub(super) fn most(&self) -> usize {
        self.most.load(Relaxed)
    }

    /// So many were too much in one body, or in its answer.
    pub(super) fn halve(&self, count: usize) {
        self.most.store((count / 2).clamp(1, MOST_AT_ONCE), Relaxed);
        self.answered.store(0, Relaxed);
    }

    /// So many were answered: the limit may have been that of another server, or of one large answer.
    pub(super) fn answered(&self, count: usize) {
        if count < self.most() {
            return;
        }
        let answered = self.answered.fetch_add(1, Relaxed).saturating_add(1);
        if answered >= PROOF {
            self.most.store(self.most().saturating_mul(2).min(MOST_AT_ONCE), Relaxed);
            self.answered.store(0, Relaxed);
        }
    }
}
