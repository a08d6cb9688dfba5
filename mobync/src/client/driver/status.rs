//! What a client is doing, for a user interface.

use tokio::sync::watch;

use crate::client::device::Standing;

/// What a client is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// Whether a sync is under way. False during a wait between two tries.
    pub is_syncing: bool,
    /// How much of the server's history the device has, from 0 to 1, while it fetches the rest in pages,
    /// or everything once more because the app was updated; otherwise `None`.
    pub fetched: Option<f64>,
}

/// Sets the status while a sync is under way, and resets it even if the sync is dropped.
pub(super) struct Syncing<'c>(&'c watch::Sender<Status>);

impl<'c> Syncing<'c> {
    pub(super) fn begin(status: &'c watch::Sender<Status>) -> Self {
        let this = Self(status);
        let before = *status.borrow();
        this.set(Status { is_syncing: true, ..before });
        this
    }

    /// Records the device's progress.
    #[allow(clippy::cast_precision_loss, reason = "it is for the eye")]
    pub(super) fn reached(&self, standing: Standing) {
        let part = |clock: i64, more: i64| (clock as f64 / more.max(1) as f64).clamp(0.0, 1.0);
        let beside = standing.beside.and_then(|(clock, more)| Some(part(clock, more?)));
        let fetched = standing.more.map(|more| part(standing.clock, more)).or(beside);
        self.set(Status { is_syncing: true, fetched });
    }

    fn set(&self, status: Status) {
        self.0.send_if_modified(|before| std::mem::replace(before, status) != status);
    }
}

impl Drop for Syncing<'_> {
    fn drop(&mut self) {
        let before = *self.0.borrow();
        self.set(Status { is_syncing: false, ..before });
    }
}
