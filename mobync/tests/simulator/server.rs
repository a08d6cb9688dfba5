//! The real server, together with its state according to the protocol's text.

mod asked;
mod backup;
mod compare;
mod found;
mod history;
mod members;
mod truth;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use mobync::{Database, Diff, Error, Mobync, Owner, SyncRequest, SyncResponse};

pub use self::members::Heard;
use self::{
    asked::{overridden, sums},
    compare::check_answer,
};
use super::{
    convert,
    faults::Faults,
    hand::{Hand, Place},
    oracle::{Answer, Change, Entry, Fields, Key, Kind, Objects, Oracle, checksum},
    ours::same,
    rules::{NoNo, forbids, rejects},
    step::{Edit, MODELS, Settings},
    support::hooked::Hooked,
    versions::{self, Version, without_old},
    world::{Failure, kind},
};

/// The owners, by number: they differ only in bytes.
pub const OWNERS: [&str; 2] = ["ada", "Ada"];

pub struct Server<D> {
    database: Hooked<D, Faults>,
    mobync: Mobync<Hooked<D, Faults>, NoNo>,
    owners: Vec<(Owner, Oracle)>,
    time: Arc<AtomicI64>,
    settings: Settings,
    hand: Option<Arc<dyn Hand>>,
    backup: Vec<backup::Kept>,
    /// The times at which others may have written, in milliseconds.
    times: BTreeSet<i64>,
    /// How many pages have ended below the horizon.
    pub pages_below: usize,
}

/// A request, as it arrives.
#[derive(Debug, Default)]
pub struct Posted {
    pub owner: usize,
    pub clock: i64,
    pub diffs: Vec<Diff>,
    pub head: Option<String>,
    pub limit: Option<u64>,
    /// The log entries that the device has seen.
    pub seen: Vec<Entry>,
    /// Whether it asks for overridden values.
    pub report: bool,
    /// Whether it asks for checksums.
    pub check: bool,
    /// The version of the schema that it says; the first one, if it says none.
    pub schema: Option<u64>,
    /// Whether the person may only read.
    pub reads_only: bool,
}

type Outcome = Result<SyncResponse, Error>;

/// The answer to a request, what the text requires, and the server's rows at that time.
#[derive(Debug)]
pub enum Reply {
    Answer {
        answer: Box<SyncResponse>,
        told: Box<Answer>,
        rows: Objects,
        /// The objects that others have changed since.
        marked: BTreeSet<Key>,
        /// The log before the answer's clock; `None` if the device has seen another one without noticing.
        seen: Option<Vec<Entry>>,
    },
    /// The device has seen another history.
    Noticed,
    TooLarge,
    TooOld {
        forgotten: bool,
    },
    Failed,
}

impl<D: Place> Server<D> {
    pub fn new(inner: D, settings: &Settings) -> Self {
        Self::of_owners(inner, settings, OWNERS.iter().take(settings.owners))
    }

    /// The same for owners with other names, as many as the settings say.
    pub fn of_owners<'n>(
        inner: D,
        settings: &Settings,
        names: impl Iterator<Item = &'n &'n str>,
    ) -> Self {
        let hand = inner.hand();
        let database = Hooked { inner, hook: Faults::new(settings) };
        let time = Arc::new(AtomicI64::new(0));
        let owner = |name: &&str| (Owner::new(name).unwrap(), Oracle::default());
        let owners = names.map(owner).collect();
        let mobync = start(database.clone(), settings, &time);
        let (settings, times) = (settings.clone(), BTreeSet::new());
        let (backup, pages_below) = (Vec::new(), 0);
        Self { database, mobync, owners, time, settings, hand, backup, times, pages_below }
    }

    pub fn set_time(&mut self, now: i64) {
        self.time.store(now, Ordering::Relaxed);
        if let Some(hand) = &self.hand {
            hand.set_time(now);
            self.times.insert(now);
        }
    }

    pub fn restart(&mut self) {
        self.mobync = start(self.database.clone(), &self.settings, &self.time);
    }

    pub fn deploy(&self) {
        self.database.hook.deploy();
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

    async fn apply(&self, posted: &Posted) -> Outcome {
        let mut request = SyncRequest::new(posted.clock, posted.diffs.clone());
        (request.report, request.check) = (posted.report, posted.check);
        (request.head, request.limit) = (posted.head.clone(), posted.limit);
        request.schema = posted.schema;
        self.mobync.answer(&self.owners[posted.owner].0, &request).await
    }

    /// Everything is as the text requires, if the requests were served in this order.
    async fn explain<const N: usize>(
        &mut self,
        served: [(&Posted, &Outcome); N],
        has_failed: bool,
    ) -> Result<[Reply; N], Failure> {
        let mut replies = [const { Reply::Failed }; N];
        self.settle().await;
        for ((posted, outcome), reply) in served.iter().zip(&mut replies) {
            match outcome {
                Err(Error::ClockAhead { .. } | Error::OtherHistory) => {
                    let code = outcome.as_ref().err().map(Error::code);
                    same("that a device is refused", &code, &self.refusal(posted).await?)?;
                    *reply = Reply::Noticed;
                }
                Ok(answer) => *reply = self.hold_against_text(posted, answer).await?,
                Err(Error::Internal(_) | Error::Busy { .. }) if has_failed => {}
                Err(Error::PayloadTooLarge(_)) if posted.diffs.len() > self.settings.max_diffs => {
                    *reply = Reply::TooLarge;
                }
                Err(Error::TooOld { forgotten }) => {
                    let said = self.too_old(posted).await?;
                    same("whether a device is too old", &Some(*forgotten), &said)?;
                    *reply = Reply::TooOld { forgotten: *forgotten };
                }
                Err(error) => return Err(Failure(format!("a request failed: {error:?}"))),
            }
        }
        let failed = replies.iter().filter(|reply| matches!(reply, Reply::Failed)).count();
        // If only the checksums could not be calculated, the answer comes without them.
        let lacks_checksums = |(posted, outcome): &&(&Posted, &Outcome)| match outcome {
            Ok(answer) => {
                let asks = posted.check && posted.diffs.is_empty() && answer.more.is_none();
                asks && answer.check.is_none()
            }
            Err(_) => false,
        };
        let failed = failed + served.iter().filter(lacks_checksums).count();
        same("how many requests failed with the database", &failed, &usize::from(has_failed))?;
        for owner in 0..self.settings.owners {
            let ids = served.iter().flat_map(|(posted, _)| &posted.diffs).map(|diff| &*diff.id);
            self.adopt_drained(owner, i64::MAX, &ids.collect()).await?;
        }
        self.check().await?;
        Ok(replies)
    }

    /// The greatest number of entries in the answer, if it is a page.
    fn limit(&self, posted: &Posted) -> Option<usize> {
        let most = self.settings.page_all;
        let limit = posted.limit.map(|limit| limit.min(most.unwrap_or(limit))).or(most);
        limit.filter(|_| posted.diffs.is_empty()).map(|limit| usize::try_from(limit).unwrap())
    }

    /// Checks that the answer is what the text requires, and applies the request to the oracle.
    async fn hold_against_text(
        &mut self,
        posted: &Posted,
        answer: &SyncResponse,
    ) -> Result<Reply, Failure> {
        let Posted { owner, clock, diffs, head, seen, report, check, reads_only, .. } = posted;
        let version = Version(self.settings.versions.then(|| posted.schema.unwrap_or(1)));
        same("whether a device is too old", &None, &self.too_old(posted).await?)?;
        let now = self.time.load(Ordering::Relaxed);
        let changes: Vec<Change> = diffs.iter().map(convert::change).map(without_old).collect();
        let ids: BTreeSet<&str> = diffs.iter().map(|diff| &*diff.id).collect();
        let has_new = ids.iter().any(|id| !self.owners[*owner].1.knows(id));
        let own = answer.more.unwrap_or(answer.logical_clock) - i64::from(has_new);
        self.adopt_drained(*owner, own, &ids).await?;
        let marked = self.marked(*owner).await;
        same("that a device is not refused", &self.refusal(posted).await?, &None)?;

        let rules = self.settings.rules;
        let constraints = self.settings.constraints;
        let reject = |kind, key: &Key, fields: &Fields| {
            if constraints { rejects(kind, &key.1, fields.values()) } else { None }
        };
        // Changes to objects that a cascade has removed or created are refused by the database: only the
        // database knows in time.
        let by_cascade = |change: &Change| {
            let mut refused = answer.refused.iter();
            let is_refused = refused.any(|it| it.diff_id == change.id && it.code == "constraint");
            let fields = change.fields.values().filter(|_| change.kind != Kind::Delete);
            let is_told = constraints && rejects(change.kind, &change.object, fields).is_some();
            (self.hand.is_some() && is_refused && !is_told).then_some("constraint")
        };
        let refuse = |change: &Change| {
            let is_forbidden = *reads_only || (rules && forbids(change));
            let forbidden = is_forbidden.then_some("forbidden");
            forbidden.or_else(|| by_cascade(change))
        };
        let sync = |oracle: &mut Oracle, set_off: &[Entry]| {
            let told = oracle.sync_setting_off(*clock, &changes, now, refuse, &reject, set_off);
            told.map_err(|_| Failure("the oracle says clock_ahead".to_owned()))
        };
        let mut set_off = Vec::new();
        if self.hand.is_some() && has_new {
            let mut without = self.owners[*owner].1.clone();
            sync(&mut without, &[])?;
            set_off = self.set_off(*owner, own, &without).await?;
        }
        let (limit, oracle) = (self.limit(posted), &mut self.owners[*owner].1);
        let (mut end, horizon) = (limit.map(|it| oracle.page_end(*clock, it)), oracle.kept.horizon);
        if *clock == 0 && head.is_none() && end.is_some_and(|end| end < horizon) {
            let reaches = answer.logical_clock >= horizon;
            same("whether a page without head reaches the horizon", &reaches, &true)?;
            end = Some(answer.logical_clock);
        }
        // *Past*: a page is what was answered when the clock had the value at its end. Below the horizon it is
        // what the log says now.
        let is_cut = 0 < *clock && *clock < horizon || end.is_some_and(|end| end < horizon);
        let mut past = if is_cut {
            Some(oracle.passed(seen, *clock, end.unwrap_or(oracle.clock())))
        } else {
            end.map(|end| oracle.past(end))
        };
        let told = sync(past.as_mut().unwrap_or(oracle), &set_off)?;
        let more = past.as_ref().map(|_| oracle.clock()).filter(|more| *more > told.clock);
        same("whether there is more", &answer.more, &more)?;
        let is_below = told.clock < horizon;
        self.pages_below += usize::from(is_below);
        let then = match past {
            Some(passed) if is_below => passed,
            _ => oracle.past(told.clock),
        };
        let plain = asked::plain(answer, version)?;
        let seen_as = told.entries.iter().cloned().filter_map(|it| version.seen(it));
        let as_told = Answer { entries: seen_as.collect(), ..told.clone() };
        // *Twin* excepts what a returned update bears: what it has overwritten may be thinned.
        let is_excepted = *clock == 0 && self.owners[*owner].1.kept.horizon > 0;
        check_answer(&plain, &as_told, &marked, !is_excepted)?;
        let (rows, log) = (then.objects(), then.log().to_vec());
        self.check_head(posted, answer, has_new).await?;
        let before = self.owners[*owner].1.past(*clock);
        let is_same = !self.settings.restores || before.log() == &**seen;
        let seen = is_same.then_some(log);
        let mut lost = if *report { told.overridden.clone() } else { Vec::new() };
        lost.retain(|lost| version.has(&lost.key.0, &lost.field));
        let said = overridden(&plain, &told);
        if is_excepted {
            // And what a value has lost to.
            lost.retain(|lost| said.contains(lost));
        }
        same("what others have overridden", &said, &lost)?;
        let asks = *check && diffs.is_empty() && more.is_none();
        same("whether there are checksums unasked", &(answer.check.is_some() && !asks), &false)?;
        if let Some(check) = &answer.check {
            let has_tasks = rows.keys().any(|(model, _)| model == "tasks");
            let (left_out, rows) = version.checked(&rows);
            // A model of which the log has only what has ended may be listed, or not.
            let nulls = asked::nulls(check);
            let is_listed = has_tasks || !nulls.is_empty();
            let left_out = left_out.filter(|_| is_listed).into_iter().collect();
            same("the models that are not compared", &nulls, &left_out)?;
            same("the checksums", &sums(check), &checksum::of(&rows))?;
        }
        let (answer, told) = (Box::new(answer.clone()), Box::new(told));
        Ok(Reply::Answer { answer, told, rows, marked, seen })
    }

    /// The backend writes for an owner.
    pub async fn write(&mut self, owner: usize, edit: &Edit) -> Result<(), Failure> {
        let fields = edit.values(&self.settings);
        self.write_fields(owner, edit, fields).await
    }

    /// The same, with these values.
    pub async fn write_fields(
        &mut self,
        owner: usize,
        edit: &Edit,
        fields: Fields,
    ) -> Result<(), Failure> {
        let now = self.time.load(Ordering::Relaxed);
        let (name, oracle) = &mut self.owners[owner];
        let key = edit.key();
        let kind = kind(edit, oracle.objects().contains_key(&key));
        let is_taken = !self.settings.constraints
            || rejects(kind, &key.1, fields.values().filter(|_| kind != Kind::Delete)).is_none();
        let change = convert::library_change(&key, kind, &fields);
        let outcome = self.mobync.write(name, [change]).await;
        let has_failed = self.database.hook.take_failure();
        match outcome {
            Ok(_) if is_taken && !has_failed => {}
            // Others have removed its object in the meantime.
            Ok(done) if self.hand.is_some() && !done.message.is_empty() && !has_failed => {}
            Err(Error::Internal(_) | Error::Busy { .. }) if has_failed => {
                return self.check().await;
            }
            Err(Error::InvalidValue { .. } | Error::Constraint { .. }) if !is_taken => {
                return self.check().await;
            }
            other => return Err(Failure(format!("a write of the backend: {other:?}"))),
        }
        self.settle().await;
        let log = self.log(owner).await?;
        let tick = match &self.hand {
            Some(_) => log.iter().map(|entry| entry.tick).max().unwrap_or(0),
            None => self.owners[owner].1.clock(),
        };
        self.adopt_drained(owner, tick, &BTreeSet::new()).await?;
        let new = log.iter().find(|entry| {
            entry.tick == tick && entry.key() == key && (self.hand.is_none() || entry.at == now)
        });
        let id = new.and_then(|entry| entry.id.clone());
        let id = id.ok_or_else(|| Failure("the backend's write is not in the log".to_owned()))?;
        let (model, object) = key;
        let change = Change { id, at: now, kind, model, object, fields };
        let clock = self.owners[owner].1.clock();
        let sync = |oracle: &mut Oracle, set_off: &[Entry]| {
            let change = std::slice::from_ref(&change);
            let reject = &|_, _: &Key, _: &Fields| None;
            oracle.sync_setting_off(clock, change, now, |_| None, reject, set_off).unwrap();
        };
        let mut without = self.owners[owner].1.clone();
        sync(&mut without, &[]);
        let set_off = match &self.hand {
            Some(_) => self.set_off(owner, tick, &without).await?,
            None => Vec::new(),
        };
        sync(&mut self.owners[owner].1, &set_off);
        self.check().await
    }
}

fn start<D: Database>(database: D, settings: &Settings, time: &Arc<AtomicI64>) -> Mobync<D, NoNo> {
    let time = Arc::clone(time);
    let mobync = Mobync::new(database);
    let mobync =
        if settings.versions { mobync.schema(versions::schema(versions::NEWEST)) } else { mobync };
    mobync
        .rules(NoNo { rules: settings.rules })
        .max_diffs(settings.max_diffs)
        .max_page(settings.page_all.unwrap_or(10_000))
        .page_all(settings.page_all.is_some())
        .compacts_at_once(settings.at_once)
        .time(move || time.load(Ordering::Relaxed))
}
