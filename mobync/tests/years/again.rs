//! A device that starts again from clock 0 with several requests, and people who go on meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use fastrand::Rng;
use mobync::{
    Change, Mobync, Record, SyncRequest,
    client::{Device, MemoryStore},
    memory::MemoryDatabase,
};

use super::{
    line::Line,
    support::{T0, ada},
};

/// A server that can be restored to a backup.
struct Server {
    mobync: Mobync<MemoryDatabase>,
    heard: Vec<SyncRequest>,
}

impl Server {
    fn new() -> Self {
        let mobync = Mobync::new(MemoryDatabase::new()).time(|| T0 + 1_000_000);
        Self { mobync, heard: Vec::new() }
    }

    async fn answer(&mut self, request: &SyncRequest) -> mobync::SyncResponse {
        self.heard.push(request.clone());
        self.mobync.answer(&ada(), request).await.unwrap()
    }

    /// The server as it was after this many requests.
    async fn backup(&self, requests: usize) -> Self {
        let mut backup = Self::new();
        for request in &self.heard[..requests] {
            backup.answer(request).await;
        }
        backup
    }

    async fn sync(&mut self, phone: &Phone) {
        loop {
            self.push(phone, usize::MAX).await;
            if !phone.device.has_pending().await.unwrap() {
                return;
            }
        }
    }

    async fn push(&mut self, phone: &Phone, limit: usize) {
        let request = phone.device.request(limit).await.unwrap();
        let answer = self.answer(request.body()).await;
        phone.device.take(&request, &answer).await.unwrap();
    }

    fn rows(&self) -> Vec<Record> {
        self.mobync.database().records(&ada(), "tasks")
    }
}

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

    fn at(&self, time: i64) -> &Device<MemoryStore> {
        self.time.store(T0 + time, Ordering::Relaxed);
        &self.device
    }

    async fn has(&self, id: &str) -> bool {
        self.device.get("tasks", id).await.unwrap().is_some()
    }

    async fn put(&self, id: &str, field: &str, value: u32) {
        let record = Record::new(id).with(field, value);
        if self.has(id).await {
            self.device.update("tasks", record).await.unwrap();
        } else {
            self.device.create("tasks", record).await.unwrap();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Restart {
    /// The log no longer has what the device has missed.
    TooOld,
    /// The server was restored to a backup.
    Restored,
}

impl Restart {
    async fn begin(self, phone: &Phone) {
        match self {
            Self::TooOld => drop(phone.device.begin_anew().await.unwrap()),
            Self::Restored => phone.device.resync().await.unwrap(),
        }
    }
}

/// What is on the server after a device has started again with requests of this many diffs. Times are
/// arbitrary, and clocks are set back.
async fn rows_with(limit: usize, seed: u64, restart: Restart) -> Vec<Record> {
    let mut rng = Rng::with_seed(seed);
    let mut server = Server::new();
    let (here, away) = (Phone::new(), Phone::new());
    let value = |rng: &mut Rng| (format!("f{}", rng.u8(..2)), rng.u32(..));
    for id in 0..rng.u8(1..6) {
        let (field, value) = value(&mut rng);
        here.put(&format!("t{id}"), &field, value).await;
    }
    server.sync(&here).await;
    server.sync(&away).await;
    let backup = server.backup(rng.usize(..2)).await;

    for _ in 0..rng.u8(1..12) {
        let phone = if rng.bool() { &here } else { &away };
        phone.at(rng.i64(0..200));
        let id = format!("t{}", rng.u8(..6));
        let (field, value) = value(&mut rng);
        match rng.u8(..8) {
            0 if phone.has(&id).await => phone.device.delete("tasks", id).await.unwrap(),
            // The objects of others are not created again.
            _ if phone.has(&id).await || std::ptr::eq(phone, &raw const away) => {
                phone.put(&id, &field, value).await;
            }
            _ => {}
        }
        if rng.u8(..6) == 0 {
            server.sync(&here).await;
        }
    }
    server.sync(&here).await;
    if restart == Restart::Restored {
        server = backup;
        restart.begin(&here).await;
        server.sync(&here).await;
    }
    restart.begin(&away).await;
    loop {
        server.push(&away, limit).await;
        if !away.device.has_pending().await.unwrap() {
            break;
        }
    }
    server.sync(&here).await;
    server.sync(&away).await;
    let rows = server.rows();
    for phone in [&here, &away, &Phone::new()] {
        server.sync(phone).await;
        assert_eq!(phone.device.all("tasks").await.unwrap(), rows, "seed {seed}");
    }
    rows
}

#[tokio::test]
async fn in_how_many_requests_a_device_starts_again_makes_no_difference() {
    for restart in [Restart::TooOld, Restart::Restored] {
        for seed in 0..80 {
            let at_once = rows_with(usize::MAX, seed, restart).await;
            for limit in [1, 3] {
                let parts = rows_with(limit, seed, restart).await;
                assert_eq!(parts, at_once, "{restart:?} seed {seed} limit {limit}");
            }
        }
    }
}

/// What a person does to an object while the device starts again.
const DONE: [&[&str]; 5] =
    [&["put"], &["delete"], &["delete", "put"], &["put", "delete"], &["delete", "put", "delete"]];

/// Does it, if the person sees the object. Returns whether it exists then, and with which value.
async fn act(phone: &Phone, id: &str, done: &[&str], is_new: bool) -> Option<Option<u32>> {
    let mut value = None;
    for (place, what) in done.iter().enumerate() {
        let has = phone.has(id).await;
        match (*what, has) {
            ("put", true) => {}
            ("put", false) if is_new || place > 0 => {}
            ("delete", true) => {}
            _ => return None,
        }
        value = None;
        if *what == "put" {
            value = Some(u32::try_from(place).unwrap() + 1000);
            phone.put(id, "name", value.unwrap()).await;
        } else {
            phone.device.delete("tasks", id).await.unwrap();
        }
    }
    Some(value)
}

/// Whatever is changed at whichever moment between the restart and the first answer that is applied is the
/// last word. The clock may be set back.
#[tokio::test]
async fn what_is_changed_while_a_device_starts_again_counts() {
    let mut counted = 0;
    for restart in [Restart::TooOld, Restart::Restored] {
        for limit in [1, 2, 100] {
            for moment in 0..8 {
                for done in DONE {
                    for id in ["t0", "t3", "mine", "new"] {
                        for at in [50, 500] {
                            let case = format!("{restart:?} {limit} {moment} {done:?} {id} {at}");
                            counted += u32::from(
                                is_kept(restart, limit, moment, done, id, at, &case).await,
                            );
                        }
                    }
                }
            }
        }
    }
    assert!(counted > 500, "{counted}");
}

async fn is_kept(
    restart: Restart,
    limit: usize,
    moment: usize,
    done: &[&str],
    id: &str,
    at: i64,
    case: &str,
) -> bool {
    let mut server = Server::new();
    let (here, phone) = (Phone::new(), Phone::new());
    phone.at(0);
    for id in 0..4 {
        phone.put(&format!("t{id}"), "name", 1).await;
    }
    server.sync(&phone).await;
    server.sync(&here).await;
    // Others have changed some of it since, and the device has changes of its own.
    here.at(60).delete("tasks", "t2").await.unwrap();
    here.put("t1", "name", 2).await;
    phone.at(100);
    for id in ["t0", "t1", "mine", "mine"] {
        phone.put(id, "name", 3).await;
        phone.put("other", id, 3).await;
    }
    if restart == Restart::Restored {
        server = server.backup(1).await;
    }
    server.push(&here, 100).await;
    restart.begin(&phone).await;

    phone.at(at);
    let (mut outcome, mut now, mut quiet) = (None, 0, 0);
    while quiet < 2 {
        if now == moment {
            outcome = act(&phone, id, done, id == "new").await;
        }
        let request = phone.device.request(limit).await.unwrap();
        let answer = server.answer(request.body()).await;
        if now + 1 == moment {
            outcome = act(&phone, id, done, id == "new").await;
        }
        phone.device.take(&request, &answer).await.unwrap();
        now += 2;
        let is_quiet = now > moment && !phone.device.has_pending().await.unwrap();
        quiet += u32::from(is_quiet);
        assert!(now < 60, "{case}: it comes to no end");
    }
    let rows = server.rows();
    assert_eq!(phone.device.all("tasks").await.unwrap(), rows, "{case}");
    let Some(value) = outcome else { return false };
    let is = rows.iter().find(|row| row.id() == id);
    let is = is.map(|row| row.get("name").and_then(serde_json::Value::as_u64).unwrap());
    // On a device that has seen everything, a clock that was set back makes no difference.
    assert_eq!(is, value.map(u64::from), "{case}: {rows:?}");
    true
}

/// What an earlier request has created is gone if somebody deletes it before the last one.
#[tokio::test]
async fn only_what_the_last_answer_brings_is_there() {
    for restart in [Restart::TooOld, Restart::Restored] {
        for is_edited in [false, true] {
            let mut server = Server::new();
            let (here, phone) = (Phone::new(), Phone::new());
            for id in ["a", "b", "c"] {
                phone.put(id, "name", 1).await;
            }
            restart.begin(&phone).await;
            server.push(&phone, 1).await;
            server.sync(&here).await;
            here.device.delete("tasks", "a").await.unwrap();
            server.sync(&here).await;
            assert!(phone.has("a").await, "it is still shown");
            server.push(&phone, 1).await;
            let request = phone.device.request(1).await.unwrap();
            if is_edited {
                phone.put("a", "name", 2).await;
            }
            let answer = server.answer(request.body()).await;
            phone.device.take(&request, &answer).await.unwrap();
            assert!(!phone.has("a").await, "{restart:?} {is_edited}");
            // The edit was made to the life that has ended.
            phone.put("a", "other", 3).await;
            server.sync(&phone).await;
            let rows = server.rows();
            assert_eq!(phone.device.all("tasks").await.unwrap(), rows);
            assert_eq!(rows[0], Record::new("a").with("other", 3), "{restart:?} {is_edited}");
        }
    }
}

/// The client sends everything at once, or else as much as the server accepts.
#[tokio::test]
async fn one_request_is_enough_for_what_a_server_accepts() {
    let limits = [(10_000, None, vec![2500]), (10_000, Some(1000), vec![1000, 1000, 500])];
    // By number or by bytes: the server does not say.
    let limits = limits.into_iter().chain([(700, None, vec![2500, 1250, 625])]);
    for (accepted, set, expected) in limits {
        let line = Line::to(Mobync::new(MemoryDatabase::new()).max_diffs(accepted));
        let phone = Phone::new();
        let tasks = (0..2500).map(|id| Change::create("tasks", Record::new(format!("t{id}"))));
        phone.device.record(tasks).await.unwrap();
        phone.device.begin_anew().await.unwrap();
        let client = line.client(&phone.device);
        let client = if let Some(most) = set { client.most_diffs(most) } else { client };
        client.sync_now().await.unwrap();
        assert_eq!(phone.device.all("tasks").await.unwrap().len(), 2500);
        let requests = line.requests.lock().unwrap();
        let pushed = requests.iter().filter(|request| !request.diffs.is_empty());
        let sent: Vec<usize> = pushed.clone().map(|request| request.diffs.len()).collect();
        assert_eq!(sent[..expected.len()], expected, "{accepted} {set:?}");
        assert!(pushed.clone().all(|request| request.logical_clock == 0));
    }
}
