//! The device: records changes, creates requests, applies answers; each in one local transaction.

mod answer;
mod ask;
mod change;
mod judge;
mod owner;
mod resync;
mod sendable;

use std::sync::Arc;

use tokio::sync::{Mutex, broadcast, watch};

pub(super) use self::{ask::Limits, sendable::size_of};
use self::{judge::Flaw, sendable::Unsendable};
use super::{
    Changes, DeviceError, LocalStore, LocalUnit, Pending, RefusedDiff, Request, Taken,
    settle::Decoded,
};
use crate::{
    change::Change, database::Access, engine::Time, protocol::SyncResponse, record::Record,
};

/// Events that a slow listener may fall behind.
const EVENTS: usize = 256;

/// The default limit of a server on a body, minus the bytes around one diff.
const MOST_CHANGE_BYTES: usize = 16 * 1024 * 1024 - 4096;

/// One device: its objects, the changes that no server has acknowledged, and its clock.
///
/// It does not use the network itself. [`Client`](super::Client) does that, or your own code that calls
/// [`request`](Self::request) and [`take`](Self::take). Every method is one transaction of the
/// [store](LocalStore), so the process can be killed at any moment. Cheap to clone.
///
/// ```
/// use mobync::{Mobync, Owner, Record, client::{Device, MemoryStore}, memory::MemoryDatabase};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let phone = Device::new(MemoryStore::new());
/// phone.create("tasks", Record::new("t1").with("name", "Milk")).await?;
/// phone.update("tasks", Record::new("t1").with("done", true)).await?;
/// let milk = Record::new("t1").with("name", "Milk").with("done", true);
/// assert_eq!(phone.get("tasks", "t1").await?, Some(milk));
///
/// // Here in one process; otherwise this goes over a network.
/// let server = Mobync::new(MemoryDatabase::new());
/// let request = phone.request(1000).await?;
/// let body = request.body().clone();
/// let answer = server.apply(&Owner::new("ada")?, body.logical_clock, body.diffs).await?;
/// phone.take(&request, &answer).await?;
/// assert!(phone.pending().await?.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Device<S> {
    store: Arc<S>,
    time: Time,
    events: broadcast::Sender<Changes>,
    occasions: watch::Sender<Occasions>,
    most_change_bytes: usize,
    folds: bool,
    /// Locked from the beginning of a step until its event is sent, so that events have the order of
    /// steps.
    turn: Arc<Mutex<()>>,
}

/// The number of reasons to sync so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Occasions {
    /// The person has changed something.
    pub(super) changed: u64,
    /// The application has called `wake`.
    pub(super) woken: u64,
}

impl<S> Clone for Device<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            time: self.time.clone(),
            events: self.events.clone(),
            occasions: self.occasions.clone(),
            most_change_bytes: self.most_change_bytes,
            folds: self.folds,
            turn: Arc::clone(&self.turn),
        }
    }
}

impl<S: LocalStore> Device<S> {
    /// The device with this store. Create one device per store, and clone it.
    pub fn new(store: S) -> Self {
        Self {
            store: Arc::new(store),
            time: Time::default(),
            events: broadcast::channel(EVENTS).0,
            occasions: watch::Sender::default(),
            most_change_bytes: MOST_CHANGE_BYTES,
            folds: true,
            turn: Arc::default(),
        }
    }

    /// Where the device's time comes from, in milliseconds since 1970; the system's clock by default.
    /// For tests.
    #[must_use]
    pub fn time(self, now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self { time: Time(Arc::new(now)), ..self }
    }

    /// The greatest size of one change on the wire, in bytes; by default 16 MiB minus 4 KiB, because a
    /// server accepts 16 MiB in one request.
    #[must_use]
    pub fn most_change_bytes(self, most: usize) -> Self {
        Self { most_change_bytes: most, ..self }
    }

    /// Whether an update takes the fields that it writes out of the unsent updates of the same object right
    /// before it, so that a text that is saved 400 times is sent once. The default is `true`.
    ///
    /// Switch it off if a rule or constraint of the server depends on the steps in between, or if the
    /// application [withdraws](Self::withdraw) single changes.
    #[must_use]
    pub fn folding(self, folds: bool) -> Self {
        Self { folds, ..self }
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// All changes on the device from now on, by the person or by an answer, for a user interface. A
    /// listener that has missed more than 256 steps should read everything again.
    pub fn changes(&self) -> broadcast::Receiver<Changes> {
        self.events.subscribe()
    }

    /// The record with that id, including pending changes, or `None`.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn get(&self, model: &str, id: &str) -> Result<Option<Record>, DeviceError> {
        Ok(self.store.begin(Access::Read).await?.object(model, id).await?.current)
    }

    /// The records of a model, ordered by id, including pending changes.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn all(&self, model: &str) -> Result<Vec<Record>, DeviceError> {
        let objects = self.store.begin(Access::Read).await?.objects(Some(model)).await?;
        Ok(objects.into_iter().filter_map(|located| located.object.current).collect())
    }

    /// The clock of the last answer that was applied, in ticks.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn clock(&self) -> Result<i64, DeviceError> {
        Ok(self.store.begin(Access::Read).await?.state().await?.clock)
    }

    /// The changes that no answer has acknowledged, in the order made.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn pending(&self) -> Result<Vec<Pending>, DeviceError> {
        Ok(self.store.begin(Access::Read).await?.pending(usize::MAX).await?)
    }

    /// Whether there is a change that no answer has acknowledged.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn has_pending(&self) -> Result<bool, DeviceError> {
        Ok(!self.store.begin(Access::Read).await?.pending(1).await?.is_empty())
    }

    /// The changes that the server has refused, or that cannot be sent, until they are resubmitted or
    /// dismissed; those of one answer in the order made.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn refused(&self) -> Result<Vec<RefusedDiff>, DeviceError> {
        Ok(self.store.begin(Access::Read).await?.refused().await?)
    }

    /// Adds a record, whose id the application has chosen: a UUID.
    ///
    /// # Errors
    /// [`DeviceError::AlreadyThere`], [`DeviceError::InvalidChange`], [`DeviceError::ChangeTooLarge`] or
    /// [`DeviceError::Store`].
    pub async fn create(
        &self,
        model: impl Into<String>,
        record: Record,
    ) -> Result<(), DeviceError> {
        self.record([Change::create(model, record)]).await
    }

    /// Writes these fields to the record with that id.
    ///
    /// # Errors
    /// [`DeviceError::NotThere`], [`DeviceError::InvalidChange`], [`DeviceError::ChangeTooLarge`] or
    /// [`DeviceError::Store`].
    pub async fn update(
        &self,
        model: impl Into<String>,
        changes: Record,
    ) -> Result<(), DeviceError> {
        self.record([Change::update(model, changes)]).await
    }

    /// Removes the record with that id.
    ///
    /// # Errors
    /// [`DeviceError::NotThere`], [`DeviceError::InvalidChange`] or [`DeviceError::Store`].
    pub async fn delete(
        &self,
        model: impl Into<String>,
        id: impl Into<String>,
    ) -> Result<(), DeviceError> {
        self.record([Change::delete(model, id)]).await
    }

    /// Makes several changes, in that order, all or none. They are visible immediately, and pending.
    ///
    /// # Errors
    /// As [`create`](Self::create), [`update`](Self::update) and [`delete`](Self::delete).
    pub async fn record(
        &self,
        changes: impl IntoIterator<Item = Change> + Send,
    ) -> Result<(), DeviceError> {
        let changes: Vec<Change> = changes.into_iter().collect();
        let _turn = self.turn.lock().await;
        let mut unit = self.store.begin(Access::Write).await?;
        let most = self.most_change_bytes;
        let seen = change::record(&mut unit, changes, self.time.now(), most, self.folds).await?;
        unit.commit().await?;
        self.tell(seen);
        self.changed();
        Ok(())
    }

    /// Creates the next request, with at most `most_diffs` pending diffs, but always with those of a
    /// request that got no answer. The previous request is given up. A diff that no server would accept
    /// is [set aside](Self::set_aside) instead.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn request(&self, most_diffs: usize) -> Result<Request, DeviceError> {
        self.request_within(most_diffs, usize::MAX).await
    }

    /// Like [`request`](Self::request), with a limit on the total bytes of the diffs, but with at least
    /// one diff.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn request_within(
        &self,
        most_diffs: usize,
        most_bytes: usize,
    ) -> Result<Request, DeviceError> {
        self.ask(Limits { diffs: most_diffs.max(1), bytes: most_bytes }).await
    }

    pub(super) async fn ask(&self, limits: Limits) -> Result<Request, DeviceError> {
        let _turn = self.turn.lock().await;
        let mut unit = self.store.begin(Access::Write).await?;
        let request = ask::ask(&mut unit, limits).await?;
        unit.commit().await?;
        self.tell(request.set_aside.clone());
        Ok(request)
    }

    /// Whether the last request has not been answered.
    pub(super) async fn is_asking(&self) -> Result<bool, DeviceError> {
        Ok(self.store.begin(Access::Read).await?.state().await?.is_asking)
    }

    /// Applies the answer to a request. Changes recorded since the request are merged with it, and stay
    /// pending. Applying an answer again changes nothing.
    ///
    /// # Errors
    /// [`DeviceError::InvalidAnswer`] if it is not an answer of this protocol, or cannot belong to this
    /// request; [`DeviceError::OtherOwner`] if it is for another owner; or [`DeviceError::Store`].
    pub async fn take(
        &self,
        request: &Request,
        answer: &SyncResponse,
    ) -> Result<Taken, DeviceError> {
        let _turn = self.turn.lock().await;
        let mut unit = self.store.begin(Access::Write).await?;
        let mut state = unit.state().await?;
        if state.attempt != request.attempt {
            return Ok(Taken::Superseded);
        }
        match judge::judge(request, answer, state.owner.as_deref()) {
            Ok(owner) => owner::learn(&mut state, owner),
            Err(flaw) => {
                if matches!(flaw, Flaw::NothingNew) {
                    state.doubts = state.doubts.saturating_add(1);
                    unit.set_state(&state).await?;
                    unit.commit().await?;
                }
                return Err(flaw.into_error(state.owner));
            }
        }
        (state.doubts, state.is_asking) = (0, false);
        unit.set_state(&state).await?;
        let changes = answer::Answer::read(request, answer)?;
        let changes = changes.apply(&mut unit, self.time.now()).await?;
        owner::mark(&mut unit, request).await?;
        unit.commit().await?;
        self.tell(changes.clone());
        Ok(Taken::Applied(changes))
    }

    /// Records that the server has refused a request as too large (413), so that the next one may have
    /// fewer diffs. Request half as many.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn too_large(&self, request: &Request) -> Result<(), DeviceError> {
        let mut unit = self.store.begin(Access::Write).await?;
        let mut state = unit.state().await?;
        if state.attempt != request.attempt {
            return Ok(());
        }
        state.is_asking = false;
        unit.set_state(&state).await?;
        // If all diffs had been sent before and that answer was lost, it must have been the same one.
        let all = request.first_sent.is_empty();
        for pending in unit.pending(request.body.diffs.len()).await? {
            if all || request.first_sent.contains(&pending.seq) {
                unit.set_pending(&Pending { sent: false, ..pending }).await?;
            }
        }
        unit.commit().await?;
        Ok(())
    }

    /// Moves a pending diff that cannot be sent, and those that depend on it, to the
    /// [refused](Self::refused) diffs, with this code and message. It is undone on the device, and a
    /// request that is under way is given up. The other diffs can then be sent.
    ///
    /// # Errors
    /// [`DeviceError::NoSuchDiff`] or [`DeviceError::Store`].
    pub async fn set_aside(
        &self,
        diff_id: &str,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> Result<Changes, DeviceError> {
        let diff_id = diff_id.to_owned();
        let why = Unsendable { diff_id, code: code.into(), message: message.into() };
        let _turn = self.turn.lock().await;
        let mut unit = self.store.begin(Access::Write).await?;
        if !unit.pending(usize::MAX).await?.iter().any(|pending| pending.diff.id == why.diff_id) {
            return Err(DeviceError::NoSuchDiff(why.diff_id));
        }
        let changes = sendable::set_aside(&mut unit, vec![why]).await?;
        let mut state = unit.state().await?;
        state.attempt += 1;
        unit.set_state(&state).await?;
        unit.commit().await?;
        self.tell(changes.clone());
        Ok(changes)
    }

    /// Takes a pending diff back, with all later diffs of its object, and returns them. Use it when the
    /// person gives up a change that the server will never accept. A request that is under way is given
    /// up. If the server already has the diff, it comes back as if another device had made it.
    ///
    /// # Errors
    /// [`DeviceError::NoSuchDiff`] or [`DeviceError::Store`].
    pub async fn withdraw(&self, diff_id: &str) -> Result<Vec<Pending>, DeviceError> {
        let _turn = self.turn.lock().await;
        let mut unit = self.store.begin(Access::Write).await?;
        let (withdrawn, seen) = change::withdraw(&mut unit, diff_id).await?;
        unit.commit().await?;
        self.tell(seen);
        self.changed();
        Ok(withdrawn)
    }

    /// Makes a change that replaces a refused one, and dismisses the refused one.
    ///
    /// # Errors
    /// [`DeviceError::NoSuchDiff`] if it is not refused, or as [`record`](Self::record).
    pub async fn resubmit(&self, diff_id: &str, mended: Change) -> Result<(), DeviceError> {
        let _turn = self.turn.lock().await;
        let mut unit = self.store.begin(Access::Write).await?;
        change::dismiss(&mut unit, diff_id).await?;
        let most = self.most_change_bytes;
        let seen =
            change::record(&mut unit, vec![mended], self.time.now(), most, self.folds).await?;
        unit.commit().await?;
        self.tell(seen);
        self.changed();
        Ok(())
    }

    /// Removes a refused diff, when the person no longer needs it.
    ///
    /// # Errors
    /// [`DeviceError::NoSuchDiff`] if it is not refused, or [`DeviceError::Store`].
    pub async fn dismiss(&self, diff_id: &str) -> Result<(), DeviceError> {
        let mut unit = self.store.begin(Access::Write).await?;
        change::dismiss(&mut unit, diff_id).await?;
        Ok(unit.commit().await?)
    }

    /// Goes back to clock 0 with everything that the device has. Call it after the server answered
    /// `clock_ahead` **and a person has confirmed** that it is the right server, restored from a
    /// backup. (On a wrong server this would publish one person's data to another.) Save a copy of the
    /// store before, and sync afterwards.
    ///
    /// What the server has lost is created again. What both have is merged field by field, and the
    /// later change wins. Deletes that are still pending are repeated after the next answer. Only
    /// deletes that were acknowledged after the time of the backup are lost: such objects come back.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn resync(&self) -> Result<(), DeviceError> {
        let mut unit = self.store.begin(Access::Write).await?;
        resync::resync(&mut unit).await?;
        unit.commit().await?;
        self.changed();
        Ok(())
    }

    /// Signals that there is a reason to sync.
    pub(super) fn wake(&self) {
        self.occasions.send_modify(|occasions| occasions.woken += 1);
    }

    pub(super) fn occasions(&self) -> watch::Receiver<Occasions> {
        self.occasions.subscribe()
    }

    fn changed(&self) {
        self.occasions.send_modify(|occasions| occasions.changed += 1);
    }

    fn tell(&self, changes: Changes) {
        if !changes.is_empty() {
            // An error means that nobody listens.
            let _ = self.events.send(changes);
        }
    }
}

/// A pending diff with its data; `None` if the data cannot be read and the diff must be set aside.
fn decode(pending: &Pending) -> Option<Decoded> {
    Decoded::read(pending.diff.clone()).ok()
}
