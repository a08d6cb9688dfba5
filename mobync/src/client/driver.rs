//! The client: a device and a transport, and what to do when there is no answer.

mod backoff;

use std::{sync::Arc, time::Duration};

use tokio::sync::Mutex;

use self::backoff::Backoff;
use super::{
    Changes, Device, DeviceError, LocalStore, Request, SyncFailure, Taken, Transport,
    transport::Heard,
};
use crate::SyncResponse;

/// A device that syncs over a transport, one sync at a time. Cheap to clone.
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
/// println!("{} objects have changed", synced.objects.len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Client<S, T> {
    device: Device<S>,
    transport: Arc<T>,
    /// The greatest number of diffs in a request, as far as the server's limits are known; whoever
    /// holds it is syncing.
    most_diffs: Arc<Mutex<usize>>,
    backoff: Backoff,
}

impl<S, T> Clone for Client<S, T> {
    fn clone(&self) -> Self {
        Self {
            device: self.device.clone(),
            transport: Arc::clone(&self.transport),
            most_diffs: Arc::clone(&self.most_diffs),
            backoff: self.backoff,
        }
    }
}

impl<S: LocalStore, T: Transport> Client<S, T> {
    /// A client for that device. There should be one, and clones of it.
    pub fn new(device: Device<S>, transport: T) -> Self {
        Self {
            device,
            transport: Arc::new(transport),
            most_diffs: Arc::new(Mutex::new(1000)),
            backoff: Backoff::default(),
        }
    }

    /// The greatest number of diffs in one request; 1,000 by default. It is halved, for as long as the
    /// client lives, when the server finds a request too large.
    #[must_use]
    pub fn most_diffs(self, most: usize) -> Self {
        Self { most_diffs: Arc::new(Mutex::new(most.max(1))), ..self }
    }

    /// How long [`sync`](Self::sync) waits behind a failure: first about so long, and then twice as
    /// long each time, up to the second; 1 second and 5 minutes by default. Each wait is shortened or
    /// prolonged by a random part, so that many devices do not come back at once.
    #[must_use]
    pub fn waits(self, first: Duration, longest: Duration) -> Self {
        Self { backoff: Backoff::new(first, longest), ..self }
    }

    /// The device.
    pub fn device(&self) -> &Device<S> {
        &self.device
    }

    /// Syncs until nothing is pending, and waits and tries again for as long as there is no answer.
    /// Another sync under way is waited for. It can be dropped at any time, and nothing is lost.
    ///
    /// Returns what has changed on the device.
    ///
    /// # Errors
    /// [`SyncFailure`], but those that are temporary.
    pub async fn sync(&self) -> Result<Changes, SyncFailure> {
        let mut changes = Changes::default();
        let mut backoff = self.backoff;
        loop {
            let mut progress = false;
            match self.attempt(&mut changes, &mut progress).await {
                Ok(()) => return Ok(changes),
                Err(failure) if failure.is_temporary() => {
                    if progress {
                        backoff = self.backoff;
                    }
                    let wait = backoff.next(failure.retry_after());
                    tracing::debug!(?wait, %failure, "sync will be tried again");
                    tokio::time::sleep(wait).await;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Syncs until nothing is pending, without waiting when there is no answer.
    ///
    /// # Errors
    /// [`SyncFailure`]. Of what had changed before, [`Device::changes`] has told.
    pub async fn sync_now(&self) -> Result<Changes, SyncFailure> {
        let mut changes = Changes::default();
        self.attempt(&mut changes, &mut false).await?;
        Ok(changes)
    }

    /// Sends requests until nothing is pending; `progress` says whether one was answered.
    async fn attempt(&self, changes: &mut Changes, progress: &mut bool) -> Result<(), SyncFailure> {
        let mut most_diffs = self.most_diffs.lock().await;
        loop {
            let request = self.device.request(*most_diffs).await?;
            match self.exchange(&request).await? {
                Ok(answer) => match self.device.take(&request, &answer).await {
                    Ok(Taken::Applied(applied)) => {
                        changes.extend(applied);
                        *progress = true;
                        if !self.device.has_pending().await? {
                            return Ok(());
                        }
                    }
                    // Something was withdrawn meanwhile.
                    Ok(Taken::Superseded) => {}
                    Err(DeviceError::InvalidAnswer(reason)) => {
                        return Err(SyncFailure::NoAnswer { retry_after: None, reason });
                    }
                    Err(error) => return Err(error.into()),
                },
                Err(TooLarge(message)) => {
                    self.device.too_large(&request).await?;
                    let diffs = &request.body().diffs;
                    if diffs.len() <= 1 {
                        return Err(SyncFailure::TooLarge {
                            message,
                            diff: diffs.first().cloned(),
                        });
                    }
                    *most_diffs = diffs.len() / 2;
                }
            }
        }
    }

    /// Sends one request; again with a new token, if the server does not take the one it has.
    async fn exchange(
        &self,
        request: &Request,
    ) -> Result<Result<SyncResponse, TooLarge>, SyncFailure> {
        let mut is_renewed = false;
        loop {
            let reply = self.transport.send(request.body()).await.map_err(|error| {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                SyncFailure::NoAnswer { retry_after: None, reason: cause.unwrap_or_default() }
            })?;
            return match reply.hear(request) {
                Heard::Answer(answer) => Ok(Ok(answer)),
                Heard::TooLarge { message } => Ok(Err(TooLarge(message))),
                Heard::Unauthenticated { .. } if !is_renewed && self.transport.renew().await => {
                    is_renewed = true;
                    continue;
                }
                Heard::Unauthenticated { message } => Err(SyncFailure::Unauthenticated { message }),
                Heard::Nothing { retry_after, reason } => {
                    Err(SyncFailure::NoAnswer { retry_after, reason })
                }
                Heard::ClockAhead { message } => Err(SyncFailure::ClockAhead { message }),
                Heard::Refused { code, message, diff } => {
                    Err(SyncFailure::Refused { code, message, diff })
                }
            };
        }
    }
}

/// The request was, by this sentence.
struct TooLarge(String);
