//! Every history there is of a few devices and one object with two fields, over the real merge.
//!
//! The devices are those of the protocol's text, which the simulator holds the real ones against.
//! Edits, requests and answers come in every order, with edits between a request and its answer, with
//! equal, later and earlier timestamps, and with one answer lost. A device that has heard an answer, and
//! has nothing pending, is equal to the server; and wherever all is quiet, all are equal. Quiet comes
//! from every state by requests and answers alone, so every state converges.
//!
//! `cargo test` enumerates the three smallest worlds; all twelve, up to four edits, take a while:
//!
//! ```text
//! SMALL_WORLDS=12 cargo test --release -p mobync --all-features --test small_worlds -- --nocapture
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(unreachable_pub, dead_code, reason = "the modules are shared with other tests")]

#[path = "simulator/convert.rs"]
mod convert;
mod oracle;
mod support;

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
};

use mobync::Diff;
use oracle::{Change, Entry, Fields, Kind, Objects, device::Device};
use support::{
    T0,
    pure::{PureAnswer, PureServer},
};

/// All there is at one moment.
#[derive(Clone, Debug)]
struct World {
    server: PureServer,
    devices: Vec<Device>,
    /// For each device the request that it waits for, and its answer.
    flights: Vec<Option<Flight>>,
    edits_left: usize,
    losses_left: usize,
    edits: usize,
}

#[derive(Clone, Debug)]
struct Flight {
    sent: Vec<Change>,
    answer: PureAnswer,
    rows: Objects,
}

/// What may happen next.
#[derive(Clone, Debug)]
enum Action {
    Edit(usize, Kind, &'static [&'static str], i64),
    /// A request arrives, and its answer sets out. One that is under way is lost.
    Ask(usize),
    Hear(usize),
}

impl World {
    fn new(devices: usize, edits: usize, is_made: bool) -> Self {
        let mut world = Self {
            server: PureServer::default(),
            devices: vec![Device::default(); devices],
            flights: vec![None; devices],
            edits_left: edits,
            losses_left: 1,
            edits: 0,
        };
        if is_made {
            world.edit(0, Kind::Create, &["a", "b"], 0);
            for device in 0..devices {
                world.ask(device);
                world.hear(device);
            }
        }
        world.edits_left = edits;
        world
    }

    fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for (device, told) in self.devices.iter().enumerate() {
            // Devices that nothing has happened to are all alike: the first of them acts.
            if device > 0 && *told == Device::default() && self.devices[device - 1] == *told {
                continue;
            }
            if self.edits_left > 0 {
                for at in [0, 1] {
                    if told.objects.is_empty() {
                        actions.push(Action::Edit(device, Kind::Create, &["a", "b"], at));
                    } else {
                        actions.push(Action::Edit(device, Kind::Update, &["a"], at));
                        actions.push(Action::Edit(device, Kind::Update, &["b"], at));
                        actions.push(Action::Edit(device, Kind::Delete, &[], at));
                    }
                }
            }
            let is_waiting = self.flights[device].is_some();
            if is_waiting {
                actions.push(Action::Hear(device));
            }
            let is_pointless = told.pending.is_empty() && told.clock == self.server.clock();
            if !is_pointless && (!is_waiting || self.losses_left > 0) {
                actions.push(Action::Ask(device));
            }
        }
        actions
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Edit(device, kind, fields, at) => self.edit(*device, *kind, fields, *at),
            Action::Ask(device) => self.ask(*device),
            Action::Hear(device) => self.hear(*device),
        }
    }

    fn edit(&mut self, device: usize, kind: Kind, fields: &[&str], at: i64) {
        self.edits += 1;
        self.edits_left = self.edits_left.saturating_sub(1);
        let value = self.edits;
        let fields: Fields =
            fields.iter().map(|field| ((*field).to_owned(), value.into())).collect();
        self.devices[device].record(Change {
            id: format!("d{value}"),
            at: T0 + at,
            kind,
            model: "tasks".to_owned(),
            object: "t1".to_owned(),
            fields,
        });
    }

    fn ask(&mut self, device: usize) {
        if self.flights[device].is_some() {
            self.losses_left -= 1;
        }
        let told = &mut self.devices[device];
        let sent = told.request(usize::MAX);
        let diffs: Vec<Diff> =
            sent.iter().map(|change| convert::diff(change, told.clock)).collect();
        let answer = self.server.sync(told.clock, &diffs, |_| false);
        self.flights[device] = Some(Flight { sent, answer, rows: self.rows() });
    }

    fn hear(&mut self, device: usize) {
        let Some(Flight { sent, answer, rows }) = self.flights[device].take() else { return };
        let entries: Vec<Entry> = answer.diffs.iter().map(convert::entry).collect();
        let told = &mut self.devices[device];
        told.receive(&sent, answer.clock, &entries, &[]);
        if told.pending.is_empty() {
            assert_eq!(told.objects, rows, "the answer makes the device equal");
        }
    }

    fn rows(&self) -> Objects {
        let rows = self.server.objects.iter();
        rows.map(|(key, record)| (key.clone(), convert::fields(record.clone()))).collect()
    }

    fn is_quiet(&self) -> bool {
        let clock = self.server.clock();
        let is_quiet = |device: &Device| device.pending.is_empty() && device.clock == clock;
        self.devices.iter().all(is_quiet) && self.flights.iter().all(Option::is_none)
    }

    fn check(&self) {
        let log = &self.server.log;
        let ids: HashSet<&str> = log.iter().map(|entry| &*entry.id).collect();
        assert_eq!(ids.len(), log.len(), "no diff is in the log twice");
        let ticks: HashSet<i64> = log.iter().map(|entry| entry.logical_clock).collect();
        assert_eq!(i64::try_from(ticks.len()).unwrap(), self.server.clock(), "no tick is left out");
        if self.is_quiet() {
            let rows = self.rows();
            for device in &self.devices {
                assert_eq!(device.objects, rows, "from {self:#?}");
            }
        }
    }

    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        format!("{self:?}").hash(&mut hasher);
        hasher.finish()
    }
}

/// Visits every world that can come of this one, and returns how many.
fn explore(world: World) -> usize {
    let mut seen = HashSet::from([world.fingerprint()]);
    let mut open = vec![world];
    while let Some(world) = open.pop() {
        world.check();
        for action in world.actions() {
            let mut next = world.clone();
            next.act(&action);
            if seen.insert(next.fingerprint()) {
                open.push(next);
            }
        }
    }
    seen.len()
}

/// How many devices and edits there are, and whether all devices have the object from the beginning;
/// the smaller worlds first.
const WORLDS: [(usize, usize, bool); 12] = [
    (2, 2, false),
    (2, 2, true),
    (3, 2, false),
    (2, 3, false),
    (3, 2, true),
    (2, 3, true),
    (3, 3, false),
    (2, 4, false),
    (3, 3, true),
    (2, 4, true),
    (3, 4, false),
    (3, 4, true),
];

#[test]
fn every_history_of_a_small_world_converges() {
    let count = std::env::var("SMALL_WORLDS").map_or(3, |count| count.parse().unwrap());
    for (devices, edits, is_made) in WORLDS.into_iter().take(count) {
        let states = explore(World::new(devices, edits, is_made));
        let object = if is_made { "all have" } else { "nobody has" };
        eprintln!("{devices} devices, {edits} edits of what {object}: {states} states converge");
        assert!(states > 1000, "a world in which nothing happens");
    }
}
