//! How much goes into one request, as far as the limits on the way to the server are known.

use super::super::device::Limits;

/// A server takes 10,000 diffs, and a thousand are a good request.
const MOST_DIFFS: usize = 1000;
/// A slow network moves this in a minute.
const MOST_BYTES: usize = 512 * 1024;

/// The limits that hold, and those that were set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) now: Limits,
    pub(super) most: Limits,
    /// Whether the server was found to answer for the owner of the store.
    pub(super) is_known: bool,
    /// Whether a new token was got since the last answer.
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

    /// A request of these was too large; whether by number or by bytes, nobody says.
    pub(super) fn halve(&mut self, diffs: usize, bytes: usize) {
        self.now.diffs = (diffs / 2).max(1);
        self.now.bytes = self.now.bytes.min(bytes) / 2;
    }

    /// One diff alone was to blame for what was halved.
    pub(super) fn recover(&mut self) {
        self.now = self.most;
    }
}
