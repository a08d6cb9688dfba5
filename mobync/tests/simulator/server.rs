//! The real server, and beside it what the protocol's text says of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use mobync::{Access, Database, Diff, Error, Mobync, Owner, SyncResponse, UnitOfWork, WindowQuery};

use super::{
    convert,
    faults::Faults,
    oracle::{Answer, Change, Entry, Fields, Key, Kind, Objects, Oracle, without_nulls},
    ours::same,
    rules::{NoNo, forbids, rejects},
    step::{Edit, Settings},
    support::hooked::Hooked,
    world::{Failure, kind},
};

pub struct Server<D> {
    database: Hooked<D, Faults>,
    mobync: Mobync<Hooked<D, Faults>, NoNo>,
    owners: Vec<(Owner, Oracle)>,
    time: Arc<AtomicI64>,
    settings: Settings,
}

/// A request, as it arrives.
#[derive(Debug)]
pub struct Posted {
    pub owner: usize,
    pub clock: i64,
    pub diffs: Vec<Diff>,
}

type Outcome = Result<SyncResponse, Error>;

/// What a request was answered, what the text says, and the rows that the server had then.
#[derive(Debug)]
pub enum Reply {
    Answer { answer: SyncResponse, told: Answer, rows: Objects },
    TooLarge,
    Failed,
}

impl<D: Database + Clone> Server<D> {
    pub fn new(inner: D, settings: &Settings) -> Self {
        let database = Hooked { inner, hook: Faults::new(settings) };
        let time = Arc::new(AtomicI64::new(0));
        let owner = |number| {
            let name = if number == 0 { "ada" } else { "bob" };
            (Owner::new(name).unwrap(), Oracle::default())
        };
        let owners = (0..settings.owners).map(owner).collect();
        let mobync = start(database.clone(), settings, &time);
        Self { database, mobync, owners, time, settings: settings.clone() }
    }

    pub fn set_time(&self, now: i64) {
        self.time.store(now, Ordering::Relaxed);
    }

    pub fn restart(&mut self) {
        self.mobync = start(self.database.clone(), &self.settings, &self.time);
    }

    pub fn fail_in(&self, calls: usize, busy: bool) {
        self.database.hook.fail_in(calls, busy);
    }

    pub fn calm(&self) {
        self.database.hook.calm();
    }

    pub fn oracle(&self, owner: usize) -> &Oracle {
        &self.owners[owner].1
    }

    /// One request.
    pub async fn sync(&mut self, posted: &Posted) -> Result<Reply, Failure> {
        let outcome = self.apply(posted).await;
        let has_failed = self.database.hook.take_failure();
        let [reply] = self.explain([(posted, &outcome)], has_failed).await?;
        Ok(reply)
    }

    /// Two requests at once, at this pace. They may be served in either order.
    pub async fn sync_together(
        &mut self,
        [left, right]: [&Posted; 2],
        pace: u64,
    ) -> Result<[Reply; 2], Failure> {
        self.database.hook.set_pace(Some(pace));
        let outcomes = tokio::join!(self.apply(left), self.apply(right));
        self.database.hook.set_pace(None);
        let has_failed = self.database.hook.take_failure();
        let (left, right) = ((left, &outcomes.0), (right, &outcomes.1));

        let before = self.owners.clone();
        let failure = match self.explain([left, right], has_failed).await {
            Ok(replies) => return Ok(replies),
            Err(failure) => failure,
        };
        self.owners = before;
        match self.explain([right, left], has_failed).await {
            Ok([right, left]) => Ok([left, right]),
            Err(Failure(other)) => Err(Failure(format!(
                "two requests at once; if the first was served first:\n{}\nif the other was:\n{other}",
                failure.0
            ))),
        }
    }

    async fn apply(&self, Posted { owner, clock, diffs }: &Posted) -> Outcome {
        self.mobync.apply(&self.owners[*owner].0, *clock, diffs.clone()).await
    }

    /// Everything is as the text says, if the requests were served in this order.
    async fn explain<const N: usize>(
        &mut self,
        served: [(&Posted, &Outcome); N],
        has_failed: bool,
    ) -> Result<[Reply; N], Failure> {
        let mut replies = [const { Reply::Failed }; N];
        for ((posted, outcome), reply) in served.into_iter().zip(&mut replies) {
            match outcome {
                Ok(answer) => *reply = self.hold_against_text(posted, answer)?,
                Err(Error::Internal(_) | Error::Busy { .. }) if has_failed => {}
                Err(Error::PayloadTooLarge(_)) if posted.diffs.len() > self.settings.max_diffs => {
                    *reply = Reply::TooLarge;
                }
                Err(error) => return Err(Failure(format!("a request failed: {error:?}"))),
            }
        }
        let failed = replies.iter().filter(|reply| matches!(reply, Reply::Failed)).count();
        same("how many requests failed with the database", &failed, &usize::from(has_failed))?;
        self.check().await?;
        Ok(replies)
    }

    /// The answer is what the text says, which hears of the request by this.
    fn hold_against_text(
        &mut self,
        Posted { owner, clock, diffs }: &Posted,
        answer: &SyncResponse,
    ) -> Result<Reply, Failure> {
        let now = self.time.load(Ordering::Relaxed);
        let changes: Vec<Change> = diffs.iter().map(convert::change).collect();
        let rules = self.settings.rules;
        let refuse = |change: &Change| (rules && forbids(change)).then_some("forbidden");
        let constraints = self.settings.constraints;
        let reject = |kind, key: &Key, fields: &Fields| {
            if constraints { rejects(kind, &key.1, fields.values()) } else { None }
        };
        let oracle = &mut self.owners[*owner].1;
        let told = oracle
            .sync(*clock, &changes, now, refuse, &reject)
            .map_err(|_| Failure("the oracle says clock_ahead".to_owned()))?;
        check_answer(answer, &told)?;
        Ok(Reply::Answer { answer: answer.clone(), told, rows: oracle.objects() })
    }

    /// The backend writes for an owner.
    pub async fn write(&mut self, owner: usize, edit: &Edit) -> Result<(), Failure> {
        let now = self.time.load(Ordering::Relaxed);
        let (name, oracle) = &mut self.owners[owner];
        let key = edit.key();
        let kind = kind(edit, oracle.objects().contains_key(&key));
        let fields = edit.values(&self.settings);
        let is_taken = !self.settings.constraints
            || rejects(kind, &key.1, fields.values().filter(|_| kind != Kind::Delete)).is_none();
        let change = convert::library_change(&key, kind, &fields);
        let outcome = self.mobync.write(name, [change]).await;
        let has_failed = self.database.hook.take_failure();
        match outcome {
            Ok(_) if is_taken && !has_failed => {}
            Err(Error::Internal(_) | Error::Busy { .. }) if has_failed => {
                return self.check().await;
            }
            Err(Error::InvalidValue { .. } | Error::Constraint { .. }) if !is_taken => {
                return self.check().await;
            }
            other => return Err(Failure(format!("a write of the backend: {other:?}"))),
        }
        let tick = self.owners[owner].1.clock();
        let log = self.log(owner).await?;
        let new = log.iter().find(|entry| entry.tick == tick);
        let id = new.and_then(|entry| entry.id.clone());
        let id = id.ok_or_else(|| Failure("the backend's write is not in the log".to_owned()))?;
        let (model, object) = key;
        let change = Change { id, at: now, kind, model, object, fields };
        let oracle = &mut self.owners[owner].1;
        let clock = oracle.clock();
        oracle.sync(clock, &[change], now, |_| None, &|_, _, _| None).unwrap();
        self.check().await
    }

    /// Log and rows of all owners are as the text says.
    async fn check(&self) -> Result<(), Failure> {
        for (number, (_, oracle)) in self.owners.iter().enumerate() {
            let log = self.log(number).await?;
            let ids: BTreeSet<_> = log.iter().map(|entry| entry.id.clone()).collect();
            same("the number of ids in the log", &ids.len(), &log.len())?;
            let ticks: BTreeSet<i64> = log.iter().map(|entry| entry.tick).collect();
            same("the ticks", &ticks, &(0..oracle.clock()).collect())?;
            same_entries("the log", &log, oracle.log())?;
            let is = self.rows(number).await?;
            let said = oracle.objects();
            same("the server's rows", &without_nulls(&is), &without_nulls(&said))?;
        }
        Ok(())
    }

    /// The log, read from below all faults.
    async fn log(&self, owner: usize) -> Result<Vec<Entry>, Failure> {
        let owner = &self.owners[owner].0;
        let query = WindowQuery { log: "diffs", since: 0, ids: &[], objects: &[] };
        let mut unit = self.database.inner.open(owner, Access::Read).await.map_err(Failure::of)?;
        let mut entries = unit.window(owner, query).await.map_err(Failure::of)?.entries;
        entries.sort_by(|left, right| left.order().cmp(&right.order()));
        if entries.iter().any(|entry| entry.owner != owner.as_str()) {
            return Err(Failure("the log of one owner has an entry of another".to_owned()));
        }
        Ok(entries.iter().map(convert::entry).collect())
    }

    async fn rows(&self, owner: usize) -> Result<Objects, Failure> {
        let owner = &self.owners[owner].0;
        let mut unit = self.database.inner.open(owner, Access::Read).await.map_err(Failure::of)?;
        let mut rows = Objects::new();
        for model in ["tasks", "notes"] {
            let records = unit.read(owner, model, &[]).await;
            for record in records.map_err(Failure::of)? {
                let key = (model.to_owned(), record.id().to_owned());
                rows.insert(key, convert::fields(record));
            }
        }
        Ok(rows)
    }
}

fn start<D: Database>(database: D, settings: &Settings, time: &Arc<AtomicI64>) -> Mobync<D, NoNo> {
    let time = Arc::clone(time);
    Mobync::new(database)
        .rules(NoNo { rules: settings.rules })
        .max_diffs(settings.max_diffs)
        .time(move || time.load(Ordering::Relaxed))
}

fn check_answer(answer: &SyncResponse, told: &Answer) -> Result<(), Failure> {
    same("the clock of an answer", &answer.logical_clock, &told.clock)?;
    let refused: Vec<(String, &str)> =
        answer.refused.iter().map(|refused| (refused.diff_id.clone(), &*refused.code)).collect();
    same("what is refused", &refused, &told.refused)?;
    let idle: usize = match answer.message.split(' ').next() {
        Some(number) if !number.is_empty() => number.parse().unwrap_or(usize::MAX),
        _ => 0,
    };
    same("the number of changes without effect", &idle, &told.idle)?;
    let is_sorted = answer.diffs.is_sorted_by(|left, right| left.order() <= right.order());
    same("that the answer is sorted", &is_sorted, &true)?;
    let entries: Vec<Entry> = answer.diffs.iter().map(convert::entry).collect();
    same_entries("an answer", &without_columns(entries, &told.entries), &told.entries)
}

/// Without the nulls of columns that no diff has written: a row of a table has them, and brings them
/// along where it goes back.
fn without_columns(mut is: Vec<Entry>, told: &[Entry]) -> Vec<Entry> {
    is.retain_mut(|entry| {
        let of_text = |told: &&Entry| (told.key(), told.kind) == (entry.key(), entry.kind);
        let told = told.iter().find(of_text);
        let had_fields = !entry.fields.is_empty();
        entry.fields.retain(|name, value| {
            !value.is_null() || told.is_some_and(|told| told.fields.contains_key(name))
        });
        told.is_some() || !had_fields || !entry.fields.is_empty()
    });
    is
}

/// The entries of each object are the same; where the text has an id of the server's own, any is.
fn same_entries(what: &str, is: &[Entry], said: &[Entry]) -> Result<(), Failure> {
    let by_object = |entries: &[Entry]| {
        let mut objects: BTreeMap<Key, Vec<Entry>> = BTreeMap::new();
        for entry in entries {
            objects.entry(entry.key()).or_default().push(entry.clone());
        }
        objects
    };
    let mut is = by_object(is);
    let said = by_object(said);
    for (key, entries) in &mut is {
        for (entry, said) in entries.iter_mut().zip(said.get(key).into_iter().flatten()) {
            if said.id.is_none() {
                entry.id = None;
            }
        }
    }
    same(what, &is, &said)
}
