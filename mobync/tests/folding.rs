//! *Folded*: a device that folds unsent updates ends like one that does not, where nothing is refused.
#![cfg(feature = "client")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use mobync::{
    Change, Mobync, Operation, Record,
    client::{Device, LocalStore, MemoryStore, Request, SqliteStore},
    memory::MemoryDatabase,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{T0, ada};

/// What happens, to the device that may fold or to another one.
#[derive(Clone, Debug)]
enum Step {
    /// It changes an object, so many milliseconds after its last change of that object.
    Edit { object: u8, fields: BTreeMap<u8, u8>, delete: bool, after: i64 },
    /// The other one does, at this time, and syncs before and after.
    Other { object: u8, fields: BTreeMap<u8, u8>, delete: bool, at: i64 },
    /// It makes a request, which is answered at once or later.
    Ask,
    /// It hears the answer, if it waits for one.
    Hear,
    /// It is answered that the request was too large.
    HearTooLarge,
}

fn step() -> impl Strategy<Value = Step> {
    let fields = || prop::collection::btree_map(0..3_u8, 1..9_u8, 1..3);
    let after = prop_oneof![Just(0), Just(1), Just(7), Just(-5)];
    prop_oneof![
        10 => (0..2_u8, fields(), prop::bool::weighted(0.05), after)
            .prop_map(|(object, fields, delete, after)| Step::Edit { object, fields, delete, after }),
        3 => (0..2_u8, fields(), prop::bool::weighted(0.1), 0..120_i64)
            .prop_map(|(object, fields, delete, at)| Step::Other { object, fields, delete, at }),
        2 => Just(Step::Ask),
        2 => Just(Step::Hear),
        1 => Just(Step::HearTooLarge),
    ]
}

type Rows = Vec<Record>;

/// A server, and a device that folds or does not.
struct World {
    server: Mobync<MemoryDatabase>,
    device: Device<MemoryStore>,
    other: Device<MemoryStore>,
    time: Arc<AtomicI64>,
    other_time: Arc<AtomicI64>,
    asked: Option<(Request, mobync::SyncResponse)>,
    /// The object that the device changed last, and the greatest time so far.
    last: (u8, i64),
}

fn device(time: &Arc<AtomicI64>) -> Device<MemoryStore> {
    let time = Arc::clone(time);
    Device::new(MemoryStore::new()).time(move || time.load(Ordering::Relaxed))
}

async fn rows(device: &Device<MemoryStore>) -> Rows {
    device.all("tasks").await.unwrap()
}

/// Changes, makes or deletes an object.
async fn edit(device: &Device<MemoryStore>, object: u8, fields: &BTreeMap<u8, u8>, delete: bool) {
    let id = format!("t{object}");
    let record = fields
        .iter()
        .fold(Record::new(&*id), |record, (name, value)| record.with(format!("f{name}"), *value));
    let is_there = device.get("tasks", &id).await.unwrap().is_some();
    let change = match (is_there, delete) {
        (false, _) => Change::create("tasks", record),
        (true, false) => Change::update("tasks", record),
        (true, true) => Change::delete("tasks", id),
    };
    device.record([change]).await.unwrap();
}

impl World {
    fn new(folds: bool) -> Self {
        let [time, other_time] = [T0, T0].map(|at| Arc::new(AtomicI64::new(at)));
        Self {
            server: Mobync::new(MemoryDatabase::new()).time(|| T0 + 1_000),
            device: device(&time).folding(folds),
            other: device(&other_time),
            time,
            other_time,
            asked: None,
            last: (0, T0),
        }
    }

    async fn sync(&self, device: &Device<MemoryStore>) {
        let request = device.request(1_000).await.unwrap();
        let answer = self.server.answer(&ada(), request.body()).await.unwrap();
        assert_eq!(answer.refused, [], "nothing is refused");
        device.take(&request, &answer).await.unwrap();
    }

    /// Returns what its person sees then.
    async fn step(&mut self, step: &Step) -> Rows {
        match step {
            Step::Edit { object, fields, delete, after } => {
                let (last, latest) = self.last;
                let now = self.time.load(Ordering::Relaxed);
                // Between changes of different objects its clock goes on.
                let now = if last == *object { now + after } else { latest + 10 };
                self.time.store(now, Ordering::Relaxed);
                self.last = (*object, latest.max(now));
                edit(&self.device, *object, fields, *delete).await;
            }
            Step::Other { object, fields, delete, at } => {
                self.sync(&self.other).await;
                self.other_time.store(T0 + at, Ordering::Relaxed);
                edit(&self.other, *object, fields, *delete).await;
                self.sync(&self.other).await;
            }
            Step::Ask => {
                let request = self.device.request(1_000).await.unwrap();
                let answer = self.server.answer(&ada(), request.body()).await.unwrap();
                self.asked = Some((request, answer));
                // Nor is it set back between what is in different requests.
                self.last.0 = u8::MAX;
            }
            Step::Hear => {
                if let Some((request, answer)) = self.asked.take() {
                    self.device.take(&request, &answer).await.unwrap();
                }
            }
            Step::HearTooLarge if self.asked.is_none() => {
                let request = self.device.request(1_000).await.unwrap();
                self.device.too_large(&request).await.unwrap();
                self.last.0 = u8::MAX;
            }
            Step::HearTooLarge => {}
        }
        rows(&self.device).await
    }

    /// The rows of all in the end: both devices, and a new one; and the clock.
    async fn end(self) -> (Vec<Rows>, i64) {
        for _ in 0..2 {
            self.sync(&self.device).await;
            self.sync(&self.other).await;
        }
        let new = device(&self.time);
        self.sync(&new).await;
        let all = vec![rows(&self.device).await, rows(&self.other).await, rows(&new).await];
        (all, new.clock().await.unwrap())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn folded_and_unfolded_histories_end_alike(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (mut folded, mut plain) = (World::new(true), World::new(false));
            for step in &steps {
                let seen = (folded.step(step).await, plain.step(step).await);
                prop_assert_eq!(seen.0, seen.1, "what the person sees");
                let pending = folded.device.pending().await.unwrap().len();
                prop_assert!(pending <= plain.device.pending().await.unwrap().len());
            }
            let (folded, plain) = (folded.end().await, plain.end().await);
            prop_assert_eq!(&folded, &plain);
            prop_assert!(folded.0.windows(2).all(|rows| rows[0] == rows[1]), "and all are equal");
            Ok(())
        })?;
    }
}

fn text(save: usize) -> String {
    format!("{save:05}").repeat(4_000)
}

async fn saves_of_one_text_are_one_diff<S: LocalStore>(device: Device<S>) {
    device.create("notes", Record::new("n1").with("title", "Long")).await.unwrap();
    device.create("notes", Record::new("n2")).await.unwrap();
    device.update("notes", Record::new("n1").with("read", true)).await.unwrap();
    for save in 0..400 {
        device.update("notes", Record::new("n1").with("text", text(save))).await.unwrap();
    }
    let request = device.request(1_000).await.unwrap();
    let body = serde_json::to_string(request.body()).unwrap();
    assert!(body.len() < 22_000, "{} bytes", body.len());
    let sent: Vec<(Operation, Value)> = request
        .body()
        .diffs
        .iter()
        .map(|diff| (diff.operation, serde_json::from_str(&diff.json_data).unwrap()))
        .collect();
    let expected = [
        (Operation::Create, json!({"id": "n1", "title": "Long"})),
        (Operation::Create, json!({"id": "n2"})),
        (Operation::Update, json!({"id": "n1", "read": true})),
        (Operation::Update, json!({"id": "n1", "text": text(399)})),
    ];
    assert_eq!(sent, expected);

    // What a request has had stays as it is, whether it is answered or not.
    for save in 400..410 {
        device.update("notes", Record::new("n1").with("text", text(save))).await.unwrap();
    }
    let pending = device.pending().await.unwrap();
    assert_eq!((pending.len(), &pending[3].diff), (5, &request.body().diffs[3]));
    assert_eq!(
        device.get("notes", "n1").await.unwrap().unwrap().get("text"),
        Some(&json!(text(409)))
    );
}

#[tokio::test]
async fn saves_of_one_text_are_one_diff_in_memory() {
    saves_of_one_text_are_one_diff(Device::new(MemoryStore::new())).await;
}

#[cfg(feature = "client-sqlite")]
#[tokio::test]
async fn saves_of_one_text_are_one_diff_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("device.sqlite")).await.unwrap();
    saves_of_one_text_are_one_diff(Device::new(store)).await;
}

#[tokio::test]
async fn folding_keeps_to_the_updates_right_before() {
    let device = Device::new(MemoryStore::new());
    let save = |object: &str, n: usize| Record::new(object).with("a", n);
    for object in ["t1", "t2"] {
        device.create("tasks", Record::new(object).with("a", 0)).await.unwrap();
    }
    // A change of another object in between may depend on the one before it.
    for n in 1..4 {
        device.update("tasks", save("t1", n)).await.unwrap();
        device.update("tasks", save("t2", n)).await.unwrap();
    }
    assert_eq!(device.pending().await.unwrap().len(), 8);
    // So do a create and a delete of the object itself.
    device.delete("tasks", "t2").await.unwrap();
    device.create("tasks", save("t2", 9)).await.unwrap();
    device.update("tasks", save("t2", 10)).await.unwrap();
    device.update("tasks", save("t2", 11)).await.unwrap();
    assert_eq!(device.pending().await.unwrap().len(), 11);

    let device = Device::new(MemoryStore::new()).folding(false);
    device.create("tasks", save("t1", 0)).await.unwrap();
    device.update("tasks", save("t1", 1)).await.unwrap();
    device.update("tasks", save("t1", 2)).await.unwrap();
    assert_eq!(device.pending().await.unwrap().len(), 3, "it is switched off");
}
