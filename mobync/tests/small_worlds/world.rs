//! A server, a few devices, and the requests that are under way; one object with two fields.

use std::{collections::HashSet, rc::Rc};

use mobync::Diff;

use super::{
    convert,
    likeness::{Likeness, of_part, of_server},
    oracle::{Change, Entry, Fields, Kind, Objects, Oracle, device::Device},
    support::{T0, pure::PureServer},
};

/// All there is at one moment. Worlds share what is alike in them.
#[derive(Clone, Debug)]
pub struct World {
    pub server: Rc<Server>,
    pub parts: Vec<Part>,
    pub edits_left: usize,
    pub losses_left: usize,
    /// How many answers may be pages that end before the server's clock.
    pub pages_left: usize,
    /// How many edits there were: the next one's name.
    edits: usize,
    flaw: Flaw,
}

#[derive(Clone, Debug, Default)]
pub struct Server {
    merge: PureServer,
    /// The log, and the rows, in the oracle's types.
    pub log: Vec<Entry>,
    pub rows: Objects,
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
    /// The server's rows when it answered.
    pub rows: Objects,
}

/// What a device may do next, by itself or with the server.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    Edit(Kind, &'static [&'static str], i64),
    /// A request arrives, and its answer sets out. One that is under way is lost.
    Ask,
    /// The same, for as few entries as there can be.
    AskForPage,
    Hear,
}

/// A rule that is broken, to see whether the search finds out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// The server takes a device that sends a known diff for one that has seen that diff's tick.
    KnownIsSeen,
    /// The device forgets what it changed while its request was under way.
    ChangesInFlightAreForgotten,
    /// The server does not say a delete that something came behind.
    OldDeletesAreNotSaid,
    /// A page says that it ends a tick later than it does.
    PagesEndLate,
}

impl World {
    pub fn new(devices: usize, edits: usize, is_made: bool, flaw: Flaw) -> Self {
        let server = Server::of(PureServer::default(), Vec::new());
        let part = Part::of(Rc::default(), None, &server);
        let mut world = Self {
            server: Rc::new(server),
            parts: vec![part; devices],
            edits_left: 1,
            losses_left: 1,
            pages_left: 1,
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

    /// Whatever the device may do.
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
        let diffs: Vec<Diff> =
            sent.iter().map(|change| convert::diff(change, told.clock)).collect();
        let mut merge = self.server.merge.clone();
        let answer = merge.sync(told.clock + i64::from(has_seen), &diffs, |_| false);
        if !diffs.is_empty() {
            self.server = Rc::new(Server::of(merge, self.server.log.clone()));
        }
        let mut entries: Vec<Entry> = answer.diffs.iter().map(convert::entry).collect();
        if self.flaw == Flaw::OldDeletesAreNotSaid {
            let newest = self.server.clock() - 1;
            entries.retain(|entry| entry.kind != Kind::Delete || entry.tick == newest);
        }
        let rows = self.server.rows.clone();
        let flight = Flight { sent, clock: answer.clock, answer: entries, rows };
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
        let flight = Flight { sent: Vec::new(), clock, answer, rows };
        Part::of(Rc::clone(told), Some(flight.into()), &self.server)
    }

    fn hear(&mut self, device: usize) -> Part {
        let Part { told, flight, .. } = &self.parts[device];
        let Flight { sent, clock, answer, rows } = &**flight.as_ref().unwrap();
        let mut told = Device::clone(told);
        if self.flaw == Flaw::ChangesInFlightAreForgotten {
            told.pending.retain(|change| sent.contains(change));
        }
        told.receive(sent, *clock, answer, &[]);
        if told.pending.is_empty() {
            assert_eq!(told.objects, *rows, "the answer makes the device equal");
        }
        Part::of(told.into(), None, &self.server)
    }

    /// A device that has seen everything, and has nothing pending, is equal to the server. So where all
    /// is quiet, all are equal.
    pub fn check(&self, device: usize) {
        let Part { told, flight, .. } = &self.parts[device];
        if told.pending.is_empty() && flight.is_none() && told.clock == self.server.clock() {
            assert_eq!(told.objects, self.server.rows, "from {self:#?}");
        }
    }
}

impl Server {
    /// The server with these, whose log so far is given in the oracle's types.
    fn of(merge: PureServer, mut log: Vec<Entry>) -> Self {
        log.extend(merge.log[log.len()..].iter().map(convert::entry));
        let rows = merge.objects.iter();
        let rows =
            rows.map(|(key, record)| (key.clone(), convert::fields(record.clone()))).collect();
        let mut server = Self { merge, log, rows, likeness: Likeness::default() };
        server.check();
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

    /// The rows when the clock was that.
    fn rows_at(&self, clock: i64) -> Objects {
        self.oracle().past(clock).objects()
    }

    fn knows(&self, id: &str) -> bool {
        self.log.iter().any(|entry| entry.id.as_deref() == Some(id))
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

impl Part {
    fn of(told: Rc<Device>, flight: Option<Rc<Flight>>, server: &Server) -> Self {
        let likeness = of_part(&told, flight.as_deref(), server);
        Self { told, flight, likeness }
    }
}
