//! A device: rows, pending changes, and the clock of the last answer.

use super::{Change, Entry, Key, Kind, Objects};
use std::collections::{BTreeMap, BTreeSet};

/// One client installation.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// The clock of the last answer that was applied.
    pub clock: i64,
    /// The rows as the person sees them: pending changes are in them.
    pub objects: Objects,
    /// The changes no answer has come for, in the order made.
    pub pending: Vec<Change>,
    /// As published clients do: an answer whose clock is not greater than the device's is thrown away.
    pub skips_old_answers: bool,
    /// How many of `pending`, from the front, are in the request under way.
    sent: usize,
    /// The rows when that request was made.
    objects_sent: Objects,
}

impl Device {
    /// Whether the change is one of what is there (a create: of what is not).
    pub fn may_record(&self, change: &Change) -> bool {
        self.objects.contains_key(&change.key()) == (change.kind != Kind::Create)
    }

    /// The person changes something: at once in the rows, and pending.
    pub fn record(&mut self, change: Change) {
        apply_change(&mut self.objects, &change);
        self.pending.push(change);
    }

    /// A request with everything that is pending. One is under way at a time: a new one gives up the last.
    pub fn request(&mut self) -> (i64, Vec<Change>) {
        self.sent = self.pending.len();
        self.objects_sent = self.objects.clone();
        (self.clock, self.pending.clone())
    }

    /// The answer to the last request: its clock, and its entries in the order given. What was recorded since
    /// the request is settled with it and stays pending. Returns whether the answer was applied.
    pub fn receive(&mut self, clock: i64, entries: &[Entry]) -> bool {
        if self.skips_old_answers && clock <= self.clock {
            return false;
        }
        let later = self.pending.split_off(self.sent);
        self.pending.clear();
        self.sent = 0;
        self.clock = clock;
        self.objects = std::mem::take(&mut self.objects_sent);
        for entry in entries {
            apply_entry(&mut self.objects, entry);
        }
        let is_delete = |entry: &&Entry| entry.kind == Kind::Delete;
        let mut deleted: BTreeSet<Key> = entries.iter().filter(is_delete).map(Entry::key).collect();
        for change in later {
            if change.kind == Kind::Create {
                deleted.remove(&change.key());
            }
            if !deleted.contains(&change.key())
                && let Some(change) = settle(&self.objects, entries, change)
            {
                self.record(change);
            }
        }
        self.objects_sent = self.objects.clone();
        true
    }
}

/// A change made while the request was under way, as it is to go out behind the answer: a delete wins, and fields
/// by the greater timestamp.
fn settle(objects: &Objects, entries: &[Entry], mut change: Change) -> Option<Change> {
    let row = objects.get(&change.key());
    match (change.kind, row) {
        (Kind::Update | Kind::Delete, None) => return None,
        (Kind::Create, Some(_)) => change.kind = Kind::Update,
        _ => {}
    }
    if change.kind == Kind::Update {
        let (key, at) = (change.key(), change.at);
        for entry in entries.iter().filter(|entry| entry.key() == key && entry.at > at) {
            change.fields.retain(|name, _| !entry.fields.contains_key(name));
        }
    }
    Some(change)
}

/// Applies a change of the person's: a create of a row that is there replaces it.
pub fn apply_change(objects: &mut Objects, change: &Change) {
    apply(objects, change.key(), change.kind, &change.fields);
}

/// Applies one diff of an answer, in the same way.
pub fn apply_entry(objects: &mut Objects, entry: &Entry) {
    apply(objects, entry.key(), entry.kind, &entry.fields);
}

fn apply(objects: &mut Objects, key: Key, kind: Kind, fields: &super::Fields) {
    match kind {
        Kind::Create => {
            objects.insert(key, fields.clone());
        }
        Kind::Update => {
            if let Some(row) = objects.get_mut(&key) {
                row.extend(fields.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
        }
        Kind::Delete => {
            objects.remove(&key);
        }
    }
}

/// The rows with these changes in them.
pub fn with_changes(objects: &Objects, changes: &[Change]) -> Objects {
    let mut objects = objects.clone();
    changes.iter().for_each(|change| apply_change(&mut objects, change));
    objects
}

/// The rows of a new device that applies these entries, in the order given.
pub fn from_entries(entries: &[Entry]) -> Objects {
    let mut objects = BTreeMap::new();
    entries.iter().for_each(|entry| apply_entry(&mut objects, entry));
    objects
}
