//! The device: records changes, hands out requests, takes answers; each in one local transaction.

mod answer;
mod change;
mod resync;

use std::sync::Arc;

use tokio::sync::{Mutex, broadcast};

use super::{
    Changes, DeviceError, LocalStore, LocalUnit, Pending, RefusedDiff, Request, Taken,
    settle::Decoded,
};
use crate::{Access, Change, Record, SyncRequest, SyncResponse, engine::Time};

/// Events that a slow listener may fall behind.
const EVENTS: usize = 256;

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
/// let answer = server.apply(body.logical_clock, body.diffs, &Owner::new("ada")?).await?;
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
    /// Held from a step's beginning until it is told of, so that the last event is the last step.
    turn: Arc<Mutex<()>>,
}

impl<S> Clone for Device<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            time: self.time.clone(),
            events: self.events.clone(),
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
            turn: Arc::default(),
        }
    }

    /// Where the device's time comes from, in milliseconds since 1970; the system's clock by default.
    /// For tests.
    #[must_use]
    pub fn time(self, now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self { time: Time(Arc::new(now)), ..self }
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

    /// The changes that the server has refused, and the person has not yet done with.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn refused(&self) -> Result<Vec<RefusedDiff>, DeviceError> {
        Ok(self.store.begin(Access::Read).await?.refused().await?)
    }

    /// Adds a record, whose id the application has chosen: a UUID.
    ///
    /// # Errors
    /// [`DeviceError::AlreadyThere`], [`DeviceError::InvalidChange`] or [`DeviceError::Store`].
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
    /// [`DeviceError::NotThere`], [`DeviceError::InvalidChange`] or [`DeviceError::Store`].
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
        let seen = change::record(&mut unit, changes, self.time.now()).await?;
        unit.commit().await?;
        self.tell(seen);
        Ok(())
    }

    /// The next request: at most that many pending diffs, but always those of a request that nobody
    /// has answered. The one handed out before it is given up.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn request(&self, most_diffs: usize) -> Result<Request, DeviceError> {
        let mut unit = self.store.begin(Access::Write).await?;
        let mut state = unit.state().await?;
        state.attempt += 1;
        unit.set_state(&state).await?;
        let mut first_sent = Vec::new();
        let mut diffs = Vec::new();
        for pending in next(&mut unit, most_diffs.max(1)).await? {
            if !pending.sent {
                first_sent.push(pending.seq);
                unit.set_pending(&Pending { sent: true, ..pending.clone() }).await?;
            }
            diffs.push(pending.diff);
        }
        unit.commit().await?;
        let body = SyncRequest::new(state.clock, diffs);
        Ok(Request { attempt: state.attempt, body, first_sent })
    }

    /// Applies the answer to a request: what the person has recorded since is settled with it, and
    /// stays pending. Taking it again changes nothing.
    ///
    /// # Errors
    /// [`DeviceError::InvalidAnswer`] if it is none of this protocol, or [`DeviceError::Store`].
    pub async fn take(
        &self,
        request: &Request,
        answer: &SyncResponse,
    ) -> Result<Taken, DeviceError> {
        let answer = answer::Answer::read(request, answer)?;
        let _turn = self.turn.lock().await;
        let mut unit = self.store.begin(Access::Write).await?;
        if unit.state().await?.attempt != request.attempt {
            return Ok(Taken::Superseded);
        }
        let changes = answer.apply(&mut unit, self.time.now()).await?;
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
        if unit.state().await?.attempt != request.attempt {
            return Ok(());
        }
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
        let seen = change::record(&mut unit, vec![mended], self.time.now()).await?;
        unit.commit().await?;
        self.tell(seen);
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
        Ok(unit.commit().await?)
    }

    fn tell(&self, changes: Changes) {
        if !changes.is_empty() {
            // Nobody need listen.
            let _ = self.events.send(changes);
        }
    }
}

/// The diffs of the next request.
async fn next<U: LocalUnit>(unit: &mut U, most: usize) -> Result<Vec<Pending>, DeviceError> {
    let mut looked_at = most;
    loop {
        let mut pending = unit.pending(looked_at).await?;
        let is_all = pending.len() < looked_at;
        if is_all || pending.last().is_none_or(|last| !last.sent) {
            let sent = pending.iter().rposition(|pending| pending.sent);
            pending.truncate(most.max(sent.map_or(0, |last| last + 1)));
            return Ok(pending);
        }
        looked_at = looked_at.saturating_mul(2);
    }
}

/// What the store has was checked when it was recorded.
fn decode(pending: &Pending) -> Result<Decoded, DeviceError> {
    Decoded::read(pending.diff.clone()).map_err(|cause| super::StoreError::new(cause).into())
}
