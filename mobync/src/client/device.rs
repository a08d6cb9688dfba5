//! The device: records changes, creates requests, applies answers; each in one local transaction.

mod anew;
mod answer;
mod ask;
mod beside;
mod change;
mod compare;
mod held;
mod judge;
mod owner;
mod person;
mod resync;
mod sendable;
mod space;
mod sync;
mod update;
mod version;
mod whole;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::{Mutex, broadcast, watch};

pub(super) use self::{
    ask::Limits,
    owner::{Found, Identity},
    sendable::size_of,
    sync::Standing,
};
use super::{Changes, DeviceError, LocalStore, LocalUnit, Pending, settle::Decoded};
use crate::{change::Change, database::Access, engine::Time, record::Record, schema::Schema};

/// The number of events that a slow listener may be late.
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
/// let answer = server.answer(&Owner::new("ada")?, request.body()).await?;
/// phone.take(&request, &answer).await?;
/// assert!(phone.pending().await?.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Device<S> {
    store: Arc<S>,
    /// The name of the space; `None` for the person's own data.
    space: Option<Arc<str>>,
    line: Line,
    /// Those of all spaces, so that all devices of a space share theirs. The person's own has no name.
    lines: Arc<std::sync::Mutex<BTreeMap<Arc<str>, Line>>>,
    time: Time,
    occasions: watch::Sender<Occasions>,
    most_change_bytes: usize,
    folds: bool,
    /// What the app says that its data should be.
    schema: Option<Schema>,
}

/// What the clones of one device share.
#[derive(Clone, Debug)]
struct Line {
    events: broadcast::Sender<Changes>,
    /// Locked from the beginning of a step until its event is sent, so that events have the order of the
    /// steps.
    turn: Arc<Mutex<()>>,
    /// The number of changes by the person so far.
    changed: Arc<AtomicU64>,
}

impl Default for Line {
    fn default() -> Self {
        let events = broadcast::channel(EVENTS).0;
        Self { events, turn: Arc::default(), changed: Arc::default() }
    }
}

/// The number of reasons to sync so far, and whether there can be no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Occasions {
    /// The person has changed something, in their own data or in a space.
    pub(super) changed: u64,
    /// The application has called `wake`.
    pub(super) woken: u64,
    /// The application has called `destroy`.
    pub(super) is_destroyed: bool,
}

impl<S> Clone for Device<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            space: self.space.clone(),
            line: self.line.clone(),
            lines: Arc::clone(&self.lines),
            time: self.time.clone(),
            occasions: self.occasions.clone(),
            most_change_bytes: self.most_change_bytes,
            folds: self.folds,
            schema: self.schema.clone(),
        }
    }
}

impl<S: LocalStore> Device<S> {
    /// The device with this store. Create one device per store, and clone it.
    pub fn new(store: S) -> Self {
        let (line, mut lines) = (Line::default(), BTreeMap::new());
        lines.insert(Arc::from(""), line.clone());
        Self {
            store: Arc::new(store),
            space: None,
            line,
            lines: Arc::new(std::sync::Mutex::new(lines)),
            time: Time::default(),
            occasions: watch::Sender::default(),
            most_change_bytes: MOST_CHANGE_BYTES,
            folds: true,
            schema: None,
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

    /// Whether an update removes the fields that it writes from the unsent updates of the same object
    /// directly before it, so that a text that is saved 400 times is sent once. The default is `true`.
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
        self.line.events.subscribe()
    }

    /// The record with that id, including pending changes, or `None`.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn get(&self, model: &str, id: &str) -> Result<Option<Record>, DeviceError> {
        let object = self.begin(Access::Read).await?.object(model, id).await?;
        Ok(object.current.map(|record| self.complete(model, record)))
    }

    /// The records of a model, ordered by id, including pending changes.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn all(&self, model: &str) -> Result<Vec<Record>, DeviceError> {
        let objects = self.begin(Access::Read).await?.objects(Some(model)).await?;
        let records = objects.into_iter().filter_map(|located| located.object.current);
        Ok(records.map(|record| self.complete(model, record)).collect())
    }

    /// The clock of the last answer that was applied, in ticks.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn clock(&self) -> Result<i64, DeviceError> {
        Ok(self.begin(Access::Read).await?.state().await?.clock)
    }

    /// The changes that no answer has acknowledged, in the order in which they were made.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn pending(&self) -> Result<Vec<Pending>, DeviceError> {
        Ok(self.begin(Access::Read).await?.pending(usize::MAX).await?)
    }

    /// Whether there is a change that no answer has acknowledged.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn has_pending(&self) -> Result<bool, DeviceError> {
        Ok(!self.begin(Access::Read).await?.pending(1).await?.is_empty())
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
    /// As [`create`](Self::create), [`update`](Self::update) and [`delete`](Self::delete);
    /// [`DeviceError::NotJoined`] in a space that is not joined; and [`DeviceError::Destroyed`] after
    /// [`destroy`](Self::destroy).
    pub async fn record(
        &self,
        changes: impl IntoIterator<Item = Change> + Send,
    ) -> Result<(), DeviceError> {
        let changes: Vec<Change> = changes.into_iter().collect();
        let _turn = self.line.turn.lock().await;
        let mut unit = self.begin_joined().await?;
        let most = self.most_change_bytes;
        let seen = change::record(&mut unit, changes, self.time.now(), most, self.folds).await?;
        unit.commit().await?;
        self.tell(seen);
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

    /// The device of the person's own data.
    pub(super) fn own(self) -> Self {
        if self.space.is_some() { self.space("") } else { self }
    }

    /// How often the person has changed something on this device.
    pub(super) fn times_changed(&self) -> u64 {
        self.line.changed.load(Ordering::SeqCst)
    }

    /// Whether everything was deleted, and this device and its clones have ended.
    pub(super) fn is_destroyed(&self) -> bool {
        self.occasions.borrow().is_destroyed
    }

    fn changed(&self) {
        self.line.changed.fetch_add(1, Ordering::SeqCst);
        self.occasions.send_modify(|occasions| occasions.changed += 1);
    }

    /// Sends the event, and returns what has changed as the app should see it.
    fn tell(&self, mut changes: Changes) -> Changes {
        for changed in &mut changes.objects {
            let record = changed.record.take();
            changed.record = record.map(|record| self.complete(&changed.model, record));
        }
        if !changes.is_empty() && self.line.events.receiver_count() > 0 {
            // An error means that nobody listens any more.
            let _ = self.line.events.send(changes.clone());
        }
        changes
    }
}

/// A pending diff with its data; `None` if the data cannot be read, so that the diff must be set aside.
fn decode(pending: &Pending) -> Option<Decoded> {
    Decoded::read(pending.diff.clone()).ok()
}
