//! The real device, together with its state according to the protocol's text.

mod again;
mod update;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use mobync::{
    Diff, Operation, SyncResponse,
    client::{Device, DeviceError, Request, Taken},
};

use super::{
    convert,
    oracle::{
        Change, Entry, Key, Kind, Objects, Oracle,
        device::{Device as Told, Said},
    },
    step::{Edit, KilledAt, MODELS},
    store::Mortal,
    versions::{self, Version, field_now, schema},
    world::Failure,
};
use crate::oracle::without_nulls;

/// One of our devices.
#[derive(Debug)]
pub struct Ours {
    device: Device<Mortal>,
    told: Told,
    time: Arc<AtomicI64>,
    limit: usize,
    /// The number of the request that waits for its answer; it is lost when the app dies.
    waits_for: Option<usize>,
    /// Grows with each start of the app, which forgets the requests of the previous run.
    pub life: usize,
    backup: Option<Box<(Mortal, Told, Seen, Versions)>>,
    pub versions: Versions,
    pub seen: Seen,
    /// It starts again with a server that has another history, and has not got its answer yet.
    starts_again: bool,
    /// The changes that were in no request before the last one.
    first_sent: BTreeSet<String>,
}

/// The versions of the schema that a device has.
#[derive(Clone, Copy, Debug)]
pub struct Versions {
    /// That of the app, which is also that of the data.
    pub app: Version,
    /// That of which the device has been sent all fields.
    pub sent: Version,
}

/// What a device has seen of the server's history.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The head of the last answer that had one.
    pub head: String,
    /// The log before the device's clock.
    pub log: Vec<Entry>,
}

impl Ours {
    pub async fn new(limit: usize, app: Version) -> Self {
        let time = Arc::new(AtomicI64::new(0));
        let told = Told::default();
        let device = start(Mortal::default(), &time, app).await;
        let versions = Versions { app, sent: app };
        let (backup, seen) = (None, Seen::default());
        Self {
            device,
            told,
            time,
            limit,
            waits_for: None,
            life: 0,
            backup,
            versions,
            seen,
            starts_again: false,
            first_sent: BTreeSet::new(),
        }
    }

    /// The app is installed again, and has lost everything.
    pub async fn anew(&self) -> Self {
        let new = Self::new(self.limit, self.versions.app).await;
        let anew = Self { life: self.life + 1, ..new };
        anew.set_time(self.time.load(Ordering::Relaxed));
        anew
    }

    pub fn set_time(&self, now: i64) {
        self.time.store(now, Ordering::Relaxed);
    }

    pub fn kill(&self, at: KilledAt) {
        self.device.store().kill(at);
    }

    pub fn spare(&self) {
        self.device.store().spare();
    }

    pub fn objects(&self) -> &Objects {
        &self.told.objects
    }

    /// Rows, as far as the device has been sent them.
    pub fn sent_of(&self, rows: &Objects) -> Objects {
        self.versions.sent.rows(rows)
    }

    pub fn clock(&self) -> i64 {
        self.told.clock
    }

    /// Whether nothing is pending, and everything has been fetched.
    pub fn has_all(&self) -> bool {
        self.is_quiet() && self.versions.sent == self.versions.app
    }

    pub fn is_quiet(&self) -> bool {
        self.told.pending.is_empty()
    }

    /// Whether a step was stored, even if the app has died in it.
    async fn was_kept<T>(&mut self, outcome: Result<T, DeviceError>) -> Result<Kept<T>, Failure> {
        match (self.device.store().take_death(), outcome) {
            (None, Ok(value)) => Ok(Kept::Yes(value)),
            (None, Err(error)) => Err(Failure(format!("a step failed: {error:?}"))),
            (Some(_), Ok(_)) => Err(Failure("a step went well in a dead app".to_owned())),
            (Some(at), Err(_)) => {
                self.restart().await;
                Ok(if at == KilledAt::BehindCommit { Kept::Unheard } else { Kept::No })
            }
        }
    }

    async fn restart(&mut self) {
        self.device = start(self.device.store().clone(), &self.time, self.versions.app).await;
        self.waits_for = None;
        self.life += 1;
    }

    /// The changes that it may repeat at clock 0, now or after it is restored to its copy.
    pub fn repeats_from_0(&self) -> impl Iterator<Item = &String> {
        let is_new = |told: &&Told| told.clock == 0;
        let sent = Some(&self.told).filter(is_new).into_iter().flat_map(|told| &told.sent);
        // What the copy does not know to be sent, the device may have sent since.
        let copy = self.backup.as_ref().map(|backup| &backup.1).filter(is_new);
        sent.chain(copy.into_iter().flat_map(|told| &told.pending).map(|change| &change.id))
    }

    pub async fn edit(&mut self, key: &Key, kind: Kind, edit: &super::oracle::Fields) -> Step {
        let app = self.versions.app;
        let edit = app.writable(&key.0, edit);
        let change = app.change(convert::library_change(key, kind, &edit));
        let outcome = self.device.record([change]).await;
        if !matches!(self.was_kept(outcome).await?, Kept::No) {
            self.hear_of_recorded().await?;
        }
        self.check().await
    }

    /// Passes the change that was recorded last to the oracle: the device chooses its id.
    async fn hear_of_recorded(&mut self) -> Step {
        let pending = self.device.pending().await.map_err(Failure::of)?;
        // An update without fields is no change.
        let is_told = |id: &String| self.told.pending.iter().any(|told| told.id == *id);
        if let Some(last) = pending.last().filter(|last| !is_told(&last.diff.id)) {
            let now = self.time.load(Ordering::Relaxed);
            self.told.record(Change { at: now, ..convert::change(&last.diff) });
        }
        Ok(())
    }

    /// The next request, with this number, if the app survives to send it.
    pub async fn send(
        &mut self,
        number: usize,
        page: Option<u64>,
    ) -> Result<Option<Request>, Failure> {
        let page = page.filter(|_| number.is_multiple_of(4));
        let (outcome, limit) = match page {
            Some(page) => (self.device.fetch(page).await, 0),
            None => (self.device.request(self.limit).await, self.limit),
        };
        let kept = self.was_kept(outcome).await?;
        if matches!(kept, Kept::No) {
            self.check().await?;
            return Ok(None);
        }
        let clock = self.told.clock;
        let before = self.told.sent.clone();
        let sent = self.told.request(limit);
        self.first_sent = self.told.sent.difference(&before).cloned().collect();
        self.check().await?;
        let Kept::Yes(request) = kept else { return Ok(None) };
        let body = request.body();
        // After old answers there is one more diff, which changes nothing.
        let is_told = |diff: &&Diff| sent.iter().any(|told| told.id == diff.id);
        let made = body.diffs.iter().filter(|diff| is_told(diff) || !is_empty_update(diff));
        let diffs: Vec<Change> = made.map(|diff| self.change(diff)).collect();
        same("the request", &(body.logical_clock, diffs), &(clock, sent))?;
        same("the head of a device", &body.head.as_ref(), &Some(&self.seen.head))?;
        same("the limit of a page", &body.limit, &page.filter(|_| body.diffs.is_empty()))?;
        self.waits_for = Some(number);
        Ok(Some(request))
    }

    /// A diff as the app has it. It is repeated as it was sent, even if its app has a newer version since.
    fn change(&self, diff: &Diff) -> Change {
        let change = convert::change(diff);
        let has_old = self.versions.app.has_old(&change.model);
        if has_old { change } else { versions::without_old(change) }
    }

    /// Receives an answer. Returns whether it was applied.
    pub async fn hear(
        &mut self,
        number: usize,
        request: &Request,
        answer: &mobync::SyncResponse,
        told: &super::oracle::Answer,
        log: &[Entry],
        oracle: &Oracle,
    ) -> Result<bool, Failure> {
        let entries: Vec<Entry> = answer.diffs.iter().map(convert::entry).collect();
        let sent: Vec<Change> = request.body().diffs.iter().map(|it| self.change(it)).collect();
        let said = said(answer, &entries);
        let counts = self.waits_for == Some(number) && self.told.may_take(&sent, &said);
        let applied = match self.take(request, answer).await? {
            Kept::No => false,
            Kept::Unheard => counts,
            Kept::Yes(applied) => {
                same("whether the answer counts", &applied, &counts)?;
                applied
            }
        };
        if applied {
            let end = (told.clock, answer.more.is_some());
            let is_left = |change: &&Change| !sent.iter().any(|sent| sent.id == change.id);
            let left = self.told.pending.iter().filter(is_left).map(Change::key).collect();
            self.told.receive(&sent, end, &entries, &told.refused);
            self.told.owner = said.owner.map(ToOwned::to_owned).or(self.told.owner.take());
            self.waits_for = None;
            if !self.told.anew {
                self.seen.log = log.to_vec();
                self.seen.head = answer.head.clone().unwrap_or(std::mem::take(&mut self.seen.head));
                self.starts_again = false;
                self.delete_again(&entries, &left).await?;
            }
            self.take_over(oracle).await?;
        }
        self.check().await?;
        Ok(applied)
    }

    /// Applies an answer; returns whether it was applied.
    async fn take(
        &mut self,
        request: &Request,
        answer: &SyncResponse,
    ) -> Result<Kept<bool>, Failure> {
        let outcome = match self.device.take(request, answer).await {
            Ok(taken) => Ok(matches!(taken, Taken::Applied(_))),
            Err(DeviceError::InvalidAnswer(_) | DeviceError::OtherOwner { .. }) => Ok(false),
            Err(error) => Err(error),
        };
        self.was_kept(outcome).await
    }

    /// The network delivers an answer to another request, perhaps of another device or owner, in place of the
    /// answer to this one. If the text can detect it, it changes nothing; otherwise it is not delivered.
    pub async fn hear_replayed(
        &mut self,
        number: usize,
        request: &Request,
        answer: &SyncResponse,
    ) -> Step {
        let entries: Vec<Entry> = answer.diffs.iter().map(convert::entry).collect();
        let sent: Vec<Change> = request.body().diffs.iter().map(convert::change).collect();
        if self.waits_for != Some(number) || self.told.may_take(&sent, &said(answer, &entries)) {
            return Ok(());
        }
        if let Kept::Yes(true) = self.take(request, answer).await? {
            return Err(Failure("an answer to another request was taken".to_owned()));
        }
        self.check().await
    }

    pub async fn hear_too_large(&mut self, number: usize, request: &Request) -> Step {
        if self.waits_for != Some(number) {
            return Ok(());
        }
        let ids: Vec<String> = request.body().diffs.iter().map(|diff| diff.id.clone()).collect();
        let outcome = self.device.too_large(request).await;
        let kept = self.was_kept(outcome).await?;
        self.limit = (ids.len() / 2).max(1);
        if !matches!(kept, Kept::No) {
            // The device decides what to send: the text only knows what was unanswered.
            let pending = self.device.pending().await.map_err(Failure::of)?;
            let sent = pending.iter().filter(|pending| pending.sent);
            self.told.sent = sent.map(|pending| pending.diff.id.clone()).collect();
        }
        self.check().await
    }

    pub async fn withdraw(&mut self, change: usize) -> Step {
        let Some(count) = self.told.pending.len().checked_sub(1) else { return Ok(()) };
        let id = self.told.pending[change % (count + 1)].id.clone();
        let outcome = self.device.withdraw(&id).await;
        if !matches!(self.was_kept(outcome).await?, Kept::No) {
            // The text does not say how a change is taken back, only that all converge.
            self.waits_for = None;
            let pending = self.device.pending().await.map_err(Failure::of)?;
            self.told.pending =
                pending.iter().map(|pending| convert::change(&pending.diff)).collect();
            self.told.objects = self.rows().await?;
            self.told.release_idle();
            if self.told.pending.iter().any(|change| change.id == id) {
                return Err(Failure("a change taken back is pending".to_owned()));
            }
        }
        self.check().await
    }

    pub async fn resubmit(&mut self, edit: &Edit, fields: &super::oracle::Fields) -> Step {
        let Some((id, _)) = self.told.refused.first().cloned() else { return Ok(()) };
        let key = edit.key();
        let kind = super::world::kind(edit, self.told.objects.contains_key(&key));
        let app = self.versions.app;
        let fields = app.writable(&key.0, fields);
        let mended = app.change(convert::library_change(&key, kind, &fields));
        let outcome = self.device.resubmit(&id, mended).await;
        if !matches!(self.was_kept(outcome).await?, Kept::No) {
            self.told.refused.retain(|(refused, _)| *refused != id);
            self.hear_of_recorded().await?;
        }
        self.check().await
    }

    pub async fn back_up(&mut self) {
        let (store, told) = (self.device.store().copy().await, self.told.clone());
        // A device that is about to start again is between two states.
        if !self.starts_again {
            self.backup = Some(Box::new((store, told, self.seen.clone(), self.versions)));
        }
    }

    pub async fn restore(&mut self) -> Step {
        if let Some(backup) = &self.backup {
            let (store, told, seen, versions) = &**backup;
            (self.told, self.seen, self.starts_again) = (told.clone(), seen.clone(), false);
            self.device = Device::new(store.copy().await);
            let app = self.versions.app;
            self.versions = *versions;
            self.update_told(app);
            self.restart().await;
        }
        self.check().await
    }

    pub async fn rows(&self) -> Result<Objects, Failure> {
        let mut rows = Objects::new();
        for model in MODELS {
            let name = self.versions.app.model(model);
            for record in self.device.all(name).await.map_err(Failure::of)? {
                let key = (model.to_owned(), record.id().to_owned());
                let fields = convert::fields(record).into_iter();
                let fields = fields.map(|(name, value)| (field_now(&name).to_owned(), value));
                rows.insert(key, fields.collect());
            }
        }
        Ok(rows)
    }

    /// The device is as the text requires.
    async fn check(&self) -> Step {
        let fate = self.device.store();
        let next = fate.suspend();
        let rows = self.rows().await?;
        let pending = self.device.pending().await.map_err(Failure::of)?;
        let refused = self.device.refused().await.map_err(Failure::of)?;
        let clock = self.device.clock().await.map_err(Failure::of)?;
        fate.resume(next);

        if self.versions.app.0.is_some() {
            // Fields that were added have their default, null.
            let [rows, told] = [&rows, &self.told.objects].map(without_nulls);
            same("the rows of a device", &rows, &told)?;
        } else {
            same("the rows of a device", &rows, &self.told.objects)?;
        }
        let changes: Vec<Change> =
            pending.iter().map(|pending| convert::change(&pending.diff)).collect();
        same("the pending changes of a device", &changes, &self.told.pending)?;
        let refused: Vec<(String, String)> =
            refused.into_iter().map(|refused| (refused.diff.id, refused.code)).collect();
        let told: Vec<(String, String)> =
            self.told.refused.iter().map(|(id, code)| (id.clone(), (*code).to_owned())).collect();
        same("the refused changes of a device", &refused, &told)?;
        same("the clock of a device", &clock, &self.told.clock)
    }
}

fn said<'a>(answer: &'a SyncResponse, entries: &'a [Entry]) -> Said<'a> {
    Said {
        clock: answer.logical_clock,
        entries,
        owner: answer.diffs.first().map(|diff| &*diff.owner),
        refused: answer.refused.iter().map(|refused| &*refused.diff_id).collect(),
    }
}

fn is_empty_update(diff: &Diff) -> bool {
    diff.operation == Operation::Update && convert::change(diff).fields.is_empty()
}

/// The result of a step.
enum Kept<T> {
    Yes(T),
    /// It was stored, but the app died before it knew.
    Unheard,
    No,
}

type Step = Result<(), Failure>;

async fn start(store: Mortal, time: &Arc<AtomicI64>, app: Version) -> Device<Mortal> {
    let time = Arc::clone(time);
    let device = Device::new(store).time(move || time.load(Ordering::Relaxed));
    match app.0 {
        Some(version) => device.schema(schema(version)).await.unwrap(),
        None => device,
    }
}

/// # Errors
/// If the actual value differs from what the text requires.
pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, is: &T, said: &T) -> Step {
    if is == said {
        return Ok(());
    }
    Err(Failure(format!("{what}\n      is {is:?}\n  but by the text {said:?}")))
}
