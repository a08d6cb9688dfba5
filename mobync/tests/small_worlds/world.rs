//! A server, a few devices, and the requests that are under way; one object with two fields.

use std::{collections::HashSet, rc::Rc};

use mobync::Diff;

use super::{
    convert,
    likeness::{Likeness, of_part, of_server},
    oracle::{Change, Entry, Fields, Key, Kind, Objects, Oracle, device::Device, retention::thin},
    support::{T0, pure::PureServer},
};

/// The complete state at one moment. Worlds share the parts that are equal.
#[derive(Clone, Debug)]
pub struct World {
    pub server: Rc<Server>,
    pub parts: Vec<Part>,
    pub edits_left: usize,
    pub losses_left: usize,
    /// How many answers may be pages that end before the server's clock.
    pub pages_left: usize,
    /// How often the log may still be compacted.
    pub compactions_left: usize,
    /// The number of edits so far: the name of the next one.
    edits: usize,
    flaw: Flaw,
}

#[derive(Clone, Debug, Default)]
pub struct Server {
    /// Its log is thinned.
    merge: PureServer,
    /// The whole log, and the rows, in the oracle's types.
    pub log: Vec<Entry>,
    pub rows: Objects,
    /// The horizon, and the tick below which ids are forgotten.
    pub horizon: i64,
    pub forgotten: i64,
    pub likeness: Likeness,
}

/// A device, and the request that it waits for.
#[derive(Clone, Debug)]
pub struct Part {
    pub told: Rc<Device>,
    pub flight: Option<Rc<Flight>>,
    pub likeness: Likeness,
}

#[derive(Clone, Debug)]
pub struct Flight {
    pub sent: Vec<Change>,
    pub clock: i64,
    pub answer: Vec<Entry>,
    /// The answer is a 410, with or without `forgotten`.
    pub too_old: Option<bool>,
    /// The server's rows when it answered.
    pub rows: Objects,
}

/// What a device may do next, by itself or with the server.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    Edit(Kind, &'static [&'static str], i64),
    /// A request arrives, and its answer is sent. One that is under way is lost.
    Ask,
    /// The same, for a page with as few entries as possible.
    AskForPage,
    Hear,
}

/// A rule that is broken, to check that the search detects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// The server treats a device that sends a known diff as one that has seen that diff's tick.
    KnownIsSeen,
    /// The device forgets what it changed while its request was under way.
    ChangesInFlightAreForgotten,
    /// The server omits a delete that was followed by something.
    OldDeletesAreNotSaid,
    /// A page claims to end a tick later than it does.
    PagesEndLate,
    /// Devices that have not seen the last tick but one below the horizon get an answer.
    HorizonIsTooLow,
    /// The server forgets the ids of lives that have just ended.
    IdsAreForgottenAtOnce,
}

impl World {
    pub fn new(devices: usize, edits: usize, is_made: bool, flaw: Flaw) -> Self {
        let server = Server::default().with(PureServer::default());
        let part = Part::of(Rc::default(), None, &server);
        let mut world = Self {
            server: Rc::new(server),
            parts: vec![part; devices],
            edits_left: 1,
            losses_left: 1,
            pages_left: 1,
            compactions_left: 0,
            edits: 0,
            flaw: Flaw::None,
        };
        if is_made {
            world.act(0, Action::Edit(Kind::Create, &["a", "b"], 0));
            for device in 0..devices {
                world.act(device, Action::Ask);
                world.act(device, Action::Hear);
            }
        }
        world.edits_left = edits;
        world.flaw = flaw;
        world
    }

    /// Everything that the device may do.
    pub fn actions(&self, device: usize) -> Vec<Action> {
        let Part { told, flight, .. } = &self.parts[device];
        let mut actions = Vec::new();
        if self.edits_left > 0 {
            for at in [0, 1] {
                if told.objects.is_empty() {
                    actions.push(Action::Edit(Kind::Create, &["a", "b"], at));
                } else {
                    actions.push(Action::Edit(Kind::Update, &["a"], at));
                    actions.push(Action::Edit(Kind::Update, &["b"], at));
                    actions.push(Action::Edit(Kind::Delete, &[], at));
                }
            }
        }
        if flight.is_some() {
            actions.push(Action::Hear);
        }
        let is_pointless = told.pending.is_empty() && told.clock == self.server.clock();
        if !is_pointless && (flight.is_none() || self.losses_left > 0) {
            actions.push(Action::Ask);
            let is_behind = told.clock + 1 < self.server.clock();
            if is_behind && told.pending.is_empty() && self.pages_left > 0 {
                actions.push(Action::AskForPage);
            }
        }
        actions
    }

    pub fn act(&mut self, device: usize, action: Action) {
        let part = match action {
            Action::Edit(kind, fields, at) => self.edit(device, kind, fields, at),
            Action::Ask => self.ask(device),
            Action::AskForPage => self.ask_for_page(device),
            Action::Hear => self.hear(device),
        };
        self.parts[device] = part;
    }

    /// The same world with its log compacted, in each possible way.
    pub fn compactions(&self) -> Vec<Self> {
        let clock = self.server.clock();
        if self.compactions_left == 0 || clock == 0 {
            return Vec::new();
        }
        let horizons = (1..=clock).flat_map(|horizon| [(horizon, 0), (horizon, horizon - 1)]);
        let may = |(_, forgotten): &(i64, i64)| {
            // A diff that a device without any answer yet repeats must be known.
            let of_long_ago = |id: &String| {
                let entry = self.server.log.iter().find(|entry| entry.id.as_ref() == Some(id));
                entry.is_some_and(|entry| entry.tick < *forgotten)
            };
            let repeats =
                |part: &Part| part.told.clock == 0 && part.told.sent.iter().any(of_long_ago);
            !self.parts.iter().any(repeats)
        };
        let compacted = |(horizon, forgotten)| {
            let gone =
                if self.flaw == Flaw::IdsAreForgottenAtOnce { horizon - 1 } else { forgotten };
            let mut next = self.clone();
            next.compactions_left -= 1;
            next.server = Rc::new(self.server.compacted(horizon, gone));
            let parts = next.parts.iter();
            let parts = parts.map(|it| Part::of(it.told.clone(), it.flight.clone(), &next.server));
            next.parts = parts.collect();
            next
        };
        let mut horizons: Vec<(i64, i64)> = horizons.filter(may).collect();
        horizons.dedup();
        horizons.into_iter().map(compacted).collect()
    }

    fn edit(&mut self, device: usize, kind: Kind, fields: &[&str], at: i64) -> Part {
        self.edits += 1;
        self.edits_left -= 1;
        let value = self.edits;
        let fields: Fields =
            fields.iter().map(|field| ((*field).to_owned(), value.into())).collect();
        let Part { told, flight, .. } = &self.parts[device];
        let mut told = Device::clone(told);
        told.record(Change {
            id: format!("d{value}"),
            at: T0 + at,
            kind,
            model: "tasks".to_owned(),
            object: "t1".to_owned(),
            fields,
        });
        Part::of(told.into(), flight.clone(), &self.server)
    }

    fn ask(&mut self, device: usize) -> Part {
        let Part { told, flight, .. } = &self.parts[device];
        if flight.is_some() {
            self.losses_left -= 1;
        }
        let mut told = Device::clone(told);
        let sent = told.request(usize::MAX);
        let is_known = sent.iter().any(|change| self.server.knows(&change.id));
        let has_seen = self.flaw == Flaw::KnownIsSeen && is_known;
        let lowest = self.server.horizon - 2 * i64::from(self.flaw == Flaw::HorizonIsTooLow);
        if 0 < told.clock && told.clock < lowest {
            let too_old = Some(told.clock < self.server.forgotten);
            let rows = self.server.rows.clone();
            let flight = Flight { sent, clock: 0, answer: Vec::new(), too_old, rows };
            return Part::of(told.into(), Some(flight.into()), &self.server);
        }
        let diffs: Vec<Diff> =
            sent.iter().map(|change| convert::diff(change, told.clock)).collect();
        let mut merge = self.server.merge.clone();
        let answer = merge.sync(told.clock + i64::from(has_seen), &diffs, |_| false);
        if !diffs.is_empty() {
            self.server = Rc::new(self.server.with(merge));
        }
        let mut entries: Vec<Entry> = answer.diffs.iter().map(convert::entry).collect();
        if self.flaw == Flaw::OldDeletesAreNotSaid {
            let newest = self.server.clock() - 1;
            entries.retain(|entry| entry.kind != Kind::Delete || entry.tick == newest);
        }
        let rows = self.server.rows.clone();
        let flight = Flight { sent, clock: answer.clock, answer: entries, too_old: None, rows };
        Part::of(told.into(), Some(flight.into()), &self.server)
    }

    fn ask_for_page(&mut self, device: usize) -> Part {
        let Part { told, flight, .. } = &self.parts[device];
        if flight.is_some() {
            self.losses_left -= 1;
        }
        self.pages_left -= 1;
        let answer = self.server.merge.page(told.clock, 1);
        assert_eq!(answer.clock, self.server.page_end(told.clock), "one tick");
        let clock = answer.clock + i64::from(self.flaw == Flaw::PagesEndLate);
        let rows = self.server.rows_at(answer.clock);
        let answer = answer.diffs.iter().map(convert::entry).collect();
        let flight = Flight { sent: Vec::new(), clock, answer, too_old: None, rows };
        Part::of(Rc::clone(told), Some(flight.into()), &self.server)
    }

    fn hear(&mut self, device: usize) -> Part {
        let Part { told, flight, .. } = &self.parts[device];
        let Flight { sent, clock, answer, too_old, rows } = &**flight.as_ref().unwrap();
        let mut told = Device::clone(told);
        if let Some(forgotten) = too_old {
            if *forgotten {
                set_aside(&mut told);
            }
            told.too_old();
            return Part::of(told.into(), None, &self.server);
        }
        if self.flaw == Flaw::ChangesInFlightAreForgotten {
            told.pending.retain(|change| sent.contains(change));
        }
        told.receive(sent, (*clock, false), answer, &[]);
        let again = std::mem::take(&mut told.waiting);
        let is_left = |key: &Key| told.pending.iter().any(|change| change.key() == *key);
        let is_back = |key: &Key| {
            let last = answer.iter().rfind(|entry| entry.key() == *key);
            last.is_some_and(|entry| entry.kind == Kind::Create) && !is_left(key)
        };
        // There is only one object.
        if let Some(key) = again.into_iter().find(is_back) {
            // It has its own name, as an edit has.
            self.edits += 1;
            let id = format!("d{}", self.edits);
            let (model, object) = key;
            let fields = Fields::new();
            told.record(Change { id, at: T0 + 1, kind: Kind::Delete, model, object, fields });
        }
        if told.pending.is_empty() {
            assert_eq!(told.objects, *rows, "the answer makes the device equal");
        }
        Part::of(told.into(), None, &self.server)
    }

    /// A device that has seen everything, and has nothing pending, is equal to the server. So if all is
    /// quiet, all are equal.
    pub fn check(&self, device: usize) {
        let Part { told, flight, .. } = &self.parts[device];
        if told.pending.is_empty() && flight.is_none() && told.clock == self.server.clock() {
            assert_eq!(told.objects, self.server.rows, "from {self:#?}");
        }
    }
}

impl Server {
    /// The server with this merge, whose log so far is given in the oracle's types.
    fn with(&self, merge: PureServer) -> Self {
        let mut log = self.log.clone();
        log.extend(merge.log[self.merge.log.len()..].iter().map(convert::entry));
        let rows = merge.objects.iter();
        let rows =
            rows.map(|(key, record)| (key.clone(), convert::fields(record.clone()))).collect();
        let Self { horizon, forgotten, .. } = *self;
        let mut server =
            Self { merge, log, rows, horizon, forgotten, likeness: Likeness::default() };
        server.check();
        server.likeness = of_server(&server);
        server
    }

    /// The same with its log thinned, as the text requires, with everything above the horizon.
    fn compacted(&self, horizon: i64, forgotten: i64) -> Self {
        let thinned = thin(&self.log, (horizon, forgotten));
        let mut merge = self.merge.clone();
        merge.log.retain_mut(|diff| {
            let entry = thinned.iter().find(|entry| entry.id.as_ref() == Some(&diff.id));
            if let Some(entry) = entry {
                let (id, fields) = (&entry.object, entry.fields.clone());
                diff.json_data = serde_json::Value::from(convert::record(id, &fields)).to_string();
            }
            entry.is_some()
        });
        let mut server = Self { merge, horizon, forgotten, ..self.clone() };
        server.likeness = of_server(&server);
        server
    }

    pub fn clock(&self) -> i64 {
        self.log.last().map_or(0, |last| last.tick + 1)
    }

    /// The log, as the text reads it.
    fn oracle(&self) -> Oracle {
        let mut oracle = Oracle::default();
        oracle.adopt(self.log.iter().cloned());
        oracle
    }

    fn page_end(&self, clock: i64) -> i64 {
        self.oracle().page_end(clock, 1)
    }

    /// The rows when the clock had that value.
    fn rows_at(&self, clock: i64) -> Objects {
        self.oracle().past(clock).objects()
    }

    fn knows(&self, id: &str) -> bool {
        self.merge.log.iter().any(|entry| entry.id == id)
    }

    fn check(&self) {
        let ids: HashSet<_> = self.log.iter().map(|entry| &entry.id).collect();
        assert_eq!(ids.len(), self.log.len(), "no diff is in the log twice");
        let ticks: HashSet<i64> = self.log.iter().map(|entry| entry.tick).collect();
        assert_eq!(i64::try_from(ticks.len()).unwrap(), self.clock(), "no tick is left out");
        let place = |entry: &Entry| (entry.tick, entry.at);
        assert!(
            self.log.is_sorted_by(|left, right| place(left) < place(right)),
            "the log of one object has its order without the ids"
        );
    }
}

/// Changes that were in a request without an answer are left to the person, with those that depend on them.
fn set_aside(told: &mut Device) {
    // There is only one object.
    let last = told.pending.iter().rposition(|change| told.sent.contains(&change.id));
    if last.is_some() {
        told.pending.clear();
        told.sent.clear();
    }
}

impl Part {
    fn of(told: Rc<Device>, flight: Option<Rc<Flight>>, server: &Server) -> Self {
        let likeness = of_part(&told, flight.as_deref(), server);
        Self { told, flight, likeness }
    }
}
