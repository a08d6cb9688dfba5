//! `Mobync`: a database, rules and settings. Every sync passes through it.

mod asked;
mod attempt;
mod backend;
mod check;
mod compact;
mod drain;
mod idle;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod join;
mod learned;
mod look;
mod patience;
mod pending;
mod phase;
mod postponed;
mod repair;
mod retain;
mod set_off;
mod settings;
mod span;
mod verdict;
mod versions;
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

#[cfg(feature = "client")]
pub(crate) use self::backend::diff_of;
pub(crate) use self::settings::Settings;
#[cfg(feature = "client")]
pub(crate) use self::settings::Time;
use self::{
    asked::Asked,
    attempt::{Attempt, Attempted, Source},
    check::{Check, Checked},
    drain::drain,
    learned::Learned,
    patience::Patience,
    phase::Phase,
};
pub use self::{compact::Compacted, retain::Retention};
use crate::{
    any::{AnyDatabase, AnyRules},
    database::{Access, Database},
    diff::Diff,
    error::Error,
    live::Live,
    locks::{OwnerGuard, OwnerLocks},
    merge::Request,
    owner::Owner,
    protocol::{SyncRequest, SyncResponse, check_count},
    rules::{NoRules, Rules},
    unit::UnitOfWork,
};

/// Offline-first sync on a database.
///
/// Create it once from a database, and pass it to a framework's adapter or call it yourself. Cheap to
/// clone. See the [crate's front page](crate) for a whole program.
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
/// let answer = mobync.apply(&Owner::new("ada")?, 0, vec![create]).await?;
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
    /// Creates a `Mobync` for this database, with default settings and without rules.
    pub fn new(database: D) -> Self {
        let diffs_model = database.diffs_model().to_owned();
        let schema = database.schema().cloned().unwrap_or_default();
        Self {
            database: Arc::new(database),
            rules: Arc::new(NoRules),
            settings: Arc::new(Settings { diffs_model, schema, ..Settings::default() }),
            locks: OwnerLocks::default(),
            live: Live::default(),
        }
    }
}

impl<D: Database, R> Mobync<D, R> {
    /// Sets the application's rules, which check every new diff of a device.
    #[must_use]
    pub fn rules<N: Rules>(self, rules: N) -> Mobync<D, N> {
        let Self { database, settings, locks, live, .. } = self;
        Mobync { database, rules: Arc::new(rules), settings, locks, live }
    }

    /// Sets the name of the model that stores the log. The default is the database's own, usually
    /// `diffs`.
    #[must_use]
    pub fn diffs_model(self, name: impl Into<String>) -> Self {
        self.set(|settings| settings.diffs_model = name.into())
    }

    /// Sets how far a device's time may be ahead of the server's. The default is 5 minutes. A later
    /// timestamp is replaced by the server's time.
    #[must_use]
    pub fn allowed_drift(self, drift: Duration) -> Self {
        let millis = i64::try_from(drift.as_millis()).unwrap_or(i64::MAX);
        self.set(|settings| settings.allowed_drift = millis)
    }

    /// Sets the greatest number of diffs in one request. The default is 10,000.
    #[must_use]
    pub fn max_diffs(self, most: usize) -> Self {
        self.set(|settings| settings.max_diffs = most)
    }

    /// Sets the greatest number of log entries in one page, for devices that [ask for
    /// pages](SyncRequest::limit). Entries of one tick always stay together. The default is 10,000.
    #[must_use]
    pub fn max_page(self, most: u64) -> Self {
        self.set(|settings| settings.max_page = most)
    }

    /// Sets whether a request without diffs gets a page of [that size](Self::max_page) even if it does not
    /// ask for one, like the requests of clients published in 2020. Such a device gets the rest with its
    /// next syncs. The default is `false`: it gets everything at once.
    #[must_use]
    pub fn page_all(self, page_all: bool) -> Self {
        self.set(|settings| settings.page_all = page_all)
    }

    /// Sets whether the first refused diff fails its whole request, with 403 or 422. By default only this
    /// diff is refused, and undone on the device, so that it does not block the device forever.
    #[must_use]
    pub fn all_or_nothing(self, all_or_nothing: bool) -> Self {
        self.set(|settings| settings.all_or_nothing = all_or_nothing)
    }

    /// Sets how long a sync may take, including its waits and the rules. The default depends on the
    /// database: 30 seconds for the ready-made SQL databases, no limit for others. It needs a Tokio
    /// runtime with its time driver enabled.
    ///
    /// A sync that takes longer fails with [`Error::Busy`]; or with [`Error::PayloadTooLarge`] if it is
    /// applying several diffs, because it may succeed with fewer. Rules that wait for something else block
    /// other syncs in the meantime: on `SQLite` all that write, on other databases those of the same owner.
    #[must_use]
    pub fn time_limit(self, limit: Duration) -> Self {
        self.set(|settings| settings.time_limit = Some(limit))
    }

    /// Sets how many syncs of one owner that write may run or wait for their turn in this process. The
    /// default is 100. Further ones fail immediately with [`Error::Busy`].
    #[must_use]
    pub fn max_waiting(self, most: usize) -> Self {
        self.set(|settings| settings.max_waiting = most)
    }

    /// Sets where the server's time comes from, in milliseconds since 1970. The default is the system's
    /// clock. For tests.
    #[must_use]
    pub fn time(self, now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        self.set(|settings| settings.time = settings::Time(Arc::new(now)))
    }

    /// The database.
    pub fn database(&self) -> &D {
        &self.database
    }

    /// The listeners for the owners' clocks. Announce clocks of other processes to them, and close them at
    /// shutdown.
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
    /// Erases the types of the database and the rules, for applications that are not generic and choose
    /// their database at start.
    ///
    /// It costs one allocation for each call of the database: about ten per sync, which take less than a
    /// microsecond. Both values share their queues, listeners and settings.
    ///
    /// ```
    /// use mobync::{AnyDatabase, AnyRules, Mobync, NoRules, memory::MemoryDatabase};
    ///
    /// struct App {
    ///     mobync: Mobync<AnyDatabase, AnyRules>,
    /// }
    ///
    /// let app = App { mobync: Mobync::new(MemoryDatabase::new()).rules(NoRules).erase() };
    /// # let _ = app.mobync;
    /// ```
    #[must_use]
    pub fn erase(self) -> Mobync<AnyDatabase, AnyRules> {
        let Self { database, rules, settings, locks, live } = self;
        let (database, rules) = (AnyDatabase::new(database), AnyRules::new(rules));
        Mobync { database: Arc::new(database), rules: Arc::new(rules), settings, locks, live }
    }

    /// Applies a device's pending diffs, and returns what the device has not seen yet.
    ///
    /// `logical_clock` is the clock of the device's last successful sync, in ticks (0 on a new
    /// device). Everything happens in one unit of work of the database, or nothing does.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] or [`Error::InvalidDiff`] if the clock or a diff breaks a rule of the
    /// wire format, [`Error::PayloadTooLarge`] if there are too many diffs or they take too long
    /// together, [`Error::ClockAhead`] if the device's clock is greater than the owner's,
    /// [`Error::UnknownModel`] or [`Error::UnknownField`] if the database does not have it,
    /// [`Error::Internal`] or [`Error::Busy`] if the database fails. If requests are [all or
    /// nothing](Self::all_or_nothing), also [`Error::Forbidden`], [`Error::InvalidValue`] and
    /// [`Error::Constraint`].
    pub async fn apply(
        &self,
        owner: &Owner,
        logical_clock: i64,
        diffs: Vec<Diff>,
    ) -> Result<SyncResponse, Error> {
        self.answer_device(owner, logical_clock, Asked::default(), &diffs).await
    }

    /// Answers a device's request, including everything that it asks for besides [its diffs](Self::apply).
    /// For your own handlers.
    ///
    /// # Errors
    /// As [`apply`](Self::apply); also [`Error::OtherHistory`] if the log does not have the request's head,
    /// and [`Error::TooOld`] if the log does not go back to the device's clock.
    pub async fn answer(
        &self,
        owner: &Owner,
        request: &SyncRequest,
    ) -> Result<SyncResponse, Error> {
        let SyncRequest { logical_clock, diffs, .. } = request;
        self.answer_device(owner, *logical_clock, Asked::of(request), diffs).await
    }

    /// Runs a sync in its span, and logs the result.
    async fn sync(
        &self,
        owner: &Owner,
        source: Source,
        asked: Asked<'_>,
        diffs: &[Diff],
    ) -> Result<SyncResponse, Error> {
        let started = Instant::now();
        let span = span::begin(source, diffs.len());
        // Moving it would cost more than the span.
        let phase = Phase::default();
        let attempt = pin!(self.attempt(owner, source, asked, diffs, &phase));
        let attempt = attempt.instrument(span.clone());
        let answer = match self.settings.time_limit.or(self.database.time_limit()) {
            None => attempt.await,
            Some(limit) => timeout(limit, attempt).await.unwrap_or_else(|late| {
                // It will succeed with half of them.
                let too_many = phase.works() && diffs.len() > 1;
                Err(if too_many { Error::too_slow(limit) } else { Error::busy(late).in_doubt() })
            }),
        };
        span::end(&span, started, answer.as_ref().err());
        answer
    }

    /// Attempts a sync until it ends.
    async fn attempt(
        &self,
        owner: &Owner,
        source: Source,
        asked: Asked<'_>,
        diffs: &[Diff],
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
        let mut check = Check::default();
        loop {
            let attempt = async {
                phase.wait();
                let unit = self.open(owner, access).await.map_err(Error::of_database)?;
                phase.work();
                let attempt = Attempt {
                    phase,
                    owner,
                    request: &request,
                    rules: &*self.rules,
                    settings: &self.settings,
                    source,
                    asked,
                    learned: &mut learned,
                };
                attempt.run(unit).await
            };
            match attempt.await {
                Ok(Attempted::Answered(mut answer)) => {
                    if asked.check && request.is_empty() && answer.more.is_none() {
                        let clock = answer.logical_clock;
                        match self.check_in_time(owner, &mut check, clock, asked.schema).await {
                            Checked::Sums(sums) => answer.check = Some(sums),
                            Checked::Again => continue,
                            Checked::Unknown => {}
                        }
                    }
                    // No await separates the commit from this, so that every committed sync is announced.
                    self.live.announce(owner, answer.more.unwrap_or(answer.logical_clock));
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

    /// Drains the owner's marks in separate units of work, and announces the clock. Waits for the owner's
    /// turn unless it has one already. Returns whether all rows could be read.
    async fn drain_in_turn(
        &self,
        owner: &Owner,
        has_turn: bool,
        patience: &mut Patience,
    ) -> Result<bool, Error> {
        loop {
            let drained = async {
                let mut unit = self.open(owner, Access::Write).await?;
                let clock = unit.clock(owner, &self.settings.diffs_model).await?;
                let drained = drain(&mut unit, owner, &self.settings, clock).await?;
                unit.commit().await?;
                Ok(drained)
            };
            let drained = {
                let _turn = if has_turn { None } else { self.turn(owner, Access::Write).await? };
                drained.await.map_err(Error::of_database)
            };
            match drained {
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

/// Logs a failure with its cause, at the level of its severity.
pub(crate) fn log_failure(error: &Error) {
    let cause = std::error::Error::source(error).map(in_one_line).map(tracing::field::display);
    match error {
        Error::Internal(_) => tracing::error!(code = error.code(), cause, "sync failed"),
        Error::Busy { .. } => tracing::warn!(code = error.code(), cause, "sync failed"),
        _ => tracing::info!(code = error.code(), "sync refused"),
    }
}

/// An error with its causes in one line. Their text may come from anyone, so control characters are
/// escaped: none of it can begin a new line in a log.
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

/// An id for a diff that the server generates.
pub(crate) fn mint() -> String {
    Uuid::now_v7().to_string()
}
