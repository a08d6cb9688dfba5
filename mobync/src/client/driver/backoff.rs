//! How long to wait before the next try.

use std::time::Duration;

/// The longest wait that a server or proxy may ask for.
const MOST_ASKED: Duration = Duration::from_mins(5);

/// Waits that double, each changed by a random part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_secs(1), Duration::from_mins(5))
    }
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// After failures that need a person.
    pub(super) fn lasting() -> Self {
        Self::new(Duration::from_mins(1), Duration::from_hours(1))
    }

    /// The next wait: at least what the server asks for, up to a few minutes.
    pub(super) fn next(&mut self, retry_after: Option<Duration>) -> Duration {
        let wait = self.next.min(self.longest);
        self.next = wait.saturating_mul(2).min(self.longest);
        match retry_after {
            // No device should return too early, and devices with the same answer should not all return
            // together.
            Some(asked) => asked.min(MOST_ASKED) + wait.mul_f64(fastrand::f64() / 2.0),
            None => wait.mul_f64(0.5 + fastrand::f64()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_give_or_take_a_half() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        for expected in [1.0, 2.0, 4.0, 5.0, 5.0] {
            let wait = backoff.next(None).as_secs_f64();
            assert!((expected * 0.5..=expected * 1.5).contains(&wait), "{wait} for {expected}");
        }
    }

    #[test]
    fn the_server_is_left_alone_for_as_long_as_it_asks() {
        let asked = Duration::from_secs(7);
        let wait = Backoff::default().next(Some(asked));
        assert!(wait >= asked && wait < asked + Duration::from_secs(1), "{wait:?}");
    }

    #[test]
    fn nobody_keeps_a_device_away_for_long() {
        for asked in [301, 86_400, u64::MAX] {
            let wait = Backoff::default().next(Some(Duration::from_secs(asked)));
            assert!((300..301).contains(&wait.as_secs()), "{asked}: {wait:?}");
        }
    }
}
