//! The waits between two tries, for each device of a client by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{
    backoff::Backoff,
    round::{Round, Tried},
};
use crate::client::{SyncFailure, device::Occasions};

/// The longest time that is waited for anything.
const FOREVER: Duration = Duration::from_hours(24 * 365);

/// When each device tries again.
pub(super) struct Waits {
    /// Those after temporary failures, and those after failures that need a person.
    first: [Backoff; 2],
    /// How often a device syncs without a reason.
    every: Duration,
    /// By the names of their spaces.
    of: BTreeMap<String, Device>,
}

struct Device {
    next: [Backoff; 2],
    then: Then,
}

/// What a device does next.
#[derive(Clone, Copy)]
enum Then {
    /// It has synced, and syncs again at that time, or when there is a reason.
    Regular { at: Instant },
    /// It has failed, and tries again then.
    Wait {
        until: Instant,
        /// The wait ends early when the person has changed something since, and that number is another one.
        /// It does not while there is no network.
        ends_by_change: Option<u64>,
    },
}

/// Whether a device syncs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    /// As all others that do not wait.
    Regular,
    /// Only if it has something to say.
    WithReason,
    Later,
}

/// A point in time, to detect what has happened since.
pub(super) struct Since {
    occasions: watch::Receiver<Occasions>,
    before: Occasions,
}

impl Waits {
    pub(super) fn new(backoff: Backoff, pauses: Backoff, every: Duration) -> Self {
        Self { first: [backoff, pauses], every, of: BTreeMap::new() }
    }

    /// All waits are over.
    pub(super) fn end_all(&mut self) {
        self.of.clear();
    }

    /// Forgets the devices with other names.
    pub(super) fn keep(&mut self, is_known: impl Fn(&str) -> bool) {
        self.of.retain(|name, _| is_known(name));
    }

    /// Whether the device with that name syncs now, after so many changes by the person.
    pub(super) fn due(&mut self, name: &str, changed: u64) -> Due {
        let Some(device) = self.of.get_mut(name) else { return Due::Now };
        let now = Instant::now();
        match device.then {
            Then::Regular { at } if now < at => Due::WithReason,
            Then::Wait { until, ends_by_change } if now < until => {
                if ends_by_change.is_none_or(|before| before == changed) {
                    return Due::Later;
                }
                device.next = self.first;
                Due::Now
            }
            Then::Regular { .. } => Due::Regular,
            Then::Wait { .. } => Due::Now,
        }
    }

    /// Whether the device with that name waits after a failure that needs a person.
    pub(super) fn needs_person(&mut self, name: &str, changed: u64) -> bool {
        let is_later = self.due(name, changed) == Due::Later;
        let then = self.of.get(name).map(|device| device.then);
        is_later && matches!(then, Some(Then::Wait { ends_by_change: Some(_), .. }))
    }

    /// Sets what each of these devices does next. If all of them have failed temporarily, that is one failure,
    /// and they wait together.
    pub(super) fn after(&mut self, round: &Round) {
        let is_temporary = |tried: &Tried| tried.failure().is_some_and(SyncFailure::is_temporary);
        let is_one = round.values().all(is_temporary);
        let asked = round.values().filter_map(|it| it.failure()?.retry_after()).max();
        let progress = round.values().any(|it| it.progress);
        let mut together = None;
        for (name, tried) in round {
            let first = self.first;
            let then = match tried.failure() {
                None => Then::Regular { at: after(self.every) },
                Some(_) if is_one && together.is_some() => {
                    let until = together.unwrap_or_else(Instant::now);
                    Then::Wait { until, ends_by_change: None }
                }
                Some(failure) => {
                    let asked = if is_one { asked } else { failure.retry_after() };
                    let progress = if is_one { progress } else { tried.progress };
                    let device = self.device(name);
                    if progress {
                        device.next = first;
                    }
                    let then = device.behind(failure, asked, tried.changed);
                    if let Then::Wait { until, .. } = then {
                        together = Some(until);
                    }
                    then
                }
            };
            let device = self.device(name);
            if matches!(then, Then::Regular { .. }) {
                device.next = first;
            }
            device.then = then;
        }
    }

    fn device(&mut self, name: &str) -> &mut Device {
        let (next, then) = (self.first, Then::Regular { at: Instant::now() });
        self.of.entry(name.to_owned()).or_insert(Device { next, then })
    }

    /// When the next device tries again that is not among these.
    pub(super) fn next(&self, except: &BTreeSet<String>) -> Instant {
        let left = self.of.iter().filter(|(name, _)| !except.contains(*name));
        let next = left.map(|(_, device)| match device.then {
            Then::Regular { at } | Then::Wait { until: at, .. } => at,
        });
        next.min().unwrap_or_else(|| after(FOREVER))
    }

    /// The end of a wait for a person, which is no device's.
    pub(super) fn pause(&self) -> Instant {
        let [_, mut pauses] = self.first;
        after(pauses.next(None))
    }
}

impl Device {
    fn behind(&mut self, failure: &SyncFailure, asked: Option<Duration>, changed: u64) -> Then {
        let [backoff, pauses] = &mut self.next;
        if failure.is_temporary() {
            Then::Wait { until: after(backoff.next(asked)), ends_by_change: None }
        } else {
            Then::Wait { until: after(pauses.next(None)), ends_by_change: Some(changed) }
        }
    }
}

fn after(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time.min(FOREVER)).unwrap_or(now)
}

impl Since {
    pub(super) fn now(occasions: watch::Receiver<Occasions>) -> Self {
        let before = *occasions.borrow();
        Self { occasions, before }
    }

    /// Waits until then, on a monotonic clock, or until something has happened since. Returns whether the
    /// application has woken the client.
    pub(super) async fn woken_before(self, until: Instant) -> bool {
        let Self { mut occasions, before } = self;
        let come = occasions.wait_for(|now| *now != before);
        match timeout_at(until, come).await {
            Ok(Ok(now)) => now.woken != before.woken,
            // Either the time has come; or the sender is gone, which the client itself has.
            _ => false,
        }
    }
}
