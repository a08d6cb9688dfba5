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
    /// Whether what is below the horizon is being thinned.
    pub is_thinning: bool,
    /// The entries below the horizon that the server has: thinned ones stay thinned, whatever happens to the
    /// life.
    below: Vec<Entry>,
}

impl Oracle {
    /// The log is compacted at that time, to be kept for that long.
    pub fn compact(&mut self, now: i64, age: i64) {
        self.begin_to_compact(now, age);
        let below = self.thinned_in_the_end();
        self.hold_below(below, false);
    }

    /// The milestone is left, and the horizon moves.
    pub fn begin_to_compact(&mut self, now: i64, age: i64) {
        let (last, stored) = (self.clock() - 1, self.thinned());
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
            kept.milestones.retain(|(tick, _)| *tick >= forgotten);
            kept.below = stored.into_iter().filter(|entry| entry.tick < horizon).collect();
            kept.is_thinning = true;
        }
        (kept.horizon, kept.forgotten) = (horizon, forgotten);
    }

    /// What is below the horizon when the compaction is finished.
    pub fn thinned_in_the_end(&self) -> Vec<Entry> {
        let Kept { below, horizon, forgotten, is_thinning, .. } = &self.kept;
        if *is_thinning { thin(below, (*horizon, *forgotten)) } else { below.clone() }
    }

    /// The server has these entries below the horizon.
    pub fn hold_below(&mut self, below: Vec<Entry>, is_thinning: bool) {
        // Ids that are gone are no longer known, although this log has them.
        let left: BTreeSet<&String> = below.iter().filter_map(|entry| entry.id.as_ref()).collect();
        for entry in self.log.iter_mut().filter(|entry| entry.tick < self.kept.horizon) {
            entry.id.take_if(|id| !left.contains(id));
        }
        (self.kept.below, self.kept.is_thinning) = (below, is_thinning);
    }

    /// "In small steps": whether a compaction may have come as far as these entries below the horizon.
    pub fn may_have_thinned(&self, to: &[Entry]) -> bool {
        let (from, end) = (&self.kept.below, self.thinned_in_the_end());
        let at = |entry: &Entry| (entry.key(), entry.tick, entry.at, entry.kind);
        let among = |entries: &[Entry], it: &Entry| {
            entries.iter().find(|entry| at(entry) == at(it)).map(|entry| entry.fields.clone())
        };
        let says = |more: &Fields, less: &Fields| {
            less.iter().all(|(name, value)| more.get(name) == Some(value))
        };
        let is_of_both = |entry: &Entry| {
            let most = among(from, entry).is_some_and(|most| says(&most, &entry.fields));
            most && among(&end, entry).is_none_or(|least| says(&entry.fields, &least))
        };
        let keys: BTreeSet<Key> = from.iter().map(Entry::key).collect();
        let go_together = |key: &Key| {
            let log: Vec<&Entry> = from.iter().filter(|entry| entry.key() == *key).collect();
            let owned: Vec<Entry> = log.iter().copied().cloned().collect();
            let has = |place: usize| among(to, log[place]).is_some();
            replay::lives(&owned)
                .iter()
                .all(|life| life.ended.is_none_or(|ended| has(ended) == has(life.began)))
        };
        to.iter().all(is_of_both)
            && end.iter().all(|entry| among(to, entry).is_some())
            && keys.iter().all(go_together)
    }

    /// Whether a device of that clock gets a 410, and if so, whether with `forgotten`. `passes`: its request is
    /// empty, and its head is the horizon.
    pub fn too_old(&self, clock: i64, passes: bool) -> Option<bool> {
        let is_below = 0 < clock && clock < self.kept.horizon;
        (is_below && !passes).then_some(clock < self.kept.forgotten)
    }

    /// The part of the log that the server has, without its own entries.
    pub fn thinned(&self) -> Vec<Entry> {
        let above = self.log.iter().filter(|entry| entry.tick >= self.kept.horizon);
        let mut left: Vec<Entry> = self.kept.below.iter().chain(above).cloned().collect();
        left.sort_by(|a, b| a.order().cmp(&b.order()));
        left
    }

    /// The ticks of all entries that the server has, with its own.
    pub fn stored_ticks(&self) -> Vec<i64> {
        let Kept { milestones, horizon, is_thinning, .. } = &self.kept;
        let mut ticks: Vec<i64> = self.thinned().iter().map(|entry| entry.tick).collect();
        ticks.extend(milestones.iter().map(|(tick, _)| tick));
        let own = usize::from(*horizon > 0) + usize::from(*is_thinning);
        ticks.extend(std::iter::repeat_n(horizon - 1, own));
        ticks.sort_unstable();
        ticks
    }

    /// "A first sync in pages": the log until `end` for a device that has passed what is below the horizon up
    /// to its clock, and has seen these entries.
    pub fn passed(&self, seen: &[Entry], clock: i64, end: i64) -> Oracle {
        let mut log = seen.to_vec();
        log.extend(self.thinned().into_iter().filter(|it| (clock..end).contains(&it.tick)));
        Oracle { log, least: end.min(self.clock()), ..self.clone() }
    }

    /// What a device has seen whose last answer ended at that clock, if it was given now.
    pub fn seen(&self, clock: i64) -> Vec<Entry> {
        let log = if clock < self.kept.horizon { self.thinned() } else { self.log.clone() };
        log.into_iter().filter(|entry| entry.tick < clock).collect()
    }
}

/// A log with one compaction, to these `H` and `G`.
pub fn thin(log: &[Entry], place: (i64, i64)) -> Vec<Entry> {
    let keys: BTreeSet<Key> = log.iter().map(Entry::key).collect();
    let of = |key: &Key| log.iter().filter(|entry| entry.key() == *key).cloned().collect();
    let mut left: Vec<Entry> = keys.iter().flat_map(|key| thinned_object(of(key), place)).collect();
    left.sort_by(|a, b| a.order().cmp(&b.order()));
    left
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
