//! What a sync is doing; this decides its error if its time runs out.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a sync works on its own diffs, or waits: for others, or for a rule.
#[derive(Debug, Default)]
pub(super) struct Phase(AtomicBool);

impl Phase {
    /// It works on its own diffs: fewer diffs would take less time.
    pub(super) fn work(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// It waits for others, or for a rule.
    pub(super) fn wait(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub(super) fn works(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
