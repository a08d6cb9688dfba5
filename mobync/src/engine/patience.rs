//! How often, and for how long, a sync is repeated because it collided with others.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use uuid::Uuid;

/// How often a sync is repeated if only syncs write.
const MOST_CONFLICTS: u32 = 5;
/// For how long it is repeated if others write, too, unless the database sets how long owners wait.
const LONG_ENOUGH: Duration = Duration::from_secs(5);
/// Longer waits are the same, and cannot be added to every time.
const LONGEST: Duration = Duration::from_hours(24);
/// Half of the longest pause: at first, and at the end.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// Decreases with each collision.
#[derive(Debug)]
pub(super) struct Patience {
    conflicts: u32,
    until: Instant,
}

impl Patience {
    pub(super) fn new(limit: Option<Duration>) -> Self {
        let limit = limit.unwrap_or(LONG_ENOUGH);
        let limit = limit.min(LONGEST);
        let now = Instant::now();
        Self { conflicts: 0, until: now.checked_add(limit).unwrap_or(now) }
    }

    /// Whether to repeat the sync, after a pause if others than syncs write. *Nobody waits*: if an
    /// application's transaction and a sync each hold what the other needs, the sync gives up. The pause is
    /// random so that they do not collide again.
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
