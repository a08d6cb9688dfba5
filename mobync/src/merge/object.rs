//! The lives of one object, read from the log's window.
//!
//! ```text
//!    tick     0        1        2        3           4             5
//!   entry   create   update   delete   create   create, delete   update
//!             |        |        |        |         |       |       |
//!  life L     o--------+--------x        |         |       |       |
//!  life M                                o---------|-------|-------+-----> alive
//!   apart                                          o-------x
//! ```
//!
//! A device at clock 1 or 2 *holds* L, which has ended; at 4 or more it holds M, which is *alive*; at 0
//! or 3 it holds nothing. Only the device that made a life *apart* holds it, up to its delete, which is
//! in the same request. At most one life is alive at a time.

use std::{borrow::Cow, collections::VecDeque, sync::Arc};

use super::{
    arena::{Arena, DiffPlace, LifePlace},
    entry::{Entry, Fields},
    life::{Life, Origin, Stamp},
    named::Named,
    request::Request,
    time::{Millis, Tick},
};
use crate::{diff::Operation, hash::HashSet};

/// One object during a sync.
#[derive(Clone, Debug)]
pub(super) struct Object<'a> {
    pub(super) model: &'a str,
    pub(super) id: Cow<'a, str>,
    pub(super) lives: Arena<LifePlace, Life<'a>>,
    pub(super) alive: Option<LifePlace>,
    pub(super) held: Option<LifePlace>,
    /// The life apart that the request is in, up to its next delete.
    pub(super) apart: Option<LifePlace>,
    /// The greatest timestamp among the request's diffs so far.
    pub(super) floor: Millis,
    pub(super) named: Named<'a>,
    /// The request's new deletes that are not done yet and not refused.
    pub(super) deletes: VecDeque<DiffPlace>,
    /// Whether it is known which life is alive. For an object that the request does not name, the window may
    /// not show it.
    pub(super) is_certain: bool,
}

/// An entry of the window, with the request's diff that it belongs to, if any.
#[derive(Debug)]
pub(super) struct Past<'a> {
    pub(super) entry: Entry<'a>,
    pub(super) sent: Option<DiffPlace>,
}

/// The state of the life that a device holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    Nothing,
    Alive(LifePlace),
    Ended,
}

impl<'a> Object<'a> {
    pub(super) fn new(model: &'a str, id: Cow<'a, str>) -> Self {
        Self {
            model,
            id,
            lives: Arena::default(),
            alive: None,
            held: None,
            apart: None,
            floor: Millis::NEVER,
            named: Named::default(),
            deletes: VecDeque::new(),
            is_certain: false,
        }
    }

    /// Sets whether the object is alive, as known from elsewhere. If so, it was alive at the device's clock.
    pub(super) fn make_certain(&mut self, is_alive: bool, since: Tick) {
        if !self.is_certain && is_alive {
            self.alive = Some(self.add(Life::default()));
            self.held = held_at(self.alive, since);
        }
        self.is_certain = true;
    }

    pub(super) fn holds(&self) -> Held {
        match self.held {
            None => Held::Nothing,
            Some(life) if self.alive == Some(life) => Held::Alive(life),
            Some(_) => Held::Ended,
        }
    }

    pub(super) fn begin(&mut self, began: Stamp<'a>, created: Fields<'a>) -> LifePlace {
        self.add(Life::begin(began, created))
    }

    fn add(&mut self, life: Life<'a>) -> LifePlace {
        // Most objects have only one life.
        if self.lives.is_empty() { self.lives.push_exact(life) } else { self.lives.push(life) }
    }

    /// The life that is alive.
    pub(super) fn alive(&self) -> Option<&Life<'a>> {
        self.alive.map(|alive| &self.lives[alive])
    }

    /// Called when a diff is done, or when a delete is known to be refused: it is then no longer the next
    /// delete.
    pub(super) fn pass(&mut self, diff: DiffPlace) {
        if self.deletes.front() == Some(&diff) {
            self.deletes.pop_front();
        }
    }

    /// Invariants before and after every diff.
    pub(super) fn check(&self) {
        let has_ended = |life: LifePlace| self.lives[life].ended.is_some();
        debug_assert!(!self.alive.is_some_and(has_ended), "what is alive has no delete");
        debug_assert!(!self.apart.is_some_and(has_ended), "a life apart goes up to its delete");
        debug_assert!(
            self.apart.is_none() || self.alive.is_some() && self.apart != self.alive,
            "a life is apart from the one that is alive"
        );
        debug_assert!(
            self.held.is_none() || self.held == self.alive || self.held.is_some_and(has_ended),
            "a device holds the life that is alive, or one that has ended"
        );
    }

    /// Further invariants after all diffs.
    pub(super) fn check_end(&self) {
        let going = self.lives.items().iter().filter(|life| life.ended.is_none()).count();
        debug_assert_eq!(going, usize::from(self.alive.is_some()), "at most one life is alive");
        debug_assert!(self.apart.is_none(), "a life apart ends in its request");
    }

    /// Reads the object's entries in the order of the log, and determines what the device holds at its clock.
    /// Then applies the request's own entries, as the device's past.
    pub(super) fn replay(
        &mut self,
        past: &[Past<'a>],
        since: Tick,
        exists: Option<bool>,
        request: &Request<'a>,
    ) {
        let was_alive = was_alive(past).or(exists);
        self.is_certain = was_alive.is_some();
        if was_alive == Some(true) {
            self.alive = Some(self.add(Life::default()));
        }
        let mut held = None;
        let mut known = Vec::new();
        for Past { entry, sent } in past {
            let origin = match sent {
                Some(_) => Origin::Own,
                None if entry.tick() < since => Origin::Seen,
                None => Origin::Unseen,
            };
            if entry.tick() >= since && held.is_none() {
                held = Some(held_at(self.alive, since));
            }
            let began = self.follow(entry, Stamp::of(entry.diff, origin));
            if let Some(sent) = sent {
                known.push((&request.entries[*sent], entry, began.or(self.alive)));
            }
        }
        self.apart = None;
        self.held = held.unwrap_or_else(|| held_at(self.alive, since));
        // The log's order is the order in which they took effect, however a device sorts what it sends.
        for (sent, stored, behind) in known {
            self.recall(since, sent, stored, behind);
        }
        self.check();
    }

    /// Applies one of the request's known diffs, `stored` in the log, to what the device holds. If it
    /// is a create and the device held nothing, the device then holds `behind`.
    fn recall(
        &mut self,
        since: Tick,
        sent: &Entry<'a>,
        stored: &Entry<'_>,
        behind: Option<LifePlace>,
    ) {
        self.floor = self.floor.max(stored.at());
        if stored.diff.operation == Operation::Create && stored.fields.is_empty() {
            // It was refused: the server's delete, one millisecond later, also belongs to the device's past.
            let ended = behind.and_then(|life| self.lives[life].ended.as_ref());
            let end = (stored.tick(), stored.at().next());
            if ended.is_some_and(|ended| (ended.tick, ended.at) == end) {
                self.floor = self.floor.max(end.1);
            }
        }
        match sent.diff.operation {
            Operation::Delete => {
                self.held = None;
                return self.named.note(sent, &sent.fields);
            }
            Operation::Create if self.held.is_none() => self.held = behind,
            Operation::Create | Operation::Update => {}
        }
        // A device that has seen later entries and still sends its diff has applied the diff on top of them.
        let is_on_top = stored.tick() < since;
        let alive = self.alive.map(|alive| &self.lives[alive]);
        let stored_fields: HashSet<&str> = stored.fields.iter().map(|(name, _)| &**name).collect();
        let stands = |name: &str| {
            let written = alive.and_then(|alive| alive.fields().get(name));
            written.is_some_and(|written| written.writer.id == stored.diff.id)
        };
        for field in &*sent.fields {
            let took = stored_fields.contains(&*field.0) && (!is_on_top || stands(&field.0));
            self.named.field(field, took);
        }
    }

    /// Applies one log entry, and returns the life that it began, if any.
    pub(super) fn follow(&mut self, entry: &Entry<'a>, stamp: Stamp<'a>) -> Option<LifePlace> {
        match entry.diff.operation {
            Operation::Create => {
                let began = self.begin(stamp, Arc::clone(&entry.fields));
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

    /// The life of the log's next update or delete, if any: a receipt may belong to none.
    fn current(&mut self) -> Option<&mut Life<'a>> {
        self.apart.or(self.alive).map(|life| &mut self.lives[life])
    }
}

/// What a device at that clock holds of the life that was alive then. A new device holds nothing, not even a
/// life that began before the log did.
fn held_at(alive: Option<LifePlace>, since: Tick) -> Option<LifePlace> {
    if since == Tick(0) { None } else { alive }
}

/// Whether the object was alive before its first entry, derived from the first entry that depends on it.
/// `None` if no entry does, so that the object was as it is now.
fn was_alive(mut past: &[Past<'_>]) -> Option<bool> {
    while let [first, later @ ..] = past {
        past = match first.entry.diff.operation {
            Operation::Create => match ends_in_tick(first, later) {
                // Begun and ended in one request: after it, the state is as before.
                Some(behind) => behind,
                None => return Some(false),
            },
            Operation::Update if first.entry.fields.is_empty() => later,
            Operation::Update | Operation::Delete => return Some(true),
        };
    }
    None
}

/// The entries after the delete that ends the life begun by `first`, if that delete has the same tick. A
/// delete after another create would belong to that create.
fn ends_in_tick<'p, 'a>(first: &Past<'_>, later: &'p [Past<'a>]) -> Option<&'p [Past<'a>]> {
    let mut next = later;
    while let [past, behind @ ..] = next {
        match past.entry.diff.operation {
            Operation::Update => next = behind,
            Operation::Create => return None,
            Operation::Delete => {
                return (past.entry.tick() == first.entry.tick()).then_some(behind);
            }
        }
    }
    None
}
