//! The owner of a store: what one person has written must not reach another person's account.

use super::Device;
use crate::{
    client::{DeviceError, LocalStore, LocalUnit, Request, State, StoreError, store::Mark},
    database::Access,
    diff::{Diff, Operation},
    owner::Owner,
    protocol::{SyncRequest, SyncResponse},
};

/// How many creates are remembered to recognise the owner.
const MARKS: usize = 16;
/// This many pages have one tick each, so that a create is seen before others can have deleted its object.
const SHORT_PAGES: u32 = 16;
/// The number of log entries in each later page.
const PAGE: u64 = 100;

/// How a server's answers show whether they are for the owner of the store.
#[derive(Debug)]
pub(in crate::client) enum Identity {
    /// They name this owner.
    Named { owner: String, synced: i64, attempt: u64 },
    /// They contain one of these diffs, unless the server has lost the log entries of that clock.
    Marked {
        marks: Vec<Mark>,
        since: i64,
        synced: i64,
        attempt: u64,
        pages: u32,
        /// The owner of the diffs in the pages so far.
        stranger: Option<String>,
    },
}

/// What an answer shows about the server.
#[derive(Debug)]
pub(in crate::client) enum Found {
    /// It answers for the owner of the store.
    Owner,
    /// It has less than the device has seen, so the owner is unknown. A sync gets an error from it.
    Behind,
    /// A page that does not show the owner; this is the request for the next page.
    More(Box<Request>),
}

impl<S: LocalStore> Device<S> {
    /// Sets the owner of the store, with the name that the server uses, before anything is sent or
    /// read. The store remembers it, and rejects any other owner. (It also learns the owner from the
    /// first answer that names it.)
    ///
    /// ```
    /// use mobync::{Owner, client::{Device, DeviceError, MemoryStore}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// Device::new(store.clone()).of_owner(&Owner::new("ada")?).await?;
    /// let grace = Device::new(store).of_owner(&Owner::new("grace")?).await;
    /// assert!(matches!(grace, Err(DeviceError::OtherOwner { .. })));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`DeviceError::OtherOwner`] or [`DeviceError::Store`].
    pub async fn of_owner(self, owner: &Owner) -> Result<Self, DeviceError> {
        let mut unit = self.begin(Access::Write).await?;
        let mut state = unit.state().await?;
        if let Some(known) = state.owner.take_if(|known| known != owner.as_str()) {
            return Err(DeviceError::OtherOwner {
                owner: Some(known),
                other: owner.as_str().to_owned(),
            });
        }
        learn(&mut state, Some(owner.as_str()));
        unit.set_state(&state).await?;
        unit.commit().await?;
        Ok(self)
    }

    /// Sets the server of the store, by any name that stands for its data, such as "production", before
    /// anything is sent or read. The store remembers it, and rejects any other. A server keeps its name when
    /// it gets another address.
    ///
    /// The owner's name alone does not tell a test server from the real one. (A server with another history is
    /// noticed in any case, when it [answers](crate::client::SyncFailure::needs_resync).)
    ///
    /// # Errors
    /// [`DeviceError::OtherServer`] or [`DeviceError::Store`].
    pub async fn of_server(self, name: &str) -> Result<Self, DeviceError> {
        let mut unit = self.begin(Access::Write).await?;
        let mut state = unit.state().await?;
        if let Some(server) = state.server.take_if(|known| known != name) {
            return Err(DeviceError::OtherServer { server, other: name.to_owned() });
        }
        state.server = Some(name.to_owned());
        unit.set_state(&state).await?;
        unit.commit().await?;
        Ok(self)
    }

    /// The owner of the store, if known.
    ///
    /// # Errors
    /// [`DeviceError::Store`].
    pub async fn owner(&self) -> Result<Option<String>, DeviceError> {
        Ok(self.begin(Access::Read).await?.state().await?.owner)
    }

    /// How to find out which owner a server answers for, before anything is sent or read that must not
    /// reach the wrong owner; `None` if there is nothing to compare an answer with.
    pub(in crate::client) async fn identity(&self) -> Result<Option<Identity>, DeviceError> {
        let mut unit = self.begin(Access::Read).await?;
        let State { owner, marks, clock, attempt, .. } = unit.state().await?;
        if let Some(owner) = owner {
            // A device that has nothing and sends nothing learns the owner from the answer.
            if clock == 0 && unit.pending(1).await?.is_empty() {
                return Ok(None);
            }
            return Ok(Some(Identity::Named { owner, synced: clock, attempt }));
        }
        let since = marks.iter().map(|mark| mark.since).min();
        Ok(since.map(|since| Identity::Marked {
            marks,
            since,
            synced: clock,
            attempt,
            pages: 0,
            stranger: None,
        }))
    }

    /// Stores the owner in an answer that was found to be for the owner of the store.
    pub(in crate::client) async fn learn_owner(
        &self,
        identity: &Identity,
        answer: &SyncResponse,
    ) -> Result<(), DeviceError> {
        let (Identity::Named { attempt, .. } | Identity::Marked { attempt, .. }) = identity;
        let mut unit = self.begin(Access::Write).await?;
        let mut state = unit.state().await?;
        if state.attempt == *attempt {
            let named = answer.owner.as_deref().filter(|owner| !owner.is_empty());
            learn(&mut state, named.or(answer.diffs.first().map(|diff| &*diff.owner)));
            unit.set_state(&state).await?;
            unit.commit().await?;
        }
        Ok(())
    }
}

impl Identity {
    /// The request to send: it has no diffs, and what comes back is not applied.
    pub(in crate::client) fn request(&self) -> Request {
        match self {
            // One less, so that the answer contains something.
            Self::Named { synced, .. } => page(synced.saturating_sub(1).max(0), None, 1),
            Self::Marked { since, .. } => page(*since, None, 1),
        }
    }

    /// The request to send if the server no longer keeps that part of its log. It is the request of a new
    /// device.
    pub(in crate::client) fn request_from_zero() -> Request {
        page(0, Some(String::new()), PAGE)
    }

    /// The owner to send: the remembered one, or an empty string.
    pub(in crate::client) fn owner(&self) -> String {
        match self {
            Self::Named { owner, .. } => owner.clone(),
            Self::Marked { .. } => String::new(),
        }
    }

    /// The request for the page after this one.
    pub(in crate::client) fn request_behind(answer: &SyncResponse) -> Request {
        page(answer.logical_clock, answer.head.clone(), PAGE)
    }

    /// # Errors
    /// [`DeviceError::OtherOwner`] if the answer is for another owner.
    pub(in crate::client) fn check(&mut self, answer: &SyncResponse) -> Result<Found, DeviceError> {
        let clock = answer.more.unwrap_or(answer.logical_clock);
        let named = answer.owner.as_deref().filter(|owner| !owner.is_empty());
        let bears = answer.diffs.iter().map(|diff| &*diff.owner);
        let mut bears = bears.filter(|owner| !owner.is_empty());
        match self {
            Self::Named { owner, .. } => match named.or(bears.find(|it| *it != owner)) {
                Some(named) if named == owner => Ok(Found::Owner),
                None if answer.diffs.is_empty() && answer.more.is_some() => {
                    Ok(Found::More(Box::new(Self::request_behind(answer))))
                }
                None => Ok(Found::Owner),
                Some(other) => {
                    let (owner, other) = (Some(owner.clone()), other.to_owned());
                    Err(DeviceError::OtherOwner { owner, other })
                }
            },
            Self::Marked { marks, synced, pages, stranger, .. } => {
                let is_marked = |diff: &Diff| marks.iter().any(|mark| mark.diff_id == diff.id);
                if answer.diffs.iter().any(is_marked) {
                    return Ok(Found::Owner);
                }
                if clock < *synced {
                    return Ok(Found::Behind);
                }
                *stranger = stranger.take().or_else(|| bears.next().map(ToOwned::to_owned));
                // The creates have ticks before the device's clock.
                let more = answer.more.filter(|_| answer.logical_clock < *synced);
                match (more, stranger.take()) {
                    (Some(_), other) => {
                        (*stranger, *pages) = (other, pages.saturating_add(1));
                        let limit = if *pages < SHORT_PAGES { 1 } else { PAGE };
                        let next = page(answer.logical_clock, answer.head.clone(), limit);
                        Ok(Found::More(Box::new(next)))
                    }
                    (None, Some(other)) => Err(DeviceError::OtherOwner { owner: None, other }),
                    (None, None) => Ok(Found::Owner),
                }
            }
        }
    }
}

fn page(clock: i64, head: Option<String>, limit: u64) -> Request {
    let mut body = SyncRequest::new(clock, Vec::new());
    (body.head, body.limit) = (head, Some(limit));
    Request::of(0, body)
}

/// Stores the owner that the application or an answer names, if there is one.
pub(super) fn learn(state: &mut State, owner: Option<&str>) {
    if let Some(owner) = owner.filter(|owner| !owner.is_empty()) {
        state.owner = Some(owner.to_owned());
        state.marks.clear();
    }
}

/// Remembers creates of this device while no answer has named an owner. An answer from the beginning contains
/// one of them, and no other owner's answer does.
pub(super) async fn mark<U: LocalUnit>(unit: &mut U, request: &Request) -> Result<(), StoreError> {
    let mut state = unit.state().await?;
    if state.owner.is_some() {
        return Ok(());
    }
    let made = request.changes().filter(|diff| diff.operation == Operation::Create);
    let marks = made.filter_map(|diff| {
        let record: crate::record::Record = serde_json::from_str(&diff.json_data).ok()?;
        Some(Mark {
            diff_id: diff.id.clone(),
            model: diff.model.clone(),
            id: record.id().to_owned(),
            since: request.body.logical_clock,
        })
    });
    let mut kept = Vec::new();
    for mark in std::mem::take(&mut state.marks).into_iter().chain(marks) {
        if kept.len() < MARKS && unit.object(&mark.model, &mark.id).await?.acknowledged.is_some() {
            kept.push(mark);
        }
    }
    state.marks = kept;
    unit.set_state(&state).await
}
