//! What waits for the person: refused and overridden changes, and changes taken back.

use super::{Device, change};
use crate::{
    change::Change,
    client::{DeviceError, LocalStore, LocalUnit, OverriddenDiff, Pending, RefusedDiff},
    database::Access,
};

impl<S: LocalStore> Device<S> {
    /// The changes that the server has refused, or that cannot be sent, until they are resubmitted or
    /// dismissed. Those of one answer are in the order in which they were made.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn refused(&self) -> Result<Vec<RefusedDiff>, DeviceError> {
        Ok(self.begin(Access::Read).await?.refused().await?)
    }

    /// Takes a pending diff back, with all later diffs of its object, and returns them. Use it when the
    /// person gives up a change that the server will never accept. A request that is under way is abandoned.
    /// If the server already has the diff, it comes back as if another device had made it.
    ///
    /// # Errors
    /// [`DeviceError::NoSuchDiff`] or [`DeviceError::Store`].
    pub async fn withdraw(&self, diff_id: &str) -> Result<Vec<Pending>, DeviceError> {
        let _turn = self.line.turn.lock().await;
        let mut unit = self.begin(Access::Write).await?;
        let (withdrawn, seen) = change::withdraw(&mut unit, diff_id).await?;
        unit.commit().await?;
        self.tell(seen);
        self.changed();
        Ok(withdrawn)
    }

    /// Makes a change that replaces a refused one, and dismisses the refused one.
    ///
    /// # Errors
    /// [`DeviceError::NoSuchDiff`] if it is not refused, or as [`record`](Self::record).
    pub async fn resubmit(&self, diff_id: &str, mended: Change) -> Result<(), DeviceError> {
        let _turn = self.line.turn.lock().await;
        let mut unit = self.begin_joined().await?;
        change::dismiss(&mut unit, diff_id).await?;
        let most = self.most_change_bytes;
        let seen =
            change::record(&mut unit, vec![mended], self.time.now(), most, self.folds).await?;
        unit.commit().await?;
        self.tell(seen);
        self.changed();
        Ok(())
    }

    /// Removes a refused diff, when the person no longer needs it.
    ///
    /// # Errors
    /// [`DeviceError::NoSuchDiff`] if it is not refused, or [`DeviceError::Store`].
    pub async fn dismiss(&self, diff_id: &str) -> Result<(), DeviceError> {
        let mut unit = self.begin(Access::Write).await?;
        change::dismiss(&mut unit, diff_id).await?;
        Ok(unit.commit().await?)
    }

    /// The accepted changes of this device of which others have overridden values, until they are put back or
    /// dismissed; the newest 1,000, in the order in which they were made.
    ///
    /// ```
    /// # use mobync::client::{Device, DeviceError, LocalStore};
    /// # async fn example<S: LocalStore>(device: Device<S>) -> Result<(), DeviceError> {
    /// for lost in device.overridden().await? {
    ///     for (field, values) in &lost.fields {
    ///         println!("{field}: yours was {}, now it is {:?}", values.sent, values.stands);
    ///     }
    ///     device.put_mine_back(&lost.diff.id).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn overridden(&self) -> Result<Vec<OverriddenDiff>, DeviceError> {
        Ok(self.begin(Access::Read).await?.overridden().await?)
    }

    /// Removes an overridden diff, when the person accepts the values of the others.
    ///
    /// # Errors
    /// [`DeviceError::NoSuchDiff`] if it is not overridden, or [`DeviceError::Store`].
    pub async fn dismiss_overridden(&self, diff_id: &str) -> Result<(), DeviceError> {
        let mut unit = self.begin(Access::Write).await?;
        change::dismiss_overridden(&mut unit, diff_id).await?;
        Ok(unit.commit().await?)
    }

    /// Writes the overridden values of a diff again, as a new change, and removes the diff from the
    /// overridden ones. A field whose value is no longer the reported
    /// [`stands`](crate::OverriddenField::stands) keeps its value: somebody has written it since. If this
    /// applies to all fields, nothing is written.
    ///
    /// # Errors
    /// [`DeviceError::NoSuchDiff`] if it is not overridden, [`DeviceError::NotThere`] if the object has
    /// been deleted, or [`DeviceError::Store`].
    pub async fn put_mine_back(&self, diff_id: &str) -> Result<(), DeviceError> {
        let _turn = self.line.turn.lock().await;
        let mut unit = self.begin_joined().await?;
        let mine = change::dismiss_overridden(&mut unit, diff_id).await?;
        let most = self.most_change_bytes;
        let seen = change::record(&mut unit, vec![mine], self.time.now(), most, self.folds).await?;
        unit.commit().await?;
        self.tell(seen);
        self.changed();
        Ok(())
    }
}
