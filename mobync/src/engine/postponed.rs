//! Diffs that are tried again behind the others of their request.
//!
//! Where constraints that the commit would check are checked at once, a child that comes before its
//! parent is rejected, though in the end all would be well. So it is tried again behind the others,
//! together with all diffs of its object that follow it.

use std::cmp::Reverse;

use crate::{
    hash::HashMap,
    merge::{DiffPlace, ObjectPlace},
};

/// How often all that is postponed is tried again, at the most.
const MOST_PASSES: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Postponed {
    diffs: Vec<(ObjectPlace, DiffPlace)>,
    /// Of which objects, in the order in which they were postponed.
    objects: HashMap<ObjectPlace, usize>,
    passes: usize,
    /// How many there were when they were tried last.
    tried: Option<usize>,
    /// What is rejected now is refused: nothing has been done since it was rejected before.
    pub(super) is_final: bool,
}

impl Postponed {
    /// Whether a diff of that object must wait for others of it.
    pub(super) fn has(&self, object: ObjectPlace) -> bool {
        self.objects.contains_key(&object)
    }

    pub(super) fn push(&mut self, object: ObjectPlace, diff: DiffPlace) {
        let rank = self.objects.len();
        self.objects.entry(object).or_insert(rank);
        self.diffs.push((object, diff));
    }

    /// What is to be tried again, if anything is: those of one object in their order, but the objects the
    /// other way round each time, for one may wait for the next.
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
