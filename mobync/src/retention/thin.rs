//! Thinning: which entries below a horizon are removed, and which values of the others.
//!
//! The log is read backwards, a few ticks at a time, so that for each entry it is known what later entries
//! have overwritten. Each step leaves a log that keeps the laws:
//!
//! - a value is removed only if an entry with a later value is also below the horizon;
//! - the create and the delete of an ended life are removed together; the entries between them may go before;
//! - if a life has no create, because it is older than the log, its first entry stays whole: to a device that
//!   has fetched pages up to there, it shows that the object exists.

use crate::{
    diff::{Diff, Operation},
    error::DatabaseError,
    hash::{HashMap, HashSet},
    merge::{Entry, Field, encode},
    unit::Rewrite,
};

/// The changes to a set of entries.
#[derive(Debug, Default)]
pub(crate) struct Thinned {
    pub(crate) rewrite: Rewrite,
    /// Whether a life was removed, of which a device may have the beginning.
    pub(crate) ends_lives: bool,
}

/// A backward pass through the log below a horizon.
#[derive(Debug)]
pub(crate) struct Thinning {
    log: String,
    horizon: i64,
    forgotten: i64,
    /// By model and id. Objects that are missing here are in the initial state.
    objects: HashMap<(Box<str>, Box<str>), Object>,
}

/// One object during the backward pass.
#[derive(Debug, Default)]
struct Object {
    /// The life that was alive at the horizon, until its create is found.
    alive: Alive,
    /// The lives that have ended and whose create was not found yet: a life apart ends within another one.
    ended: Vec<Ended>,
}

#[derive(Debug, Default)]
struct Alive {
    /// The fields that later entries have written.
    written: HashSet<Box<str>>,
    /// The change to the entry that was read last, if it is not the first of the life.
    waiting: Option<Change>,
}

#[derive(Debug)]
struct Ended {
    /// The delete.
    id: String,
    tick: i64,
}

/// The change to one entry.
#[derive(Debug)]
enum Change {
    Remove(String),
    /// Its id, and its new json_data.
    Rewrite(String, String),
}

impl Thinning {
    /// Starts below that horizon; ids are forgotten up to the tick `forgotten`.
    pub(crate) fn new(log: &str, horizon: i64, forgotten: i64) -> Self {
        Self { log: log.to_owned(), horizon, forgotten, objects: HashMap::default() }
    }

    /// Processes some entries, in any order: those of whole ticks, before all ticks that were processed.
    ///
    /// # Errors
    /// If an entry cannot be read.
    pub(crate) fn go_back(&mut self, mut entries: Vec<Diff>) -> Result<Thinned, DatabaseError> {
        entries.sort_unstable_by(|left, right| right.order().cmp(&left.order()));
        let mut thinned = Thinned::default();
        for diff in entries.iter().filter(|entry| entry.model != self.log) {
            let entry = Entry::of_log(diff)?;
            let key = (&*diff.model).into();
            let object = (&*entry.object).into();
            let slot = self.objects.entry((key, object)).or_default();
            let rule = Rule { horizon: self.horizon, forgotten: self.forgotten };
            slot.go_back(&entry, rule, &mut thinned);
            if slot.is_as_at_the_beginning() {
                self.objects.remove(&((&*diff.model).into(), (&*entry.object).into()));
            }
        }
        Ok(thinned)
    }

    /// Called before the first entry of the log: handles lives without a create, which are older than the
    /// log.
    pub(crate) fn finish(self) -> Thinned {
        let mut thinned = Thinned::default();
        for Ended { id, tick } in self.objects.into_values().flat_map(|object| object.ended) {
            if tick < self.forgotten {
                thinned.rewrite.removed.push(id);
                thinned.ends_lives = true;
            }
        }
        thinned
    }
}

/// The ticks that decide what happens to an entry.
#[derive(Clone, Copy, Debug)]
struct Rule {
    horizon: i64,
    forgotten: i64,
}

impl Rule {
    fn forgets(self, tick: i64) -> bool {
        tick < self.forgotten
    }

    /// The last tick stays whole, for the clocks and heads of devices directly after it.
    fn keeps_whole(self, tick: i64) -> bool {
        tick >= self.horizon.saturating_sub(1)
    }
}

impl Object {
    fn is_as_at_the_beginning(&self) -> bool {
        self.ended.is_empty() && self.alive.written.is_empty() && self.alive.waiting.is_none()
    }

    fn go_back(&mut self, entry: &Entry<'_>, rule: Rule, thinned: &mut Thinned) {
        let (id, tick) = (&entry.diff.id, entry.diff.logical_clock);
        match (entry.diff.operation, self.ended.last()) {
            (Operation::Delete, _) => self.ended.push(Ended { id: id.clone(), tick }),
            (Operation::Update, Some(ended)) => {
                if rule.forgets(ended.tick) || entry.fields.is_empty() && rule.forgets(tick) {
                    thinned.apply(Change::Remove(id.clone()));
                }
            }
            (Operation::Update, None) if entry.fields.is_empty() => {
                if rule.forgets(tick) {
                    thinned.apply(Change::Remove(id.clone()));
                }
            }
            (Operation::Update, None) => {
                let change = self.alive.overwrite(entry, rule);
                // There is this entry before it.
                thinned.extend(std::mem::replace(&mut self.alive.waiting, change));
            }
            (Operation::Create, Some(_)) => {
                if let Some(ended) = self.ended.pop() {
                    if rule.forgets(ended.tick) {
                        thinned.apply(Change::Remove(id.clone()));
                        thinned.apply(Change::Remove(ended.id));
                        thinned.ends_lives = true;
                    }
                    if tick < ended.tick {
                        // It was no life apart, which has one tick: before it, no life was alive.
                        *self = Self::default();
                    }
                }
            }
            (Operation::Create, None) => {
                let change = self.alive.overwrite(entry, rule);
                thinned.extend(self.alive.waiting.take());
                thinned.extend(change);
                *self = Self::default();
            }
        }
    }
}

impl Alive {
    /// The change to an entry because of what later entries have written. Its own fields count as written
    /// from now on.
    fn overwrite(&mut self, entry: &Entry<'_>, rule: Rule) -> Option<Change> {
        let (id, tick) = (&entry.diff.id, entry.diff.logical_clock);
        let stands = |(name, _): &&Field<'_>| !self.written.contains(&**name);
        let left: Vec<&Field<'_>> = entry.fields.iter().filter(stands).collect();
        let is_whole = left.len() == entry.fields.len() || rule.keeps_whole(tick);
        let goes =
            left.is_empty() && entry.diff.operation == Operation::Update && rule.forgets(tick);
        let change = if is_whole {
            None
        } else if goes {
            Some(Change::Remove(id.clone()))
        } else {
            let left = left.iter().map(|(name, value)| (&**name, value.get()));
            Some(Change::Rewrite(id.clone(), encode(&entry.object, left)))
        };
        self.written.extend(entry.fields.iter().map(|(name, _)| (**name).into()));
        change
    }
}

impl Thinned {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Remove(id) => self.rewrite.removed.push(id),
            Change::Rewrite(id, json_data) => self.rewrite.changed.push((id, json_data)),
        }
    }

    fn extend(&mut self, change: Option<Change>) {
        if let Some(change) = change {
            self.apply(change);
        }
    }
}
