//! The whole local database of a person: what is unsent in it, and how it is deleted.

use std::collections::BTreeMap;

use super::{
    Device,
    space::{NO_MEMBER, any_attempt},
};
use crate::{
    client::{Changes, DeviceError, LocalStore, LocalUnit, State, Unsent},
    database::Access,
};

impl<S: LocalStore> Device<S> {
    /// How much is lost if everything is [destroyed](Self::destroy), in the person's own data and in all spaces:
    /// what no answer has acknowledged yet, and what was set aside when a space was left. Ask before the person
    /// logs out.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn unsent(&self) -> Result<Unsent, DeviceError> {
        let own = self.space("").pending().await?.len();
        let (mut spaces, mut set_aside) = (BTreeMap::new(), BTreeMap::new());
        for name in self.store.spaces().await? {
            let mut unit = self.space(&name).begin(Access::Read).await?;
            let refused = unit.refused().await?;
            let aside = refused.iter().filter(|refused| refused.code == NO_MEMBER).count();
            let pending = unit.pending(usize::MAX).await?.len();
            for (count, counts) in [(pending, &mut spaces), (aside, &mut set_aside)] {
                if count > 0 {
                    counts.insert(name.clone(), count);
                }
            }
        }
        Ok(Unsent { own, spaces, set_aside })
    }

    /// Deletes everything in the local database, the person's own data and all spaces, also what is
    /// [unsent](Self::unsent), in one transaction. This device and its clones write nothing any more: a change
    /// that comes too late fails with [`DeviceError::Destroyed`]. Their clients end: a sync that is under way is
    /// given up, and its answer ignored. Make a [new](Self::new) device with the store, also for another person.
    ///
    /// ```
    /// # use mobync::client::{Device, DeviceError, LocalStore};
    /// # async fn log_out<S: LocalStore>(device: Device<S>, asks: impl Fn(usize) -> bool) -> Result<(), DeviceError> {
    /// let unsent = device.unsent().await?.total();
    /// if unsent == 0 || asks(unsent) {
    ///     device.destroy().await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DeviceError::Store`], or [`DeviceError::Destroyed`] if it was called before. Nothing is deleted then.
    pub async fn destroy(&self) -> Result<(), DeviceError> {
        // First, so that whoever asks or writes afterwards finds out.
        let is_first = self
            .occasions
            .send_if_modified(|occasions| !std::mem::replace(&mut occasions.is_destroyed, true));
        if !is_first {
            return Err(DeviceError::Destroyed);
        }
        let erased = self.erase().await;
        if erased.is_err() {
            self.occasions.send_modify(|occasions| occasions.is_destroyed = false);
        }
        erased
    }

    /// Deletes everything. Clients go on, as with a new device.
    pub(in crate::client) async fn erase(&self) -> Result<(), DeviceError> {
        let names: Vec<String> = {
            let lines = self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            lines.keys().map(ToString::to_string).collect()
        };
        let devices: Vec<Self> = names.iter().map(|name| self.space(name)).collect();
        let mut shown = Vec::new();
        for device in &devices {
            shown.push(device.deletions().await?);
        }
        let state = State { attempt: any_attempt(), schema: self.declared(), ..State::default() };
        self.store.destroy(&state).await?;
        for (device, changes) in devices.iter().zip(shown) {
            device.tell(changes);
        }
        Ok(())
    }

    /// What those who listen see when everything is deleted.
    async fn deletions(&self) -> Result<Changes, DeviceError> {
        let mut changes = Changes::default();
        if self.line.events.receiver_count() > 0 {
            for located in self.begin(Access::Read).await?.objects(None).await? {
                changes.push((located.model, located.id), located.object.current.as_ref(), None);
            }
        }
        Ok(changes)
    }
}
