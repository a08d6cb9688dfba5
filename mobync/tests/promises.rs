//! The promises of the protocol, *Converge*, *Nothing lost*, *Exactly once* and *Cut anywhere*, over the pure
//! merge, for arbitrary histories.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::{BTreeMap, HashSet};

use mobync::{Diff, Operation, Record};
use proptest::{prelude::*, sample::Index};
use serde_json::{Map, Value, json};
use support::{
    Device, T0,
    pure::{Objects, PureAnswer, PureServer},
};

/// What a device records next; of an object that is there an update or a delete, else a create.
#[derive(Clone, Debug)]
struct Edit {
    object: u8,
    delete: bool,
    fields: BTreeMap<u8, u8>,
    at: i64,
    refused: bool,
}

#[derive(Clone, Debug)]
enum Event {
    Edit(Edit),
    Sync(Network),
}

#[derive(Clone, Copy, Debug)]
enum Network {
    Fine,
    RequestLost,
    AnswerLost,
    /// The request arrives twice; the device hears the second answer.
    Twice,
    /// A request of long ago arrives once more, then this one.
    Late(usize),
}

fn moment() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0..6_i64,
        1 => -1000..1000_i64,
        1 => Just(1_000_000_000),
    ]
}

fn edit(refusals: f64) -> impl Strategy<Value = Edit> {
    let fields = prop::collection::btree_map(0..3_u8, 0..5_u8, 0..3);
    (0..2_u8, prop::bool::weighted(0.3), fields, moment(), prop::bool::weighted(refusals)).prop_map(
        |(object, delete, fields, at, refused)| Edit { object, delete, fields, at, refused },
    )
}

fn event(refusals: f64) -> impl Strategy<Value = Event> {
    let network = prop_oneof![
        4 => Just(Network::Fine),
        1 => Just(Network::RequestLost),
        2 => Just(Network::AnswerLost),
        1 => Just(Network::Twice),
        1 => any::<Index>().prop_map(|index| Network::Late(index.index(1000))),
    ];
    prop_oneof![3 => edit(refusals).prop_map(Event::Edit), 2 => network.prop_map(Event::Sync)]
}

fn history(refusals: f64) -> impl Strategy<Value = Vec<(usize, Event)>> {
    prop::collection::vec((0..3_usize, event(refusals)), 1..40)
}

fn refuse(diff: &Diff) -> bool {
    diff.id.starts_with("refused")
}

/// A client: what it has, what it has not yet sent, and the clock of its last sync.
#[derive(Clone, Debug, Default)]
struct Client {
    name: usize,
    clock: i64,
    device: Device,
    pending: Vec<Diff>,
    recorded: usize,
    requests: Vec<(i64, Vec<Diff>)>,
}

impl Client {
    fn record(&mut self, edit: &Edit) {
        let object = format!("t{}", edit.object);
        let fields: Map<String, Value> =
            edit.fields.iter().map(|(name, value)| (format!("f{name}"), json!(value))).collect();
        let there = self.device.has(&object);
        let change = match (there, edit.delete) {
            (false, _) => support::create(&object, Value::Object(fields)),
            (true, false) => support::update(&object, Value::Object(fields)),
            (true, true) => support::delete(&object),
        };
        self.recorded += 1;
        let kind = if edit.refused { "refused" } else { "d" };
        let id = format!("{kind}-{}-{}", self.name, self.recorded);
        let diff = change.at(edit.at).id(&id).0;
        self.device.apply(std::slice::from_ref(&diff));
        self.pending.push(diff);
    }

    fn sync(&mut self, server: &mut PureServer, network: Network) {
        let request = (self.clock, self.pending.clone());
        self.requests.push(request.clone());
        let answer = match network {
            Network::RequestLost => return,
            Network::Fine => server.sync(request.0, &request.1, refuse),
            Network::AnswerLost => {
                server.sync(request.0, &request.1, refuse);
                return;
            }
            Network::Twice => {
                server.sync(request.0, &request.1, refuse);
                server.sync(request.0, &request.1, refuse)
            }
            Network::Late(which) => {
                let late = self.requests[which % self.requests.len()].clone();
                server.sync(late.0, &late.1, refuse);
                server.sync(request.0, &request.1, refuse)
            }
        };
        self.receive(&answer);
        assert_eq!(self.device.rows(), rows(server), "the answer makes the device equal");
    }

    fn receive(&mut self, answer: &PureAnswer) {
        self.device.apply(&answer.diffs);
        self.pending.clear();
        self.clock = answer.clock;
    }
}

/// The server's objects, as a device prints its own.
fn rows(server: &PureServer) -> Vec<String> {
    let mut device = Device::default();
    for ((_, id), record) in &server.objects {
        device.apply(&[support::create(id, Value::Object(record.fields().clone())).0]);
    }
    device.rows()
}

fn play(history: &[(usize, Event)]) -> (PureServer, Vec<Client>) {
    let mut server = PureServer::default();
    let mut clients: Vec<Client> =
        (0..3).map(|name| Client { name, ..Client::default() }).collect();
    for (client, event) in history {
        match event {
            Event::Edit(edit) => clients[*client].record(edit),
            Event::Sync(network) => clients[*client].sync(&mut server, *network),
        }
        check_log(&server);
    }
    (server, clients)
}

fn check_log(server: &PureServer) {
    let ids: HashSet<&str> = server.log.iter().map(|entry| &*entry.id).collect();
    assert_eq!(ids.len(), server.log.len(), "no id is twice in the log");
    let ticks: HashSet<i64> = server.log.iter().map(|entry| entry.logical_clock).collect();
    assert_eq!(i64::try_from(ticks.len()).unwrap(), server.clock(), "no tick is left out");
}

/// A device's clock and diffs of anything in any order; an id may come again with other contents.
fn nonsense() -> impl Strategy<Value = (u8, Vec<Diff>)> {
    let diff = (0..60_u8, 0..3_u8, edit(0.2)).prop_map(|(id, operation, edit)| {
        let object = format!("t{}", edit.object);
        let fields: Map<String, Value> =
            edit.fields.iter().map(|(name, value)| (format!("f{name}"), json!(value))).collect();
        let sent = match operation {
            0 => support::create(&object, Value::Object(fields)),
            1 => support::update(&object, Value::Object(fields)),
            _ => support::delete(&object),
        };
        let kind = if edit.refused { "refused" } else { "d" };
        sent.at(edit.at).id(&format!("{kind}-{id}")).0
    });
    let diffs = prop::collection::vec(diff, 0..8).prop_map(|diffs| {
        let mut ids = HashSet::new();
        diffs.into_iter().filter(|diff| ids.insert(diff.id.clone())).collect()
    });
    (0..12_u8, diffs)
}

/// The objects, read from the log alone as the protocol says.
fn alive_by_the_log(server: &PureServer) -> Objects {
    let mut alive = Objects::new();
    let mut apart = HashSet::new();
    for entry in &server.log {
        let mut data: Map<String, Value> = serde_json::from_str(&entry.json_data).unwrap();
        let id = data.remove("id").unwrap().as_str().unwrap().to_owned();
        let object = (entry.model.clone(), id.clone());
        let record = data
            .into_iter()
            .fold(Record::new(id), |record, (field, value)| record.with(field, value));
        match entry.operation {
            Operation::Create if alive.contains_key(&object) => {
                apart.insert(object);
            }
            Operation::Create => {
                alive.insert(object, record);
            }
            Operation::Delete => {
                if !apart.remove(&object) {
                    alive.remove(&object);
                }
            }
            Operation::Update if apart.contains(&object) => {}
            Operation::Update => {
                if let Some(alive) = alive.get_mut(&object) {
                    alive.apply(record);
                }
            }
        }
    }
    alive
}

proptest! {
    /// *Converge*, *Nothing lost* and *Exactly once*.
    #[test]
    fn all_devices_converge_whatever_the_network_and_the_rules_do(
        history in prop_oneof![history(0.0), history(0.25)]
    ) {
        let (mut server, mut clients) = play(&history);
        for client in &mut clients {
            client.sync(&mut server, Network::Fine);
        }
        let log = server.log.clone();
        for client in &mut clients {
            client.sync(&mut server, Network::Fine);
        }
        prop_assert_eq!(&server.log, &log, "all is quiet");

        let mut new = Client { name: 9, ..Client::default() };
        new.sync(&mut server, Network::Fine);
        let creates = server.sync(0, &[], refuse).diffs;
        prop_assert_eq!(creates.len(), server.objects.len(), "one create for each object");
        for client in &clients {
            prop_assert_eq!(client.device.rows(), new.device.rows());
        }

        // Exactly once: every diff that was recorded has one entry under its id.
        let ids: HashSet<&str> = server.log.iter().map(|entry| &*entry.id).collect();
        for client in &clients {
            for recorded in 1..=client.recorded {
                let either = ["d", "refused"].map(|kind| format!("{kind}-{}-{recorded}", client.name));
                prop_assert!(either.iter().any(|id| ids.contains(id.as_str())));
            }
        }

        // Late deliveries and retries of all there ever was change nothing, and are answered rightly.
        let objects = server.objects.clone();
        for client in &clients {
            for (clock, diffs) in &client.requests {
                server.sync(*clock, diffs, refuse);
            }
        }
        prop_assert_eq!((&server.log, &server.objects), (&log, &objects));
    }

    /// *Cut anywhere*.
    #[test]
    fn it_makes_no_difference_how_a_devices_diffs_are_cut_into_requests(
        past in history(0.0),
        edits in prop::collection::vec(edit(0.0), 1..12),
        cuts in prop::collection::vec(any::<bool>(), 12),
        heard in prop::collection::vec(any::<bool>(), 12),
    ) {
        let (mut server, mut clients) = play(&past);
        let client = &mut clients[0];
        client.sync(&mut server, Network::Fine);
        let mut whole = (server.clone(), client.clone());
        for edit in &edits {
            whole.1.record(edit);
        }
        let recorded = whole.1.pending.clone();
        whole.1.sync(&mut whole.0, Network::Fine);

        let mut cut = (server, client.clone());
        for (place, diff) in recorded.into_iter().enumerate() {
            cut.1.device.apply(std::slice::from_ref(&diff));
            cut.1.pending.push(diff);
            if cuts[place] {
                let network = if heard[place] { Network::Fine } else { Network::AnswerLost };
                cut.1.sync(&mut cut.0, network);
            }
        }
        cut.1.sync(&mut cut.0, Network::Fine);
        prop_assert_eq!(whole.0.objects, cut.0.objects);
        prop_assert_eq!(whole.1.device.rows(), cut.1.device.rows());
    }

    #[test]
    fn even_devices_that_record_nonsense_count_once_and_leave_log_and_objects_in_accord(
        requests in prop::collection::vec(nonsense(), 1..12)
    ) {
        let mut server = PureServer::default();
        let mut sent = HashSet::new();
        for (since, diffs) in requests {
            let since = i64::from(since).min(server.clock());
            sent.extend(diffs.iter().map(|diff| diff.id.clone()));
            let answer = server.sync(since, &diffs, refuse);
            check_log(&server);
            prop_assert_eq!(alive_by_the_log(&server), server.objects.clone());
            let places: Vec<_> = answer.diffs.iter().map(Diff::order).collect();
            prop_assert!(places.is_sorted(), "{:?}", places);
        }
        let logged: HashSet<String> = server.log.iter().map(|entry| entry.id.clone()).collect();
        prop_assert!(sent.is_subset(&logged));
        prop_assert!(logged.difference(&sent).all(|id| id.starts_with("minted")));
    }

    #[test]
    fn of_updates_of_one_field_by_many_devices_the_latest_wins(
        times in prop::collection::vec(0..1000_i64, 1..6),
    ) {
        let mut server = PureServer::default();
        server.sync(0, &[support::create("t1", json!({"f": -1})).at(500).0], refuse);
        for (device, at) in times.iter().enumerate() {
            server.sync(1, &[support::update("t1", json!({"f": device})).at(*at).0], refuse);
        }
        // On a tie the one that came last.
        let latest = times.iter().enumerate().max_by_key(|(device, at)| (**at, *device)).unwrap().0;
        let record = server.objects.values().next().unwrap();
        prop_assert_eq!(record.get("f"), Some(&json!(latest)));
    }

    #[test]
    fn no_timestamp_stored_is_further_ahead_than_the_drift(
        history in history(0.1)
    ) {
        let (server, _) = play(&history);
        // Changes of one object and moment count a millisecond apart, hence the little more.
        prop_assert!(server.log.iter().all(|entry| entry.utc_timestamp <= T0 + 360_000 + 100));
    }
}
