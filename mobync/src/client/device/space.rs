//! The spaces of a person: joining and leaving them. Each is a device of its own, in the same store.

use std::{collections::BTreeSet, sync::Arc};

use super::{Device, Line};
use crate::{
    client::{
        Changes, DeviceError, LocalStore, LocalUnit, RefusedDiff, Request, Space, State,
        StoreError,
        store::{Membership, empty},
    },
    database::Access,
};

/// The greatest length of a space's name, in bytes.
const MOST_NAME_BYTES: usize = 1024;
/// The code of what is set aside when a space is left.
pub(super) const NO_MEMBER: &str = "no_member";
/// What is set aside, and told, when the person leaves by themselves.
const LEFT: &str = "You have left this space.";

impl<S: LocalStore> Device<S> {
    /// The device of a space: the objects, pending changes and clock of the space with that name, apart from
    /// the person's own data and from all other spaces. Changes can be recorded in it once it was
    /// [joined](Self::join). An empty name is the person's own data.
    ///
    /// ```
    /// use mobync::{Record, client::{Device, DeviceError, MemoryStore}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), DeviceError> {
    /// let own = Device::new(MemoryStore::new());
    /// own.join("family").await?;
    ///
    /// let family = own.space("family");
    /// family.create("tasks", Record::new("t1").with("name", "Milk")).await?;
    /// assert_eq!((family.all("tasks").await?.len(), own.all("tasks").await?.len()), (1, 0));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn space(&self, name: &str) -> Self {
        let mut lines = self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (name, line) = match lines.get_key_value(name) {
            Some((name, line)) => (Arc::clone(name), line.clone()),
            None => {
                let (name, line) = (Arc::<str>::from(name), Line::default());
                lines.insert(Arc::clone(&name), line.clone());
                (name, line)
            }
        };
        drop(lines);
        Self { space: (!name.is_empty()).then_some(name), line, ..self.clone() }
    }

    /// The name of the space; `None` if this is the person's own data.
    pub fn space_name(&self) -> Option<&str> {
        self.space.as_deref()
    }

    /// Adds a space, as a new device: the next syncs fetch what it has. If it is joined already, nothing
    /// changes. What was set aside when it was left stays among its [refused](Self::refused) changes.
    ///
    /// # Errors
    /// [`DeviceError::InvalidSpace`] or [`DeviceError::Store`].
    pub async fn join(&self, name: &str) -> Result<(), DeviceError> {
        self.join_as(name, false).await
    }

    pub(in crate::client) async fn join_as(
        &self,
        name: &str,
        by_list: bool,
    ) -> Result<(), DeviceError> {
        if name.is_empty() || name.len() > MOST_NAME_BYTES || name.contains('\0') {
            return Err(DeviceError::InvalidSpace);
        }
        let device = self.space(name);
        let mut unit = device.begin(Access::Write).await?;
        let mut state = unit.state().await?;
        let is_new = match &mut state.membership {
            Some(Membership::Joined { by_list: before }) => {
                *before &= by_list;
                false
            }
            _ => true,
        };
        if is_new {
            state = State {
                // The answer to a request of an earlier time is none to a later one.
                attempt: any_attempt(),
                next_seq: state.next_seq,
                schema: self.declared(),
                membership: Some(Membership::Joined { by_list }),
                ..State::default()
            };
        }
        unit.set_state(&state).await?;
        unit.commit().await?;
        if is_new {
            device.changed();
        }
        Ok(())
    }

    /// Leaves a space, because the person wants to. Its objects are removed. Its pending changes are set aside
    /// with the code `no_member`, and are never sent. Nothing is sent for this space until it is joined
    /// again. If it is not joined, nothing changes.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn leave(&self, name: &str) -> Result<Changes, DeviceError> {
        self.space(name).leave_with(None, LEFT, false).await
    }

    /// Leaves the space, because the server has answered this request with 403 `no_member` and that message.
    /// The rest is as in [`leave`](Self::leave). [`Client`](crate::client::Client) does this by itself.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn no_member(
        &self,
        request: &Request,
        message: impl Into<String> + Send,
    ) -> Result<Changes, DeviceError> {
        self.leave_with(Some(request), &message.into(), false).await
    }

    /// Leaves a space, if it is joined, and deletes also what has been set aside in it.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn forget_space(&self, name: &str) -> Result<Changes, DeviceError> {
        self.space(name).leave_with(None, LEFT, true).await
    }

    /// The spaces in the store, in the order of their names: those that are joined, and those that were left.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn spaces(&self) -> Result<Vec<Space>, DeviceError> {
        let known = self.memberships().await?;
        let spaces = known.into_iter().map(|(name, membership)| Space {
            name,
            left: match membership {
                Membership::Joined { .. } => None,
                Membership::Left { message } => Some(message),
            },
        });
        Ok(spaces.collect())
    }

    pub(in crate::client) async fn memberships(
        &self,
    ) -> Result<Vec<(String, Membership)>, DeviceError> {
        let mut known = Vec::new();
        for name in self.store.spaces().await? {
            let state = self.space(&name).begin(Access::Read).await?.state().await?;
            known.extend(state.membership.map(|membership| (name, membership)));
        }
        Ok(known)
    }

    /// The ids and the texts in this field of all records of the model that the server has acknowledged; `None`
    /// while the device has not got all of them.
    pub(in crate::client) async fn listed(
        &self,
        model: &str,
        field: &str,
    ) -> Result<Option<BTreeSet<(String, String)>>, DeviceError> {
        let mut unit = self.begin(Access::Read).await?;
        let state = unit.state().await?;
        if state.is_anew || state.more.is_some() || state.caught_up_at.is_none() {
            return Ok(None);
        }
        let texts = unit.objects(Some(model)).await?.into_iter().filter_map(|located| {
            let record = located.object.acknowledged?;
            let id = located.id;
            let text = if field == "id" { &id } else { record.get(field)?.as_str()? };
            let text = text.to_owned();
            Some((id, text))
        });
        Ok(Some(texts.collect()))
    }

    /// Opens a unit of work that records a change or creates a request.
    ///
    /// # Errors
    /// [`DeviceError::NotJoined`], and those of [`begin`](Self::begin).
    pub(super) async fn begin_joined(&self) -> Result<S::Unit, DeviceError> {
        let mut unit = self.begin(Access::Write).await?;
        if let Some(space) = &self.space
            && !is_joined(&unit.state().await?)
        {
            return Err(DeviceError::NotJoined { space: space.to_string() });
        }
        Ok(unit)
    }

    async fn leave_with(
        &self,
        refused: Option<&Request>,
        message: &str,
        forgets: bool,
    ) -> Result<Changes, DeviceError> {
        let _turn = self.line.turn.lock().await;
        let mut unit = self.begin(Access::Write).await?;
        let state = unit.state().await?;
        let mut changes = Changes::default();
        let is_late = refused.is_some_and(|request| request.attempt != state.attempt);
        if is_joined(&state) && !is_late {
            changes = leave(&mut unit, state, message).await?;
        } else if !forgets {
            return Ok(changes);
        }
        if forgets {
            for refused in unit.refused().await? {
                unit.dismiss(&refused.diff.id).await?;
            }
            changes.refused.clear();
            unit.set_state(&State::default()).await?;
        }
        unit.commit().await?;
        let changes = self.tell(changes);
        self.changed();
        Ok(changes)
    }
}

fn is_joined(state: &State) -> bool {
    matches!(state.membership, Some(Membership::Joined { .. }))
}

/// The number of a first request, which no other has.
pub(super) fn any_attempt() -> u64 {
    fastrand::u64(..1 << 62)
}

async fn leave<U: LocalUnit>(
    unit: &mut U,
    state: State,
    message: &str,
) -> Result<Changes, StoreError> {
    let mut changes = Changes::default();
    for pending in unit.pending(usize::MAX).await? {
        let diff = pending.diff;
        let id = diff.record().ok().map(|record| record.id().to_owned()).unwrap_or_default();
        let record = unit.object(&diff.model, &id).await?.current;
        let (code, message) = (NO_MEMBER.to_owned(), message.to_owned());
        let refused = RefusedDiff { diff, code, message, record };
        unit.set_refused(&refused).await?;
        changes.refused.push(refused);
    }
    for located in unit.objects(None).await? {
        changes.push((located.model, located.id), located.object.current.as_ref(), None);
    }
    empty(unit).await?;
    let state = State {
        attempt: state.attempt.wrapping_add(1),
        next_seq: state.next_seq,
        schema: state.schema,
        membership: Some(Membership::Left { message: message.to_owned() }),
        ..State::default()
    };
    unit.set_state(&state).await?;
    Ok(changes)
}
