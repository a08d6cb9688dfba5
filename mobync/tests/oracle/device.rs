//! A device as section "Writing a client" describes it: rows, pending changes, and the clock of the last
//! answer.
//!
//! Every line of the table "Changes in flight" is applied to the rows themselves, as written there.

use super::{Change, Entry, Fields, Key, Kind, Objects};
use std::collections::BTreeSet;

/// One client installation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Device {
    /// The clock of the last answer that was applied.
    pub clock: i64,
    /// The rows as the person sees them, including pending changes.
    pub objects: Objects,
    /// The changes that no answer has come for, in the order in which they were made.
    pub pending: Vec<Change>,
    /// Id and code of the changes that were refused.
    pub refused: Vec<(String, &'static str)>,
    /// The ids of those that were in a request without an answer.
    pub sent: BTreeSet<String>,
    /// Objects to be deleted again if the next answer brings them.
    pub waiting: BTreeSet<Key>,
    /// Whether it has started from clock 0 again, and has applied no answer yet.
    pub anew: bool,
    /// While `anew`: the greatest clock of the answers that were not applied, the greatest time of a change,
    /// and what the last request left out.
    pub heard: i64,
    pub latest: i64,
    pub left_out: BTreeSet<String>,
    /// Whether the last answer was a page, and there is more.
    pub has_more: bool,
    /// What pages have brought for objects with pending changes.
    pub held: Vec<Entry>,
    /// The owner that the device syncs for, once an answer has named it.
    pub owner: Option<String>,
}

/// The contents of an answer, apart from its effects.
#[derive(Clone, Debug)]
pub struct Said<'a> {
    pub clock: i64,
    pub entries: &'a [Entry],
    /// The owner of its diffs, if it has any.
    pub owner: Option<&'a str>,
    /// The ids of the refused diffs.
    pub refused: Vec<&'a str>,
}

impl Device {
    /// Whether the change is of an existing object (a create: of one that does not exist).
    pub fn may_record(&self, change: &Change) -> bool {
        self.objects.contains_key(&change.key()) == (change.kind != Kind::Create)
    }

    /// The person changes something: immediately in the rows, and pending.
    pub fn record(&mut self, mut change: Change) {
        apply(&mut self.objects, change.key(), change.kind, &change.fields);
        if self.anew {
            change.at = change.at.max(self.latest + 1);
        }
        if change.kind == Kind::Update {
            self.fold(&mut change);
        }
        // "Away for too long": updates of an object that has not come back.
        let is_of_object = |it: &Change| it.key() == change.key();
        let mut of_object = self.pending.iter().filter(|it| is_of_object(it));
        if change.kind == Kind::Create && of_object.all(|it| it.kind == Kind::Update) {
            self.pending.retain(|it| !is_of_object(it));
        }
        self.latest = if self.anew { change.at } else { 0 };
        self.pending.push(change);
    }

    /// "Folding": the unsent updates of the same object at the end of pending lose the fields that this one
    /// writes.
    fn fold(&mut self, change: &mut Change) {
        let is_foldable = |it: &&Change| {
            it.kind == Kind::Update && it.key() == change.key() && !self.sent.contains(&it.id)
        };
        let many = self.pending.iter().rev().take_while(is_foldable).count();
        let run = self.pending.split_off(self.pending.len() - many);
        // The times of all diffs of this object at the end, then of those that are folded.
        let of_object = self.pending.iter().rev().take_while(|it| it.key() == change.key()).count();
        let mut all = self.pending[self.pending.len() - of_object..].to_vec();
        all.extend(run.iter().cloned().chain([change.clone()]));
        let times = growing(&all).split_off(of_object);
        let mut has_dropped = false;
        for (mut it, at) in run.into_iter().zip(&times) {
            if has_dropped {
                it.at = *at;
            }
            let before = it.fields.len();
            it.fields.retain(|name, _| !change.fields.contains_key(name));
            if it.fields.is_empty() && before > 0 {
                has_dropped = true;
            } else {
                self.pending.push(it);
            }
        }
        if has_dropped {
            change.at = times[many];
        }
    }

    /// The diffs of the next request: the first ones, and all that were in one without an answer.
    pub fn request(&mut self, limit: usize) -> Vec<Change> {
        if self.anew {
            self.hold_back();
        }
        let unanswered = self
            .pending
            .iter()
            .rposition(|change| self.sent.contains(&change.id))
            .map_or(0, |i| i + 1);
        let limit = if self.has_more { 0 } else { limit };
        let most = limit.max(unanswered).min(self.pending.len());
        let sent = self.pending[..most].to_vec();
        self.left_out = self.pending[most..].iter().map(|change| change.id.clone()).collect();
        self.sent.extend(sent.iter().map(|change| change.id.clone()));
        sent
    }

    /// Whether an answer can belong to the request with these diffs: rule 10.
    pub fn may_take(&self, sent: &[Change], said: &Said<'_>) -> bool {
        let is_sent = |id: &str| sent.iter().any(|change| change.id == id);
        let is_sound = |entry: &Entry| {
            let is_own = entry.id.as_deref().is_some_and(is_sent);
            !is_own && (0..said.clock).contains(&entry.tick)
        };
        let is_new = if sent.is_empty() {
            said.clock > self.clock || (said.clock == self.clock && said.entries.is_empty())
        } else {
            said.clock > self.clock.max(self.heard)
        };
        let is_ours =
            said.owner.is_none() || self.owner.is_none() || said.owner == self.owner.as_deref();
        is_new
            && is_ours
            && said.entries.iter().all(is_sound)
            && said.refused.iter().all(|id| is_sent(id))
    }

    /// The answer to the request with these diffs.
    pub fn receive(
        &mut self,
        sent: &[Change],
        (clock, has_more): (i64, bool),
        entries: &[Entry],
        refused: &[(String, &'static str)],
    ) {
        for (id, code) in refused {
            if sent.iter().any(|change| change.id == *id) {
                self.refused.retain(|(kept, _)| kept != id);
                self.refused.push((id.clone(), code));
            }
        }
        self.pending.retain(|change| !sent.iter().any(|sent| sent.id == change.id));
        self.sent.retain(|id| !sent.iter().any(|sent| sent.id == *id));
        if self.is_cut() {
            self.heard = self.heard.max(clock);
            return;
        }
        if std::mem::take(&mut self.anew) {
            (self.heard, self.latest) = (0, 0);
            self.objects.clear();
            for change in sent.iter().chain(&self.pending) {
                apply(&mut self.objects, change.key(), change.kind, &change.fields);
            }
        }
        self.release_idle();
        let mut held = std::mem::take(&mut self.held);
        for entry in entries {
            if self.pending.iter().any(|change| change.key() == entry.key()) {
                held.push(entry.clone());
            } else {
                self.apply(entry);
            }
        }
        if has_more {
            self.held = held;
        } else {
            self.release(&held);
        }
        (self.clock, self.has_more) = (clock, has_more);
    }

    /// "Fetching in pages": what is held is for objects with pending changes.
    pub fn release_idle(&mut self) {
        let pending = &self.pending;
        let has_pending = |entry: &Entry| pending.iter().any(|change| change.key() == entry.key());
        let (held, idle) = std::mem::take(&mut self.held).into_iter().partition(has_pending);
        self.held = held;
        let idle: Vec<Entry> = idle;
        idle.iter().for_each(|entry| self.apply(entry));
    }

    /// "Fetching in pages": lives that have begun and ended in the meantime leave nothing.
    fn release(&mut self, held: &[Entry]) {
        let keys: BTreeSet<Key> = held.iter().map(Entry::key).collect();
        for key in keys {
            let of_key: Vec<&Entry> = held.iter().filter(|entry| entry.key() == key).collect();
            let end = of_key.iter().rposition(|entry| entry.kind == Kind::Delete);
            let is_new = of_key[0].kind == Kind::Create;
            let first = end.map_or(0, |end| end + usize::from(is_new));
            for entry in &of_key[first..] {
                self.apply(entry);
            }
        }
    }

    /// Whether an answer to the last request is only an acknowledgement: "Starting again".
    pub fn is_cut(&self) -> bool {
        self.anew && self.pending.iter().any(|change| self.left_out.contains(&change.id))
    }

    /// "Deletes are held back."
    fn hold_back(&mut self) {
        let waits = |change: &Change, sent: &BTreeSet<String>| {
            change.kind == Kind::Delete && !sent.contains(&change.id)
        };
        let mut deleted = BTreeSet::new();
        while let Some(last) = self.pending.iter().rposition(|it| waits(it, &self.sent)) {
            let key = self.pending[last].key();
            let mut place = 0;
            self.pending.retain(|change| {
                place += 1;
                place - 1 > last || change.key() != key
            });
            deleted.insert(key);
        }
        self.waiting.extend(deleted);
        let objects = &self.objects;
        self.waiting.retain(|key| !objects.contains_key(key));
        let pending = &self.pending;
        self.sent.retain(|id| pending.iter().any(|change| change.id == *id));
    }

    /// Those of the objects that wait to be deleted which the answer has brought. `left` are the objects with changes
    /// that were pending then.
    pub fn back(&mut self, brought: &[Entry], left: &BTreeSet<Key>) -> Vec<Key> {
        let waiting = std::mem::take(&mut self.waiting);
        let is_back = |key: &Key| {
            let last = brought.iter().rfind(|entry| entry.key() == *key);
            last.is_some_and(|entry| entry.kind == Kind::Create) && !left.contains(key)
        };
        let (back, rest): (Vec<Key>, Vec<Key>) = waiting.into_iter().partition(is_back);
        if self.has_more {
            // A later page may bring them.
            let objects = &self.objects;
            self.waiting = rest.into_iter().filter(|key| !objects.contains_key(key)).collect();
        }
        back
    }

    /// The device starts again with what is pending. "Times grow."
    pub fn start_again(&mut self) {
        for place in 0..self.pending.len() {
            let (before, rest) = self.pending.split_at_mut(place);
            let of_object = before.iter().filter(|it| it.key() == rest[0].key()).cloned();
            let least =
                growing(&of_object.collect::<Vec<_>>()).last().map_or(i64::MIN, |at| at + 1);
            if !self.sent.contains(&rest[0].id) {
                rest[0].at = rest[0].at.max(least);
            }
        }
        self.latest = self.pending.iter().map(|change| change.at).max().unwrap_or(0);
        self.held.clear();
        (self.clock, self.heard, self.has_more, self.anew) = (0, 0, false, true);
    }

    /// The server no longer keeps what the device has missed: "Away for too long". The changes to set aside
    /// were set aside before.
    pub fn too_old(&mut self) {
        self.hold_back();
        self.objects.clear();
        for change in &self.pending {
            apply(&mut self.objects, change.key(), change.kind, &change.fields);
        }
        self.start_again();
    }

    /// One diff of an answer.
    fn apply(&mut self, entry: &Entry) {
        let key = entry.key();
        let left = self.pending.iter().filter(|change| change.key() == key).cloned().collect();
        let settled = self.settle(&key, entry, left);
        let of_others = |change: &Change| change.key() != key;
        self.pending = std::mem::take(&mut self.pending)
            .into_iter()
            .filter_map(|change| {
                let same = settled.iter().find(|settled| settled.id == change.id).cloned();
                if of_others(&change) { Some(change) } else { same }
            })
            .collect();
    }

    /// The table "Changes in flight". Returns what stays pending of the object.
    fn settle(&mut self, key: &Key, entry: &Entry, mut left: Vec<Change>) -> Vec<Change> {
        let place = |left: &[Change], kind| left.iter().position(|change| change.kind == kind);
        if left.is_empty() {
            apply(&mut self.objects, key.clone(), entry.kind, &entry.fields);
            return left;
        }
        match (entry.kind, place(&left, Kind::Create), place(&left, Kind::Delete)) {
            // delete | updates, or a delete
            (Kind::Delete, None, _) => {
                self.objects.remove(key);
                Vec::new()
            }
            // delete | updates or a delete, and then a new create
            (Kind::Delete, Some(create), _) => left.split_off(create),
            // update | updates
            (Kind::Update, _, None) => self.meet(key, entry, left),
            // update | a delete, perhaps followed by a new create
            (Kind::Update, _, Some(_)) => left,
            // create | a create and its delete
            (Kind::Create, Some(0), Some(delete)) => {
                let rest = left.split_off(delete + 1);
                self.settle(key, entry, rest)
            }
            // create | a create, perhaps with updates; or updates, of a device that has started again
            (Kind::Create, None | Some(0), None) => {
                self.objects.insert(key.clone(), entry.fields.clone());
                let left = self.meet(key, entry, left);
                for change in &left {
                    apply(&mut self.objects, key.clone(), Kind::Update, &change.fields);
                }
                left
            }
            // create | a delete, perhaps followed by a new create
            (Kind::Create, _, _) => left,
        }
    }

    /// Field by field: if the answer wins, its value is written, and the field is no longer pending.
    fn meet(&mut self, key: &Key, entry: &Entry, mut left: Vec<Change>) -> Vec<Change> {
        let times = growing(&left);
        for (name, value) in &entry.fields {
            let mut pending_wins = false;
            for (change, at) in left.iter_mut().zip(&times) {
                if entry.at > *at {
                    change.fields.remove(name);
                }
                pending_wins |= change.fields.contains_key(name);
            }
            if !pending_wins && let Some(row) = self.objects.get_mut(key) {
                row.insert(name.clone(), value.clone());
            }
        }
        // The object now exists on both sides, so a remaining create only writes fields.
        for change in &mut left {
            change.kind = Kind::Update;
        }
        left.retain(|change| !change.fields.is_empty());
        left
    }
}

/// The times that count: those of one object grow, as on the server.
fn growing(changes: &[Change]) -> Vec<i64> {
    let mut times: Vec<i64> = Vec::new();
    for change in changes {
        let least = times.last().map_or(i64::MIN, |last| last + 1);
        times.push(change.at.max(least));
    }
    times
}

/// Applies a change to the rows: a create of an existing row replaces it.
pub fn apply(objects: &mut Objects, key: Key, kind: Kind, fields: &Fields) {
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
