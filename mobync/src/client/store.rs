//! What a device keeps, and the trait of a store that keeps it.

use std::{collections::BTreeMap, future::Future};

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::{database::Access, diff::Diff, protocol::OverriddenField, record::Record};

/// A device's local database: it opens units of work.
///
/// [`MemoryStore`](super::MemoryStore) is one, and with the feature `client-sqlite` so is
/// `SqliteStore`.
///
/// Your own store keeps one [`State`], [objects](Object), [pending diffs](Pending), and two lists for the
/// person, of [`RefusedDiff`] and of [`OverriddenDiff`]. Store the [`State`] in its `serde` form: it gains
/// members with new versions, and the form of an older version can still be read.
///
/// With [spaces](super::Device::space), it keeps all of this once for each space, too: implement
/// [`begin_space`](Self::begin_space), [`spaces`](Self::spaces) and [`destroy`](Self::destroy).
pub trait LocalStore: Send + Sync + 'static {
    /// The unit of work.
    type Unit: LocalUnit;

    /// Opens a unit of work on the person's own data. A unit that writes waits until no other unit writes, in
    /// any process.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    fn begin(&self, access: Access) -> impl Future<Output = Result<Self::Unit, StoreError>> + Send;

    /// Opens a unit of work on the data of this space, which may be new. It sees nothing of the person's own
    /// data, and nothing of other spaces, also where ids are the same.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails. The default implementation always fails.
    fn begin_space(
        &self,
        space: &str,
        access: Access,
    ) -> impl Future<Output = Result<Self::Unit, StoreError>> + Send {
        let _ = (space, access);
        async {
            Err(StoreError::new("this store keeps no spaces: implement LocalStore::begin_space"))
        }
    }

    /// The names of the spaces that have a [`State`] other than the default, in ascending order. By default,
    /// there are none.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails.
    fn spaces(&self) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Deletes everything, the person's own data and all spaces, in one transaction, and stores this state for
    /// the person's own data. The default implementation knows no spaces.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails. Nothing is deleted then.
    fn destroy(&self, state: &State) -> impl Future<Output = Result<(), StoreError>> + Send {
        async move {
            let mut unit = self.begin(Access::Write).await?;
            empty(&mut unit).await?;
            for refused in unit.refused().await? {
                unit.dismiss(&refused.diff.id).await?;
            }
            unit.set_state(state).await?;
            unit.commit().await
        }
    }
}

/// Deletes the objects, the pending diffs and the overridden ones.
pub(super) async fn empty<U: LocalUnit>(unit: &mut U) -> Result<(), StoreError> {
    for located in unit.objects(None).await? {
        unit.set_object(&located.model, &located.id, &Object::default()).await?;
    }
    for pending in unit.pending(usize::MAX).await? {
        unit.forget(pending.seq).await?;
    }
    for lost in unit.overridden().await? {
        unit.dismiss_overridden(&lost.diff.id).await?;
    }
    Ok(())
}

/// One unit of work on a device's local database.
///
/// When [`commit`](Self::commit) returns, all its writes are stored, even if the process is killed
/// right afterwards. A unit that is dropped without a commit changes nothing. Later reads of the same
/// unit see its earlier writes.
///
/// # Errors
/// Every method fails with a [`StoreError`].
pub trait LocalUnit: Send {
    /// The state of the device; the default on a new device.
    fn state(&mut self) -> impl Future<Output = Result<State, StoreError>> + Send;

    /// Replaces the state of the device. The default state need not be kept.
    fn set_state(&mut self, state: &State) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// An object; the default if it is unknown.
    fn object(
        &mut self,
        model: &str,
        id: &str,
    ) -> impl Future<Output = Result<Object, StoreError>> + Send;

    /// All objects, or those of one model, with model and id, in this order.
    fn objects(
        &mut self,
        model: Option<&str>,
    ) -> impl Future<Output = Result<Vec<Located>, StoreError>> + Send;

    /// The first objects behind this one, in the order of model and id, at most that many. The default
    /// implementation reads all of them.
    fn objects_behind(
        &mut self,
        last: Option<(&str, &str)>,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Located>, StoreError>> + Send {
        async move {
            let all = self.objects(None).await?.into_iter();
            let is_behind =
                |located: &Located| last.is_none_or(|last| (&*located.model, &*located.id) > last);
            Ok(all.filter(is_behind).take(most).collect())
        }
    }

    /// Replaces an object. An object that is [gone](Object::is_gone) need not be kept.
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

    /// The last pending diffs, the newest first, at most that many. The default implementation reads all of
    /// them.
    fn last_pending(
        &mut self,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Pending>, StoreError>> + Send {
        async move {
            let pending = self.pending(usize::MAX).await?;
            Ok(pending.into_iter().rev().take(most).collect())
        }
    }

    /// Stores a pending diff, and replaces the one with that `seq`, if there is one.
    fn set_pending(
        &mut self,
        pending: &Pending,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the pending diff with that `seq`.
    fn forget(&mut self, seq: i64) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The refused diffs, in the order in which they were stored.
    fn refused(&mut self) -> impl Future<Output = Result<Vec<RefusedDiff>, StoreError>> + Send;

    /// Stores a refused diff, and replaces the one with that id, if there is one.
    fn set_refused(
        &mut self,
        refused: &RefusedDiff,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the refused diff with that id.
    fn dismiss(&mut self, diff_id: &str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The overridden diffs, in the order in which they were stored.
    fn overridden(
        &mut self,
    ) -> impl Future<Output = Result<Vec<OverriddenDiff>, StoreError>> + Send;

    /// Stores an overridden diff, and replaces the one with that id, if there is one.
    fn set_overridden(
        &mut self,
        overridden: &OverriddenDiff,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes the overridden diff with that id.
    fn dismiss_overridden(
        &mut self,
        diff_id: &str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Stores everything that the unit wrote, or nothing.
    fn commit(self) -> impl Future<Output = Result<(), StoreError>> + Send
    where
        Self: Sized;
}

/// The state of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct State {
    /// The clock of the last answer that was applied, in ticks; 0 on a new device.
    pub clock: i64,
    /// Identifies the server's history up to `clock`; empty as long as no server has named it.
    #[serde(default)]
    pub head: String,
    /// The server's clock, in ticks, if the last answer was a page: there is more to fetch.
    #[serde(default)]
    pub more: Option<i64>,
    /// The number of the last request. The answer to any other request is ignored.
    pub attempt: u64,
    /// The `seq` of the next change that is recorded.
    pub next_seq: i64,
    /// Objects (model, id) to delete again if the next answers bring them back, because the device has
    /// started from clock 0 again before their deletes were acknowledged.
    #[serde(default)]
    pub deleted_before_resync: Vec<(String, String)>,
    /// The owner of the store, once the application or an answer has named it.
    #[serde(default)]
    pub owner: Option<String>,
    /// The server of the store, if the [application has named it](super::Device::of_server).
    #[serde(default)]
    pub server: Option<String>,
    /// Whether the person is a member of this space; `None` in the person's own data.
    #[serde(default)]
    pub(super) membership: Option<Membership>,
    /// What the owner can be recognised by, while it is not known.
    #[serde(default)]
    pub(super) marks: Vec<Mark>,
    /// When the device last had everything, by its own time.
    #[serde(default)]
    pub(super) caught_up_at: Option<i64>,
    /// Whether the last request has not been answered.
    #[serde(default)]
    pub(super) is_asking: bool,
    /// Whether the device has started from clock 0 again, and has applied no answer yet: all pending diffs
    /// go out at clock 0, so that the server merges them.
    #[serde(default)]
    pub(super) is_anew: bool,
    /// The greatest clock of the answers that were not applied, because `is_anew` and not all diffs were
    /// sent.
    #[serde(default)]
    pub(super) heard: i64,
    /// While `is_anew`: the greatest time of the device's changes, so that they do not go back.
    #[serde(default)]
    pub(super) latest: i64,
    /// Whether there may be pending updates of objects that do not exist on the device, because it has
    /// started from clock 0 again, and they have not come back.
    #[serde(default)]
    pub(super) has_orphans: bool,
    /// How many answers in a row looked as if no new diff had arrived.
    #[serde(default)]
    pub(super) doubts: u32,
    /// What the pages so far have brought for objects with pending changes. It is already in the acknowledged
    /// records, and meets the pending changes on the last page.
    #[serde(default)]
    pub(super) held: Vec<Diff>,
    /// The version of the [schema](crate::schema) that the data has; 1 if it is `None`, because no
    /// application has declared a schema.
    #[serde(default)]
    pub schema: Option<u64>,
    /// By their ids, the diffs of a request without an answer that an update has renamed, as they were sent.
    #[serde(default)]
    pub(super) as_sent: BTreeMap<String, Diff>,
    /// How far everything has been fetched once more, since the app was updated.
    #[serde(default)]
    pub(super) beside: Option<Beside>,
}

/// Whether the person is a member of a space, as far as the device knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Membership {
    /// They have joined it.
    Joined {
        /// Whether it was joined because a list of the person's own names it.
        by_list: bool,
    },
    /// They have left it, or are no member any more.
    Left {
        /// What to tell the person; empty if they left it by themselves.
        message: String,
    },
}

/// How far the [records beside](Object::beside) have been fetched: what [`State`] has under the same names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Beside {
    pub(super) clock: i64,
    pub(super) head: String,
    pub(super) more: Option<i64>,
}

/// After this many milliseconds without a sync, others may have changed a lot.
const LONG: u64 = 24 * 60 * 60 * 1000;

impl State {
    /// Whether the device has never had everything, or not within the last day.
    pub(super) fn was_away(&self, now: i64) -> bool {
        self.caught_up_at.is_none_or(|at| now.abs_diff(at) > LONG)
    }
}

/// A create of this device that is in the owner's log, and whose object is alive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) diff_id: String,
    pub(super) model: String,
    pub(super) id: String,
    /// The clock of the request that contained the create: its tick, or less.
    pub(super) since: i64,
}

/// One object on the device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    /// The record as the person sees it, with the pending changes; `None` if it does not exist.
    pub current: Option<Record>,
    /// The record without the pending changes, as it was at the device's clock; `None` if it does not
    /// exist.
    pub acknowledged: Option<Record>,
    /// The record as far as it has been fetched once more, since the app was updated. It takes the place of
    /// the acknowledged one when everything has been fetched.
    pub beside: Option<Record>,
    /// When the acknowledged record was last changed, in milliseconds since 1970, or when it came, if that
    /// does not tell.
    pub changed_at: i64,
}

impl Object {
    /// Whether nothing of it needs to be stored.
    pub fn is_gone(&self) -> bool {
        self.current.is_none() && self.acknowledged.is_none() && self.beside.is_none()
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

/// A change that no answer has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its number among the device's changes.
    pub seq: i64,
    /// Whether it was in a request that got no answer, so that the server may know it.
    pub sent: bool,
    /// The change.
    pub diff: Diff,
}

/// A change that the server refused, or that no server would accept, and that was undone on the device.
///
/// Show it to the person. Then [`resubmit`](super::Device::resubmit) a corrected change, or
/// [`dismiss`](super::Device::dismiss) it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedDiff {
    /// The change as it was sent.
    pub diff: Diff,
    /// `forbidden`, `invalid_value` or `constraint`, if the server refused it; `invalid_diff` or
    /// `payload_too_large`, if it cannot be sent and was [set aside](super::Device::set_aside); `too_old`, if
    /// the device was away for so long that the server no longer knows whether it has the change; `no_member`,
    /// if the person left the [space](super::Device::space) before it was sent.
    pub code: String,
    /// The sentence for the person.
    pub message: String,
    /// The record as the person saw it, if it has gone with the space.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
}

/// An accepted change of which others have overridden values.
///
/// Show it to the person. Then [`put_mine_back`](super::Device::put_mine_back), or
/// [`dismiss_overridden`](super::Device::dismiss_overridden) it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OverriddenDiff {
    /// The change as it was sent.
    pub diff: Diff,
    /// Its fields that now have another value.
    pub fields: BTreeMap<String, OverriddenField>,
}
