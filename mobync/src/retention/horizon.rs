//! The log's entries about itself: its horizon, and the age of its ticks.

use crate::{
    diff::{Diff, Operation, object_in},
    merge::encode,
    owner::Owner,
    unit::Rewrite,
};

/// The objects of these entries, which are updates without fields: clients that do not know them see
/// receipts.
const HORIZON: &str = "horizon";
const MILESTONE: &str = "milestone";
const THINNING: &str = "thinning";

/// At most this many milestones remain within the time that the log is kept.
const MILESTONES: i64 = 100;

/// The position of a log's horizon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Horizon {
    /// The id of its entry.
    pub(crate) id: String,
    /// The tick up to which the log is thinned.
    pub(crate) clock: i64,
    /// The tick up to which ids are forgotten.
    pub(crate) forgotten: i64,
}

impl Horizon {
    /// The horizon, if the entry is one.
    fn of(entry: &Diff, log: &str) -> Option<Self> {
        let is_horizon = entry.model == log && is_of(entry, HORIZON);
        is_horizon.then(|| Self {
            id: entry.id.clone(),
            clock: entry.logical_clock.saturating_add(1),
            forgotten: entry.utc_timestamp,
        })
    }

    /// The horizon, if it is among these entries.
    pub(crate) fn among(entries: &[Diff], log: &str) -> Option<Self> {
        entries.iter().find_map(|entry| Self::of(entry, log))
    }

    /// Whether a device of that clock may hold objects whose later history is no longer in the log.
    pub(crate) fn cuts(&self, clock: i64) -> bool {
        0 < clock && clock < self.clock
    }

    /// Its entry, under this id.
    fn entry(&self, owner: &Owner, log: &str) -> Diff {
        let tick = self.clock.saturating_sub(1);
        own_entry(owner, log, HORIZON, self.id.clone(), tick, self.forgotten)
    }

    /// Gives the horizon another id, so that a first sync in pages starts again.
    pub(crate) fn renew(&self, id: String, owner: &Owner, log: &str, rewrite: &mut Rewrite) {
        rewrite.removed.push(self.id.clone());
        rewrite.added.push(Self { id, ..self.clone() }.entry(owner, log));
    }
}

/// The contents of the log's entries about itself.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    pub(crate) horizon: Option<Horizon>,
    /// Tick, time and id.
    milestones: Vec<(i64, i64, String)>,
    /// The ids of the entries that record that the log below the horizon is being thinned.
    thinning: Vec<String>,
}

/// The beginning of a compaction.
#[derive(Debug, Default)]
pub(crate) struct Begun {
    /// The first write.
    pub(crate) rewrite: Rewrite,
    /// The horizon, if there is one.
    pub(crate) horizon: Option<Horizon>,
    /// The id of the entry to remove when the log below the horizon is thinned; `None` if it already is.
    pub(crate) thinning: Option<String>,
    /// Whether the horizon would be further without followers.
    pub(crate) waits: bool,
}

impl Marks {
    /// Reads the entries whose model is the log's own name.
    pub(crate) fn read(entries: &[Diff], log: &str) -> Self {
        let mut marks = Self::default();
        for entry in entries.iter().filter(|entry| entry.model == log) {
            let Diff { id, logical_clock, utc_timestamp, .. } = entry;
            if let Some(horizon) = Horizon::of(entry, log) {
                let is_further = marks.horizon.as_ref().is_none_or(|it| it.clock < horizon.clock);
                if is_further {
                    marks.horizon = Some(horizon);
                }
            } else if is_of(entry, MILESTONE) {
                marks.milestones.push((*logical_clock, *utc_timestamp, id.clone()));
            } else if is_of(entry, THINNING) {
                marks.thinning.push(id.clone());
            }
        }
        marks.milestones.sort_unstable();
        marks
    }

    /// How to begin, at that clock of the owner.
    ///
    /// `age` is how long the log is kept, in milliseconds. `handled` is the least clock that a follower has
    /// reached: the horizon does not pass it.
    pub(crate) fn begin(
        &self,
        (now, age): (i64, i64),
        clock: i64,
        handled: Option<i64>,
        (owner, log): (&Owner, &str),
        mut mint: impl FnMut() -> String,
    ) -> Begun {
        let mut rewrite = Rewrite::default();
        let last = clock.saturating_sub(1);
        if self.wants_milestone((now, age), last) {
            rewrite.added.push(own_entry(owner, log, MILESTONE, mint(), last, now));
        }

        let (before, forgotten) =
            self.horizon.as_ref().map_or((0, 0), |it| (it.clock, it.forgotten));
        let old = self.newest(now, age).min(clock);
        let at = old.min(handled.unwrap_or(clock)).max(before);
        let waits = at < old;
        let older = self.newest(now, age.saturating_mul(2));
        let forgotten = older.min(at.saturating_sub(1)).max(forgotten);

        let moves = at > 0
            && self.horizon.as_ref().is_none_or(|it| (it.clock, it.forgotten) != (at, forgotten));
        if !moves {
            let horizon = self.horizon.clone();
            return Begun { rewrite, horizon, thinning: self.thinning.last().cloned(), waits };
        }
        let (horizon, thinning) = (Horizon { id: mint(), clock: at, forgotten }, mint());
        rewrite.removed.extend(self.horizon.iter().map(|it| it.id.clone()));
        rewrite.removed.extend(self.thinning.iter().cloned());
        let is_past = |(tick, ..): &&(i64, i64, String)| *tick < forgotten;
        rewrite.removed.extend(self.milestones.iter().filter(is_past).map(|it| it.2.clone()));
        rewrite.added.push(horizon.entry(owner, log));
        let tick = at.saturating_sub(1);
        rewrite.added.push(own_entry(owner, log, THINNING, thinning.clone(), tick, now));
        Begun { rewrite, horizon: Some(horizon), thinning: Some(thinning), waits }
    }

    /// One more than the tick of the newest milestone that is older than that, or 0.
    ///
    /// No milestone after a younger one counts as old, whatever its time: the server's clock was set back
    /// temporarily.
    fn newest(&self, now: i64, age: i64) -> i64 {
        let before = now.saturating_sub(age);
        let is_young = |at: i64| (before..=now).contains(&at);
        let old = self.milestones.iter().take_while(|(_, at, _)| !is_young(*at));
        let newest = old.filter(|(_, at, _)| *at < before).last();
        newest.map_or(0, |(tick, ..)| tick.saturating_add(1))
    }

    /// Whether the last tick needs a milestone: it has none, and the newest one is not recent.
    fn wants_milestone(&self, (now, age): (i64, i64), last: i64) -> bool {
        let moment = now.saturating_sub(age / MILESTONES);
        let is_of_a_moment_ago = |at: i64| moment < at && at <= now;
        let newest = self.milestones.last();
        last >= 0 && newest.is_none_or(|(tick, at, _)| *tick < last && !is_of_a_moment_ago(*at))
    }
}

fn is_of(entry: &Diff, object: &str) -> bool {
    object_in(&entry.json_data).is_ok_and(|id| id == object)
}

/// An entry of the log's own.
fn own_entry(owner: &Owner, log: &str, object: &str, id: String, tick: i64, at: i64) -> Diff {
    Diff {
        id,
        owner: owner.as_str().to_owned(),
        logical_clock: tick,
        utc_timestamp: at,
        operation: Operation::Update,
        model: log.to_owned(),
        json_data: encode(object, std::iter::empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::Marks;

    #[test]
    fn a_clock_that_was_wrong_for_a_while_makes_nothing_old() {
        let cases: [(&[(i64, i64)], i64); 5] = [
            (&[(3, 1_000), (9, 1_400)], 10),
            (&[(3, 1_000), (9, 1_600)], 4),
            // The clock was set back, ...
            (&[(3, 1_900), (9, 5)], 0),
            (&[(3, 1_000), (6, 1_700), (9, 5)], 4),
            // ... or far ahead.
            (&[(3, 9_999), (6, 1_000)], 7),
        ];
        for (milestones, newest) in cases {
            let milestones = milestones.iter().map(|(tick, at)| (*tick, *at, String::new()));
            let marks = Marks { milestones: milestones.collect(), ..Marks::default() };
            assert_eq!(marks.newest(2_000, 500), newest, "{marks:?}");
        }
    }
}
