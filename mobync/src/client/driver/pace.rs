//! How much goes into one request, as far as the limits on the way to the server are known.

use super::super::device::Limits;

/// A server accepts 10,000 diffs; a thousand are a good size.
const MOST_DIFFS: usize = 1000;
/// A slow network transfers this in a minute.
const MOST_BYTES: usize = 512 * 1024;

/// The current limits, and the configured ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) now: Limits,
    pub(super) most: Limits,
    /// Whether the server was found to answer for the owner of the store.
    pub(super) is_known: bool,
    /// Whether there is a new token since the last answer.
    pub(super) is_renewed: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self::new(Limits { diffs: MOST_DIFFS, bytes: MOST_BYTES })
    }
}

impl Pace {
    pub(super) fn new(most: Limits) -> Self {
        Self { now: most, most, is_known: false, is_renewed: false }
    }

    /// A request with these was too large. The server does not say whether by number or by bytes.
    pub(super) fn halve(&mut self, diffs: usize, bytes: usize) {
        self.now.diffs = (diffs / 2).max(1);
        self.now.bytes = self.now.bytes.min(bytes) / 2;
    }

    /// One diff alone was the cause of the halving.
    pub(super) fn recover(&mut self) {
        self.now = self.most;
    }
}
