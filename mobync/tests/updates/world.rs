//! Devices of several versions, and a server that is updated at times.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
};

use bytes::Bytes;
use fastrand::Rng;
use mobync::{
    Access, Change, Database, Diff, Mobync, Operation, Record, Refusal, Rules, SyncRequest,
    UnitOfWork, View, WindowQuery, Write,
    client::{Client, Device, MemoryStore, NoAnswer, Pending, Reply, SyncFailure, Transport},
    http::{Credentials, Endpoint},
    memory::MemoryDatabase,
};
use serde_json::value::to_raw_value;
use tokio::sync::Mutex;

use super::{
    drawn::{Drawn, Rows},
    support::{T0, ada},
};

/// Refuses each diff that says so.
#[derive(Clone, Copy, Debug)]
pub struct Forbid;

impl Forbid {
    fn judge(diff: &Diff) -> Result<(), Refusal> {
        if diff.json_data.contains("forbidden") {
            return Err(Refusal::because("It is forbidden."));
        }
        Ok(())
    }
}

impl Rules for Forbid {
    async fn create(
        &self,
        _: &mobync::Owner,
        diff: &Diff,
        _: &mut View<'_>,
    ) -> Result<(), Refusal> {
        Self::judge(diff)
    }

    async fn update(
        &self,
        _: &mobync::Owner,
        diff: &Diff,
        _: &mut View<'_>,
    ) -> Result<(), Refusal> {
        Self::judge(diff)
    }
}

pub struct Server {
    pub version: u64,
    pub mobync: Mobync<MemoryDatabase, Forbid>,
}

/// One request from one of these clocks is refused, with this status and code.
pub type Refused = (Range<i64>, u16, &'static str);

/// The way to the server, on which requests and answers are lost.
#[derive(Clone)]
pub struct Wire {
    pub server: Arc<Mutex<Server>>,
    rng: Arc<Mutex<Rng>>,
    /// Of 100 requests.
    pub lost: Arc<AtomicI64>,
    pub refused: Arc<Mutex<Vec<Refused>>>,
}

impl Server {
    pub fn new(drawn: &Drawn, version: u64) -> Self {
        let mut database = MemoryDatabase::new();
        for model in drawn.layout(version) {
            database =
                database.model(&model.name, model.fields.iter().map(|(_, name)| name.clone()));
        }
        let mobync = Mobync::new(database).rules(Forbid).time(|| T0 + 1_000_000).max_page(3);
        Self { version, mobync: mobync.schema(drawn.schema(version)) }
    }

    /// The server with this version, and a database that was migrated.
    pub async fn update(&mut self, drawn: &Drawn, version: u64) {
        let new = Self::new(drawn, version);
        let mut unit = new.mobync.database().open(&ada(), Access::Write).await.unwrap();
        unit.append(&ada(), "diffs", self.log().await).await.unwrap();
        let rows = drawn.common(&self.rows(drawn), self.version, version);
        for model in drawn.layout(version) {
            for ((_, id), fields) in rows.iter().filter(|((key, _), _)| *key == model.key) {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(key, value)| {
                        let (_, name) = model.fields.iter().find(|(it, _)| it == key).unwrap();
                        (name.clone(), to_raw_value(value).unwrap())
                    })
                    .collect();
                let fields = fields.iter().map(|(name, value)| (&**name, &**value));
                let write = Write::new(Operation::Create, &model.name, id, fields);
                assert!(unit.write(&ada(), &[write]).await.unwrap().is_empty());
            }
        }
        unit.commit().await.unwrap();
        *self = new;
    }

    pub async fn log(&self) -> Vec<Diff> {
        let mut unit = self.mobync.database().open(&ada(), Access::Read).await.unwrap();
        unit.window(&ada(), WindowQuery::since("diffs", 0)).await.unwrap().entries
    }

    pub fn rows(&self, drawn: &Drawn) -> Rows {
        let mut rows = Rows::new();
        for model in drawn.layout(self.version) {
            let records = self.mobync.database().records(&ada(), &model.name);
            drawn.add(&mut rows, model, records);
        }
        rows
    }
}

impl Wire {
    pub fn new(server: Server, seed: u64) -> Self {
        let rng = Arc::new(Mutex::new(Rng::with_seed(seed)));
        Self {
            server: Arc::new(Mutex::new(server)),
            rng,
            lost: Arc::default(),
            refused: Arc::default(),
        }
    }
}

impl Transport for Wire {
    async fn send(&self, request: &SyncRequest) -> Result<Reply, NoAnswer> {
        tokio::task::yield_now().await;
        let lost = self.rng.lock().await.i64(0..100) < self.lost.load(SeqCst);
        let is_answer_lost = self.rng.lock().await.bool();
        if lost && !is_answer_lost {
            return Err(NoAnswer::new("no network"));
        }
        let mut refused = self.refused.lock().await;
        if let Some(place) =
            refused.iter().position(|(from, ..)| from.contains(&request.logical_clock))
        {
            let (_, status, code) = refused.remove(place);
            let body = serde_json::json!({"success": false, "message": code, "code": code});
            return Ok(Reply { status, retry_after: None, body: body.to_string().into() });
        }
        let server = self.server.lock().await;
        let endpoint = Endpoint::new(server.mobync.clone(), async |_: Credentials| Ok(ada()));
        let body = Bytes::from(serde_json::to_vec(request).unwrap());
        let request = http::Request::post("/sync")
            .header("content-type", "application/json")
            .body(http_body_util::Full::new(body))
            .unwrap();
        let (parts, body) = endpoint.handle(request).await.into_parts();
        if lost {
            return Err(NoAnswer::new("the connection broke off"));
        }
        Ok(Reply { status: parts.status.as_u16(), retry_after: None, body })
    }
}

/// A device that is used, and its app's version.
pub struct Phone {
    pub version: u64,
    pub store: MemoryStore,
    pub client: Client<MemoryStore, Wire>,
    name: usize,
    now: Arc<AtomicI64>,
    wire: Wire,
    /// Whether the last request got no answer.
    is_unanswered: bool,
    made: usize,
    /// All diffs that must be in the log once.
    pub diffs: Vec<Diff>,
}

impl Phone {
    pub async fn new(drawn: &Drawn, version: u64, name: usize, wire: &Wire) -> Self {
        let store = MemoryStore::new();
        let now = Arc::new(AtomicI64::new(T0));
        let client = open(drawn, version, &store, wire, &now).await;
        let wire = wire.clone();
        Self {
            version,
            store,
            client,
            name,
            now,
            wire,
            is_unanswered: false,
            made: 0,
            diffs: Vec::new(),
        }
    }

    pub fn device(&self) -> &Device<MemoryStore> {
        self.client.device()
    }

    /// Starts the app with this version.
    pub async fn update(&mut self, drawn: &Drawn, version: u64, wire: &Wire) {
        let before = self.device().pending().await.unwrap();
        self.client = open(drawn, version, &self.store, wire, &self.now).await;
        let after = self.device().pending().await.unwrap();
        for pending in before {
            if after.iter().any(|other| other.diff.id == pending.diff.id) {
                continue;
            }
            assert!(!pending.sent, "{pending:?} may have arrived");
            assert!(drawn.says_nothing(&pending, self.version, version), "{pending:?} is lost");
            self.diffs.retain(|diff| diff.id != pending.diff.id);
        }
        self.version = version;
    }

    /// Makes a change.
    pub async fn edit(&mut self, drawn: &Drawn, rng: &mut Rng) {
        self.now.fetch_add(rng.i64(-20..1000), SeqCst);
        let layout = drawn.layout(self.version);
        let model = &layout[rng.usize(..layout.len())];
        let mut records = self.device().all(&model.name).await.unwrap();
        let is_new = records.len() < 2 || rng.u8(..4) == 0;
        let id = if is_new {
            self.made += 1;
            format!("{}-{}", self.name, self.made)
        } else {
            records.swap_remove(rng.usize(..records.len())).id().to_owned()
        };
        let mut record = Record::new(&id);
        for (_, field) in &model.fields {
            if rng.bool() {
                let words = ["one", "two", "three"];
                let word = if rng.u8(..12) == 0 { "forbidden" } else { words[rng.usize(..3)] };
                record.insert(field, word);
            }
        }
        let change = if is_new {
            Change::create(&model.name, record)
        } else if rng.u8(..5) == 0 {
            Change::delete(&model.name, id)
        } else {
            Change::update(&model.name, record)
        };
        let before = self.last().await;
        self.device().record([change]).await.unwrap();
        let last = self.last().await;
        if last != before {
            self.diffs.extend(last);
        }
    }

    async fn last(&self) -> Option<Diff> {
        let pending = self.device().pending().await.unwrap();
        pending.last().map(|pending| pending.diff.clone())
    }

    /// Syncs once; what is lost comes later.
    pub async fn sync(&mut self) -> bool {
        let before = self.device().pending().await.unwrap();
        let synced = self.client.sync_now().await;
        let was_unanswered = std::mem::replace(&mut self.is_unanswered, synced.is_err());
        if was_unanswered {
            // What was made since that request has met its answer, and may have lost: "Changes in flight".
            let log = self.wire.server.lock().await.log().await;
            let after = self.device().pending().await.unwrap();
            let is_there = |diff: &Diff| {
                let mut pending = after.iter().map(|pending| &pending.diff);
                pending.any(|it| it.id == diff.id) || log.iter().any(|it| it.id == diff.id)
            };
            let gone = before.iter().filter(|it| !it.sent && !is_there(&it.diff));
            let gone: Vec<_> = gone.map(|pending| pending.diff.id.clone()).collect();
            self.diffs.retain(|diff| !gone.contains(&diff.id));
        }
        match synced {
            Ok(_) => true,
            Err(SyncFailure::NoAnswer { reason, .. }) => {
                assert!(
                    ["no network", "connection broke off"].iter().any(|it| reason.contains(it)),
                    "{reason}"
                );
                false
            }
            Err(SyncFailure::Refused { code, .. })
                if ["unknown_model", "unknown_field"].contains(&&*code) =>
            {
                false
            }
            Err(failure) => panic!("{failure:?}"),
        }
    }

    pub async fn rows(&self, drawn: &Drawn) -> Rows {
        let mut rows = Rows::new();
        for model in drawn.layout(self.version) {
            let records = self.device().all(&model.name).await.unwrap();
            drawn.add(&mut rows, model, records);
        }
        rows
    }
}

async fn open(
    drawn: &Drawn,
    version: u64,
    store: &MemoryStore,
    wire: &Wire,
    now: &Arc<AtomicI64>,
) -> Client<MemoryStore, Wire> {
    let now = Arc::clone(now);
    let device = Device::new(store.clone()).folding(false).time(move || now.load(SeqCst));
    Client::new(device.schema(drawn.schema(version)).await.unwrap(), wire.clone())
}

impl Drawn {
    /// Whether the later version has nothing of what the diff says.
    fn says_nothing(&self, pending: &Pending, from: u64, to: u64) -> bool {
        let of = |version| self.layout(version).iter();
        let model = of(from).find(|model| model.name == pending.diff.model).unwrap();
        let Some(later) = of(to).find(|later| later.key == model.key) else { return true };
        let record = pending.diff.record().unwrap();
        let is_there = |name: &String| {
            let (key, _) = model.fields.iter().find(|(_, other)| other == name).unwrap();
            later.fields.iter().any(|(other, _)| other == key)
        };
        pending.diff.operation == Operation::Update && !record.fields().keys().any(is_there)
    }
}
