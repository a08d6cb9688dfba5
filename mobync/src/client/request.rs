//! What a device sends, and the result of the answer.

use std::{collections::BTreeMap, sync::Arc};

use super::{OverriddenDiff, RefusedDiff};
use crate::{
    diff::{Diff, Operation},
    protocol::SyncRequest,
    record::Record,
};

/// A request that a device has created.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) attempt: u64,
    /// The space; `None` for the person's own data.
    pub(super) space: Option<Arc<str>>,
    pub(super) body: SyncRequest,
    /// The `seq` of the pending diffs that were in no earlier request.
    pub(super) first_sent: Vec<i64>,
    /// Diffs with a smaller `seq` were pending when the request was made.
    pub(super) next_seq: i64,
    /// The id of the extra diff that tests whether the answer is new.
    pub(super) probe: Option<String>,
    /// By their ids, the diffs by the newest names of the schema where the body has them as they were sent
    /// before.
    pub(super) renamed: BTreeMap<String, Diff>,
    /// Whether it is for a page of what is fetched once more.
    pub(super) is_beside: bool,
    /// The changes that were set aside because they cannot be sent.
    pub(super) set_aside: Changes,
}

impl Request {
    /// The body to send.
    pub fn body(&self) -> &SyncRequest {
        &self.body
    }

    pub(super) fn of(attempt: u64, body: SyncRequest) -> Self {
        let (first_sent, probe, set_aside) = (Vec::new(), None, Changes::default());
        let (renamed, is_beside) = (BTreeMap::new(), false);
        let next_seq = 0;
        let space = None;
        Self { attempt, space, body, first_sent, next_seq, probe, renamed, is_beside, set_aside }
    }

    /// The name of the space; `None` if it is for the person's own data.
    pub fn space(&self) -> Option<&str> {
        self.space.as_deref()
    }

    /// The diff with that id, if it is in the request.
    pub fn diff(&self, diff_id: &str) -> Option<&Diff> {
        self.changes().find(|diff| diff.id == diff_id)
    }

    /// The diffs that the person has made, by the newest names.
    pub(super) fn changes(&self) -> impl Iterator<Item = &Diff> {
        let probe = self.probe.as_deref();
        let changes = self.body.diffs.iter().filter(move |diff| Some(&*diff.id) != probe);
        changes.map(|diff| self.renamed.get(&diff.id).unwrap_or(diff))
    }
}

/// The result of applying an answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Taken {
    /// It was applied.
    Applied(Changes),
    /// It was ignored: its request was abandoned, or has been answered already.
    Superseded,
}

/// What an operation has changed on the device.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Changes {
    /// The objects whose visible record has changed.
    pub objects: Vec<Changed>,
    /// The changes that the server has refused; `objects` includes the effects of undoing them.
    pub refused: Vec<RefusedDiff>,
    /// The changes of which the server has reported overridden values.
    pub overridden: Vec<OverriddenDiff>,
}

impl Changes {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.refused.is_empty() && self.overridden.is_empty()
    }

    pub(super) fn push(
        &mut self,
        (model, id): (String, String),
        before: Option<&Record>,
        record: Option<Record>,
    ) {
        let operation = match (before, &record) {
            (Some(before), Some(after)) if before == after => return,
            (None, None) => return,
            (None, Some(_)) => Operation::Create,
            (Some(_), Some(_)) => Operation::Update,
            (Some(_), None) => Operation::Delete,
        };
        self.objects.push(Changed { model, id, operation, record });
    }

    pub(super) fn extend(&mut self, later: Self) {
        self.objects.extend(later.objects);
        self.refused.extend(later.refused);
        self.overridden.extend(later.overridden);
    }
}

/// The result of a sync. Its size does not depend on how much the device has fetched: for the changed objects
/// themselves, listen to [`Device::changes`](super::Device::changes), or read what you show again.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Synced {
    /// How many objects have changed on the device; an object that has changed with two answers counts twice.
    pub objects: usize,
    /// The changes that the server has refused, or that cannot be sent; they are undone.
    pub refused: Vec<RefusedDiff>,
    /// The changes of which the server has reported overridden values.
    pub overridden: Vec<OverriddenDiff>,
    /// The same for each [space](super::Device::space) in which something has changed.
    pub spaces: BTreeMap<String, Self>,
    /// If this is for a space that the person is no member of any more: the sentence that says so.
    pub left: Option<String>,
}

impl Synced {
    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.objects == 0
            && self.refused.is_empty()
            && self.overridden.is_empty()
            && self.spaces.is_empty()
            && self.left.is_none()
    }

    pub(super) fn add(&mut self, changes: Changes) {
        let Changes { objects, refused, overridden } = changes;
        self.join(Self { objects: objects.len(), refused, overridden, ..Self::default() });
    }

    pub(super) fn join(&mut self, later: Self) {
        self.objects = self.objects.saturating_add(later.objects);
        self.refused.extend(later.refused);
        self.overridden.extend(later.overridden);
        self.left = later.left.or(self.left.take());
        for (space, synced) in later.spaces {
            self.join_space(space, synced);
        }
    }

    pub(super) fn join_space(&mut self, space: String, synced: Self) {
        if !synced.is_empty() {
            self.spaces.entry(space).or_default().join(synced);
        }
    }
}

/// A space in a local database.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Space {
    /// Its name.
    pub name: String,
    /// If the person has left it, or is no member any more: the sentence that says so. Its unsent changes are
    /// among its [refused](super::Device::refused) ones.
    pub left: Option<String>,
}

/// The numbers of the changes that only the device has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsent {
    /// In the person's own data.
    pub own: usize,
    /// In each space that has any.
    pub spaces: BTreeMap<String, usize>,
    /// Those set aside with the code `no_member` when a space was left, by its name: they are never sent, but
    /// are among its [refused](super::Device::refused) changes until they are dismissed.
    pub set_aside: BTreeMap<String, usize>,
}

impl Unsent {
    /// The number of all of them.
    pub fn total(&self) -> usize {
        let counts = self.spaces.values().chain(self.set_aside.values());
        counts.fold(self.own, |total, count| total.saturating_add(*count))
    }
}

/// A model whose objects on the device are not those on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The model.
    pub model: String,
    /// How many objects the device has.
    pub here: u64,
    /// How many objects the server has. If the number is the same, ids or values differ.
    pub there: u64,
}

/// An object that has changed on the device.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Changed {
    /// The object's model.
    pub model: String,
    /// The object's id.
    pub id: String,
    /// Whether it was created, changed or removed.
    pub operation: Operation,
    /// The current record; `None` if it was removed.
    pub record: Option<Record>,
}
