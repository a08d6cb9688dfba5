//! The chapter "Retention", on the complete log: what a server that follows the text keeps and knows.

use super::{Entry, Fields, Key, Kind, Oracle, replay};
use std::collections::BTreeSet;

/// Where a server's log is thinned.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Tick and time.
    pub milestones: Vec<(i64, i64)>,
    /// `H` and `G` in the text.
    pub horizon: i64,
    pub forgotten: i64,
    /// Those of earlier compactions: thinned entries stay thinned, whatever happens to the life.
    pub past: Vec<(i64, i64)>,
}

impl Oracle {
    /// The log is compacted at that time, to be kept for that long.
    pub fn compact(&mut self, now: i64, age: i64) {
        let last = self.clock() - 1;
        let kept = &mut self.kept;
        let newest = |than: i64| {
            let is_young = |at: i64| now - than <= at && at <= now;
            let old = kept.milestones.iter().take_while(|(_, at)| !is_young(*at));
            old.filter(|(_, at)| *at < now - than).map(|(tick, _)| tick + 1).max().unwrap_or(0)
        };
        let horizon = kept.horizon.max(newest(age));
        let forgotten = kept.forgotten.max(newest(2 * age).min(horizon - 1));
        if last >= 0 && kept.milestones.iter().all(|(tick, _)| *tick < last) {
            kept.milestones.push((last, now));
        }
        if (horizon, forgotten) != (kept.horizon, kept.forgotten) {
            kept.past.push((kept.horizon, kept.forgotten));
            kept.milestones.retain(|(tick, _)| *tick >= forgotten);
        }
        (kept.horizon, kept.forgotten) = (horizon, forgotten);

        // Ids that are gone are no longer known, although this log has them.
        let left: BTreeSet<String> =
            self.thinned().into_iter().filter_map(|entry| entry.id).collect();
        for entry in &mut self.log {
            if entry.tick < horizon && entry.id.as_ref().is_some_and(|id| !left.contains(id)) {
                entry.id = None;
            }
        }
    }

    /// Whether a device of that clock gets a 410, and if so, whether with `forgotten`.
    pub fn too_old(&self, clock: i64) -> Option<bool> {
        (0 < clock && clock < self.kept.horizon).then_some(clock < self.kept.forgotten)
    }

    /// The part of the log that the server has, without its own entries.
    pub fn thinned(&self) -> Vec<Entry> {
        let keys: BTreeSet<Key> = self.log.iter().map(Entry::key).collect();
        let Kept { past, horizon, forgotten, .. } = &self.kept;
        let times = || past.iter().copied().chain([(*horizon, *forgotten)]);
        let mut left: Vec<Entry> =
            keys.iter().flat_map(|key| times().fold(self.log_of(key), thinned_object)).collect();
        left.sort_by(|a, b| a.order().cmp(&b.order()));
        left
    }
}

/// One object's log with one compaction.
fn thinned_object(log: Vec<Entry>, (horizon, forgotten): (i64, i64)) -> Vec<Entry> {
    let below = log.iter().take_while(|entry| entry.tick < horizon).count();
    let lives = replay::lives(&log[..below]);
    let mut gone = BTreeSet::new();
    let mut left = log.clone();
    for life in &lives {
        match life.ended {
            Some(ended) if log[ended].tick < forgotten => {
                gone.extend(life.writers.iter().copied().chain([ended]));
            }
            Some(_) => {}
            None => {
                for place in life.writers.iter().filter(|it| log[**it].tick < horizon - 1) {
                    let stands = |name: &String| life.fields[name].by == *place;
                    let fields = log[*place].fields.clone().into_iter();
                    let fields: Fields = fields.filter(|(name, _)| stands(name)).collect();
                    left[*place].fields = fields;
                }
            }
        }
    }
    let is_left = |(place, entry): &(usize, Entry)| {
        let says_nothing = entry.kind == Kind::Update && entry.fields.is_empty();
        let goes = says_nothing && entry.tick < forgotten;
        !goes && !gone.contains(place)
    };
    left.into_iter().enumerate().filter(is_left).map(|(_, entry)| entry).collect()
}
