//! An oracle for the protocol: one owner's complete log, read from its beginning for every question.
//!
//! Written from the protocol's text alone, and kept slow and obvious: it has no window, no index and no row
//! that could be wrong, only the log. It does not check validity: inputs are valid.
//!
//! *Exactly once* and *Isolation* are obvious in it: a diff whose id is in the log is never new, and an oracle
//! has one owner. Its users check *Converge*, and *Cut anywhere* follows from the same text.
//!
//! Interpretations of the text where it is not explicit:
//!
//! * A known diff's object and model are those of its log entry. Its *type* and the fields it *names* are
//!   those of the request: the log says what a diff did (a delete that did nothing is an update there), while
//!   what the device holds follows from what was sent. The fields it *took*, and its timestamp, are those of
//!   the log.
//! * Known diffs come before the new ones at any position, for everything: for what the device holds, for the
//!   one millisecond, and for which diffs come after the request's last delete.
//! * "A delete follows in the request" means a new one that is not refused.
//! * Even if a server happens to know the entry that began or ended a life, because it read further back for
//!   a very late retry, a returned diff has an id of the server's own if that entry is not in the window.
//! * A page is answered as a request was when the clock was the page's, including the id of every diff.
//! * The entries of a page are all that the log has, also its own. Below a horizon, where ticks are missing, the
//!   next tick is the next one that has an entry. A page from or to a clock below the horizon is answered from
//!   the log as it is now, as if that were all that there ever was.
//! * The timestamp is first compared with the server's clock, then moved by the one millisecond.
//! * For a known diff that was refused, overridden values are determined as if it had not been: the log does
//!   not record that it was.
//! * A refused create also counts for *first create*, and so does a refused delete before it.
//! * A returned update has the id of the last unseen entry of the life that wrote one of the returned fields,
//!   even if the value it wrote was overwritten since.
//! * Until the delete that ends a life apart the device holds its own, so a refused create in between is a
//!   receipt, even after a refused delete.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(
    missing_debug_implementations,
    clippy::expect_used,
    clippy::pedantic,
    reason = "kept plain"
)]

pub mod checksum;
pub mod device;
mod merge;
mod replay;
pub mod retention;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The fields of an object or of a diff, without `id`.
pub type Fields = BTreeMap<String, Value>;
/// Model and id of an object.
pub type Key = (String, String);
/// Rows by model and id.
pub type Objects = BTreeMap<Key, Fields>;

/// The type of a diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Create,
    Update,
    Delete,
}

/// A diff as a device sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub id: String,
    /// `utc_timestamp`, in milliseconds.
    pub at: i64,
    pub kind: Kind,
    pub model: String,
    pub object: String,
    /// As sent, without `id`; those of a delete are ignored.
    pub fields: Fields,
}

/// A diff in the log or in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `None`: an id of the server's own. In the order (tick, at, id) it sorts before every other id; real
    /// ids of the server's own sort anywhere, so callers must normalise ties. Ties occur only between
    /// objects: no two entries of one object have the same tick and timestamp.
    pub id: Option<String>,
    /// `logical_clock`.
    pub tick: i64,
    /// `utc_timestamp`.
    pub at: i64,
    pub kind: Kind,
    pub model: String,
    pub object: String,
    pub fields: Fields,
}

/// The answer to a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What the device stores and sends next time.
    pub clock: i64,
    /// To apply in this order.
    pub entries: Vec<Entry>,
    /// Id and code of the new diffs that were refused, in the order sent.
    pub refused: Vec<(String, &'static str)>,
    /// How many new diffs, not refused ones, match a table cell that says "receipt".
    pub idle: usize,
    /// The overridden values, in the order sent, and by field for each diff.
    pub overridden: Vec<Lost>,
}

/// A value that others have overridden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub diff_id: String,
    pub key: Key,
    pub field: String,
    pub sent: Value,
    /// `None` if the object was deleted.
    pub stands: Option<Value>,
    pub by: Option<String>,
}

/// The code with which the database refuses to create, update or delete an object, if it does.
pub type Reject<'r> = dyn Fn(Kind, &Key, &Fields) -> Option<&'static str> + 'r;

/// The device's clock is ahead of the server's (409).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale;

/// One owner on the server.
#[derive(Clone, Debug)]
pub struct Oracle {
    /// How far in the future a timestamp may be, in milliseconds.
    pub drift: i64,
    /// All columns of a model without `id`, if they matter: a create that goes back "with its row" has null
    /// for those that no diff has written. Other models have only the written fields.
    pub columns: BTreeMap<String, Vec<String>>,
    /// Where the server's log is thinned. This log is complete.
    pub kept: retention::Kept,
    log: Vec<Entry>,
    /// The clock is at least this: the last ticks of what a page has passed may be missing.
    least: i64,
}

impl Default for Oracle {
    fn default() -> Self {
        Oracle {
            drift: 300_000,
            columns: BTreeMap::new(),
            kept: retention::Kept::default(),
            log: Vec::new(),
            least: 0,
        }
    }
}

impl Change {
    /// Model and id of the object.
    pub fn key(&self) -> Key {
        (self.model.clone(), self.object.clone())
    }
}

impl Entry {
    /// Model and id of the object.
    pub fn key(&self) -> Key {
        (self.model.clone(), self.object.clone())
    }

    /// An update without fields: the diff did nothing.
    pub fn is_receipt(&self) -> bool {
        self.kind == Kind::Update && self.fields.is_empty()
    }

    fn order(&self) -> (i64, i64, &Option<String>) {
        (self.tick, self.at, &self.id)
    }
}

/// Rows without nulls: a field that no diff has written and one that was set to null are the same to a
/// database without defaults.
pub fn without_nulls(objects: &Objects) -> Objects {
    let mut objects = objects.clone();
    for fields in objects.values_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    objects
}

impl Oracle {
    /// The log in the order of (tick, at, id).
    pub fn log(&self) -> &[Entry] {
        &self.log
    }

    /// One more than the greatest tick in the log; 0 when it is empty.
    pub fn clock(&self) -> i64 {
        self.log.iter().map(|entry| entry.tick + 1).max().unwrap_or(0).max(self.least)
    }

    /// The current rows, with the fields that a diff has written.
    pub fn objects(&self) -> Objects {
        let keys: BTreeSet<Key> = self.log.iter().map(Entry::key).collect();
        let row = |key: Key| {
            let lives = replay::lives(&self.log_of(&key));
            replay::alive(&lives).map(|life| (key, life.values()))
        };
        keys.into_iter().filter_map(row).collect()
    }

    /// One request: the device's clock, its diffs in the order sent, and the server's time. `refuse` returns
    /// the code with which the application refuses a new diff as sent; `reject` the code with which the
    /// database refuses the remaining part to write.
    pub fn sync(
        &mut self,
        clock: i64,
        changes: &[Change],
        now: i64,
        refuse: impl Fn(&Change) -> Option<&'static str>,
        reject: &Reject<'_>,
    ) -> Result<Answer, Stale> {
        self.sync_setting_off(clock, changes, now, refuse, reject, &[])
    }

    /// A request whose writes have side effects in the database. These are logged as the given entries of the
    /// server's own, after those of the request's diffs.
    pub fn sync_setting_off(
        &mut self,
        clock: i64,
        changes: &[Change],
        now: i64,
        refuse: impl Fn(&Change) -> Option<&'static str>,
        reject: &Reject<'_>,
        set_off: &[Entry],
    ) -> Result<Answer, Stale> {
        if clock > self.clock() {
            return Err(Stale);
        }

        // The same id twice in one request: the first counts.
        let mut ids = BTreeSet::new();
        let sent: Vec<&Change> =
            changes.iter().filter(|change| ids.insert(change.id.clone())).collect();

        let is_new = |change: &&&Change| self.entry(&change.id).is_none();
        let new: Vec<&Change> = sent.iter().filter(is_new).copied().collect();
        let refused: Vec<(String, &'static str)> =
            new.iter().filter_map(|change| Some((change.id.clone(), refuse(change)?))).collect();

        let tick = self.clock();
        let after = if new.is_empty() { tick } else { tick + 1 };

        let ticks = sent.iter().map(|change| self.entry(&change.id).map_or(tick, |it| it.tick));
        let own_ticks: BTreeSet<i64> = ticks.collect();

        // Everything is done per object.
        let mut keys: BTreeSet<Key> = self.log.iter().map(Entry::key).collect();
        keys.extend(new.iter().map(|change| change.key()));
        keys.extend(set_off.iter().map(Entry::key));

        let mut answer =
            Answer { clock: after, entries: Vec::new(), refused, idle: 0, overridden: Vec::new() };
        let mut accepted = Vec::new();
        for key in keys {
            let log = self.log_of(&key);
            let before = log.len();
            let of_this = |id: &str| self.entry(id).is_some_and(|entry| entry.key() == key);
            let known = sent.iter().filter(|change| of_this(&change.id)).copied().collect();
            let new = new.iter().filter(|change| change.key() == key).copied().collect();
            let columns = self.columns.get(&key.0).cloned().unwrap_or_default();
            let request = merge::Request {
                clock,
                tick,
                last_tick: after - 1,
                now,
                drift: self.drift,
                ids: &ids,
                own_ticks: own_ticks.clone(),
                refused: answer.refused.iter().map(|(id, _)| id.clone()).collect(),
                known,
                new,
                set_off: set_off.iter().filter(|entry| entry.key() == key).cloned().collect(),
                columns,
                reject,
            };
            let merged = request.merge(key, log);
            answer.refused.extend(merged.rejected);
            accepted.extend_from_slice(&merged.log[before..]);
            answer.idle += merged.idle;
            answer.entries.extend(merged.back);
            answer.overridden.extend(merged.overridden);
        }

        self.log.extend(accepted);
        self.log.sort_by(|a, b| a.order().cmp(&b.order()));
        answer.entries.sort_by(|a, b| a.order().cmp(&b.order()));
        let place = |id: &String| sent.iter().position(|change| change.id == *id);
        answer.refused.sort_by_key(|(id, _)| place(id));
        answer.overridden.sort_by_key(|lost| (place(&lost.diff_id), lost.field.clone()));
        Ok(answer)
    }

    /// The rows are authoritative: adds entries of the server's own that make the log equal to the rows.
    pub fn adopt(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.log.extend(entries);
        self.log.sort_by(|a, b| a.order().cmp(&b.order()));
    }

    /// "A page is the past": the state when the clock had that value.
    pub fn past(&self, clock: i64) -> Oracle {
        let before = |entry: &&Entry| entry.tick < clock;
        Oracle { log: self.log.iter().filter(before).cloned().collect(), ..self.clone() }
    }

    /// Where a page of at most this many entries ends for a device at that clock: the tick of the first entry
    /// that does not fit; the tick after the first one, if that alone has more; the clock, if all fit.
    pub fn page_end(&self, clock: i64, limit: usize) -> i64 {
        let mut ticks = self.stored_ticks();
        ticks.retain(|tick| *tick >= clock);
        let next = ticks.get(limit).map(|tick| *tick.max(&(ticks[0] + 1)));
        let end = next.and_then(|next| ticks.into_iter().find(|tick| *tick >= next));
        end.unwrap_or(self.clock())
    }

    /// Whether there is an entry with that id.
    pub fn knows(&self, id: &str) -> bool {
        self.entry(id).is_some()
    }

    fn entry(&self, id: &str) -> Option<&Entry> {
        self.log.iter().find(|entry| entry.id.as_deref() == Some(id))
    }

    fn log_of(&self, key: &Key) -> Vec<Entry> {
        self.log.iter().filter(|entry| entry.key() == *key).cloned().collect()
    }
}
