//! One object in one request: sections "How changes merge" to "What goes back" of the protocol.

use super::replay::{self, Life, alive, lives, open_apart};
use super::{Change, Entry, Fields, Key, Kind, Lost, Reject};
use std::collections::{BTreeMap, BTreeSet};

/// The part of a request that concerns one object.
pub struct Request<'a> {
    /// The device's clock, `k` in the text.
    pub clock: i64,
    /// The tick of new diffs.
    pub tick: i64,
    /// The greatest tick after this request, N - 1 in the text.
    pub last_tick: i64,
    pub now: i64,
    pub drift: i64,
    /// The ids of all the request's diffs, known and new.
    pub ids: &'a BTreeSet<String>,
    /// The ticks that diffs of the request have in the log, for any object.
    pub own_ticks: BTreeSet<i64>,
    /// The ids of those that are refused.
    pub refused: BTreeSet<String>,
    /// The known diffs of this object, as sent.
    pub known: Vec<&'a Change>,
    /// The new diffs of this object, in the order sent.
    pub new: Vec<&'a Change>,
    /// The server's log entries for the side effects of their writes.
    pub set_off: Vec<Entry>,
    pub columns: Vec<String>,
    pub reject: &'a Reject<'a>,
}

/// The result of the merge.
pub struct Merged {
    /// The object's log with the new entries at its end.
    pub log: Vec<Entry>,
    /// What goes back.
    pub back: Vec<Entry>,
    pub idle: usize,
    /// Id and code of the diffs that the database refused.
    pub rejected: Vec<(String, &'static str)>,
    /// The values that others have overridden.
    pub overridden: Vec<Lost>,
}

/// The object while the request's diffs are applied one by one.
struct Work<'a> {
    request: Request<'a>,
    key: Key,
    log: Vec<Entry>,
    /// The life that the device holds, named by the place of the entry that began it.
    holds: Option<usize>,
    /// The greatest timestamp among the request's diffs so far.
    latest: Option<i64>,
    idle: usize,
    rejected: Vec<(String, &'static str)>,
}

impl Request<'_> {
    /// Applies the request's diffs of one object, whose log so far is given.
    pub fn merge(mut self, key: Key, log: Vec<Entry>) -> Merged {
        self.known.sort_by_key(|change| log.iter().position(|e| e.id.as_ref() == Some(&change.id)));
        let mut work = Work {
            request: self,
            key,
            log,
            holds: None,
            latest: None,
            idle: 0,
            rejected: Vec::new(),
        };
        work.hold_the_past();
        let new = work.first_create();
        for (position, change) in new.iter().enumerate() {
            work.apply(change, &new[position + 1..]);
        }
        let set_off = std::mem::take(&mut work.request.set_off);
        work.log.extend(set_off);
        let back = work.back();
        let overridden = work.overridden(&new);
        Merged { log: work.log, back, idle: work.idle, rejected: work.rejected, overridden }
    }
}

impl<'a> Work<'a> {
    /// *First create*: if the device holds nothing and nothing is alive, new updates before the first new
    /// create, with no delete before it, move directly after it.
    fn first_create(&mut self) -> Vec<&'a Change> {
        let new = &mut self.request.new;
        let create = new.iter().position(|change| change.kind == Kind::Create);
        let is_nowhere = self.holds.is_none() && alive(&lives(&self.log)).is_none();
        if let Some(create) = create.filter(|_| is_nowhere)
            && new[..create].iter().all(|change| change.kind == Kind::Update)
        {
            new[..=create].rotate_right(1);
        }
        new.clone()
    }

    /// What the device holds before its new diffs, and the timestamps of its known ones.
    fn hold_the_past(&mut self) {
        let seen: Vec<Entry> =
            self.log.iter().filter(|entry| entry.tick < self.request.clock).cloned().collect();
        self.holds = alive(&lives(&seen)).map(|life| life.began);

        for change in self.request.known.clone() {
            let place = self.place(&change.id).expect("a known diff is in the log");
            match change.kind {
                Kind::Create if self.holds.is_none() => {
                    let behind = lives(&self.log[..=place]);
                    let began = behind.iter().find(|life| life.began == place);
                    self.holds = began.or(alive(&behind)).map(|life| life.began);
                }
                Kind::Delete => self.holds = None,
                Kind::Create | Kind::Update => {}
            }
            self.latest = self.latest.max(Some(self.log[place].at));
            // A refused create is directly followed by the server's delete. The log does not say whose delete
            // it is.
            let refused = &self.log[place];
            if let Some(next) = self.log.get(place + 1)
                && (refused.kind, next.kind) == (Kind::Create, Kind::Delete)
                && refused.fields.is_empty()
                && (next.tick, next.at) == (refused.tick, refused.at + 1)
            {
                self.latest = self.latest.max(Some(next.at));
            }
        }
    }

    /// Applies one new diff; `rest` are the new ones after it.
    fn apply(&mut self, change: &Change, rest: &[&Change]) {
        if self.request.refused.contains(&change.id) {
            self.refuse(change);
            return;
        }

        let lives = lives(&self.log);
        let alive = alive(&lives);
        let held = self.holds.map(|began| life(&lives, began));
        let receipt = (Kind::Update, Fields::new());

        // The entry that is logged, or the receipt of a diff whose object does not exist.
        let logged = if open_apart(&lives).is_some() {
            match change.kind {
                Kind::Create | Kind::Update => Some((Kind::Update, change.fields.clone())),
                Kind::Delete => Some((Kind::Delete, Fields::new())),
            }
        } else {
            match (change.kind, held, alive) {
                (_, Some(held), _) if held.ended.is_some() => None,
                (Kind::Create, None, None) => Some((Kind::Create, change.fields.clone())),
                (Kind::Create, None, Some(_)) if self.delete_follows(rest) => {
                    Some((Kind::Create, change.fields.clone()))
                }
                (Kind::Create | Kind::Update, _, Some(life)) => {
                    Some((Kind::Update, self.meet(change, life)))
                }
                (Kind::Update, None, None) => None,
                (Kind::Delete, Some(_), _) => Some((Kind::Delete, Fields::new())),
                (Kind::Delete, None, _) => None,
                (_, Some(_), None) => {
                    unreachable!("a held life that has not ended is the one alive")
                }
            }
        };

        // The part that is written to the database: nothing of a life apart, and nothing if no field is left.
        let is_written = |(kind, fields): &&(Kind, Fields)| {
            let apart = open_apart(&lives).is_some() || *kind == Kind::Create && alive.is_some();
            !apart && (*kind != Kind::Update || !fields.is_empty())
        };
        if let Some((kind, fields)) = logged.as_ref().filter(is_written)
            && let Some(code) = (self.request.reject)(*kind, &self.key, fields)
        {
            self.rejected.push((change.id.clone(), code));
            self.refuse(change);
            return;
        }

        // What the device holds afterwards.
        match change.kind {
            Kind::Create if held.is_none() => {
                let begins = matches!(logged, Some((Kind::Create, _)));
                let last = open_apart(&lives).or(alive).map(|life| life.began);
                self.holds = if begins { Some(self.log.len()) } else { last };
            }
            Kind::Delete => self.holds = None,
            Kind::Create | Kind::Update => {}
        }

        self.idle += usize::from(logged.is_none());
        let (kind, fields) = logged.unwrap_or(receipt);
        let at = self.time(change);
        self.append(Some(change.id.clone()), at, kind, fields);
    }

    /// A refused diff has no effect, but what it did on the device is recorded.
    fn refuse(&mut self, change: &Change) {
        let at = self.time(change);
        let id = Some(change.id.clone());
        let in_one_apart = open_apart(&lives(&self.log)).is_some();
        if change.kind == Kind::Create && self.holds.is_none() && !in_one_apart {
            self.holds = Some(self.log.len());
            self.append(id, at, Kind::Create, Fields::new());
            self.append(None, at + 1, Kind::Delete, Fields::new());
        } else {
            self.append(id, at, Kind::Update, Fields::new());
        }
        if change.kind == Kind::Delete {
            self.holds = None;
        }
    }

    /// The fields that the diff takes.
    fn meet(&self, change: &Change, life: &Life) -> Fields {
        let at = self.time(change);
        let loses = |name: &String| {
            life.fields
                .get(name)
                .is_some_and(|stands| self.is_unseen(stands.by) && self.log[stands.by].at > at)
        };
        change
            .fields
            .iter()
            .filter(|(name, _)| !loses(name))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect()
    }

    /// The timestamp that counts for a new diff and is stored.
    fn time(&self, change: &Change) -> i64 {
        let too_late = change.at > self.request.now.saturating_add(self.request.drift);
        let at = if too_late { self.request.now } else { change.at };
        self.latest.map_or(at, |latest| at.max(latest + 1))
    }

    fn append(&mut self, id: Option<String>, at: i64, kind: Kind, fields: Fields) {
        let (model, object) = self.key.clone();
        self.latest = self.latest.max(Some(at));
        self.log.push(Entry { id, tick: self.request.tick, at, kind, model, object, fields });
    }

    /// What goes back.
    fn back(&self) -> Vec<Entry> {
        let lives = lives(&self.log);
        let alive = alive(&lives);
        match self.holds.map(|began| life(&lives, began)) {
            None => alive.map(|life| self.create(life)).into_iter().collect(),
            Some(held) => match held.ended {
                Some(ended) => {
                    let delete = self.returned(Some(ended), Kind::Delete, Fields::new());
                    let mut create = alive.map(|life| self.create(life));
                    if let Some(create) = &mut create
                        && (create.tick, create.at) <= (delete.tick, delete.at)
                    {
                        create.tick = delete.tick;
                        create.at = delete.at + 1;
                    }
                    [delete].into_iter().chain(create).collect()
                }
                None => self.update(held).into_iter().collect(),
            },
        }
    }

    fn create(&self, life: &Life) -> Entry {
        let mut fields = life.values();
        if self.log[life.began].tick < self.request.clock {
            for column in &self.request.columns {
                fields.entry(column.clone()).or_default();
            }
        }
        self.returned(Some(life.began), Kind::Create, fields)
    }

    /// "What others have overridden": `new` are the new diffs in the order in which they took effect.
    fn overridden(&self, new: &[&Change]) -> Vec<Lost> {
        let mut diffs = self.request.known.clone();
        diffs.extend(new);
        let delete = diffs.iter().rposition(|change| change.kind == Kind::Delete);
        let mut last: BTreeMap<&String, &Change> = BTreeMap::new();
        for change in &diffs[delete.map_or(0, |place| place + 1)..] {
            last.extend(change.fields.keys().map(|name| (name, *change)));
        }

        let is_of_others = |place: usize| {
            self.is_unseen(place) && !self.request.own_ticks.contains(&self.log[place].tick)
        };
        let is_refused = |change: &Change| {
            let rejected = self.rejected.iter().any(|(id, _)| *id == change.id);
            rejected || self.request.refused.contains(&change.id)
        };
        let lives = lives(&self.log);
        let ended = self.holds.and_then(|began| life(&lives, began).ended);
        let mut lost = Vec::new();
        for (name, change) in last.into_iter().filter(|(_, change)| !is_refused(change)) {
            let place = self.place(&change.id).expect("every diff is in the log");
            let sent = &change.fields[name];
            if self.log[place].fields.contains_key(name) {
                continue;
            }
            let won = match ended {
                Some(end) => (end < place && is_of_others(end)).then_some((None, end)),
                None => alive(&lives).and_then(|now| {
                    let stands = now.fields.get(name)?;
                    let then = replay::lives(&self.log[..place]);
                    let met = alive(&then)?.fields.get(name)?.by;
                    let has_lost = self.is_unseen(met) && self.log[met].at > self.log[place].at;
                    let is_other = stands.value != *sent && is_of_others(stands.by);
                    (has_lost && is_other).then_some((Some(stands.value.clone()), stands.by))
                }),
            };
            if let Some((stands, by)) = won {
                lost.push(Lost {
                    diff_id: change.id.clone(),
                    key: self.key.clone(),
                    field: name.clone(),
                    sent: sent.clone(),
                    stands,
                    by: self.log[by].id.clone(),
                });
            }
        }
        lost
    }

    /// What the device lacks of the life that it holds, which is alive.
    fn update(&self, life: &Life) -> Option<Entry> {
        let mut diffs = self.request.known.clone();
        diffs.extend(&self.request.new);
        let delete = diffs.iter().rposition(|change| change.kind == Kind::Delete);
        let counting = &diffs[delete.map_or(0, |place| place + 1)..];

        let mut names: BTreeSet<&String> = BTreeSet::new();
        for (name, written) in &life.fields {
            let named = counting.iter().any(|change| change.fields.contains_key(name));
            if self.is_unseen(written.by) || delete.is_some() && !named {
                names.insert(name);
            }
        }
        for change in counting {
            for name in change.fields.keys() {
                let last = counting
                    .iter()
                    .rfind(|other| other.fields.contains_key(name))
                    .expect("this one");
                let place = self.place(&last.id).expect("every diff is in the log");
                let took = self.log[place].fields.contains_key(name);
                let stands = life.fields.get(name).is_some_and(|written| written.by == place);
                let is_old = self.log[place].tick < self.request.clock;
                if !took || is_old && !stands {
                    names.insert(name);
                }
            }
        }
        if names.is_empty() {
            return None;
        }

        let value = |name: &String| {
            life.fields.get(name).map(|written| written.value.clone()).unwrap_or_default()
        };
        let fields: Fields = names.iter().map(|name| ((*name).clone(), value(name))).collect();
        let wrote_one =
            |place: &&usize| self.log[**place].fields.keys().any(|name| names.contains(name));
        let writer = life.writers.iter().filter(|place| self.is_unseen(**place)).rfind(wrote_one);
        Some(self.returned(writer.copied(), Kind::Update, fields))
    }

    /// A diff of the answer with the id, tick and timestamp of an entry, or with those of the server's own.
    fn returned(&self, place: Option<usize>, kind: Kind, fields: Fields) -> Entry {
        let (model, object) = self.key.clone();
        let (id, tick, at) = match place.map(|place| &self.log[place]) {
            Some(entry) if entry.tick >= self.request.clock && !self.is_own(entry) => {
                (entry.id.clone(), entry.tick, entry.at)
            }
            _ => (None, self.request.last_tick, self.request.now),
        };
        Entry { id, tick, at, kind, model, object, fields }
    }

    fn delete_follows(&self, rest: &[&Change]) -> bool {
        rest.iter()
            .any(|change| change.kind == Kind::Delete && !self.request.refused.contains(&change.id))
    }

    /// Whether it is one of the request's own diffs, known or new.
    fn is_own(&self, entry: &Entry) -> bool {
        entry.id.as_ref().is_some_and(|id| self.request.ids.contains(id))
    }

    fn is_unseen(&self, place: usize) -> bool {
        let entry = &self.log[place];
        entry.tick >= self.request.clock && !self.is_own(entry)
    }

    fn place(&self, id: &str) -> Option<usize> {
        self.log.iter().position(|entry| entry.id.as_deref() == Some(id))
    }
}

fn life(lives: &[Life], began: usize) -> &Life {
    lives.iter().find(|life| life.began == began).expect("a held life is in the log")
}
