//! What happens to the local database of one account when another one has logged in.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use super::Client;
use crate::client::{DeviceError, LocalStore, Transport, Unsent};

/// What happens to the local database of one account when another one has logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OtherAccount {
    /// It is kept, with everything that is unsent. The sync fails.
    Keep,
    /// Everything in it is deleted, also what is unsent. The client begins as a new device of the new account.
    Forget,
}

#[derive(Clone)]
pub(super) struct Ask(Arc<dyn Fn(Unsent) -> Answer + Send + Sync>);

type Answer = Pin<Box<dyn Future<Output = OtherAccount> + Send>>;

impl Ask {
    pub(super) async fn call(&self, unsent: Unsent) -> OtherAccount {
        (self.0)(unsent).await
    }
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ask")
    }
}

impl<S: LocalStore, T: Transport> Client<S, T> {
    /// What to do when the token is of another account than the local database, before anything is sent or
    /// applied. The function gets the numbers of changes that would be lost, and may ask the person. Without it, the
    /// database is [kept](OtherAccount::Keep), and the sync fails with a failure that
    /// [`is_other_owner`](crate::client::SyncFailure::is_other_owner).
    ///
    /// ```no_run
    /// # use mobync::client::{Client, LocalStore, OtherAccount, Transport};
    /// # fn example<S: LocalStore, T: Transport>(client: Client<S, T>) -> Client<S, T> {
    /// client.other_account(async |unsent| match unsent.total() {
    ///     0 => OtherAccount::Forget,
    ///     _ => OtherAccount::Keep,
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn other_account<F, Fut>(self, choose: F) -> Self
    where
        F: Fn(Unsent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = OtherAccount> + Send + 'static,
    {
        let ask = Ask(Arc::new(move |unsent| Box::pin(choose(unsent))));
        Self { asks: Some(ask), ..self }
    }

    /// Deletes everything in the local database, as [`Device::destroy`](crate::client::Device::destroy). This
    /// client and its clones end.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn destroy(&self) -> Result<(), DeviceError> {
        self.device.destroy().await
    }
}
