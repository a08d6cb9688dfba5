//! The client: a device and a transport, and how failures are handled.

mod at_once;
mod attempt;
mod backoff;
mod beside;
mod check;
mod exchange;
mod pace;
mod post;
mod round;
mod spaces;
mod status;
mod token;
mod waits;
mod whose;

use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Duration};

use tokio::sync::{Mutex, watch};

use self::{
    backoff::Backoff,
    pace::Pace,
    round::{Known, OWN, Round},
    spaces::List,
    waits::{Since, Waits},
    whose::Ask,
};
pub use self::{
    status::{SpaceStatus, Status},
    whose::OtherAccount,
};
use super::{Device, LocalStore, SyncFailure, Synced, Transport, device::Limits};

/// A device that syncs over a transport, one sync at a time. Cheap to clone.
///
/// A new device, and one that was away, fetches what it has missed in pages of about 1 MiB before it sends
/// anything new. Each page is applied immediately, so an interrupted sync continues where it stopped.
///
/// ```no_run
/// use mobync::{Record, client::{Client, Device, MemoryStore}};
/// # #[cfg(feature = "client-http")]
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use mobync::client::HttpTransport;
///
/// let device = Device::new(MemoryStore::new());
/// let server = HttpTransport::new("https://example.com/sync")?.token("secret");
/// let client = Client::new(device, server);
///
/// client.device().create("tasks", Record::new("t1").with("name", "Milk")).await?;
/// let synced = client.sync().await?;
/// println!("{} objects have changed", synced.objects);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Client<S, T> {
    device: Device<S>,
    transport: Arc<T>,
    /// Locked during a sync.
    known: Arc<Mutex<Known>>,
    /// The limits at first.
    pace: Pace,
    backoff: Backoff,
    pauses: Backoff,
    recovers: bool,
    follows: Option<List>,
    asks: Option<Ask>,
    status: watch::Sender<Status>,
}

impl<S, T> Clone for Client<S, T> {
    fn clone(&self) -> Self {
        Self {
            device: self.device.clone(),
            transport: Arc::clone(&self.transport),
            known: Arc::clone(&self.known),
            pace: self.pace,
            backoff: self.backoff,
            pauses: self.pauses,
            recovers: self.recovers,
            follows: self.follows.clone(),
            asks: self.asks.clone(),
            status: self.status.clone(),
        }
    }
}

impl<S: LocalStore, T: Transport> Client<S, T> {
    /// A client for that device. Create one, and clone it.
    pub fn new(device: Device<S>, transport: T) -> Self {
        Self {
            device: device.own(),
            transport: Arc::new(transport),
            known: Arc::default(),
            pace: Pace::default(),
            backoff: Backoff::default(),
            pauses: Backoff::lasting(),
            recovers: false,
            follows: None,
            asks: None,
            status: watch::Sender::default(),
        }
    }

    /// The greatest number of diffs in one request; by default 1,000, or 10,000 after the device has started
    /// again from clock 0. If the server finds a request too large, the limit is halved for the lifetime of
    /// the client.
    #[must_use]
    pub fn most_diffs(self, most: usize) -> Self {
        let most = Limits { diffs: most.max(1), ..self.pace.most };
        self.within(most)
    }

    /// The greatest total size of the diffs in one request, in bytes; by default 512 KiB, or nearly 16 MiB
    /// after the device has started again from clock 0. A single diff may be larger. The limit is halved in the same way as [`most_diffs`](Self::most_diffs).
    #[must_use]
    pub fn most_bytes(self, most: usize) -> Self {
        let most = Limits { bytes: most, ..self.pace.most };
        self.within(most)
    }

    fn within(self, most: Limits) -> Self {
        Self { pace: Pace::new(most), known: Arc::default(), ..self }
    }

    /// How long [`sync`](Self::sync) waits after a failure: at first about the first duration, then twice as
    /// long each time, up to the second one; 1 second and 5 minutes by default. Each wait has a random part,
    /// so that many devices do not return at the same time. A server may ask for a longer wait, up to 5
    /// minutes.
    #[must_use]
    pub fn waits(self, first: Duration, longest: Duration) -> Self {
        Self { backoff: Backoff::new(first, longest), ..self }
    }

    /// How long [`run`](Self::run) waits after a failure that needs a person; 1 minute and 1 hour by
    /// default.
    #[must_use]
    pub fn pauses(self, first: Duration, longest: Duration) -> Self {
        Self { pauses: Backoff::new(first, longest), ..self }
    }

    /// Whether the client [resyncs](Device::resync) by itself when the server has lost history, without
    /// asking a person; off by default. An operator who has restored the server's database from a backup can
    /// turn it on for all devices, for example by a setting that the app reads from its backend. Turn it off
    /// again when they have synced: on a wrong server it would publish one person's data to another.
    /// Therefore the client does it only if it knows the owner and the server has changes of that owner.
    /// Otherwise it returns the failure, and a person has to confirm.
    #[must_use]
    pub fn recover(self, recovers: bool) -> Self {
        Self { recovers, ..self }
    }

    /// What the client is doing, for a user interface: whether it syncs, and how much of the history a
    /// new device has fetched.
    ///
    /// ```no_run
    /// # use mobync::client::{Client, LocalStore, Transport};
    /// # async fn example<S: LocalStore, T: Transport>(client: Client<S, T>) {
    /// let mut status = client.status();
    /// while status.changed().await.is_ok() {
    ///     if let Some(part) = status.borrow_and_update().fetched {
    ///         println!("{:.0} %", part * 100.0);
    ///     }
    /// }
    /// # }
    /// ```
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// The device of the person's own data.
    pub fn device(&self) -> &Device<S> {
        &self.device
    }

    /// Signals a reason to try immediately: another network, or the app comes to the foreground. It ends
    /// every wait in [`sync`](Self::sync) and [`run`](Self::run), even one that a server has requested.
    pub fn wake(&self) {
        self.device.wake();
    }

    /// Keeps the device synced while it is polled: immediately, after each change on the device, when it is
    /// [woken](Self::wake), and at this interval. After a failure that needs a person it tries again after
    /// long [pauses](Self::pauses), and immediately after a change.
    ///
    /// `tell` is called with the result of each try. [`Device::changes`] reports what changed before a
    /// failure.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use mobync::client::{Client, LocalStore, Transport};
    /// # fn example<S: LocalStore, T: Transport>(client: Client<S, T>) {
    /// tokio::spawn(async move {
    ///     let tell = |synced| if let Err(failure) = synced { eprintln!("{failure}") };
    ///     client.run(Duration::from_mins(1), tell).await
    /// });
    /// # }
    /// ```
    pub async fn run(
        &self,
        every: Duration,
        mut tell: impl FnMut(Result<Synced, SyncFailure>) + Send,
    ) -> Infallible {
        let mut waits = Waits::new(self.backoff, self.pauses, every);
        let done = BTreeSet::new();
        loop {
            let since = Since::now(self.device.occasions());
            let mut synced = Synced::default();
            let round = self.round(&mut waits, &done, &mut synced).await;
            let until = match round {
                Ok((round, held_back)) => {
                    waits.after(&round);
                    let has_tried = !round.is_empty();
                    let failure = first_failure(round);
                    if has_tried || failure.is_some() || !synced.is_empty() {
                        tell(failure.map_or(Ok(synced), Err));
                    }
                    waits.next(&held_back)
                }
                Err(failure) => {
                    tell(Err(failure));
                    waits.pause()
                }
            };
            if since.woken_before(until).await {
                waits.end_all();
            }
        }
    }

    /// Syncs until nothing is pending and nothing is left to fetch, in the person's own data and in all spaces.
    /// It waits and tries again while there is no answer, and waits for another sync that is under way. It can
    /// be dropped at any time without losing anything.
    ///
    /// # Errors
    /// [`SyncFailure`], except temporary ones. If it is [that of a space](SyncFailure::Space), everything
    /// else has been synced.
    pub async fn sync(&self) -> Result<Synced, SyncFailure> {
        let mut synced = Synced::default();
        let mut waits = Waits::new(self.backoff, self.pauses, Duration::MAX);
        let (mut done, mut failed) = (BTreeSet::new(), Round::new());
        loop {
            let since = Since::now(self.device.occasions());
            let (round, held_back) = self.round(&mut waits, &done, &mut synced).await?;
            waits.after(&round);
            for (name, tried) in round {
                if let Some(failure) = tried.failure().filter(|failure| failure.is_temporary()) {
                    tracing::debug!(space = name, %failure, "sync will be tried again");
                    continue;
                }
                let is_own_failure = name == OWN && tried.failure().is_some();
                done.insert(name.clone());
                failed.insert(name, tried);
                if is_own_failure {
                    return first_failure(failed).map_or(Ok(synced), Err);
                }
            }
            let joined = self.joined().await?;
            if done.contains(OWN) && joined.iter().all(|name| done.contains(name)) {
                return first_failure(failed).map_or(Ok(synced), Err);
            }
            let except = done.union(&held_back).cloned().collect();
            if since.woken_before(waits.next(&except)).await {
                waits.end_all();
            }
        }
    }

    /// Syncs until nothing is pending, without waiting if there is no answer.
    ///
    /// # Errors
    /// [`SyncFailure`]. [`Device::changes`] reports what changed before it.
    pub async fn sync_now(&self) -> Result<Synced, SyncFailure> {
        let mut synced = Synced::default();
        let mut waits = Waits::new(self.backoff, self.pauses, Duration::MAX);
        let (round, _) = self.round(&mut waits, &BTreeSet::new(), &mut synced).await?;
        first_failure(round).map_or(Ok(synced), Err)
    }
}

/// The failure of the person's own data; or else that of the first space that has one.
fn first_failure(round: Round) -> Option<SyncFailure> {
    let (name, failure) =
        round.into_iter().find_map(|(name, it)| Some((name, it.into_failure()?)))?;
    Some(match &*name {
        OWN => failure,
        _ => SyncFailure::Space { space: name, failure: Box::new(failure) },
    })
}
