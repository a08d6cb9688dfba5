//! How much goes into one request and into one answer, as far as the limits are known.

use super::super::device::Limits;

/// A server accepts 10,000 diffs; a thousand are a good size.
const MOST_DIFFS: usize = 1000;
/// A slow network transfers this in a minute.
const MOST_BYTES: usize = 512 * 1024;
/// What a server accepts: 10,000 diffs, and 16 MiB with the bytes around them.
const ALL: Limits = Limits { diffs: 10_000, bytes: 16 * 1024 * 1024 - 64 * 1024, page: None };

/// The log entries in the first page.
const PAGE: u64 = 1000;
/// The size that a page should have, in bytes.
const PAGE_BYTES: u64 = 1024 * 1024;
const LEAST_PAGE: u64 = 10;
const MOST_PAGE: u64 = 10_000;
/// The greatest factor by which a page may be longer than the previous one.
const GROWTH: u64 = 4;

/// The current limits, and the configured ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) now: Limits,
    pub(super) most: Limits,
    /// The limits of a device that starts again: as much as possible, since only its last answer counts.
    anew: Limits,
    most_anew: Limits,
    /// The log entries that the next page covers, if no other device shares the answer.
    page: u64,
}

impl Default for Pace {
    fn default() -> Self {
        let most = Limits { diffs: MOST_DIFFS, bytes: MOST_BYTES, page: None };
        Self { anew: ALL, most_anew: ALL, ..Self::new(most) }
    }
}

impl Pace {
    pub(super) fn new(most: Limits) -> Self {
        let (now, anew, most_anew) = (most, most, most);
        Self { now, most, anew, most_anew, page: PAGE }
    }

    /// The limits of a request that has no diffs, except those of a request that got no answer.
    pub(super) fn fetching(&self, devices: u64) -> Limits {
        Limits { page: Some(self.page(devices)), ..Limits::NOTHING_NEW }
    }

    /// The log entries that the next page covers, if so many devices share an answer.
    pub(super) fn page(&self, devices: u64) -> u64 {
        (self.page / devices.max(1)).max(LEAST_PAGE)
    }

    /// The limits of a request with new diffs. If there are none, it is a page.
    pub(super) fn pushing(&self, is_anew: bool, devices: u64) -> Limits {
        let page = Some(self.page(devices));
        Limits { page, ..if is_anew { self.anew } else { self.now } }
    }

    /// A request with these was too large. The server does not say whether by number or by bytes.
    pub(super) fn halve(&mut self, diffs: usize, bytes: usize) {
        for limits in [&mut self.now, &mut self.anew] {
            limits.diffs = limits.diffs.min((diffs / 2).max(1));
            limits.bytes = limits.bytes.min(bytes / 2);
        }
    }

    /// One diff alone was the cause of the halving.
    pub(super) fn recover(&mut self) {
        (self.now, self.anew) = (self.most, self.most_anew);
    }

    /// A page of so many entries that was not the last one had this many bytes.
    pub(super) fn had_page(&mut self, page: u64, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).max(1);
        let ideal = page.saturating_mul(PAGE_BYTES) / bytes;
        let most = self.page.saturating_mul(GROWTH).min(MOST_PAGE);
        self.page = ideal.clamp(LEAST_PAGE, most.max(LEAST_PAGE));
    }

    /// A page has not arrived, perhaps because it is too long for the connection. Returns whether the next
    /// one is shorter.
    pub(super) fn lost_page(&mut self, by: u64) -> bool {
        let before = self.page;
        self.page = (before / by.max(1)).max(LEAST_PAGE);
        self.page < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_come_to_have_the_bytes_that_they_should_whatever_an_entry_has() {
        for entry in [1, 30, 200, 1_000, 20_000, 100_000, 10_000_000] {
            let mut pace = Pace::default();
            for _ in 0..8 {
                pace.had_page(pace.page, usize::try_from(pace.page * entry).unwrap());
                assert!((LEAST_PAGE..=MOST_PAGE).contains(&pace.page), "{entry}: {}", pace.page);
            }
            let bytes = pace.page * entry;
            let is_clamped = [LEAST_PAGE, MOST_PAGE].contains(&pace.page);
            assert!(is_clamped || (900_000..1_100_000).contains(&bytes), "{entry}: {bytes}");
        }
    }

    #[test]
    fn one_large_entry_does_not_keep_pages_short_and_lost_ones_shrink_to_the_least() {
        let mut pace = Pace::default();
        pace.had_page(pace.page, usize::MAX);
        assert_eq!(pace.page, LEAST_PAGE);
        for expected in [40, 160, 640, 2560, 10_000, 10_000] {
            pace.had_page(pace.page, 0);
            assert_eq!(pace.page, expected);
        }
        while pace.lost_page(2) {}
        assert_eq!(pace.page, LEAST_PAGE);
    }
}
