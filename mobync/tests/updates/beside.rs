//! Fetching everything once more after an update, while the device goes on.

use std::collections::BTreeMap;

use fastrand::Rng;
use mobync::{
    Change, Mobync, Record, SyncRequest,
    client::{Changes, Client, Device, MemoryStore, Request, SyncFailure, Taken},
    memory::MemoryDatabase,
    schema::{Schema, Step},
};
use serde_json::Value;

use super::{
    drawn::Drawn,
    seeds,
    support::ada,
    world::{Phone, Server, Wire},
};

fn schema() -> Schema {
    Schema::new([
        Step::renamed(2, "tasks", "name", "title"),
        Step::added(2, "tasks", "stars", 0),
        Step::added_model(2, "tags"),
    ])
    .unwrap()
}

type Server2 = Mobync<MemoryDatabase>;

/// What a user interface shows that listens to events.
#[derive(Default)]
struct Shown(BTreeMap<(String, String), Record>);

impl Shown {
    async fn of(device: &Device<MemoryStore>) -> Self {
        let mut shown = Self::default();
        for model in ["tasks", "tags"] {
            for record in device.all(model).await.unwrap() {
                shown.0.insert((model.to_owned(), record.id().to_owned()), record);
            }
        }
        shown
    }

    fn apply(&mut self, changes: Changes) {
        for changed in changes.objects {
            let key = (changed.model, changed.id);
            let before = match changed.record {
                Some(record) => self.0.insert(key.clone(), record),
                None => self.0.remove(&key),
            };
            // A value may be the default, and then be written.
            let is_default = |record: &Record| record.get("stars") == Some(&Value::from(0));
            let after = self.0.get(&key);
            assert!(before.as_ref() != after || after.is_some_and(is_default), "{key:?}");
        }
    }
}

struct Run {
    server: Server2,
    device: Device<MemoryStore>,
    store: MemoryStore,
    shown: Shown,
    rng: Rng,
}

impl Run {
    async fn new(seed: u64) -> Self {
        let server = Mobync::new(MemoryDatabase::new()).schema(schema()).max_page(3);
        let store = MemoryStore::new();
        let mut run = Self {
            server,
            device: Device::new(store.clone()).folding(false),
            store,
            shown: Shown::default(),
            rng: Rng::with_seed(seed),
        };
        for _ in 0..run.rng.usize(4..15) {
            run.others_write().await;
        }
        for _ in 0..4 {
            run.edit("name").await;
        }
        run.sync().await;
        run.sync().await;
        // Some is pending, perhaps in a request without an answer.
        for _ in 0..run.rng.usize(..3) {
            run.edit("name").await;
        }
        if run.rng.bool() {
            let request = run.device.request(1).await.unwrap();
            if run.rng.bool() {
                run.server.answer(&ada(), request.body()).await.unwrap();
            }
        }
        run.device = Device::new(run.store.clone()).folding(false).schema(schema()).await.unwrap();
        run.shown = Shown::of(&run.device).await;
        run
    }

    async fn others_write(&mut self) {
        let id = format!("t{}", self.rng.u8(..9));
        let model = if self.rng.u8(..4) == 0 { "tags" } else { "tasks" };
        let there = self.server.database().records(&ada(), model);
        let is_there = there.iter().any(|record| record.id() == id);
        let mut record = Record::new(&*id);
        for field in ["title", "stars", "note"] {
            if self.rng.bool() {
                record.insert(field, self.rng.u8(..));
            }
        }
        let change = match (is_there, self.rng.u8(..5)) {
            (false, _) => Change::create(model, record),
            (true, 0) => Change::delete(model, id),
            (true, _) => Change::update(model, record),
        };
        self.server.write(&ada(), [change]).await.unwrap();
    }

    /// The person changes something, perhaps of the model that the earlier version does not have.
    async fn edit(&mut self, title: &str) {
        let id = format!("t{}", self.rng.u8(..9));
        let is_new = title == "title";
        let model = if is_new && self.rng.u8(..3) == 0 { "tags" } else { "tasks" };
        let is_there = self.device.get(model, &id).await.unwrap().is_some();
        let mut record = Record::new(&*id).with(title, self.rng.u8(..));
        if self.rng.bool() {
            record.insert("note", self.rng.u8(..));
        }
        if is_new && self.rng.bool() {
            record.insert("stars", 9);
        }
        let mut changes = self.device.changes();
        match (is_there, self.rng.u8(..5)) {
            (false, _) => self.device.create(model, record).await.unwrap(),
            (true, 0) => self.device.delete(model, id).await.unwrap(),
            (true, _) => self.device.update(model, record).await.unwrap(),
        }
        if let Ok(changes) = changes.try_recv() {
            self.shown.apply(changes);
        }
    }

    async fn exchange(&mut self, request: &Request) {
        let answer = self.server.answer(&ada(), request.body()).await.unwrap();
        if let Taken::Applied(changes) = self.device.take(request, &answer).await.unwrap() {
            self.shown.apply(changes);
            // Once more, it changes nothing.
            let again = self.device.take(request, &answer).await.unwrap();
            assert!(
                [Taken::Superseded, Taken::Applied(Changes::default())].contains(&again),
                "{again:?}"
            );
        }
    }

    async fn sync(&mut self) {
        let request = self.device.request(100).await.unwrap();
        self.exchange(&request).await;
    }
}

/// Laws *Projection* and *Kept*, cut off anywhere; and what is told is what has changed, and nothing else.
#[tokio::test]
async fn what_is_fetched_beside_takes_over_whatever_happens_meanwhile() {
    let mut took_over = 0;
    for seed in seeds(400) {
        let mut run = Run::new(seed).await;
        let mut fetching = true;
        for step in 0..200 {
            let limit = run.rng.u64(1..4);
            let before = run.device.pending().await.unwrap();
            // After a while nobody writes any more.
            match run.rng.u8(if step < 40 { 0..20 } else { 6..20 }) {
                0..=2 => run.others_write().await,
                3..=5 => run.edit("title").await,
                6 => {
                    // Killed.
                    let store = run.store.clone();
                    run.device = Device::new(store).folding(false).schema(schema()).await.unwrap();
                }
                7 => drop(run.device.request(2).await.unwrap()),
                8 => {
                    // The request or its answer is lost.
                    let request = run.device.request(2).await.unwrap();
                    run.server.answer(&ada(), request.body()).await.unwrap();
                }
                9 if step < 40 => {
                    if let Some(request) = run.device.fetch_beside(limit).await.unwrap() {
                        run.device.too_old(&request, true).await.unwrap();
                        let again = run.device.fetch_beside(1).await.unwrap().unwrap();
                        assert_eq!(again.body().logical_clock, 0);
                    }
                }
                10..=14 => match run.device.fetch_beside(limit).await.unwrap() {
                    Some(request) => {
                        assert_eq!(request.body().schema, Some(2));
                        run.exchange(&request).await;
                    }
                    None => {
                        took_over += usize::from(std::mem::take(&mut fetching));
                    }
                },
                _ => run.sync().await,
            }
            assert_eq!(Shown::of(&run.device).await.0, run.shown.0, "seed {seed}, step {step}");
            // What was sent stays as it was until it is answered.
            let after = run.device.pending().await.unwrap();
            for sent in before.iter().filter(|pending| pending.sent) {
                let same = after.iter().find(|pending| pending.diff.id == sent.diff.id);
                assert!(same.is_none_or(|same| same == sent), "seed {seed}, step {step}: {sent:?}");
            }
        }
        run.sync().await;
        assert!(run.device.fetch_beside(1).await.unwrap().is_none(), "seed {seed}");
        for model in ["tasks", "tags"] {
            let mut rows = run.server.database().records(&ada(), model);
            if model == "tasks" {
                let complete = |row: &mut Record| {
                    if row.get("stars").is_none() {
                        row.insert("stars", 0);
                    }
                };
                rows.iter_mut().for_each(complete);
            }
            assert_eq!(run.device.all(model).await.unwrap(), rows, "seed {seed}");
        }
    }
    assert!(took_over > 100, "{took_over}");
}

/// A device that begins again from clock 0 gets everything, and needs nothing beside.
#[tokio::test]
async fn a_device_that_begins_anew_fetches_nothing_beside() {
    for resyncs in [false, true] {
        let mut run = Run::new(1).await;
        let request = run.device.fetch_beside(2).await.unwrap().unwrap();
        run.exchange(&request).await;
        let request = run.device.fetch_beside(2).await.unwrap().unwrap();
        let answer = run.server.answer(&ada(), request.body()).await.unwrap();
        if resyncs {
            run.device.resync().await.unwrap();
        } else {
            run.device.begin_anew().await.unwrap();
        }
        assert!(run.device.fetch_beside(1).await.unwrap().is_none());
        assert_eq!(run.device.take(&request, &answer).await.unwrap(), Taken::Superseded);
        run.shown = Shown::of(&run.device).await;
        for _ in 0..3 {
            run.sync().await;
        }
        let titles = |rows: Vec<Record>| -> Vec<Option<Value>> {
            rows.iter().map(|row| row.get("title").cloned()).collect()
        };
        let rows = run.server.database().records(&ada(), "tasks");
        assert_eq!(titles(run.device.all("tasks").await.unwrap()), titles(rows));
    }
}

#[tokio::test]
async fn nothing_is_compared_and_nothing_is_fetched_beside_without_need() {
    let new = Device::new(MemoryStore::new()).schema(schema()).await.unwrap();
    assert!(new.fetch_beside(1).await.unwrap().is_none());
    let run = Run::new(3).await;
    let mut check = SyncRequest::new(run.device.clock().await.unwrap(), Vec::new());
    (check.check, check.schema) = (true, Some(2));
    let answer = run.server.answer(&ada(), &check).await.unwrap();
    assert!(answer.check.is_some());
    assert_eq!(run.device.compare(&answer).await.unwrap(), None);
}

/// The driver begins again where the server refuses to go on, as often as once in a try.
#[tokio::test]
async fn pages_beside_that_are_refused_begin_again() {
    for (status, code) in [(410, "too_old"), (409, "other_history"), (409, "clock_ahead")] {
        let drawn = Drawn::new(&mut Rng::with_seed(5));
        let wire = Wire::new(Server::new(&drawn, drawn.newest()), 5);
        let mut phone = Phone::new(&drawn, 1, 0, &wire).await;
        let mut other = Phone::new(&drawn, drawn.newest(), 1, &wire).await;
        let mut rng = Rng::with_seed(5);
        for _ in 0..40 {
            other.edit(&drawn, &mut rng).await;
            assert!(other.sync().await);
        }
        assert!(phone.sync().await);
        phone.update(&drawn, drawn.newest(), &wire).await;
        // The owner is asked for with the clock before its own.
        let own = phone.device().clock().await.unwrap();
        *wire.refused.lock().await = vec![(1..own - 1, status, code), (1..own - 1, status, code)];
        let failure = phone.client.sync_now().await.unwrap_err();
        match &failure {
            SyncFailure::Refused { code, .. } => assert_eq!(code, "too_old"),
            failure => assert!(failure.needs_resync(), "{failure:?}"),
        }
        assert!(wire.refused.lock().await.is_empty(), "{code}");
        let before = phone.device().clock().await.unwrap();
        assert!(phone.sync().await);
        assert_eq!(phone.device().clock().await.unwrap(), before);
        assert!(phone.device().fetch_beside(1).await.unwrap().is_none());
        assert_eq!(phone.rows(&drawn).await, wire.server.lock().await.rows(&drawn), "{code}");
    }
}

/// How much has been fetched is told.
#[tokio::test]
async fn the_status_tells_how_much_has_been_fetched_beside() {
    let drawn = Drawn::new(&mut Rng::with_seed(5));
    let wire = Wire::new(Server::new(&drawn, drawn.newest()), 5);
    let mut phone = Phone::new(&drawn, 1, 0, &wire).await;
    let mut other = Phone::new(&drawn, drawn.newest(), 1, &wire).await;
    let mut rng = Rng::with_seed(5);
    for _ in 0..40 {
        other.edit(&drawn, &mut rng).await;
        assert!(other.sync().await);
    }
    assert!(phone.sync().await);
    phone.update(&drawn, drawn.newest(), &wire).await;
    let client: Client<_, _> = phone.client.clone();
    let mut status = client.status();
    let parts = async {
        let mut parts = Vec::new();
        while status.changed().await.is_ok() {
            let now = status.borrow_and_update().clone();
            parts.extend(now.fetched);
            if !now.is_syncing {
                break;
            }
        }
        parts
    };
    let (parts, synced) = tokio::join!(parts, client.sync_now());
    synced.unwrap();
    assert!(!parts.is_empty() && parts.is_sorted(), "{parts:?}");
    assert_eq!(status.borrow().fetched, None);
}
