//! What the log's window tells of one object.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use super::{
    entry::Entry,
    life::{Life, Origin, Stamp},
};
use crate::{Operation, hash::HashSet};

/// One object during a sync. Lives are named by their place in `lives`.
#[derive(Clone, Debug)]
pub(super) struct Object<'a> {
    pub(super) model: &'a str,
    pub(super) id: Cow<'a, str>,
    pub(super) lives: Vec<Life<'a>>,
    pub(super) alive: Option<usize>,
    pub(super) held: Option<usize>,
    /// The life apart that the request is in, up to its next delete.
    pub(super) apart: Option<usize>,
    /// The greatest timestamp of the request's diffs so far.
    pub(super) floor: i64,
    /// The fields that the request's diffs name, those behind its last delete: whether the last
    /// one took its field. Where there was no delete, those that took it are left out.
    named: BTreeMap<Cow<'a, str>, bool>,
    /// Whether the request has deleted the object, or tried to.
    pub(super) deleted: bool,
    /// The request's new deletes that are still to come and are not refused.
    pub(super) deletes: VecDeque<usize>,
}

/// An entry of the window, and which of the request's diffs it is, if it is one.
#[derive(Debug)]
pub(super) struct Past<'a> {
    pub(super) entry: Entry<'a>,
    pub(super) sent: Option<usize>,
}

/// The standing of the life that a device holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    Nothing,
    Alive(usize),
    Ended,
}

impl<'a> Object<'a> {
    pub(super) fn new(model: &'a str, id: Cow<'a, str>) -> Self {
        Self {
            model,
            id,
            lives: Vec::new(),
            alive: None,
            held: None,
            apart: None,
            floor: -1,
            named: BTreeMap::new(),
            deleted: false,
            deletes: VecDeque::new(),
        }
    }

    pub(super) fn holds(&self) -> Held {
        match self.held {
            None => Held::Nothing,
            Some(life) if self.alive == Some(life) => Held::Alive(life),
            Some(_) => Held::Ended,
        }
    }

    pub(super) fn begin(&mut self, life: Life<'a>) -> usize {
        if self.lives.is_empty() {
            // Most have no other one.
            self.lives.reserve_exact(1);
        }
        self.lives.push(life);
        self.lives.len() - 1
    }

    pub(super) fn life(&self, life: usize) -> Option<&Life<'a>> {
        self.lives.get(life)
    }

    /// A diff is done, or a delete is known to be refused: if it is the next delete, it is that no more.
    pub(super) fn pass(&mut self, diff: usize) {
        if self.deletes.front() == Some(&diff) {
            self.deletes.pop_front();
        }
    }

    /// Reads the object's entries, which are in the order of the log, up to now, and stops at the
    /// device's clock to see what it holds. Then those that are the request's own count, as its past.
    pub(super) fn replay(
        &mut self,
        past: &[Past<'a>],
        since: i64,
        exists: bool,
        request: &[Entry<'a>],
    ) {
        if was_alive(past).unwrap_or(exists) {
            self.alive = Some(self.begin(Life::default()));
        }
        // On a new device nothing is, not even what began before there was a log.
        let held_at = |alive| if since == 0 { None } else { alive };
        let mut held = None;
        let mut known = Vec::new();
        for Past { entry, sent } in past {
            let diff = entry.diff;
            if diff.logical_clock >= since && held.is_none() {
                held = Some(held_at(self.alive));
            }
            let origin = match sent {
                Some(_) => Origin::Own,
                None if diff.logical_clock < since => Origin::Seen,
                None => Origin::Unseen,
            };
            let stamp = Stamp {
                tick: diff.logical_clock,
                at: diff.utc_timestamp,
                id: Cow::Borrowed(&diff.id),
                origin,
            };
            let began = self.follow(entry, stamp);
            if let Some(sent) = sent.and_then(|sent| request.get(sent)) {
                known.push((sent, entry, began.or(self.alive)));
            }
        }
        self.apart = None;
        self.held = held.unwrap_or_else(|| held_at(self.alive));
        // The log's order is the one in which they took effect, however a device sorts what it sends.
        for (sent, stored, behind) in known {
            self.recall(since, sent, stored, behind);
        }
    }

    /// Lets one of the request's known diffs count, `stored` in the log; behind it, if it is a create
    /// made while nothing was held, the device holds `behind`.
    fn recall(&mut self, since: i64, sent: &Entry<'a>, stored: &Entry<'_>, behind: Option<usize>) {
        self.floor = self.floor.max(stored.diff.utc_timestamp);
        if stored.diff.operation == Operation::Create && stored.fields.is_empty() {
            // Refused then: the server's delete, a millisecond later, is the device's past, too.
            let ended = behind.and_then(|life| self.life(life)?.ended.as_ref());
            let (tick, at) = (stored.diff.logical_clock, stored.diff.utc_timestamp);
            if ended.is_some_and(|end| (end.tick, end.at) == (tick, at.saturating_add(1))) {
                self.floor = self.floor.max(at.saturating_add(1));
            }
        }
        match sent.diff.operation {
            Operation::Delete => return self.let_go(),
            Operation::Create if self.held.is_none() => self.held = behind,
            Operation::Create | Operation::Update => {}
        }
        // A device that has seen what came behind its diff, and sends it still, has put it on top.
        let is_on_top = stored.diff.logical_clock < since;
        let alive = self.alive.and_then(|alive| self.lives.get(alive));
        let stored_fields: HashSet<&str> = stored.fields.iter().map(|(name, _)| &**name).collect();
        let stands = |name: &str| {
            let written = alive.and_then(|alive| alive.fields().get(name));
            written.is_some_and(|written| written.writer.id == stored.diff.id)
        };
        let took = |name: &str| stored_fields.contains(name) && (!is_on_top || stands(name));
        let took: Vec<bool> = sent.fields.iter().map(|(name, _)| took(name)).collect();
        for ((name, _), took) in sent.fields.iter().zip(took) {
            self.name(name.clone(), took);
        }
    }

    /// Notes that a diff of the request names a field, and whether it took it.
    pub(super) fn name(&mut self, field: Cow<'a, str>, took: bool) {
        if took && !self.deleted {
            self.named.remove(&field);
        } else {
            self.named.insert(field, took);
        }
    }

    /// Whether nothing is noted so far, and nothing will be of fields that are taken.
    pub(super) fn notes_nothing(&self) -> bool {
        self.named.is_empty() && !self.deleted
    }

    /// Whether the request's diffs name a field behind a delete.
    pub(super) fn names(&self, field: &str) -> bool {
        self.named.contains_key(field)
    }

    /// The fields that the request's diffs name, and that the last one to do so did not take.
    pub(super) fn failed(&self) -> impl Iterator<Item = &str> {
        self.named.iter().filter(|(_, took)| !**took).map(|(name, _)| &**name)
    }

    /// After a delete the device holds nothing, and what it wrote before is gone from it.
    pub(super) fn let_go(&mut self) {
        self.held = None;
        self.deleted = true;
        self.named.clear();
    }

    /// Does what one entry of the log says, and returns the life it began, if it did.
    fn follow(&mut self, entry: &Entry<'a>, stamp: Stamp<'a>) -> Option<usize> {
        match entry.diff.operation {
            Operation::Create => {
                let began = self.begin(Life::begin(stamp, Arc::clone(&entry.fields)));
                match self.alive {
                    None => self.alive = Some(began),
                    Some(_) => self.apart = Some(began),
                }
                return Some(began);
            }
            Operation::Update => {
                if let Some(life) = self.current() {
                    life.write(&entry.fields, &stamp);
                }
            }
            Operation::Delete => {
                if let Some(life) = self.current() {
                    life.ended = Some(stamp.into());
                }
                if self.apart.take().is_none() {
                    self.alive = None;
                }
            }
        }
        None
    }

    /// The life that the log's next update or delete is of.
    fn current(&mut self) -> Option<&mut Life<'a>> {
        self.apart.or(self.alive).and_then(|life| self.lives.get_mut(life))
    }
}

/// Whether the object was alive before its first entry, told from the first one that depends on it;
/// none where no entry does, so that it was as it is now.
fn was_alive(mut past: &[Past<'_>]) -> Option<bool> {
    while let [first, later @ ..] = past {
        past = match first.entry.diff.operation {
            Operation::Create => match ends_in_tick(first, later) {
                // Begun and ended in one request: behind it everything is as before it.
                Some(behind) => behind,
                None => return Some(false),
            },
            Operation::Update if first.entry.fields.is_empty() => later,
            Operation::Update | Operation::Delete => return Some(true),
        };
    }
    None
}

/// What follows the delete that ends the life begun by `first`, if it is of the same tick. Behind
/// another create it would be that one's.
fn ends_in_tick<'p, 'a>(first: &Past<'_>, later: &'p [Past<'a>]) -> Option<&'p [Past<'a>]> {
    let tick = first.entry.diff.logical_clock;
    let next = later.iter().position(|past| past.entry.diff.operation != Operation::Update)?;
    let end = &later.get(next)?.entry.diff;
    let ends = end.operation == Operation::Delete && end.logical_clock == tick;
    if ends { later.get(next + 1..) } else { None }
}
