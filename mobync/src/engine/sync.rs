//! One sync in one unit of work.

use std::collections::BTreeMap;

use super::{
    Settings, mint,
    pending::{MOST_AT_ONCE, Pending},
};
use crate::{
    DatabaseError, Diff, Error, Operation, Owner, ReadFilter, Refusal, Refused, Rules,
    SyncResponse, Synchronizer, View, Window, WindowQuery,
    hash::{HashMap, HashSet},
    merge::{Arena, DiffPlace, Merge, Now, ObjectPlace, Outcome, Request, Rows, Step},
};

/// Who makes the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A device that has seen what came before this tick.
    Device { since: i64 },
    /// The backend, which has seen everything.
    Server,
}

impl Source {
    /// The clock of the device, in ticks.
    pub(super) fn since(self) -> Option<i64> {
        match self {
            Self::Device { since } => Some(since),
            Self::Server => None,
        }
    }
}

/// Whether a diff may be done; if not, why.
pub(super) type Verdict = Result<(), Reason>;

/// Why a diff is refused.
#[derive(Clone, Debug)]
pub(super) struct Reason {
    code: &'static str,
    message: String,
}

/// A sync that has not begun.
pub(super) struct Attempt<'a, R> {
    pub(super) owner: &'a Owner,
    pub(super) request: &'a Request<'a>,
    pub(super) rules: &'a R,
    pub(super) settings: &'a Settings,
    pub(super) source: Source,
    pub(super) learned: &'a mut Learned,
}

/// What the attempts at a sync have found out, so that the next one need not ask again.
#[derive(Debug, Default)]
pub(super) struct Learned {
    verdicts: HashMap<DiffPlace, Verdict>,
    /// The owner's clock when these were found out.
    clock: i64,
    /// A write was rejected and it is not known which, so each one must be checked.
    check_each: bool,
}

impl Learned {
    /// Forgets the verdicts if somebody else's sync has come in between: they may not hold any more.
    fn renew(&mut self, clock: i64) {
        if std::mem::replace(&mut self.clock, clock) != clock {
            self.verdicts.clear();
        }
    }
}

impl<R> Attempt<'_, R> {
    /// The answer; or none, if the attempt has found out something on a diff that it should have
    /// known before, so that it must be repeated in a new unit of work.
    pub(super) async fn run<S>(self, mut unit: S) -> Result<Option<SyncResponse>, Error>
    where
        S: Synchronizer,
        R: Rules<S>,
    {
        let Self { owner, request, .. } = self;
        let log = &*self.settings.diffs_model;
        if self.learned.check_each {
            unit.check_each_change().await.map_err(Error::of_database)?;
        }
        let since = match self.source.since() {
            Some(since) => since,
            None => unit.clock(owner, log).await.map_err(Error::of_database)?,
        };
        if since == 0
            && request.is_empty()
            && let Some(answer) = first_sync(&mut unit, owner, log).await?
        {
            return Ok(Some(answer));
        }
        let mut objects = request.objects();
        let mut window = self.window(&mut unit, since, &objects).await?;
        if request.is_empty() && window.entries.is_empty() {
            return Ok(Some(pulled(window.clock, Vec::new())));
        }
        self.learned.renew(window.clock);
        let misnamed = request.misnamed_objects(&window).map_err(Error::of_database)?;
        if !misnamed.is_empty() {
            objects.extend(misnamed.iter().map(|(model, id)| (&**model, &**id)));
            window = self.window(&mut unit, since, &objects).await?;
        }

        // On the heap: most syncs stop before it, and every future around it would move its kilobytes.
        Box::pin(self.merge(unit, since, &objects, &window)).await
    }

    async fn merge<S>(
        self,
        unit: S,
        since: i64,
        objects: &[(&str, &str)],
        window: &Window,
    ) -> Result<Option<SyncResponse>, Error>
    where
        S: Synchronizer,
        R: Rules<S>,
    {
        let Self { request, settings, .. } = self;
        let now = Now { utc: settings.now(), drift: settings.allowed_drift };
        let merge = Merge::new(since, request, objects, window, now).map_err(Error::of_database)?;
        self.check_schema(&unit, &merge, window)?;
        let known = request.len() - merge.new_diffs().count();
        let mut sync = Sync {
            attempt: self,
            unit,
            waiting: merge.for_objects(false),
            merge,
            pending: Pending::with_capacity(request.len() - known),
            foreseen: HashMap::default(),
            refused: BTreeMap::new(),
        };
        if sync.walk().await? == Walked::Again {
            return Ok(None);
        }
        sync.finish(known).await
    }

    async fn window<S: Synchronizer>(
        &self,
        unit: &mut S,
        since: i64,
        objects: &[(&str, &str)],
    ) -> Result<Window, Error> {
        let (log, ids) = (&*self.settings.diffs_model, &*self.request.ids());
        let query = WindowQuery { log, since, ids, objects };
        let mut window = unit.window(self.owner, query).await.map_err(Error::of_database)?;
        if window.clock < since {
            // The window may not know how far behind the server is; a person wants to.
            window.clock = unit.clock(self.owner, log).await.map_err(Error::of_database)?;
            return Err(Error::ClockAhead { device: since, server: window.clock });
        }
        Ok(window)
    }

    /// Device and server must agree about the models and fields of all new diffs.
    fn check_schema<S: Synchronizer>(
        &self,
        unit: &S,
        merge: &Merge<'_>,
        window: &Window,
    ) -> Result<(), Error> {
        let unknown: HashSet<&str> = window.unknown_models.iter().map(String::as_str).collect();
        let mut fields = Vec::new();
        for place in merge.new_diffs() {
            let diff = self.request.diff(place);
            let is_unknown =
                diff.model == self.settings.diffs_model || unknown.contains(&*diff.model);
            let known = if is_unknown {
                Err(DatabaseError::unknown_model(&diff.model))
            } else {
                fields.clear();
                fields.extend(self.request.fields(place));
                unit.check_schema(&diff.model, &fields)
            };
            known.map_err(|error| Error::of_diff(&diff.id, error))?;
        }
        Ok(())
    }
}

impl<R> Attempt<'_, R> {
    /// The database rejected something and cannot tell what; the next attempt checks each write.
    fn learn_to_check_each(&mut self, rejection: DatabaseError) -> Result<Walked, Error> {
        if std::mem::replace(&mut self.learned.check_each, true) {
            return Err(Error::of_database(rejection));
        }
        Ok(Walked::Again)
    }
}

/// A sync under way.
struct Sync<'a, S, R> {
    attempt: Attempt<'a, R>,
    unit: S,
    merge: Merge<'a>,
    pending: Pending<'a>,
    /// Of which of the merge's objects a change is pending.
    waiting: Arena<ObjectPlace, bool>,
    /// Deletes that were asked about before their turn, and whether they will be refused.
    foreseen: HashMap<DiffPlace, bool>,
    refused: BTreeMap<DiffPlace, Reason>,
}

/// How far a walk through the diffs came.
#[derive(Debug, PartialEq, Eq)]
enum Walked {
    ToTheEnd,
    /// It must be repeated in a new unit of work: there is one more verdict.
    Again,
}

impl<'a, S: Synchronizer, R: Rules<S>> Sync<'a, S, R> {
    /// Does the new diffs, one after the other.
    async fn walk(&mut self) -> Result<Walked, Error> {
        for place in self.merge.steps() {
            if (self.is_waiting(place) || self.pending.is_full())
                && self.flush().await? == Walked::Again
            {
                return Ok(Walked::Again);
            }
            let Some(verdict) = self.ask(place).await? else { return Ok(Walked::Again) };
            if self.foreseen.get(&place).is_some_and(|refused| *refused != verdict.is_err()) {
                self.attempt.learned.verdicts.insert(place, verdict);
                return Ok(Walked::Again);
            }
            match verdict {
                Err(reason) => {
                    // What came before must be known, for the first refusal is the one to tell.
                    if self.attempt.settings.all_or_nothing {
                        return match self.flush().await? {
                            Walked::Again => Ok(Walked::Again),
                            Walked::ToTheEnd => Err(self.forbidden(place, reason)),
                        };
                    }
                    self.refuse(self.merge.plan(place), reason);
                }
                Ok(()) => {
                    if self.look_ahead(place).await? == Walked::Again {
                        return Ok(Walked::Again);
                    }
                    self.take(place);
                }
            }
        }
        self.flush().await
    }

    /// Plans a diff that is allowed; its write waits for others to go out with.
    fn take(&mut self, place: DiffPlace) {
        let step = self.merge.plan(place);
        match self.merge.write(&step) {
            None => self.merge.settle(step, false, mint),
            Some(write) => {
                self.pending.push(step, write);
                self.set_waiting(place, true);
            }
        }
    }

    fn refuse(&mut self, step: Step<'a>, reason: Reason) {
        self.refused.insert(step.diff(), reason);
        self.merge.settle(step, true, mint);
    }

    /// Whether a change of a diff's object is pending.
    fn is_waiting(&self, place: DiffPlace) -> bool {
        self.waiting[self.merge.object_of(place)]
    }

    fn set_waiting(&mut self, place: DiffPlace, waits: bool) {
        self.waiting[self.merge.object_of(place)] = waits;
    }

    /// A create that meets a living object goes apart, if a delete follows that is not refused: so
    /// that delete is asked about before its turn.
    async fn look_ahead(&mut self, create: DiffPlace) -> Result<Walked, Error> {
        while let Some(delete) = self.merge.parts_until(create) {
            let Some(verdict) = self.ask(delete).await? else { return Ok(Walked::Again) };
            self.foreseen.insert(delete, verdict.is_err());
            if verdict.is_ok() {
                break;
            }
            self.merge.foresee_refusal(delete);
        }
        Ok(Walked::ToTheEnd)
    }

    /// Asks the database's and the application's rules about a diff; none if what they looked at
    /// had to be written first, and that ended this attempt.
    async fn ask(&mut self, place: DiffPlace) -> Result<Option<Verdict>, Error> {
        if let Some(verdict) = self.attempt.learned.verdicts.get(&place) {
            return Ok(Some(verdict.clone()));
        }
        let diff = self.attempt.request.diff(place);
        if self.attempt.source == Source::Server {
            return Ok(Some(Ok(())));
        }
        let owner = self.attempt.owner;
        if self.unit.validates() {
            if self.flush().await? == Walked::Again {
                return Ok(None);
            }
            let allowed = match diff.operation {
                Operation::Create => self.unit.validate_create(owner, diff).await,
                Operation::Update => self.unit.validate_update(owner, diff).await,
                Operation::Delete => self.unit.validate_delete(owner, diff).await,
            };
            if !allowed.map_err(|error| Error::of_diff(&diff.id, error.into()))? {
                return Ok(Some(Err(Reason::forbidden(format!(
                    "You are not allowed to {} this in {}.",
                    diff.operation, diff.model
                )))));
            }
        }
        let verdict = self.ask_rules(diff).await;
        if self.settle_written()? == Walked::Again {
            return Ok(None);
        }
        match verdict {
            Ok(()) => Ok(Some(Ok(()))),
            Err(Refusal::Forbidden(sentence)) => {
                Ok(Some(Err(Reason::forbidden(sentence.into_owned()))))
            }
            Err(Refusal::Failed(error)) => Err(Error::of_database(error)),
        }
    }

    async fn ask_rules(&mut self, diff: &Diff) -> Result<(), Refusal> {
        let Attempt { rules, owner, .. } = &self.attempt;
        let view = &mut View { unit: &mut self.unit, owner, pending: &mut self.pending };
        match diff.operation {
            Operation::Create => rules.create(owner, diff, view).await,
            Operation::Update => rules.update(owner, diff, view).await,
            Operation::Delete => rules.delete(owner, diff, view).await,
        }
    }

    /// Writes what waits, and settles it.
    async fn flush(&mut self) -> Result<Walked, Error> {
        let flushed = self.pending.flush(&mut self.unit, self.attempt.owner).await;
        let walked = self.settle_written()?;
        match flushed {
            Err(error) if !self.pending.is_broken() => Err(Error::of_database(error)),
            _ => Ok(walked),
        }
    }

    /// Settles what was written, now that it is known what the database rejects.
    fn settle_written(&mut self) -> Result<Walked, Error> {
        if let Some(rejection) = self.pending.take_unnamed() {
            return self.attempt.learn_to_check_each(rejection);
        }
        for (step, rejection) in self.pending.take_written() {
            self.set_waiting(step.diff(), false);
            match rejection {
                None => self.merge.settle(step, false, mint),
                Some(error) => {
                    let reason = self.rejected(step.diff(), error)?;
                    if self.pending.is_broken() {
                        self.attempt.learned.verdicts.insert(step.diff(), Err(reason));
                        return Ok(Walked::Again);
                    }
                    self.refuse(step, reason);
                }
            }
        }
        Ok(Walked::ToTheEnd)
    }

    /// Why the database rejected a diff, if that is no reason to fail the whole request.
    fn rejected(&self, place: DiffPlace, error: DatabaseError) -> Result<Reason, Error> {
        let attempt = &self.attempt;
        let alone = attempt.source != Source::Server && !attempt.settings.all_or_nothing;
        if alone && error.is_rejection() {
            let code = if matches!(error, DatabaseError::Constraint { .. }) {
                "constraint"
            } else {
                "invalid_value"
            };
            return Ok(Reason { code, message: error.to_string() });
        }
        Err(Error::of_diff(&attempt.request.diff(place).id, error))
    }

    fn forbidden(&self, place: DiffPlace, reason: Reason) -> Error {
        let diff_id = Some(self.attempt.request.diff(place).id.clone());
        Error::Forbidden { diff_id, reason: reason.message.into() }
    }

    /// Writes the log, commits, and answers.
    async fn finish(mut self, known: usize) -> Result<Option<SyncResponse>, Error> {
        let rows = self.rows().await.map_err(Error::of_database)?;
        let Self { mut attempt, mut unit, merge, refused, .. } = self;
        let new = merge.new_diffs().count();
        let Outcome { clock, diffs, idle } = merge.finish(attempt.owner, &rows, mint);
        for entries in merge.log(attempt.owner, MOST_AT_ONCE) {
            let appended = unit.append(attempt.owner, &attempt.settings.diffs_model, entries);
            appended.await.map_err(Error::of_database)?;
        }
        // Also where nothing is new: what makes it known may have been written, but not yet committed,
        // by somebody whom this unit shares its commit with.
        if !attempt.request.is_empty() {
            match unit.commit().await.map_err(Into::into) {
                Ok(()) => {}
                Err(rejection) if rejection.is_rejection() => {
                    attempt.learn_to_check_each(rejection)?;
                    return Ok(None);
                }
                Err(error) => return Err(Error::of_database(error)),
            }
        }

        record(known, new - idle - refused.len(), idle, refused.len(), diffs.len());
        let mut answer = SyncResponse::new(clock, diffs);
        if idle > 0 {
            answer.message = format!(
                "{idle} of {new} changes had no effect, because their object is not there."
            );
        }
        let refused = refused.into_iter().map(|(place, Reason { code, message })| Refused {
            diff_id: attempt.request.diff(place).id.clone(),
            code: code.to_owned(),
            message,
        });
        answer.refused = refused.collect();
        Ok(Some(answer))
    }

    /// The rows of objects of which more goes back than the window tells.
    async fn rows(&mut self) -> Result<Rows, DatabaseError> {
        let mut ids: HashMap<&str, Vec<&str>> = HashMap::default();
        let needed = self.merge.rows();
        for (model, id) in &needed {
            ids.entry(model).or_default().push(id);
        }
        let mut rows = Rows::new();
        for (model, ids) in ids {
            let filters = [ReadFilter::any_of("id", ids)];
            let records = self.unit.read(self.attempt.owner, model, &filters).await;
            for record in records.map_err(Into::into)? {
                rows.insert((model.to_owned(), record.id().to_owned()), record);
            }
        }
        Ok(rows)
    }
}

/// What a new device gets, if the log has all of it.
async fn first_sync<S: Synchronizer>(
    unit: &mut S,
    owner: &Owner,
    log: &str,
) -> Result<Option<SyncResponse>, Error> {
    let snapshot = unit.snapshot(owner, log).await.map_err(Error::of_database)?;
    let answer = snapshot.finish(owner).map_err(Error::of_database)?;
    Ok(answer.map(|(clock, diffs)| pulled(clock, diffs)))
}

/// The answer to a request without diffs.
fn pulled(clock: i64, diffs: Vec<Diff>) -> SyncResponse {
    record(0, 0, 0, 0, diffs.len());
    SyncResponse::new(clock, diffs)
}

/// Tells the span of the sync what became of the diffs.
fn record(known: usize, accepted: usize, dropped: usize, refused: usize, returned: usize) {
    let span = tracing::Span::current();
    span.record("known", known).record("accepted", accepted).record("dropped", dropped);
    span.record("refused", refused).record("returned", returned);
}

impl Reason {
    fn forbidden(message: String) -> Self {
        Self { code: "forbidden", message }
    }
}
