//! The client published for Flutter in 2020, with all its peculiarities.

use std::collections::BTreeSet;

use super::oracle::{Change, Entry, Fields, Key, Kind, Objects};

#[derive(Clone, Debug, Default)]
pub struct Published {
    pub clock: i64,
    pub objects: Objects,
    /// All changes so far, each with the clock at which it was recorded.
    diffs: Vec<(i64, Change)>,
    /// Objects of which it has a change that the server never receives, or receives in the wrong order: no
    /// server can repair that.
    pub astray: BTreeSet<Key>,
    /// It was away for too long, and will never receive anything again: a 410 is no success.
    pub is_lost: bool,
}

impl Published {
    pub fn record(&mut self, change: Change) {
        apply(&mut self.objects, &change.key(), change.kind, &change.fields);
        self.diffs.push((self.clock, change));
    }

    /// Changes with the device's clock are unsent; they are sent ordered by time.
    pub fn request(&mut self) -> Vec<Change> {
        let pending = self.diffs.iter().filter(|(clock, _)| *clock >= self.clock);
        let recorded: Vec<Change> = pending.map(|(_, change)| change.clone()).collect();
        let mut sorted = recorded.clone();
        sorted.sort_by_key(|change| change.at);
        for change in &recorded {
            let of = |changes: &[Change]| -> Vec<String> {
                let same = changes.iter().filter(|other| other.key() == change.key());
                same.map(|other| other.id.clone()).collect()
            };
            if of(&recorded) != of(&sorted) {
                self.astray.insert(change.key());
            }
        }
        sorted
    }

    /// The changes that it may repeat at clock 0.
    pub fn repeats_from_0(&self) -> impl Iterator<Item = &String> {
        self.diffs.iter().filter(|_| self.clock == 0).map(|(_, change)| &change.id)
    }

    /// Returns whether the answer was applied.
    pub fn receive(&mut self, sent: &[Change], clock: i64, entries: &[Entry]) -> bool {
        if clock <= self.clock {
            return false;
        }
        for (_, change) in self.diffs.iter().filter(|(clock, _)| *clock >= self.clock) {
            if !sent.iter().any(|sent| sent.id == change.id) {
                self.astray.insert(change.key());
            }
        }
        let mut entries = entries.to_vec();
        entries.sort_by_key(|entry| (entry.tick, entry.at));
        for entry in entries {
            apply(&mut self.objects, &entry.key(), entry.kind, &entry.fields);
        }
        self.clock = clock;
        true
    }
}

/// A create is an INSERT, and continues if the id exists.
fn apply(objects: &mut Objects, key: &Key, kind: Kind, fields: &Fields) {
    match kind {
        Kind::Create => {
            objects.entry(key.clone()).or_insert_with(|| fields.clone());
        }
        Kind::Update => {
            if let Some(row) = objects.get_mut(key) {
                row.extend(fields.clone());
            }
        }
        Kind::Delete => {
            objects.remove(key);
        }
    }
}
