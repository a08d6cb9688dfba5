//! The device: records changes, hands out requests, takes answers; each in one local transaction.

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

/// The body that a server takes, unless it is set otherwise, less what is around one diff.
const MOST_CHANGE_BYTES: usize = 16 * 1024 * 1024 - 4096;

/// One device: its objects, the changes that no server has acknowledged, and its clock.
///
/// It does no network by itself: [`Client`](super::Client) does, or whoever passes
/// [`request`](Self::request) and [`take`](Self::take) on. Every method is one transaction of the
/// [store](LocalStore), so that a process may be killed at any moment. Cheap to clone.
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
    /// Held from a step's beginning until it is told of, so that the last event is the last step.
    turn: Arc<Mutex<()>>,
}

/// How many reasons there were to sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Occasions {
    /// The person has changed something.
    pub(super) changed: u64,
    /// The application knows one.
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
            turn: Arc::clone(&self.turn),
        }
    }
}

impl<S: LocalStore> Device<S> {
    /// The device whose store this is. There should be one per store, and clones of it.
    pub fn new(store: S) -> Self {
        Self {
            store: Arc::new(store),
            time: Time::default(),
            events: broadcast::channel(EVENTS).0,
            occasions: watch::Sender::default(),
            most_change_bytes: MOST_CHANGE_BYTES,
            turn: Arc::default(),
        }
    }

    /// Where the device's time comes from, in milliseconds since 1970; the system's clock by default.
    /// For tests.
    #[must_use]
    pub fn time(self, now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self { time: Time(Arc::new(now)), ..self }
    }

    /// The greatest size of one change on the wire, in bytes; 4 KiB less than 16 MiB by default, for
    /// that is what a server takes in one request.
    #[must_use]
    pub fn most_change_bytes(self, most: usize) -> Self {
        Self { most_change_bytes: most, ..self }
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Everything that changes on the device from now on, by the person or by an answer, for a UI to
    /// follow. A listener that lags more than 256 steps behind should read all anew.
    pub fn changes(&self) -> broadcast::Receiver<Changes> {
        self.events.subscribe()
    }

    /// The record of that id, with all pending changes, if it is there.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn get(&self, model: &str, id: &str) -> Result<Option<Record>, DeviceError> {
        Ok(self.store.begin(Access::Read).await?.object(model, id).await?.current)
    }

    /// The records of a model, by id, with all pending changes.
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

    /// The changes that no answer has come for, in the order made.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn pending(&self) -> Result<Vec<Pending>, DeviceError> {
        Ok(self.store.begin(Access::Read).await?.pending(usize::MAX).await?)
    }

    /// Whether there is a change that no answer has come for.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn has_pending(&self) -> Result<bool, DeviceError> {
        Ok(!self.store.begin(Access::Read).await?.pending(1).await?.is_empty())
    }

    /// The changes that the server has refused, or that cannot be sent, and the person has not yet done
    /// with; those of one answer in the order made.
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

    /// Writes those fields to the record of that id.
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

    /// Removes the record of that id.
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

    /// Makes several changes, in that order, all or none. They are seen at once, and pending.
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
        let seen = change::record(&mut unit, changes, self.time.now(), most).await?;
        unit.commit().await?;
        self.tell(seen);
        self.changed();
        Ok(())
    }

    /// The next request: at most that many pending diffs, but always those of a request that nobody
    /// has answered. The one handed out before it is given up. A diff that no server would take is
    /// [set aside](Self::set_aside) instead.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn request(&self, most_diffs: usize) -> Result<Request, DeviceError> {
        self.request_within(most_diffs, usize::MAX).await
    }

    /// As [`request`](Self::request), with diffs of so many bytes in all, but at least one diff.
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

    /// Whether the last request has had no answer.
    pub(super) async fn is_asking(&self) -> Result<bool, DeviceError> {
        Ok(self.store.begin(Access::Read).await?.state().await?.is_asking)
    }

    /// Applies the answer to a request: what the person has recorded since is settled with it, and
    /// stays pending. Taking it again changes nothing.
    ///
    /// # Errors
    /// [`DeviceError::InvalidAnswer`] if it is none of this protocol, or cannot be one to this request;
    /// [`DeviceError::OtherOwner`] if it is of somebody else; or [`DeviceError::Store`].
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

    /// Takes note that the server has refused a request as too large (413), so that the next one may
    /// have fewer diffs: ask for half as many.
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
        // Where all had been sent before, and that answer was lost, it can only have been the same.
        let all = request.first_sent.is_empty();
        for pending in unit.pending(request.body.diffs.len()).await? {
            if all || request.first_sent.contains(&pending.seq) {
                unit.set_pending(&Pending { sent: false, ..pending }).await?;
            }
        }
        unit.commit().await?;
        Ok(())
    }

    /// Takes a pending diff out that cannot be sent, with what is built on it, and keeps it among the
    /// [refused](Self::refused) ones under this code and with this sentence. It is undone on the device;
    /// a request under way is given up. The others can be sent then.
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

    /// Takes a pending diff back, with all later ones of its object, and returns them: for one that
    /// the server will never take, when the person says so. A request under way is given up. Should
    /// the server know the diff already, it comes back as if another device had made it.
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

    /// Makes a change in place of a refused one, which is dismissed with it.
    ///
    /// # Errors
    /// [`DeviceError::NoSuchDiff`] if it is not refused, or as [`record`](Self::record).
    pub async fn resubmit(&self, diff_id: &str, mended: Change) -> Result<(), DeviceError> {
        let _turn = self.turn.lock().await;
        let mut unit = self.store.begin(Access::Write).await?;
        change::dismiss(&mut unit, diff_id).await?;
        let most = self.most_change_bytes;
        let seen = change::record(&mut unit, vec![mended], self.time.now(), most).await?;
        unit.commit().await?;
        self.tell(seen);
        self.changed();
        Ok(())
    }

    /// Forgets a refused diff, when the person has done with it.
    ///
    /// # Errors
    /// [`DeviceError::NoSuchDiff`] if it is not refused, or [`DeviceError::Store`].
    pub async fn dismiss(&self, diff_id: &str) -> Result<(), DeviceError> {
        let mut unit = self.store.begin(Access::Write).await?;
        change::dismiss(&mut unit, diff_id).await?;
        Ok(unit.commit().await?)
    }

    /// Goes back to clock 0 with everything that the device has, after the server answered
    /// `clock_ahead` **and a person has said** that it is the right server, restored from a backup.
    /// (On a wrong server this would publish one person's data to another.) Save a copy of the store
    /// before, and sync afterwards.
    ///
    /// What the server has lost is made again; what both have meets field by field, the later change
    /// winning. Deletes that are still pending are done again behind the next answer. Only deletes that
    /// were acknowledged after the backup was made are forgotten: such objects come back.
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

    /// Says that there is a reason to sync.
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
            // Nobody need listen.
            let _ = self.events.send(changes);
        }
    }
}

/// A pending diff with its data; none if that cannot be read, so that it must be set aside.
fn decode(pending: &Pending) -> Option<Decoded> {
    Decoded::read(pending.diff.clone()).ok()
}
