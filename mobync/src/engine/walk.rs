//! The walk through a request's new diffs: checks whether each may be applied, writes it, and answers.

use std::{collections::BTreeMap, sync::OnceLock};

use super::{
    attempt::{Attempt, Attempted, Source},
    mint,
    pending::{Looking, MOST_AT_ONCE, Pending},
    postponed::Postponed,
    set_off::behind,
    verdict::{Reason, Verdict},
};
use crate::{
    diff::{Diff, Operation, object_in},
    error::{DatabaseError, Error},
    filter::ReadFilter,
    hash::HashMap,
    merge::{Arena, DiffPlace, Merge, ObjectPlace, Outcome, Rows, Step},
    protocol::{Refused, SyncResponse},
    rules::{Refusal, Rules, View},
    unit::UnitOfWork,
};

/// A sync in progress.
pub(super) struct Walk<'a, U, R> {
    attempt: Attempt<'a, R>,
    unit: U,
    merge: Merge<'a>,
    pending: Pending<'a>,
    /// The index of each object's waiting change, if it has one.
    waiting: Arena<ObjectPlace, Option<usize>>,
    /// Deletes that were checked early, and whether they will be refused.
    foreseen: HashMap<DiffPlace, bool>,
    refused: BTreeMap<DiffPlace, Reason>,
    postponed: Postponed,
    /// The effects of the writes, which the merge borrows.
    set_off: &'a OnceLock<Vec<Diff>>,
    /// Something became known too late. The walk continues to find out more, but its unit of work will be
    /// dropped.
    in_vain: bool,
}

/// The result of a walk through the diffs.
#[derive(Debug, PartialEq, Eq)]
enum Walked {
    ToTheEnd,
    /// It must be repeated in a new unit of work, with what is known now.
    Again,
}

impl<'a, U: UnitOfWork, R: Rules> Walk<'a, U, R> {
    pub(super) fn new(
        attempt: Attempt<'a, R>,
        unit: U,
        merge: Merge<'a>,
        set_off: &'a OnceLock<Vec<Diff>>,
    ) -> Self {
        Self {
            pending: Pending::with_capacity(merge.new_diffs().count()),
            waiting: merge.for_objects(None),
            attempt,
            unit,
            merge,
            foreseen: HashMap::default(),
            refused: BTreeMap::new(),
            postponed: Postponed::default(),
            set_off,
            in_vain: false,
        }
    }

    /// The answer, or why there is none yet.
    pub(super) async fn run(mut self) -> Result<Attempted, Error> {
        match self.walk().await {
            Ok(Walked::ToTheEnd) if !self.in_vain => {}
            Ok(_) => return Ok(Attempted::Again),
            // The database may have rejected it because of what others have written meanwhile.
            Err(Error::Constraint { .. } | Error::InvalidValue { .. })
                if self.has_met().await? =>
            {
                return Ok(Attempted::Met);
            }
            Err(error) => return Err(error),
        }
        match self.look_behind().await? {
            None => self.finish().await,
            Some(attempted) => Ok(attempted),
        }
    }

    /// Whether others have changed what the request is about.
    async fn has_met(&mut self) -> Result<bool, Error> {
        if !self.unit.captures() || !self.unit.survives_rejection() {
            return Ok(false);
        }
        let named = self.merge.named();
        let set_off = self.unit.set_off(self.attempt.owner, &named).await;
        Ok(set_off.map_err(Error::of_database)?.met)
    }

    /// Adds the effects of the writes to the merge, or returns why everything must be repeated.
    async fn look_behind(&mut self) -> Result<Option<Attempted>, Error> {
        let Attempt { owner, settings, .. } = self.attempt;
        let refused: Vec<_> = self.refused.keys().map(|diff| self.merge.object_at(*diff)).collect();
        let behind = behind(&mut self.unit, owner, settings, &self.merge, &refused).await;
        let entries = match behind {
            Ok(Some(entries)) => entries,
            Ok(None) => return Ok(Some(Attempted::Met)),
            Err(rejection) if rejection.is_rejection() => {
                self.attempt.learned.look_closer(rejection, true)?;
                return Ok(Some(Attempted::Again));
            }
            Err(error) => return Err(Error::of_database(error)),
        };
        let entries = self.set_off.get_or_init(|| entries);
        self.merge.set_off(entries).map_err(Error::of_database)?;
        Ok(None)
    }

    /// Applies the new diffs, and then the postponed ones again.
    async fn walk(&mut self) -> Result<Walked, Error> {
        let mut steps = self.merge.steps();
        while !steps.is_empty() {
            if self.do_all(steps).await? == Walked::Again {
                return Ok(Walked::Again);
            }
            steps = self.postponed.take();
        }
        Ok(Walked::ToTheEnd)
    }

    /// Applies diffs, one after another.
    async fn do_all(&mut self, steps: Vec<DiffPlace>) -> Result<Walked, Error> {
        for place in steps {
            if self.pending.is_full() && self.flush().await? == Walked::Again {
                return Ok(Walked::Again);
            }
            let Some(verdict) = self.ask(place).await? else { return Ok(Walked::Again) };
            if self.foreseen.get(&place).is_some_and(|refused| *refused != verdict.is_err()) {
                self.attempt.learned.change_mind(place, verdict);
                return Ok(Walked::Again);
            }
            if verdict.is_ok() && self.join(place) {
                continue;
            }
            // Earlier diffs must be applied to know what this diff does.
            if self.is_waiting(place).is_some() && self.flush().await? == Walked::Again {
                return Ok(Walked::Again);
            }
            let object = self.merge.object_of(place);
            if self.postponed.has(object) {
                self.postponed.push(object, place);
                continue;
            }
            match verdict {
                Err(reason) => {
                    // The results of earlier diffs must be known, because the first refusal is reported.
                    if self.attempt.settings.all_or_nothing && !reason.is_lasting {
                        return match self.flush().await? {
                            Walked::Again => Ok(Walked::Again),
                            Walked::ToTheEnd if self.in_vain => Ok(Walked::Again),
                            Walked::ToTheEnd => Err(self.refused(place, reason)),
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

    /// Plans a diff that is allowed. Its write waits to be executed with others.
    fn take(&mut self, place: DiffPlace) {
        let step = self.merge.plan(place);
        match self.merge.write(&step) {
            None => self.merge.settle(step, false, mint),
            Some(write) => {
                let waits = self.pending.push(step, write);
                self.set_waiting(place, Some(waits));
            }
        }
    }

    /// Adds an update to the waiting change of its object, if the database certainly accepts it: many
    /// updates then need one statement. Returns whether it did.
    fn join(&mut self, place: DiffPlace) -> bool {
        let Some(waits) = self.is_waiting(place) else { return false };
        let fields = self.attempt.request.values(place);
        if self.attempt.request.diff(place).operation != Operation::Update
            || self.attempt.learned.parts()
            || !self.pending.can_join(&self.unit, waits, fields)
        {
            return false;
        }
        if let Some(before) = self.pending.count_as_done(waits) {
            self.merge.settle(before, false, mint);
        }
        let step = self.merge.plan(place);
        match self.merge.write(&step) {
            None => self.merge.settle(step, false, mint),
            Some(write) => self.pending.join(waits, step, &write),
        }
        true
    }

    fn refuse(&mut self, step: Step<'a>, reason: Reason) {
        self.refused.insert(step.diff(), reason);
        self.merge.settle(step, true, mint);
    }

    /// The index of the waiting change of a diff's object, if there is one.
    fn is_waiting(&self, place: DiffPlace) -> Option<usize> {
        self.waiting[self.merge.object_of(place)]
    }

    fn set_waiting(&mut self, place: DiffPlace, waits: Option<usize>) {
        self.waiting[self.merge.object_of(place)] = waits;
    }

    /// A create of a living object begins a separate life, if it is followed by a delete that is not
    /// refused. So that delete is checked early.
    async fn look_ahead(&mut self, create: DiffPlace) -> Result<Walked, Error> {
        while let Some(delete) = self.merge.parts_until(create) {
            let Some(verdict) = self.ask(delete).await? else { return Ok(Walked::Again) };
            self.foreseen.insert(delete, verdict.is_err());
            self.attempt.learned.foresee(delete, &verdict);
            if verdict.is_ok() {
                break;
            }
            self.merge.foresee_refusal(delete);
        }
        Ok(Walked::ToTheEnd)
    }

    /// Checks a diff with the database's and the application's rules; `None` if writes had to be executed
    /// first, and that ended this attempt.
    async fn ask(&mut self, place: DiffPlace) -> Result<Option<Verdict>, Error> {
        if let Some(verdict) = self.attempt.learned.verdict(place) {
            return Ok(Some(verdict.clone()));
        }
        let diff = self.attempt.request.diff(place);
        // A receipt of a removed model is no change that anybody could judge.
        let is_removed = self.attempt.settings.schema.is_removed(&diff.model);
        if self.attempt.source == Source::Server || is_removed {
            return Ok(Some(Ok(())));
        }
        if self.attempt.asked.as_whom.is_some_and(|whom| whom.is_read_only) {
            return Ok(Some(Err(Reason::read_only())));
        }
        let fields: Vec<&str> = self.attempt.request.fields(place).collect();
        if let Err(sentence) = self.unit.permits(&diff.model, diff.operation, &fields) {
            return Ok(Some(Err(Reason::forbidden(sentence))));
        }
        if self.unit.validates() {
            if self.flush().await? == Walked::Again {
                return Ok(None);
            }
            let allowed = self.unit.validate(self.attempt.owner, diff).await;
            if !allowed.map_err(|error| Error::of_diff(&diff.id, error))? {
                return Ok(Some(Err(Reason::forbidden(format!(
                    "You are not allowed to {} this in {}.",
                    diff.operation, diff.model
                )))));
            }
        }
        let verdict = loop {
            self.attempt.phase.wait();
            let verdict = self.ask_rules(diff).await;
            self.attempt.phase.work();
            let was_blind = self.pending.is_broken();
            if self.settle_written().await? == Walked::Again {
                return Ok(None);
            }
            if !was_blind {
                break verdict;
            }
        };
        match verdict {
            Ok(()) => Ok(Some(Ok(()))),
            Err(Refusal::Forbidden(sentence)) => Ok(Some(Err(Reason::forbidden(sentence)))),
            Err(Refusal::Failed(error)) if error.is_rejection() => {
                Ok(Some(Err(Reason::rejected(&error))))
            }
            Err(Refusal::Failed(error)) => Err(Error::of_database(error)),
        }
    }

    async fn ask_rules(&mut self, diff: &Diff) -> Result<(), Refusal> {
        let Attempt { rules, owner, asked, .. } = &self.attempt;
        let member = asked.as_whom.and_then(|whom| whom.member.as_deref());
        let looking = &mut Looking { unit: &mut self.unit, owner, pending: &mut self.pending };
        let view = &mut View::new(looking, member);
        match diff.operation {
            Operation::Create => rules.create(owner, diff, view).await,
            Operation::Update => rules.update(owner, diff, view).await,
            Operation::Delete => rules.delete(owner, diff, view).await,
        }
    }

    /// Executes the waiting writes, and settles them.
    async fn flush(&mut self) -> Result<Walked, Error> {
        let flushed = self.pending.flush(&mut self.unit, self.attempt.owner).await;
        let was_rejected = self.pending.is_broken();
        let walked = self.settle_written().await?;
        match flushed {
            Err(error) if !was_rejected => Err(Error::of_database(error)),
            _ => Ok(walked),
        }
    }

    /// Settles the executed writes, now that the rejections are known.
    async fn settle_written(&mut self) -> Result<Walked, Error> {
        if let Some(rejection) = self.pending.take_unnamed() {
            self.attempt.learned.look_closer(rejection, false)?;
            return Ok(Walked::Again);
        }
        for (steps, rejection) in self.pending.take_written() {
            self.set_waiting(steps.first, None);
            let Some(error) = rejection else {
                if let Some(last) = steps.last {
                    self.merge.settle(last, false, mint);
                }
                continue;
            };
            if steps.are_several {
                // A write that must be accepted was not: its row is gone. All steps except the last already
                // count as done.
                self.attempt.learned.part();
                return Ok(Walked::Again);
            }
            let Some(step) = steps.last else { continue };
            let may_fit_later = matches!(error, DatabaseError::Constraint { .. })
                && self.attempt.learned.checks_at_once();
            if may_fit_later && !self.postponed.is_final && !self.pending.is_broken() {
                self.postponed.push(self.merge.object_of(steps.first), steps.first);
                continue;
            }
            let reason = self.rejected(steps.first, error)?;
            if self.pending.is_broken() {
                self.attempt.learned.learn(steps.first, Err(reason.clone()));
                self.in_vain = true;
            }
            self.refuse(step, reason);
        }
        if !self.pending.is_broken() {
            return Ok(Walked::ToTheEnd);
        }
        // If the unit can still be read, it finds the other rejections, too.
        let nobody = [ReadFilter::equal("id", mint())];
        let log = &self.attempt.settings.diffs_model;
        if self.unit.read(self.attempt.owner, log, &nobody).await.is_err() {
            return Ok(Walked::Again);
        }
        self.pending.mend();
        Ok(Walked::ToTheEnd)
    }

    /// Why the database rejected a diff, unless this must fail the whole request.
    fn rejected(&self, place: DiffPlace, error: DatabaseError) -> Result<Reason, Error> {
        let attempt = &self.attempt;
        let alone = attempt.source != Source::Server && !attempt.settings.all_or_nothing;
        if alone && error.is_rejection() {
            return Ok(Reason::rejected(&error));
        }
        Err(Error::of_diff(&attempt.request.diff(place).id, error))
    }

    /// The error of a request that fails because of one diff.
    fn refused(&self, place: DiffPlace, reason: Reason) -> Error {
        reason.into_error(self.attempt.request.diff(place).id.clone())
    }

    /// Writes the log, commits, and answers.
    async fn finish(mut self) -> Result<Attempted, Error> {
        let rows = self.rows().await.map_err(Error::of_database)?;
        let Self { attempt, mut unit, merge, refused, .. } = self;
        let new = merge.new_diffs().count();
        let known = attempt.request.len() - new;
        let Outcome { clock, diffs, idle } = {
            let default_of = |model: &str, field: &str| unit.default_of(model, field);
            merge.finish(attempt.owner, &rows, default_of, mint)
        };
        let reports = attempt.asked.report && !attempt.request.is_empty();
        let is_refused = |place| refused.contains_key(&place);
        let overridden = if reports { merge.overridden(is_refused) } else { Vec::new() };
        for entries in merge.log(attempt.owner, MOST_AT_ONCE) {
            let appended = unit.append(attempt.owner, &attempt.settings.diffs_model, entries);
            appended.await.map_err(Error::of_database)?;
        }
        // Even if nothing is new: the known diffs may have been written by another sync that shares this
        // unit's commit, and may not be committed yet.
        if !attempt.request.is_empty() {
            match unit.commit().await {
                Ok(()) => {}
                Err(rejection) if rejection.is_rejection() => {
                    attempt.learned.look_closer(rejection, true)?;
                    return Ok(Attempted::Again);
                }
                Err(error) => return Err(Error::of_commit(error)),
            }
        }

        super::span::record(known, new - idle - refused.len(), idle, refused.len(), diffs.len());
        let mut answer = SyncResponse { overridden, ..SyncResponse::new(clock, diffs) };
        if idle > 0 {
            answer.message = format!(
                "{idle} of {new} changes had no effect, because their object is not there."
            );
        }
        let refused = refused.into_iter().map(|(place, Reason { code, message, .. })| Refused {
            diff_id: attempt.request.diff(place).id.clone(),
            code: code.to_owned(),
            message,
        });
        answer.refused = refused.collect();
        Ok(Attempted::Answered(answer))
    }

    /// The rows of objects for which values from before the window are sent back.
    async fn rows(&mut self) -> Result<Rows, DatabaseError> {
        let mut ids: HashMap<&str, Vec<&str>> = HashMap::default();
        let needed = self.merge.rows();
        for (model, id) in &needed {
            ids.entry(model).or_default().push(id);
        }
        let mut rows = Rows::new();
        for (model, ids) in ids {
            for row in self.unit.rows(self.attempt.owner, model, &ids).await? {
                let id = object_in(&row).map_err(DatabaseError::failed)?.into_owned();
                rows.insert((model.to_owned(), id), row);
            }
        }
        Ok(rows)
    }
}
