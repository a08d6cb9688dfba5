//! Diffs that are tried again after the others of their request.
//!
//! If constraints of the commit are checked immediately, a child that comes before its parent is
//! rejected, although the result would be valid. So it is tried again after the others, together with
//! all later diffs of its object.

use std::cmp::Reverse;

use crate::{
    hash::HashMap,
    merge::{DiffPlace, ObjectPlace},
};

/// How often the postponed diffs are tried again at most.
const MOST_PASSES: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Postponed {
    diffs: Vec<(ObjectPlace, DiffPlace)>,
    /// Their objects, in the order in which they were postponed.
    objects: HashMap<ObjectPlace, usize>,
    passes: usize,
    /// How many there were at the last try.
    tried: Option<usize>,
    /// A diff that is rejected now is refused: nothing has been written since its last rejection.
    pub(super) is_final: bool,
}

impl Postponed {
    /// Whether a diff of this object must wait for earlier diffs of the object.
    pub(super) fn has(&self, object: ObjectPlace) -> bool {
        self.objects.contains_key(&object)
    }

    pub(super) fn push(&mut self, object: ObjectPlace, diff: DiffPlace) {
        let rank = self.objects.len();
        self.objects.entry(object).or_insert(rank);
        self.diffs.push((object, diff));
    }

    /// The diffs to try again, if any: those of one object in order, but the objects in reverse order each
    /// time, because one may wait for the next.
    pub(super) fn take(&mut self) -> Vec<DiffPlace> {
        let (mut diffs, objects) =
            (std::mem::take(&mut self.diffs), std::mem::take(&mut self.objects));
        self.passes += 1;
        let is_stuck = self.tried.replace(diffs.len()) == Some(diffs.len());
        self.is_final = is_stuck || self.passes > MOST_PASSES;
        diffs.sort_by_key(|(object, _)| Reverse(objects.get(object).copied()));
        diffs.into_iter().map(|(_, diff)| diff).collect()
    }
}
