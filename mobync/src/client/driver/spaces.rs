//! The spaces of a person, as a client has them.

use std::{collections::BTreeSet, sync::Arc};

use super::{Client, round::Known};
use crate::client::{
    Device, DeviceError, LocalStore, Space, SyncFailure, Synced, Transport, store::Membership,
};

/// A model of the person's own data that lists their spaces.
#[derive(Clone, Debug)]
pub(super) struct List {
    model: Arc<str>,
    field: Arc<str>,
}

impl<S: LocalStore, T: Transport> Client<S, T> {
    /// Lets a model of the person's own data say which spaces they have: each record names a space in this
    /// field (which may be `id`). The client joins those that appear when the person's own data is synced, and
    /// leaves those that disappear, if it has joined them by the list. A space that the person is no
    /// member of, although the list names it, is asked for again when the list has changed (also if the space is
    /// in another record than before), or with a new client.
    ///
    /// ```no_run
    /// # use mobync::client::{Client, LocalStore, Transport};
    /// # fn example<S: LocalStore, T: Transport>(client: Client<S, T>) -> Client<S, T> {
    /// client.follow("memberships", "project")
    /// # }
    /// ```
    #[must_use]
    pub fn follow(self, model: &str, field: &str) -> Self {
        Self { follows: Some(List { model: model.into(), field: field.into() }), ..self }
    }

    /// The device of a space, as [`Device::space`].
    #[must_use]
    pub fn space(&self, name: &str) -> Device<S> {
        self.device.space(name)
    }

    /// Adds a space, as [`Device::join`]. The next sync fetches what it has.
    ///
    /// # Errors
    /// [`DeviceError::InvalidSpace`] or [`DeviceError::Store`].
    pub async fn join(&self, name: &str) -> Result<(), DeviceError> {
        self.device.join(name).await
    }

    /// Leaves a space, as [`Device::leave`].
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn leave(&self, name: &str) -> Result<(), DeviceError> {
        self.device.leave(name).await.map(drop)
    }

    /// The joined spaces, and those that were left, as [`Device::spaces`].
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn spaces(&self) -> Result<Vec<Space>, DeviceError> {
        self.device.spaces().await
    }

    /// Joins and leaves spaces by the list, if it has changed.
    pub(super) async fn follow_list(
        &self,
        known: &mut Known,
        synced: &mut Synced,
    ) -> Result<(), SyncFailure> {
        let Some(List { model, field }) = &self.follows else { return Ok(()) };
        let Some(listed) = self.device.listed(model, field).await? else { return Ok(()) };
        if known.listed.as_ref() == Some(&listed) {
            return Ok(());
        }
        let names: BTreeSet<String> = listed.iter().map(|(_, name)| name.clone()).collect();
        let mut missing = names.clone();
        for (name, membership) in self.device.memberships().await? {
            match membership {
                Membership::Joined { by_list: true } if !names.contains(&name) => {
                    let mut left = Synced::default();
                    left.add(self.device.leave(&name).await?);
                    synced.join_space(name, left);
                }
                Membership::Joined { .. } => drop(missing.remove(&name)),
                Membership::Left { .. } => {}
            }
        }
        for name in missing {
            match self.device.join_as(&name, true).await {
                Err(DeviceError::InvalidSpace) => {
                    tracing::warn!(%model, "a record names a space that cannot be one");
                }
                joined => joined?,
            }
        }
        known.listed = Some(listed);
        Ok(())
    }
}
