//! What a device keeps, and the trait of a store that keeps it.

use std::future::Future;

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::{database::Access, diff::Diff, record::Record};

/// A device's local database: it opens units of work.
///
/// [`MemoryStore`](super::MemoryStore) is one, and with the feature `client-sqlite` so is
/// `SqliteStore`.
pub trait LocalStore: Send + Sync + 'static {
    /// The unit of work.
    type Unit: LocalUnit;

    /// Opens a unit of work. One that writes waits until no other one does, in any process.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    fn begin(&self, access: Access) -> impl Future<Output = Result<Self::Unit, StoreError>> + Send;
}

/// One unit of work on a device's local database.
///
/// What it wrote is kept when [`commit`](Self::commit) returns, all of it, even if the process is
/// killed right behind; a unit that is dropped without a commit leaves nothing behind. Later reads of
/// the same unit see its earlier writes.
///
/// # Errors
/// Every method fails with a [`StoreError`].
pub trait LocalUnit: Send {
    /// Where the device stands; the default on a new one.
    fn state(&mut self) -> impl Future<Output = Result<State, StoreError>> + Send;

    /// Replaces where the device stands.
    fn set_state(&mut self, state: &State) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// An object; the default of one that was never heard of.
    fn object(
        &mut self,
        model: &str,
        id: &str,
    ) -> impl Future<Output = Result<Object, StoreError>> + Send;

    /// All objects, or those of one model, with model and id, in the order of these.
    fn objects(
        &mut self,
        model: Option<&str>,
    ) -> impl Future<Output = Result<Vec<Located>, StoreError>> + Send;

    /// Replaces an object. One that is [gone](Object::is_gone) need not be kept.
    fn set_object(
        &mut self,
        model: &str,
        id: &str,
        object: &Object,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The first pending diffs, by `seq`, at most that many.
    fn pending(
        &mut self,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Pending>, StoreError>> + Send;

    /// Keeps a pending diff, in place of the one with that `seq`, if there is one.
    fn set_pending(
        &mut self,
        pending: &Pending,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Forgets the pending diff with that `seq`.
    fn forget(&mut self, seq: i64) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The refused diffs, in the order in which they were kept.
    fn refused(&mut self) -> impl Future<Output = Result<Vec<RefusedDiff>, StoreError>> + Send;

    /// Keeps a refused diff, in place of the one with that id, if there is one.
    fn set_refused(
        &mut self,
        refused: &RefusedDiff,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Forgets the refused diff with that id.
    fn dismiss(&mut self, diff_id: &str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Keeps everything that the unit wrote, or nothing.
    fn commit(self) -> impl Future<Output = Result<(), StoreError>> + Send
    where
        Self: Sized;
}

/// Where a device stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct State {
    /// The clock of the last answer that was applied, in ticks; 0 on a new device.
    pub clock: i64,
    /// The number of the last request that was handed out. The answer to any other one is ignored.
    pub attempt: u64,
    /// The `seq` of the next change that is recorded.
    pub next_seq: i64,
    /// Objects (model, id) to be deleted again, should the next answer bring them back: the server
    /// that was restored from a backup has them still.
    #[serde(default)]
    pub deleted_before_resync: Vec<(String, String)>,
    /// Whom the store is of, once the application or an answer has said so.
    #[serde(default)]
    pub owner: Option<String>,
    /// By what the owner can be told, while nobody has said who it is.
    #[serde(default)]
    pub(super) marks: Vec<Mark>,
    /// Whether the last request has had no answer.
    #[serde(default)]
    pub(super) is_asking: bool,
    /// How many answers in a row were as if nothing new had arrived.
    #[serde(default)]
    pub(super) doubts: u32,
}

/// A create of this device that the owner's log has, and whose object is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) diff_id: String,
    pub(super) model: String,
    pub(super) id: String,
    /// The clock of the request that the create was in: its tick, or less.
    pub(super) since: i64,
}

/// One object on the device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    /// The record as the person sees it, with the pending changes; none where it is not there.
    pub current: Option<Record>,
    /// The record without the pending changes, as the device's clock stands for it; none where it is
    /// not there.
    pub acknowledged: Option<Record>,
    /// When the acknowledged record was changed last, in milliseconds since 1970.
    pub changed_at: i64,
}

impl Object {
    /// Whether there is nothing to keep of it.
    pub fn is_gone(&self) -> bool {
        self.current.is_none() && self.acknowledged.is_none()
    }
}

/// An object with its model and id.
#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    /// The object's model.
    pub model: String,
    /// The object's id.
    pub id: String,
    /// The object.
    pub object: Object,
}

/// A change that no answer has come for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its place among the device's changes.
    pub seq: i64,
    /// Whether it was in a request that nobody has answered, so that the server may know it.
    pub sent: bool,
    /// The change.
    pub diff: Diff,
}

/// A change that the server refused, or that no server would take, and that was undone on the device.
///
/// Show it to the person; then [`resubmit`](super::Device::resubmit) what it was meant to be, or
/// [`dismiss`](super::Device::dismiss) it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedDiff {
    /// The change as it was sent.
    pub diff: Diff,
    /// `forbidden`, `invalid_value` or `constraint`, if the server refused it; `invalid_diff` or
    /// `payload_too_large`, if it cannot be sent and was [set aside](super::Device::set_aside).
    pub code: String,
    /// The sentence that the person reads.
    pub message: String,
}
