//! One attempt at a sync, in one unit of work: it reads the window and applies the diffs.

use std::sync::OnceLock;

use super::{
    Settings, asked::Asked, drain::drain, learned::Learned, phase::Phase, span, walk::Walk,
};
use crate::{
    diff::{Diff, check_name},
    error::{DatabaseError, Error},
    hash::HashSet,
    merge::{Merge, Request, Snapshot, Window},
    owner::Owner,
    protocol::SyncResponse,
    retention::Horizon,
    rules::Rules,
    unit::{UnitOfWork, WindowQuery},
};

/// The source of the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A device that has seen everything before this tick.
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

/// After this number of meetings, the request's rows are locked before anything else.
const MOST_MEETINGS: u32 = 2;

/// The result of an attempt.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one per sync, and most are answers")]
pub(super) enum Attempted {
    Answered(SyncResponse),
    /// Something about a diff became known too late, so everything must be repeated in a new unit of work.
    Again,
    /// The owner's marks must be drained first, in separate units of work.
    Marked,
    /// Others have changed what the request is about.
    Met,
}

/// A sync that has not begun.
pub(super) struct Attempt<'a, R> {
    pub(super) owner: &'a Owner,
    pub(super) request: &'a Request<'a>,
    pub(super) rules: &'a R,
    pub(super) settings: &'a Settings,
    pub(super) source: Source,
    pub(super) asked: Asked<'a>,
    pub(super) phase: &'a Phase,
    pub(super) learned: &'a mut Learned,
}

impl<R> Attempt<'_, R> {
    /// Runs the attempt in this unit of work.
    pub(super) async fn run<U>(self, mut unit: U) -> Result<Attempted, Error>
    where
        U: UnitOfWork,
        R: Rules,
    {
        let Self { owner, request, .. } = self;
        let log = &*self.settings.diffs_model;
        self.learned.prepare(&mut unit).await.map_err(Error::of_database)?;
        self.learned.captures = unit.captures();
        let looks_for_marks = self.learned.captures && !self.learned.has_drained;
        let mut since = match self.source.since() {
            Some(since) => since,
            None => unit.clock(owner, log).await.map_err(Error::of_database)?,
        };
        if since == 0 && request.is_empty() && self.page().is_none() {
            if looks_for_marks && unit.is_marked(owner).await.map_err(Error::of_database)? {
                return Ok(Attempted::Marked);
            }
            if let Some(answer) = self.first_sync(&mut unit).await? {
                return Ok(Attempted::Answered(answer));
            }
        }
        let mut objects = request.objects();
        let (mut window, passing) = self.window(&mut unit, since, &objects).await?;
        if request.is_empty() {
            if window.marked && looks_for_marks {
                return Ok(Attempted::Marked);
            }
            if window.entries.is_empty() {
                return Ok(Attempted::Answered(pulled(window.clock, Vec::new())));
            }
        } else if let Some(clock) = self.drain(&mut unit, &window, &objects).await? {
            let Some(clock) = clock else { return Ok(Attempted::Marked) };
            if self.source == Source::Server {
                since = clock;
            }
            (window, _) = self.window(&mut unit, since, &objects).await?;
        }
        self.learned.renew(window.clock);
        let mut misnamed = request.misnamed_objects(&window).map_err(Error::of_database)?;
        // Entries about the log itself belong to no object.
        misnamed.retain(|(model, _)| model != log);
        if !misnamed.is_empty() {
            objects.extend(misnamed.iter().map(|(model, id)| (&**model, &**id)));
            (window, _) = self.window(&mut unit, since, &objects).await?;
        }

        // On the heap: most syncs do not get here, and otherwise it would add kilobytes to every outer
        // future.
        Box::pin(self.merge(unit, since, &objects, &window, passing)).await
    }

    /// Drains the owner's marks, if any, in the unit of a push, so that its diffs meet what others have
    /// written. Returns the clock afterwards, or `Some(None)` if there are too many marks for this unit.
    async fn drain<U: UnitOfWork>(
        &self,
        unit: &mut U,
        window: &Window,
        objects: &[(&str, &str)],
    ) -> Result<Option<Option<i64>>, Error> {
        let locks = self.learned.captures && self.learned.meetings >= MOST_MEETINGS;
        if !window.marked && !locks {
            return Ok(None);
        }
        self.phase.wait();
        if locks {
            unit.lock_rows(self.owner, objects).await.map_err(Error::of_database)?;
        }
        let drained = drain(unit, self.owner, self.settings, window.clock).await;
        let drained = drained.map_err(Error::of_database)?;
        self.phase.work();
        let is_too_much = drained.has_more && !self.learned.has_drained;
        Ok(Some((!is_too_much).then_some(drained.clock)))
    }

    async fn merge<U>(
        self,
        unit: U,
        since: i64,
        objects: &[(&str, &str)],
        window: &Window,
        passing: Option<String>,
    ) -> Result<Attempted, Error>
    where
        U: UnitOfWork,
        R: Rules,
    {
        let Self { request, settings, asked, .. } = self;
        let set_off = OnceLock::new();
        let now = settings.time_now();
        let merge = Merge::new(since, request, objects, window, now).map_err(Error::of_database)?;
        self.check_schema(&unit, &merge, window)?;
        let head = asked.asks_for_head().then(|| {
            // All new diffs will be in the log with the last tick.
            let new = merge.new_diffs().last().map(|place| &*request.diff(place).id);
            let is_new = window.clock > since;
            let head = new.or_else(|| window.head(&settings.diffs_model).filter(|_| is_new));
            passing.or_else(|| head.map(str::to_owned))
        });
        let mut attempted = Walk::new(self, unit, merge, &set_off).run().await?;
        if let Attempted::Answered(answer) = &mut attempted {
            (answer.head, answer.more) = (head.flatten(), window.more);
        }
        Ok(attempted)
    }

    /// The answer to a new device, if the log has everything for it.
    async fn first_sync<U: UnitOfWork>(&self, unit: &mut U) -> Result<Option<SyncResponse>, Error> {
        let log = &*self.settings.diffs_model;
        let snapshot = unit.snapshot(self.owner, log, Snapshot::default()).await;
        let snapshot = snapshot.map_err(Error::of_database)?;
        let head = snapshot.head(log).filter(|_| self.asked.asks_for_head()).map(str::to_owned);
        let answer = snapshot.finish(self.owner).map_err(Error::of_database)?;
        Ok(answer.map(|(clock, diffs)| SyncResponse { head, ..pulled(clock, diffs) }))
    }

    /// The greatest number of log entries in the answer, if that is a page.
    fn page(&self) -> Option<u64> {
        let Settings { max_page, page_all, .. } = *self.settings;
        if !self.request.is_empty() || self.source == Source::Server {
            return None;
        }
        let limit = self.asked.limit.or(page_all.then_some(max_page));
        limit.map(|limit| limit.min(max_page).max(1))
    }

    /// Reads the window, if the device's past is in this log. Also returns the id of the horizon, if the
    /// window is a page of a first sync that ends below it.
    async fn window<U: UnitOfWork>(
        &self,
        unit: &mut U,
        since: i64,
        objects: &[(&str, &str)],
    ) -> Result<(Window, Option<String>), Error> {
        let (log, ids) = (&*self.settings.diffs_model, &*self.request.ids());
        // A device at 0 has no history.
        let head = self.asked.head().filter(|_| since > 0);
        let name = head.filter(|head| check_name(head).is_ok());
        let (mut limit, mut passed) = (self.page(), None);
        loop {
            let query = WindowQuery { log, since, ids, objects, head: name, limit };
            let mut window = unit.window(self.owner, query).await.map_err(Error::of_database)?;
            if window.clock < since {
                // The window may not have the server's clock, which belongs in the message.
                window.clock = unit.clock(self.owner, log).await.map_err(Error::of_database)?;
                return Err(Error::ClockAhead { device: since, server: window.clock });
            }
            let horizon = self.horizon(unit, &window).await.map_err(Error::of_database)?;
            let passes =
                |it: &Horizon| self.request.is_empty() && self.asked.head() == Some(&it.id);
            if let Some(horizon) = horizon.as_ref().filter(|it| it.cuts(since) && !passes(it)) {
                return Err(Error::TooOld { forgotten: since < horizon.forgotten });
            }
            let is_passing = horizon.as_ref().is_some_and(|it| it.cuts(since));
            if head.is_some() && !window.has_head && !is_passing {
                return Err(Error::OtherHistory);
            }
            match horizon.filter(|it| window.clock < it.clock) {
                None => return Ok((window, None)),
                Some(Horizon { id, .. }) if is_passing => return Ok((window, Some(id))),
                // Without a head, the next page cannot tell whether the horizon has moved.
                Some(_) if !self.asked.asks_for_head() => {
                    limit = limit.map(|limit| limit.saturating_mul(4));
                }
                // It must have existed when the page was read, or also before.
                Some(Horizon { id, .. })
                    if window.own.is_some() || passed.as_ref() == Some(&id) =>
                {
                    return Ok((window, Some(id)));
                }
                Some(Horizon { id, .. }) => passed = Some(id),
            }
        }
    }

    /// The horizon of the log. A window has it if it reaches the end and begins below the horizon.
    async fn horizon<U: UnitOfWork>(
        &self,
        unit: &mut U,
        window: &Window,
    ) -> Result<Option<Horizon>, DatabaseError> {
        let log = &*self.settings.diffs_model;
        let among = Horizon::among(&window.entries, log);
        if among.is_some() || window.more.is_none() {
            return Ok(among);
        }
        if let Some(own) = &window.own {
            return Ok(Horizon::among(own, log));
        }
        Ok(Horizon::among(&unit.own_entries(self.owner, log).await?, log))
    }

    /// Checks that the database has the models and fields of all new diffs.
    fn check_schema<U: UnitOfWork>(
        &self,
        unit: &U,
        merge: &Merge<'_>,
        window: &Window,
    ) -> Result<(), Error> {
        let unknown: HashSet<&str> = window.unknown_models.iter().map(String::as_str).collect();
        let mut fields = Vec::new();
        for place in merge.new_diffs() {
            let diff = self.request.diff(place);
            let is_unknown =
                diff.model == self.settings.diffs_model || unknown.contains(&*diff.model);
            let known = if self.settings.schema.is_removed(&diff.model) {
                Ok(())
            } else if is_unknown {
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

/// The answer to a request without diffs.
pub(super) fn pulled(clock: i64, diffs: Vec<Diff>) -> SyncResponse {
    span::record(0, 0, 0, 0, diffs.len());
    SyncResponse::new(clock, diffs)
}
