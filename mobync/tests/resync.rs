//! A server that is restored from a backup, and devices that go on with it: for arbitrary histories.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use mobync::{
    Change, Diff, Operation, Record, SyncResponse,
    client::{Device, MemoryStore, Taken},
};
use proptest::prelude::*;
use serde_json::Value;
use support::{T0, pure::PureServer};

/// What happens to one device.
#[derive(Clone, Debug)]
enum Event {
    Edit { object: u8, delete: bool, field: u8 },
    Sync,
    AnswerLost,
}

fn history() -> impl Strategy<Value = Vec<(usize, Event)>> {
    let event = prop_oneof![
        4 => (0..4_u8, prop::bool::weighted(0.3), 0..2_u8)
            .prop_map(|(object, delete, field)| Event::Edit { object, delete, field }),
        2 => Just(Event::Sync),
        1 => Just(Event::AnswerLost),
    ];
    prop::collection::vec((0..3_usize, event), 0..25)
}

type Rows = BTreeMap<String, Value>;

struct Phone {
    device: Device<MemoryStore>,
    time: Arc<AtomicI64>,
}

impl Phone {
    fn new() -> Self {
        let time = Arc::new(AtomicI64::new(T0));
        let now = Arc::clone(&time);
        let device =
            Device::new(MemoryStore::new()).time(move || now.fetch_add(1, Ordering::Relaxed));
        Self { device, time }
    }

    async fn edit(&self, object: u8, delete: bool, field: u8, value: usize) {
        let id = format!("t{object}");
        let record = Record::new(&*id).with(format!("f{field}"), value);
        let change = match (self.device.get("tasks", &id).await.unwrap().is_some(), delete) {
            (false, _) => Change::create("tasks", record),
            (true, false) => Change::update("tasks", record),
            (true, true) => Change::delete("tasks", id),
        };
        self.device.record([change]).await.unwrap();
    }

    async fn sync(&self, server: &mut PureServer, is_heard: bool) {
        let request = self.device.request(100).await.unwrap();
        let body = request.body();
        let answer = server.sync(body.logical_clock, &body.diffs, |_| false);
        if is_heard {
            let answer = SyncResponse::new(answer.clock, answer.diffs);
            let taken = self.device.take(&request, &answer).await.unwrap();
            assert!(matches!(taken, Taken::Applied(_)));
        }
    }

    async fn rows(&self) -> Rows {
        let records = self.device.all("tasks").await.unwrap();
        let row = |record: Record| (record.id().to_owned(), Value::from(record));
        records.into_iter().map(row).collect()
    }

    async fn pending(&self) -> Vec<Diff> {
        let pending = self.device.pending().await.unwrap();
        pending.into_iter().map(|pending| pending.diff).collect()
    }
}

async fn play(
    history: &[(usize, Event)],
    phones: &[Phone],
    server: &mut PureServer,
    value: &mut usize,
) {
    for (place, event) in history {
        let phone = &phones[*place];
        *value += 1;
        // All clocks are right, so that later is later.
        let latest = phones.iter().map(|phone| phone.time.load(Ordering::Relaxed)).max().unwrap();
        phone.time.store(latest, Ordering::Relaxed);
        match event {
            Event::Edit { object, delete, field } => {
                phone.edit(*object, *delete, *field, *value).await;
            }
            Event::Sync => phone.sync(server, true).await,
            Event::AnswerLost => phone.sync(server, false).await,
        }
    }
}

fn object_of(diff: &Diff) -> String {
    let data: Value = serde_json::from_str(&diff.json_data).unwrap();
    data["id"].as_str().unwrap().to_owned()
}

async fn goes_on(
    before: Vec<(usize, Event)>,
    lost: Vec<(usize, Event)>,
    since: Vec<(usize, Event)>,
) {
    let phones = [Phone::new(), Phone::new(), Phone::new()];
    let mut server = PureServer::default();
    let mut value = 0;
    play(&before, &phones, &mut server, &mut value).await;
    let mut restored = server.clone();
    play(&lost, &phones, &mut server, &mut value).await;
    // Nobody has network, and the person works on.
    let offline: Vec<_> =
        since.into_iter().filter(|(_, event)| matches!(event, Event::Edit { .. })).collect();
    play(&offline, &phones, &mut server, &mut value).await;

    let mut there = BTreeSet::new();
    // A delete that the server remembers wins over a create that it knows.
    let deletes = restored.log.iter().filter(|entry| entry.operation == Operation::Delete);
    let mut deleted: BTreeSet<String> = deletes.map(object_of).collect();
    for phone in &phones {
        let rows = phone.rows().await;
        let pending = phone.pending().await;
        let deletes = pending.iter().filter(|diff| diff.operation == Operation::Delete);
        deleted.extend(deletes.map(object_of));
        there.extend(rows.keys().cloned());
        phone.device.resync().await.unwrap();
        assert_eq!(phone.rows().await, rows, "the person sees no change");
    }
    for _ in 0..3 {
        for phone in &phones {
            phone.sync(&mut restored, true).await;
        }
    }

    let fresh = Phone::new();
    fresh.sync(&mut restored, true).await;
    let rows = fresh.rows().await;
    for phone in &phones {
        assert_eq!((phone.rows().await, phone.pending().await), (rows.clone(), vec![]));
    }
    // What a device had is there, unless somebody has deleted it or was about to.
    for object in there.difference(&deleted) {
        assert!(rows.contains_key(object), "{object} of {there:?} is lost: {rows:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn with_a_restored_server_all_devices_converge_and_keep_what_they_had(
        before in history(), lost in history(), since in history(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(goes_on(before, lost, since));
    }
}
