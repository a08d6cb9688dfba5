//! What a client is doing, for a user interface.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;

use crate::client::{SyncFailure, device::Standing};

/// What a client is doing.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// Whether a sync is under way. False during a wait between two tries.
    pub is_syncing: bool,
    /// How much of the server's history the device has, from 0 to 1, while it fetches the rest in pages,
    /// or everything once more because the app was updated; otherwise `None`.
    pub fetched: Option<f64>,
    /// The joined [spaces](crate::client::Device::space) that have synced, or have tried to.
    pub spaces: BTreeMap<String, SpaceStatus>,
}

/// What a client is doing for one space.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct SpaceStatus {
    /// As [`Status::fetched`], for this space.
    pub fetched: Option<f64>,
    /// The sentence of its failure, if its last try to sync has failed.
    pub failure: Option<String>,
}

/// Sets the status while a sync is under way, and resets it even if the sync is dropped.
pub(super) struct Syncing<'c>(&'c watch::Sender<Status>);

impl<'c> Syncing<'c> {
    pub(super) fn begin(status: &'c watch::Sender<Status>) -> Self {
        let this = Self(status);
        this.set(|status| status.is_syncing = true);
        this
    }

    /// Forgets the spaces that are not joined any more.
    pub(super) fn keep(&self, joined: &BTreeSet<String>) {
        self.set(|status| status.spaces.retain(|name, _| joined.contains(name)));
    }

    /// Records the progress of the person's own data, or of a space.
    #[allow(clippy::cast_precision_loss, reason = "it is for the eye")]
    pub(super) fn reached(&self, space: Option<&str>, standing: Standing) {
        let part = |clock: i64, more: i64| (clock as f64 / more.max(1) as f64).clamp(0.0, 1.0);
        let beside = standing.beside.and_then(|(clock, more)| Some(part(clock, more?)));
        let fetched = standing.more.map(|more| part(standing.clock, more)).or(beside);
        self.set(|status| match space {
            None => status.fetched = fetched,
            Some(space) => status.spaces.entry(space.to_owned()).or_default().fetched = fetched,
        });
    }

    /// Records how the try of a space has ended.
    pub(super) fn ended(&self, space: &str, failure: Option<&SyncFailure>) {
        let failure = failure.map(ToString::to_string);
        self.set(|status| status.spaces.entry(space.to_owned()).or_default().failure = failure);
    }

    fn set(&self, change: impl FnOnce(&mut Status)) {
        self.0.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            *status != before
        });
    }
}

impl Drop for Syncing<'_> {
    fn drop(&mut self) {
        self.set(|status| status.is_syncing = false);
    }
}
