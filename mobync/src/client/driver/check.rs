//! Whether the device's copy is right, and fetching everything again.

use super::{
    Client,
    attempt::Part,
    exchange::Reached,
    post::{Post, Work},
    status::Syncing,
};
#[cfg(doc)]
use crate::client::Device;
use crate::client::{Difference, LocalStore, SyncFailure, Synced, Transport, device::Limits};

/// The number of tries if there are new changes in the meantime.
const TRIES: usize = 3;

impl<S: LocalStore, T: Transport> Client<S, T> {
    /// Compares the copy of the person's own data with the server's, by checksums, and returns the models that
    /// differ; normally there are none. It syncs first. Nothing is repaired: inform the person, and offer to
    /// [`refetch`](Self::refetch).
    ///
    /// The server reads the owner's whole log for it, so call it rarely: after a fault, or once a month.
    ///
    /// ```no_run
    /// # use mobync::client::{Client, LocalStore, SyncFailure, Transport};
    /// # async fn example<S: LocalStore, T: Transport>(
    /// #     client: Client<S, T>,
    /// # ) -> Result<(), SyncFailure> {
    /// for difference in client.check().await? {
    ///     let (here, there) = (difference.here, difference.there);
    ///     eprintln!("{}: {here} here, {there} on the server", difference.model);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`sync`](Self::sync), and [`SyncFailure::NoAnswer`] if the server could not compare, because others
    /// kept writing, or because its version does not support it.
    pub async fn check(&self) -> Result<Vec<Difference>, SyncFailure> {
        for _ in 0..TRIES {
            self.sync().await?;
            if let Some(differences) = self.check_once().await? {
                return Ok(differences);
            }
        }
        let reason = "the server has not said whether the copy is right".to_owned();
        Err(SyncFailure::NoAnswer { retry_after: None, reason, cause: None })
    }

    async fn check_once(&self) -> Result<Option<Vec<Difference>>, SyncFailure> {
        let known = self.known.lock().await;
        let syncing = Syncing::begin(&self.status);
        let post = Post::new(&*self.transport, &known.token, &known.at_once, None);
        let part = self.part(self.device.clone(), &post, &syncing);
        let work: Work<'_, _> = Box::pin(part.check());
        post.run(vec![work]).await.pop().unwrap_or(Ok(None))
    }

    /// Fetches the person's own data again, in pages, and keeps unsent changes: for a device whose copy may be
    /// wrong (see [`check`](Self::check)). (For a space, call [`Device::begin_anew`] on its device, and sync.) It syncs first, and if that fails, nothing has changed. Then the
    /// device's objects are removed, and come back page by page. If the process is killed meanwhile, the next
    /// sync continues where it stopped.
    ///
    /// # Errors
    /// As [`sync`](Self::sync).
    pub async fn refetch(&self) -> Result<Synced, SyncFailure> {
        let mut synced = self.sync().await?;
        synced.add(self.device.begin_anew().await?);
        synced.join(self.sync().await?);
        Ok(synced)
    }
}

impl<S: LocalStore, T: Transport> Part<'_, S, T> {
    async fn check(&self) -> Result<Option<Vec<Difference>>, SyncFailure> {
        let mut request = self.ask(Limits::NOTHING_NEW, &mut Synced::default()).await?;
        request.body.check = request.body.diffs.is_empty();
        let Reached::Answer { answer, .. } = self.exchange(&request).await? else {
            // The next sync gets the same result, and handles it.
            return Ok(None);
        };
        if !self.take(&request, &answer, &mut Synced::default()).await? {
            return Ok(None);
        }
        Ok(self.device.compare(&answer).await?)
    }
}
