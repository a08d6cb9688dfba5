//! The library's client on a phone, with all of its spaces, and what the network between it and the server sees.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use mobync::{
    SyncRequest,
    client::{Client, Device, DeviceError, NoAnswer, Reply, SyncFailure, Synced, Syncs, Transport},
};
use tokio::sync::{mpsc, oneshot};

use super::club::{SPACES, Whose};
use crate::{
    convert,
    oracle::{Change, Fields, Key, Kind, Objects},
    step::{KilledAt, MODELS},
    store::Mortal,
    world::Failure,
};

/// A request that waits for what comes back.
struct Posted {
    body: String,
    reply: oneshot::Sender<Result<Reply, NoAnswer>>,
}

/// The network, as the client has it.
struct Wire(mpsc::UnboundedSender<Posted>);

impl Wire {
    async fn post(&self, body: String) -> Result<Reply, NoAnswer> {
        let (reply, came) = oneshot::channel();
        let _ = self.0.send(Posted { body, reply });
        came.await.unwrap_or_else(|_| Err(NoAnswer::new("the network is gone")))
    }
}

impl Transport for Wire {
    async fn send(&self, request: &SyncRequest) -> Result<Reply, NoAnswer> {
        self.post(serde_json::to_string(request).unwrap()).await
    }

    async fn send_all(&self, requests: &Syncs<'_>) -> Result<Reply, NoAnswer> {
        self.post(serde_json::to_string(requests).unwrap()).await
    }
}

type Syncing = Pin<Box<dyn Future<Output = Result<Synced, SyncFailure>>>>;

/// What a device has, as it says.
#[derive(Clone, Debug, PartialEq)]
pub struct Has {
    pub clock: i64,
    pub rows: Objects,
    pub pending: Vec<Change>,
    /// The ids of those that were in a request without an answer.
    pub sent: Vec<String>,
    /// Id and code of what was refused or set aside.
    pub refused: BTreeMap<String, String>,
}

pub struct Driven {
    device: Device<Mortal>,
    client: Client<Mortal, Wire>,
    wire: mpsc::UnboundedReceiver<Posted>,
    syncing: Option<Syncing>,
    waiting: Option<oneshot::Sender<Result<Reply, NoAnswer>>>,
    time: Arc<AtomicI64>,
    limit: usize,
}

/// How far a sync has come.
pub enum Stage {
    /// It waits for the answer to this request.
    Asks(String),
    /// It is over.
    Done,
}

impl Driven {
    pub fn new(store: Mortal, time: &Arc<AtomicI64>, limit: usize) -> Self {
        let now = Arc::clone(time);
        let device = Device::new(store).time(move || now.load(Ordering::Relaxed));
        let (sender, wire) = mpsc::unbounded_channel();
        let client = Client::new(device.clone(), Wire(sender)).most_diffs(limit);
        let (syncing, waiting) = (None, None);
        Self { device, client, wire, syncing, waiting, time: Arc::clone(time), limit }
    }

    /// The app is started again on what it has stored.
    pub fn restart(&mut self) {
        *self = Self::new(self.device.store().clone(), &self.time, self.limit);
    }

    pub async fn copy(&self) -> Mortal {
        self.device.store().copy().await
    }

    pub fn put_back(&mut self, store: Mortal) {
        *self = Self::new(store, &self.time, self.limit);
    }

    pub fn set_time(&self, now: i64) {
        self.time.store(now, Ordering::Relaxed);
    }

    pub fn kill(&self, at: KilledAt, after: usize) {
        self.device.store().kill_after(at, after);
    }

    pub fn spare(&self) {
        self.device.store().spare();
    }

    /// Whether it has died since the last query. If so, it was started again.
    pub fn has_died(&mut self) -> bool {
        let has_died = self.device.store().take_death().is_some();
        if has_died {
            self.restart();
        }
        has_died
    }

    pub fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Goes on until it asks the server, or is done.
    pub async fn go_on(&mut self) -> Stage {
        let client = self.client.clone();
        let syncing = self
            .syncing
            .get_or_insert_with(|| Box::pin(async move { Box::pin(client.sync_now()).await }));
        tokio::select! {
            biased;
            Some(Posted { body, reply }) = self.wire.recv() => {
                self.waiting = Some(reply);
                Stage::Asks(body)
            }
            _ = syncing => {
                (self.syncing, self.waiting) = (None, None);
                Stage::Done
            }
        }
    }

    pub fn hear(&mut self, status: u16, retry_after: Option<u64>, body: Bytes) {
        let retry_after = retry_after.map(Duration::from_secs);
        if let Some(waiting) = self.waiting.take() {
            let _ = waiting.send(Ok(Reply { status, retry_after, body }));
        }
    }

    pub fn lose(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            let _ = waiting.send(Err(NoAnswer::new("the network is gone")));
        }
    }

    fn of(&self, whose: Whose) -> Device<Mortal> {
        self.device.space(whose.map_or("", |space| SPACES[space]))
    }

    pub async fn record(
        &self,
        whose: Whose,
        key: &Key,
        kind: Kind,
        fields: &Fields,
    ) -> Result<(), DeviceError> {
        self.of(whose).record([convert::library_change(key, kind, fields)]).await
    }

    pub async fn join(&self, space: usize) -> Result<(), DeviceError> {
        self.device.join(SPACES[space]).await
    }

    pub async fn leave(&self, space: usize) -> Result<(), DeviceError> {
        self.device.leave(SPACES[space]).await.map(drop)
    }

    /// The joined spaces.
    pub async fn spaces(&self) -> Result<Vec<usize>, Failure> {
        let fate = self.device.store();
        let next = fate.suspend();
        let spaces = self.device.spaces().await.map_err(Failure::of)?;
        fate.resume(next);
        let joined = spaces.iter().filter(|space| space.left.is_none());
        let number = |name: &str| SPACES.iter().position(|space| *space == name);
        let mut joined: Vec<usize> = joined.filter_map(|space| number(&space.name)).collect();
        joined.sort_unstable();
        Ok(joined)
    }

    pub async fn has(&self, whose: Whose) -> Result<Has, Failure> {
        let fate = self.device.store();
        let next = fate.suspend();
        let device = self.of(whose);
        let mut rows = Objects::new();
        for model in MODELS {
            for record in device.all(model).await.map_err(Failure::of)? {
                let key = (model.to_owned(), record.id().to_owned());
                rows.insert(key, convert::fields(record));
            }
        }
        let pending = device.pending().await.map_err(Failure::of)?;
        let sent = pending.iter().filter(|it| it.sent).map(|it| it.diff.id.clone()).collect();
        let refused = device.refused().await.map_err(Failure::of)?;
        let has = Has {
            clock: device.clock().await.map_err(Failure::of)?,
            rows,
            pending: pending.iter().map(|it| convert::change(&it.diff)).collect(),
            sent,
            refused: refused.into_iter().map(|it| (it.diff.id, it.code)).collect(),
        };
        fate.resume(next);
        Ok(has)
    }

    /// All that is stored.
    pub async fn text(&self) -> String {
        self.device.store().text().await
    }
}
