//! Two servers that get the same requests: one is compacted at random moments, the other never.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use mobync::{
    Access, Change, Database, DatabaseError, Diff, Error, Mobync, Operation, Record, SyncRequest,
    SyncResponse, UnitOfWork,
};
use serde_json::{Value, json};

use super::support::{
    self, Forbid, Sent, Server, T0, ada, create,
    databases::on_every_database,
    delete,
    hooked::{Hook, Hooked},
    line, make, update,
};

/// How long the log is kept, in milliseconds.
const AGE: i64 = 100;

on_every_database! {
    std::convert::identity;
    a_compacted_log_answers_as_its_twin_that_never_was
}

/// The number of histories.
fn seeds<D>() -> u64 {
    let is_memory = std::any::type_name::<D>().contains("Memory");
    let default = if is_memory { 300 } else { 10 };
    std::env::var("TWIN_SEEDS").map_or(default, |seeds| seeds.parse().unwrap())
}

/// Separate owners would do, but the tests' server has only one. So each history continues in the same
/// database after the previous one.
async fn a_compacted_log_answers_as_its_twin_that_never_was<D: Database + Clone>(database: D) {
    let first = std::env::var("TWIN_SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds = first.map_or(0..seeds::<D>(), |seed: u64| seed..seed + 1);
    for seed in seeds {
        let mut twins = Twins::new(database.clone(), seed).await;
        let steps = twins.rng.usize(10..60);
        for step in 0..steps {
            twins.step().await.unwrap_or_else(|what| panic!("seed {seed}, step {step}: {what}"));
        }
    }
}

/// Fails at a call and all later ones, until it is reset.
#[derive(Clone, Default)]
struct Mortal(Arc<AtomicUsize>);

impl Hook for Mortal {
    fn call(&self, _: &'static str) -> Result<(), DatabaseError> {
        let count = |left: usize| (left > 1).then(|| left - 1);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count) {
            Err(1) => Err(DatabaseError::failed("killed")),
            _ => Ok(()),
        }
    }

    fn batches(&self) -> bool {
        true
    }
}

struct Twins<D> {
    rng: Rng,
    time: Arc<AtomicI64>,
    thinned: Server<Hooked<D, Mortal>, Forbid>,
    whole: Server<mobync::memory::MemoryDatabase, Forbid>,
    mortal: Mortal,
    /// Every diff that was sent, and its tick.
    sent: BTreeMap<String, (Sent, i64)>,
    count: usize,
    /// Tick and time of the milestones.
    milestones: Vec<(i64, i64)>,
    horizon: i64,
    forgotten: i64,
    /// Whether the database returns nulls only for fields that a diff has written.
    says_nulls: bool,
    /// Whether there are rows that are older than the log: a later page may only have what changed in them.
    has_older: bool,
    pager: Pager,
}

/// A new device that fetches everything in pages.
#[derive(Default)]
struct Pager {
    clock: i64,
    head: String,
    rows: BTreeMap<String, serde_json::Map<String, Value>>,
}

impl Pager {
    fn hear(&mut self, answer: &SyncResponse) {
        for diff in &answer.diffs {
            let mut fields: serde_json::Map<_, _> = serde_json::from_str(&diff.json_data).unwrap();
            let id = fields.remove("id").unwrap().as_str().unwrap().to_owned();
            match (diff.operation, self.rows.get_mut(&id)) {
                (Operation::Create, _) => drop(self.rows.insert(id, fields)),
                (Operation::Update, Some(row)) => row.extend(fields),
                (Operation::Update, None) => {}
                (Operation::Delete, _) => drop(self.rows.remove(&id)),
            }
        }
        self.clock = answer.logical_clock;
        if let Some(head) = &answer.head {
            self.head.clone_from(head);
        }
    }

    fn lines(&self) -> Vec<String> {
        let line = |(id, row): (&String, &serde_json::Map<String, Value>)| {
            let row: BTreeMap<_, _> = row.iter().filter(|(_, value)| !value.is_null()).collect();
            format!("{id} {}", json!(row))
        };
        self.rows.iter().map(line).collect()
    }
}

fn server<D: Database>(database: D, time: &Arc<AtomicI64>) -> Server<D, Forbid> {
    let time = Arc::clone(time);
    let mobync = Mobync::new(database).time(move || time.load(Ordering::Relaxed));
    Server { mobync: mobync.rules(Forbid) }
}

impl<D: Database + Clone> Twins<D> {
    async fn new(database: D, seed: u64) -> Self {
        let time = Arc::new(AtomicI64::new(T0));
        let mortal = Mortal::default();
        empty(&database).await;
        let mut rng = Rng::with_seed(seed);
        let mut thinned = server(Hooked { inner: database, hook: mortal.clone() }, &time);
        thinned.mobync = thinned.mobync.compacts_at_once(rng.usize(1..6));
        let whole = server(mobync::memory::MemoryDatabase::new(), &time);
        let has_older = rng.u8(..3) == 0;
        if has_older {
            // A row that is older than the log.
            for id in ["t0", "t2"] {
                let row = || Change::create("tasks", Record::new(id).with("a", "old"));
                put(thinned.mobync.database(), row()).await;
                put(whole.mobync.database(), row()).await;
            }
        }
        let (sent, count, milestones) = (BTreeMap::new(), 0, Vec::new());
        Self {
            rng,
            time,
            thinned,
            whole,
            mortal,
            sent,
            count,
            milestones,
            horizon: 0,
            forgotten: 0,
            says_nulls: std::any::type_name::<D>().contains("Memory"),
            has_older,
            pager: Pager::default(),
        }
    }

    fn now(&self) -> i64 {
        self.time.load(Ordering::Relaxed)
    }

    async fn step(&mut self) -> Result<(), String> {
        match self.rng.u8(..15) {
            0 | 1 => {
                let passed = self.rng.i64(1..60);
                self.time.fetch_add(passed, Ordering::Relaxed);
            }
            2 | 3 => self.compact().await?,
            4 => self.look().await?,
            7 if !self.has_older => self.page_while_killed().await?,
            8 => self.push_life_apart().await?,
            5 | 6 if !self.has_older => self.page().await?,
            _ => self.push().await?,
        }
        self.compare().await
    }

    async fn clock(&self) -> i64 {
        self.whole.log().await.iter().map(|entry| entry.logical_clock + 1).max().unwrap_or(0)
    }

    /// A new device comes in pages, while a compaction is killed and then finished.
    async fn page_while_killed(&mut self) -> Result<(), String> {
        self.pager = Pager::default();
        self.time.fetch_add(self.rng.i64(1..200), Ordering::Relaxed);
        let calls = self.rng.usize(4..24);
        self.compact_until(calls).await?;
        for _ in 0..self.rng.usize(1..3) {
            self.page().await?;
        }
        self.compact_until(0).await?;
        for _ in 0..3 {
            self.page().await?;
        }
        Ok(())
    }

    /// Pushes a create of an object that already existed, a change and a delete of it.
    async fn push_life_apart(&mut self) -> Result<(), String> {
        let (mut sent, mut at) = (Vec::new(), self.now() - T0 - 30);
        let object = ["t0", "t1", "t2"][self.rng.usize(..3)];
        let value = self.rng.u32(..1_000_000);
        let rest = [
            create(object, json!({"a": value})),
            update(object, json!({"b": value})),
            delete(object),
        ];
        for diff in rest {
            (self.count, at) = (self.count + 1, at + 1);
            sent.push(diff.id(&format!("c-{:05}", self.count)).at(at));
        }
        self.ask(0, sent).await
    }

    /// Compacts one of them, and is perhaps killed.
    async fn compact(&mut self) -> Result<(), String> {
        let calls = if self.rng.u8(..4) == 0 { self.rng.usize(2..16) } else { 0 };
        self.compact_until(calls).await
    }

    /// The same, killed after this many calls, if there are as many.
    async fn compact_until(&mut self, calls: usize) -> Result<(), String> {
        let (now, clock) = (self.now(), self.clock().await);
        self.mortal.0.store(calls, Ordering::Relaxed);
        let age = Duration::from_millis(AGE.unsigned_abs());
        let outcome = self.thinned.mobync.compact(&ada(), age).await;
        let was_killed = self.mortal.0.swap(0, Ordering::Relaxed) == 1;

        // According to the text.
        let newest = self.milestones.last().copied();
        let is_recent = newest.is_some_and(|(_, at)| (now - AGE / 100 + 1..=now).contains(&at));
        let mut milestones = self.milestones.clone();
        let of_before = |than: i64| {
            let old = self.milestones.iter().rfind(|(_, at)| *at < now - than);
            old.map_or(0, |(tick, _)| tick + 1)
        };
        let horizon = self.horizon.max(of_before(AGE));
        let forgotten = self.forgotten.max(of_before(2 * AGE).min(horizon - 1));
        if clock > 0 && !is_recent && newest.is_none_or(|(tick, _)| tick < clock - 1) {
            milestones.push((clock - 1, now));
        }
        let has_begun = match &outcome {
            Ok(compacted) => {
                let is = (compacted.horizon, compacted.forgotten);
                same("horizon and what is forgotten", &is, &(horizon, forgotten))?;
                true
            }
            Err(_) if was_killed => self.has_milestone(&milestones).await,
            Err(error) => return Err(format!("{error:?}")),
        };
        if has_begun {
            (self.milestones, self.horizon, self.forgotten) = (milestones, horizon, forgotten);
        }
        Ok(())
    }

    /// Whether the log has these milestones and their horizon: a killed compaction may not have come that
    /// far.
    async fn has_milestone(&self, milestones: &[(i64, i64)]) -> bool {
        let log = self.thinned.log().await;
        let own: Vec<(i64, i64)> = log
            .iter()
            .filter(|entry| entry.model == "diffs" && entry.json_data.contains("milestone"))
            .map(|entry| (entry.logical_clock, entry.utc_timestamp))
            .collect();
        let horizon = log.iter().find(|entry| entry.json_data.contains("horizon"));
        let clock = horizon.map_or(0, |entry| entry.logical_clock + 1);
        clock > self.horizon
            || horizon.is_some_and(|entry| entry.utc_timestamp > self.forgotten)
            || own.last() == milestones.last() && own.last() != self.milestones.last()
    }

    fn diff(&mut self) -> Sent {
        self.count += 1;
        let object = ["t0", "t1", "t2"][self.rng.usize(..3)];
        let fields = |rng: &mut Rng| {
            let mut fields = serde_json::Map::new();
            for name in ["a", "b"] {
                if rng.bool() {
                    let value =
                        if rng.u8(..6) == 0 { Value::Null } else { json!(rng.u32(..1_000_000)) };
                    fields.insert(name.to_owned(), value);
                }
            }
            Value::Object(fields)
        };
        let diff = match self.rng.u8(..10) {
            0..4 => create(object, fields(&mut self.rng)),
            4..8 => update(object, fields(&mut self.rng)),
            _ => delete(object),
        };
        let kind = if self.rng.u8(..8) == 0 { "forbidden" } else { "c" };
        let at = self.now() - T0 + self.rng.i64(-30..30);
        diff.id(&format!("{kind}-{:05}", self.count)).at(at)
    }

    /// A request with any clock, and with new and known diffs.
    async fn push(&mut self) -> Result<(), String> {
        let known: Vec<Sent> = self
            .sent
            .values()
            .filter(|(_, tick)| *tick >= self.forgotten)
            .map(|(sent, _)| sent.clone())
            .collect();
        let mut sent = Vec::new();
        for _ in 0..self.rng.usize(1..4) {
            if !known.is_empty() && self.rng.u8(..3) == 0 {
                sent.push(known[self.rng.usize(..known.len())].clone());
            } else {
                sent.push(self.diff());
            }
        }
        let clock = self.clock().await;
        let since = match self.rng.u8(..4) {
            0 => 0,
            1 => clock,
            _ => self.rng.i64(0..=clock),
        };
        self.ask(since, sent).await
    }

    async fn ask(&mut self, since: i64, sent: Vec<Sent>) -> Result<(), String> {
        let thinned = self.thinned.try_sync(since, sent.clone()).await;
        if 0 < since && since < self.horizon {
            // *Exact*
            return match thinned {
                Err(Error::TooOld { forgotten }) => {
                    same("what is forgotten", &forgotten, &(since < self.forgotten))
                }
                other => Err(format!("at {since} below {}: {other:?}", self.horizon)),
            };
        }
        let thinned = thinned.map_err(|error| format!("{error:?}"))?;
        let whole = self.whole.sync(since, sent.clone()).await;
        for diff in sent {
            let tick = whole.logical_clock - 1;
            self.sent.entry(diff.0.id.clone()).or_insert((diff, tick));
        }
        same(
            &format!("the answer at {since}"),
            &self.said(&thinned, since == 0),
            &self.said(&whole, since == 0),
        )
    }

    /// *Fold*, in pages: a first sync that is under way while the log is compacted and others write.
    async fn page(&mut self) -> Result<(), String> {
        let mut request = SyncRequest::new(self.pager.clock, Vec::new());
        request.limit = Some(self.rng.u64(1..8));
        request.head = Some(self.pager.head.clone());
        match self.thinned.mobync.answer(&ada(), &request).await {
            Err(Error::TooOld { .. }) => {
                let log = self.thinned.log().await;
                let horizon = log.iter().find(|entry| entry.json_data.contains("horizon")).unwrap();
                let may_pass = horizon.id == self.pager.head;
                if may_pass || self.pager.clock == 0 || self.pager.clock >= self.horizon {
                    return Err(format!("too_old in pages at {}", self.pager.clock));
                }
                self.pager = Pager::default();
                Ok(())
            }
            Err(error) => Err(format!("{error:?} in pages")),
            Ok(answer) => {
                self.pager.hear(&answer);
                match answer.more {
                    Some(_) => Ok(()),
                    None => {
                        let rows = self.thinned.rows().await;
                        let what = format!("rows in pages, at {}", self.pager.clock);
                        let fetched = std::mem::take(&mut self.pager);
                        // It continues, or another new one comes.
                        if self.rng.bool() {
                            self.pager = Pager { rows: fetched.rows.clone(), ..fetched };
                            return same(&what, &self.pager.lines(), &rows);
                        }
                        same(&what, &fetched.lines(), &rows)
                    }
                }
            }
        }
    }

    /// All empty requests: *Fold*, *Twin*, *Exact*.
    async fn look(&mut self) -> Result<(), String> {
        for since in 0..=self.clock().await {
            self.ask(since, Vec::new()).await?;
        }
        let fold = [&self.thinned.sync(0, []).await, &self.whole.sync(0, []).await];
        let [thinned, whole] = fold.map(|answer| self.said(answer, false));
        same("a first sync", &thinned, &whole)
    }

    /// The log from the horizon on, and the rows.
    async fn compare(&self) -> Result<(), String> {
        let from = |log: Vec<Diff>| -> Vec<String> {
            let log = log.into_iter().filter(|entry| entry.model != "diffs");
            let log = log.filter(|entry| entry.logical_clock >= self.horizon - 1);
            let mut log: Vec<String> = log.map(|entry| stamped(&entry)).collect();
            log.sort();
            log
        };
        let logs = (from(self.thinned.log().await), from(self.whole.log().await));
        same("the log", &logs.0, &logs.1)?;
        same("the rows", &self.thinned.rows().await, &self.whole.rows().await)
    }

    /// The contents of an answer. The stamps of a returned update may differ at clock 0.
    fn said(&self, answer: &SyncResponse, at_0: bool) -> (i64, String, Vec<String>, Vec<String>) {
        let diff = |diff: &Diff| {
            let mut data: BTreeMap<String, Value> = serde_json::from_str(&diff.json_data).unwrap();
            // A row of a table has columns that no diff has named.
            data.retain(|_, value| self.says_nulls || !value.is_null());
            let is_update = diff.operation == Operation::Update;
            if is_update && data.len() == 1 {
                return None;
            }
            let bears = if at_0 && is_update {
                String::new()
            } else {
                stamped(&Diff { json_data: r#"{"id":""}"#.to_owned(), ..diff.clone() })
            };
            Some(format!("{bears} {} {}", diff.operation, json!(data)))
        };
        let mut diffs: Vec<String> = answer.diffs.iter().filter_map(diff).collect();
        diffs.sort();
        let refused = answer.refused.iter().map(|refused| refused.diff_id.clone()).collect();
        (answer.logical_clock, answer.message.clone(), diffs, refused)
    }
}

/// An entry with everything that is the same on both; ids of the server's own differ.
fn stamped(entry: &Diff) -> String {
    let is_a_clients = entry.id.starts_with("c-") || entry.id.starts_with("forbidden-");
    let id = if is_a_clients { &*entry.id } else { "" };
    format!("{}.{}.{id} {}", entry.logical_clock, entry.utc_timestamp, line(entry))
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: &T, said: &T) -> Result<(), String> {
    if is == said { Ok(()) } else { Err(format!("{what}\n   is {is:?}\n  not {said:?}")) }
}

async fn put(database: &impl Database, change: Change) {
    let mut unit = database.open(&ada(), Access::Write).await.unwrap();
    make(&mut unit, change).await.unwrap();
    unit.commit().await.unwrap();
}

/// Removes what the previous history has left.
async fn empty(database: &impl Database) {
    let mut unit = database.open(&ada(), Access::Write).await.unwrap();
    for record in unit.read(&ada(), "tasks", &[]).await.unwrap() {
        make(&mut unit, Change::delete("tasks", record.id())).await.unwrap();
    }
    let ids = unit.read(&ada(), "diffs", &[]).await.unwrap();
    let mut rewrite = mobync::Rewrite::default();
    rewrite.removed = ids.iter().map(|record| record.id().to_owned()).collect();
    unit.rewrite(&ada(), "diffs", &rewrite).await.unwrap();
    unit.commit().await.unwrap();
}
