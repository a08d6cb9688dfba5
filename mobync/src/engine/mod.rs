//! `Mobync`: a database, rules and settings; every sync passes through it.

mod attempt;
mod drain;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod join;
mod learned;
mod look;
mod patience;
mod pending;
mod phase;
mod postponed;
mod repair;
mod set_off;
mod settings;
mod verdict;
mod walk;
mod watch;

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::timeout;
use tracing::Instrument;
use uuid::Uuid;

pub(crate) use self::settings::Settings;
#[cfg(feature = "client")]
pub(crate) use self::settings::Time;
use self::{
    attempt::{Attempt, Attempted, Source},
    drain::drain,
    learned::Learned,
    patience::Patience,
    phase::Phase,
};
use crate::{
    Access, Change, Database, Diff, Error, Live, NoRules, Operation, Owner, Record, Rules,
    SyncResponse, UnitOfWork,
    locks::{OwnerGuard, OwnerLocks},
    merge::Request,
    protocol::check_count,
};

/// Offline-first sync on a database.
///
/// It is made once from a database, and then given to a framework's adapter or called by hand; cheap
/// to clone. See the [crate's front page](crate) for a whole program.
///
/// ```
/// use mobync::{Diff, Mobync, Operation, Owner, memory::MemoryDatabase};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mobync = Mobync::new(MemoryDatabase::new());
/// let create = Diff {
///     id: "5a0c".to_owned(),
///     owner: String::new(),
///     logical_clock: 0,
///     utc_timestamp: 1_583_020_800_000,
///     operation: Operation::Create,
///     model: "tasks".to_owned(),
///     json_data: r#"{"id": "t1", "name": "Milk"}"#.to_owned(),
/// };
/// let answer = mobync.apply(0, vec![create], &Owner::new("ada")?).await?;
/// assert_eq!((answer.logical_clock, answer.diffs.len()), (1, 0));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Mobync<D, R = NoRules> {
    database: Arc<D>,
    rules: Arc<R>,
    settings: Arc<Settings>,
    locks: OwnerLocks,
    live: Live,
}

impl<D, R> Clone for Mobync<D, R> {
    fn clone(&self) -> Self {
        Self {
            database: Arc::clone(&self.database),
            rules: Arc::clone(&self.rules),
            settings: Arc::clone(&self.settings),
            locks: self.locks.clone(),
            live: self.live.clone(),
        }
    }
}

impl<D: Database> Mobync<D> {
    /// Sync on that database, with default settings and without rules.
    pub fn new(database: D) -> Self {
        let diffs_model = database.diffs_model().to_owned();
        Self {
            database: Arc::new(database),
            rules: Arc::new(NoRules),
            settings: Arc::new(Settings { diffs_model, ..Settings::default() }),
            locks: OwnerLocks::default(),
            live: Live::default(),
        }
    }
}

impl<D: Database, R> Mobync<D, R> {
    /// Has the application's rules asked about every new diff of a device.
    #[must_use]
    pub fn rules<N: Rules>(self, rules: N) -> Mobync<D, N> {
        let Self { database, settings, locks, live, .. } = self;
        Mobync { database, rules: Arc::new(rules), settings, locks, live }
    }

    /// The name of the model that keeps the log; by default the database's own, which is `diffs`
    /// unless it says otherwise.
    #[must_use]
    pub fn diffs_model(self, name: impl Into<String>) -> Self {
        self.set(|settings| settings.diffs_model = name.into())
    }

    /// How far past the server's clock a device's may be; 5 minutes by default. A timestamp further
    /// ahead counts, and is stored, as the server's time.
    #[must_use]
    pub fn allowed_drift(self, drift: Duration) -> Self {
        let millis = i64::try_from(drift.as_millis()).unwrap_or(i64::MAX);
        self.set(|settings| settings.allowed_drift = millis)
    }

    /// The greatest number of diffs in one request; 10,000 by default.
    #[must_use]
    pub fn max_diffs(self, most: usize) -> Self {
        self.set(|settings| settings.max_diffs = most)
    }

    /// Whether the first refused diff fails its whole request, with 403 or 422; no by default: it is
    /// refused alone, and undone on the device, so that nothing blocks a device for ever.
    #[must_use]
    pub fn all_or_nothing(self, all_or_nothing: bool) -> Self {
        self.set(|settings| settings.all_or_nothing = all_or_nothing)
    }

    /// How long a sync may take, with all that it waits for and with the rules; by default, as long as
    /// the database says: 30 seconds of the ready-made SQL databases, of others without a limit. It needs
    /// a Tokio runtime with its timer.
    ///
    /// One that takes longer is given up, and answered as [`Error::Busy`]; or as
    /// [`Error::PayloadTooLarge`] if it works on several diffs, for it may come to an end with fewer. Rules that wait for something
    /// else keep others waiting meanwhile: on `SQLite` all who write, elsewhere those of the same owner.
    #[must_use]
    pub fn time_limit(self, limit: Duration) -> Self {
        self.set(|settings| settings.time_limit = Some(limit))
    }

    /// How many syncs of one owner that write may be under way or wait for their turn in this process;
    /// 100 by default. More than these are answered as [`Error::Busy`] at once.
    #[must_use]
    pub fn max_waiting(self, most: usize) -> Self {
        self.set(|settings| settings.max_waiting = most)
    }

    /// Where the server's time comes from, in milliseconds since 1970; the system's clock by default.
    /// For tests.
    #[must_use]
    pub fn time(self, now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.time = settings::Time(Arc::new(now)))
    }

    /// The database.
    pub fn database(&self) -> &D {
        &self.database
    }

    /// Those who listen for the clocks of their owners, to be told what other processes did, and to be
    /// let go when this one ends.
    pub fn live(&self) -> &Live {
        &self.live
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl<D: Database, R: Rules> Mobync<D, R> {
    /// Applies a device's pending diffs, and returns what the device has not seen.
    ///
    /// `logical_clock` is the clock of the device's last successful sync, in ticks (0 on a new
    /// device). Everything happens in one unit of work of the database, or nothing does.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] or [`Error::InvalidDiff`] if the clock or a diff breaks a rule of the
    /// wire format, [`Error::PayloadTooLarge`] if there are too many diffs or they take too long together, [`Error::ClockAhead`] if
    /// the device's clock is greater than the owner's, [`Error::UnknownModel`] or
    /// [`Error::UnknownField`] if the database has no such, [`Error::Internal`] or [`Error::Busy`] if
    /// it fails. Where requests are [all or nothing](Self::all_or_nothing), also
    /// [`Error::Forbidden`], [`Error::InvalidValue`] and [`Error::Constraint`].
    pub async fn apply(
        &self,
        logical_clock: i64,
        diffs: Vec<Diff>,
        owner: &Owner,
    ) -> Result<SyncResponse, Error> {
        self.apply_to(logical_clock, &diffs, owner).await
    }

    /// As [`apply`](Self::apply), for who needs the diffs afterwards.
    pub(crate) async fn apply_to(
        &self,
        logical_clock: i64,
        diffs: &[Diff],
        owner: &Owner,
    ) -> Result<SyncResponse, Error> {
        self.sync(Source::Device { since: logical_clock }, diffs, owner).await
    }

    /// Makes changes on behalf of the backend, which all of the owner's devices receive.
    ///
    /// They are applied as if a device that has seen everything had made them now, in that order, all
    /// or none, without asking the rules. The answer's `logical_clock` is the owner's clock after it,
    /// and its `message` says if a change had no effect, because its object is not there.
    ///
    /// # Errors
    /// As [`apply`](Self::apply); [`Error::InvalidValue`] or [`Error::Constraint`] for the first change
    /// that the database rejects.
    ///
    /// # Examples
    /// ```
    /// use mobync::{Change, Mobync, Owner, Record, memory::MemoryDatabase};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mobync = Mobync::new(MemoryDatabase::new());
    /// let ada = Owner::new("ada")?;
    /// let welcome = Record::new("t1").with("name", "Welcome!").with("done", false);
    /// mobync.write(&ada, [Change::create("tasks", welcome)]).await?;
    ///
    /// let new_device = mobync.apply(0, Vec::new(), &ada).await?;
    /// assert_eq!(new_device.diffs[0].model, "tasks");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn write(
        &self,
        owner: &Owner,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<SyncResponse, Error> {
        let now = self.settings.now();
        let diffs: Vec<Diff> =
            changes.into_iter().map(|change| diff_of(change, owner.as_str(), now)).collect();
        self.sync(Source::Server, &diffs, owner).await
    }

    /// The owner's clock, in ticks: how many syncs have brought something new.
    ///
    /// # Errors
    /// [`Error::Internal`] or [`Error::Busy`] if the database fails.
    pub async fn clock(&self, owner: &Owner) -> Result<i64, Error> {
        let mut unit = self.database.open(owner, Access::Read).await.map_err(Error::of_database)?;
        unit.clock(owner, &self.settings.diffs_model).await.map_err(Error::of_database)
    }

    /// Runs a sync in its span, and logs how it went.
    async fn sync(
        &self,
        source: Source,
        diffs: &[Diff],
        owner: &Owner,
    ) -> Result<SyncResponse, Error> {
        let span = tracing::info_span!(
            "sync",
            clock = source.since().unwrap_or(-1),
            pushed = diffs.len(),
            known = tracing::field::Empty,
            accepted = tracing::field::Empty,
            dropped = tracing::field::Empty,
            refused = tracing::field::Empty,
            returned = tracing::field::Empty,
            duration_us = tracing::field::Empty,
        );
        let started = Instant::now();
        // To move it would cost more than the span.
        let phase = Phase::default();
        let attempt = pin!(self.attempt(source, diffs, owner, &phase));
        let attempt = attempt.instrument(span.clone());
        let answer = match self.settings.time_limit.or(self.database.time_limit()) {
            None => attempt.await,
            Some(limit) => timeout(limit, attempt).await.unwrap_or_else(|late| {
                // With half of them, it will come to an end.
                let too_many = phase.works() && diffs.len() > 1;
                Err(if too_many { Error::too_slow(limit) } else { Error::busy(late).in_doubt() })
            }),
        };
        let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        span.record("duration_us", micros);
        span.in_scope(|| match &answer {
            Ok(_) => tracing::debug!("synced"),
            Err(error) => log_failure(error),
        });
        answer
    }

    /// Attempts a sync until it comes to an end.
    async fn attempt(
        &self,
        source: Source,
        diffs: &[Diff],
        owner: &Owner,
        phase: &Phase,
    ) -> Result<SyncResponse, Error> {
        if let Some(since) = source.since() {
            if since < 0 {
                let reason = "logical_clock must not be negative".to_owned();
                return Err(Error::InvalidRequest(reason));
            }
            check_count(diffs.len(), self.settings.max_diffs)?;
        }
        let request = Request::new(diffs)?;
        let access = if request.is_empty() { Access::Read } else { Access::Write };
        let turn = self.turn(owner, access).await?;
        let mut learned = Learned::default();
        let mut patience = self.patience();
        loop {
            let attempt = async {
                phase.wait();
                let unit = self.database.open(owner, access).await.map_err(Error::of_database)?;
                phase.work();
                let attempt = Attempt {
                    phase,
                    owner,
                    request: &request,
                    rules: &*self.rules,
                    settings: &self.settings,
                    source,
                    learned: &mut learned,
                };
                attempt.run(unit).await
            };
            match attempt.await {
                Ok(Attempted::Answered(answer)) => {
                    // Nothing is awaited between the commit and this: who is told of a sync hears of it.
                    self.live.announce(owner, answer.logical_clock);
                    return Ok(answer);
                }
                Ok(Attempted::Again) => {}
                Ok(Attempted::Marked) => {
                    phase.wait();
                    self.drain_in_turn(owner, turn.is_some(), &mut patience).await?;
                    learned.has_drained = true;
                }
                Ok(Attempted::Met) => {
                    learned.meetings += 1;
                    phase.wait();
                    if !patience.again(true).await {
                        return Err(Error::busy("others kept changing what the request is about"));
                    }
                }
                Err(error) if error.is_conflict() && patience.again(learned.captures).await => {
                    learned.meetings += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl<D: Database, R> Mobync<D, R> {
    fn patience(&self) -> Patience {
        Patience::new(self.database.turns().map(|turns| turns.patience))
    }

    /// Drains the owner's marks in units of work of their own, waiting for the owner's turn unless it
    /// has come already, and announces the clock. Returns whether all could be read.
    async fn drain_in_turn(
        &self,
        owner: &Owner,
        has_turn: bool,
        patience: &mut Patience,
    ) -> Result<bool, Error> {
        let _turn = if has_turn { None } else { self.turn(owner, Access::Write).await? };
        loop {
            let drained = async {
                let mut unit = self.database.open(owner, Access::Write).await?;
                let clock = unit.clock(owner, &self.settings.diffs_model).await?;
                let drained = drain(&mut unit, owner, &self.settings, clock).await?;
                unit.commit().await?;
                Ok(drained)
            };
            match drained.await.map_err(Error::of_database) {
                Ok(drained) => {
                    self.live.announce(owner, drained.clock);
                    if !drained.has_more {
                        return Ok(!drained.has_unreadable);
                    }
                }
                Err(error) if error.is_conflict() && patience.again(true).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits in the owner's queue, if there is one in front of the database.
    pub(crate) async fn turn(
        &self,
        owner: &Owner,
        access: Access,
    ) -> Result<Option<OwnerGuard>, Error> {
        if !self.database.serialises() {
            let turn = self.locks.enter(owner, 1, self.settings.max_waiting).await;
            return turn.map(Some).map_err(Error::busy);
        }
        let (Access::Write, Some(turns)) = (access, self.database.turns()) else { return Ok(None) };
        let turn = self.locks.enter(owner, turns.at_once, self.settings.max_waiting);
        let turn = timeout(turns.patience, turn).await.map_err(Error::busy)?;
        turn.map(Some).map_err(Error::busy)
    }
}

/// Logs a failure with its cause, as loud as it deserves.
pub(crate) fn log_failure(error: &Error) {
    let cause = std::error::Error::source(error).map(in_one_line).map(tracing::field::display);
    match error {
        Error::Internal(_) => tracing::error!(code = error.code(), cause, "sync failed"),
        Error::Busy { .. } => tracing::warn!(code = error.code(), cause, "sync failed"),
        _ => tracing::info!(code = error.code(), "sync refused"),
    }
}

/// A cause with its own causes, which may be anybody's words, without what would begin a line of its own
/// in a log.
pub(crate) fn in_one_line(cause: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(cause), |cause| cause.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    let mut line = String::new();
    for character in causes.join(": ").chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// Tells the span of the sync what became of the diffs.
fn record(known: usize, accepted: usize, dropped: usize, refused: usize, returned: usize) {
    let span = tracing::Span::current();
    span.record("known", known).record("accepted", accepted).record("dropped", dropped);
    span.record("refused", refused).record("returned", returned);
}

/// A diff with a new id that makes a change.
pub(crate) fn diff_of(change: Change, owner: &str, now: i64) -> Diff {
    let (operation, model, record) = match change {
        Change::Create { model, record } => (Operation::Create, model, record),
        Change::Update { model, changes } => (Operation::Update, model, changes),
        Change::Delete { model, id } => (Operation::Delete, model, Record::new(id)),
    };
    Diff {
        id: mint(),
        owner: owner.to_owned(),
        logical_clock: 0,
        utc_timestamp: now,
        operation,
        model,
        json_data: serde_json::Value::from(record).to_string(),
    }
}

/// An id for a diff of the server's own.
pub(crate) fn mint() -> String {
    Uuid::now_v7().to_string()
}
