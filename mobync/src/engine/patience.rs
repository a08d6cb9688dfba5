//! How often a sync is begun again because it collided with others, and for how long.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use uuid::Uuid;

/// How often a sync is repeated where only syncs write.
const MOST_CONFLICTS: u32 = 5;
/// How long one goes on where others write, too, unless the database says how long owners wait.
const LONG_ENOUGH: Duration = Duration::from_secs(5);
/// The longest pause is twice this at first, and at last.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// Grows shorter with each collision.
#[derive(Debug)]
pub(super) struct Patience {
    conflicts: u32,
    until: Instant,
}

impl Patience {
    pub(super) fn new(limit: Option<Duration>) -> Self {
        let limit = limit.unwrap_or(LONG_ENOUGH);
        let now = Instant::now();
        Self { conflicts: 0, until: now.checked_add(limit).unwrap_or(now) }
    }

    /// Whether to begin again, behind a pause if others than syncs write. *Nobody waits*: where an
    /// application's transaction and a sync hold what the other wants, it is the sync that gives up, and
    /// the pause is random so that they do not meet again.
    pub(super) async fn again(&mut self, others_write: bool) -> bool {
        self.conflicts = self.conflicts.saturating_add(1);
        tracing::debug!(conflicts = self.conflicts, "repeated behind a conflict");
        if !others_write {
            return self.conflicts <= MOST_CONFLICTS;
        }
        let longest = PAUSE.0.saturating_mul(1 << self.conflicts.min(10)).min(PAUSE.1);
        let pause = longest.mul_f64(part());
        if self.conflicts > MOST_CONFLICTS && Instant::now() + pause > self.until {
            return false;
        }
        sleep(pause).await;
        true
    }
}

/// A random number from 0 to 1.
fn part() -> f64 {
    let [.., high, low] = Uuid::now_v7().into_bytes();
    f64::from(u16::from_be_bytes([high, low])) / f64::from(u16::MAX)
}
