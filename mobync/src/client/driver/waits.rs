//! The waits between two tries.

use std::time::Duration;

use tokio::{sync::watch, time::timeout};

use super::backoff::Backoff;
use crate::client::{SyncFailure, device::Occasions};

/// The waits of one sync: those after temporary failures, and those after failures that need a person.
pub(super) struct Waits {
    first: [Backoff; 2],
    next: [Backoff; 2],
}

/// One wait.
pub(super) struct Wait {
    pub(super) time: Duration,
    /// Whether a change by the person is a reason to continue. It is not while there is no network.
    pub(super) ends_by_change: bool,
}

/// A point in time, to detect what has happened since.
pub(super) struct Since {
    occasions: watch::Receiver<Occasions>,
    before: Occasions,
}

impl Waits {
    pub(super) fn new(backoff: Backoff, pauses: Backoff) -> Self {
        let first = [backoff, pauses];
        Self { first, next: first }
    }

    pub(super) fn begin_anew(&mut self) {
        self.next = self.first;
    }

    /// The wait after a failure, with or without an answer before it.
    pub(super) fn behind(&mut self, failure: &SyncFailure, progress: bool) -> Wait {
        if progress {
            self.begin_anew();
        }
        let [backoff, pauses] = &mut self.next;
        if failure.is_temporary() {
            Wait { time: backoff.next(failure.retry_after()), ends_by_change: false }
        } else {
            Wait { time: pauses.next(None), ends_by_change: true }
        }
    }
}

impl Wait {
    /// Waits, on a monotonic clock. Returns whether the wait was ended by something that has happened since
    /// then.
    pub(super) async fn ends_early(self, since: Since) -> bool {
        let Since { mut occasions, before } = since;
        let come = occasions.wait_for(|now| {
            now.woken != before.woken || (self.ends_by_change && now.changed != before.changed)
        });
        timeout(self.time, come).await.is_ok()
    }
}

impl Since {
    pub(super) fn now(occasions: watch::Receiver<Occasions>) -> Self {
        let before = *occasions.borrow();
        Self { occasions, before }
    }
}
