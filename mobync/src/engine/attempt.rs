//! One attempt at a sync, in one unit of work: reads the window, and applies the diffs.

use super::{Settings, learned::Learned, phase::Phase, walk::Walk};
use crate::{
    diff::Diff,
    error::{DatabaseError, Error},
    hash::HashSet,
    merge::{Merge, Now, Request, Window},
    owner::Owner,
    protocol::SyncResponse,
    rules::Rules,
    unit::{UnitOfWork, WindowQuery},
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

/// A sync that has not begun.
pub(super) struct Attempt<'a, R> {
    pub(super) owner: &'a Owner,
    pub(super) request: &'a Request<'a>,
    pub(super) rules: &'a R,
    pub(super) settings: &'a Settings,
    pub(super) source: Source,
    pub(super) phase: &'a Phase,
    pub(super) learned: &'a mut Learned,
}

impl<R> Attempt<'_, R> {
    /// The answer; or `None` if the attempt has found out something about a diff that it needed
    /// earlier, so that it must be repeated in a new unit of work.
    pub(super) async fn run<U>(self, mut unit: U) -> Result<Option<SyncResponse>, Error>
    where
        U: UnitOfWork,
        R: Rules,
    {
        let Self { owner, request, .. } = self;
        let log = &*self.settings.diffs_model;
        self.learned.prepare(&mut unit).await.map_err(Error::of_database)?;
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

        // On the heap: most syncs do not get here, and otherwise every outer future would have its size
        // of kilobytes.
        Box::pin(self.merge(unit, since, &objects, &window)).await
    }

    async fn merge<U>(
        self,
        unit: U,
        since: i64,
        objects: &[(&str, &str)],
        window: &Window,
    ) -> Result<Option<SyncResponse>, Error>
    where
        U: UnitOfWork,
        R: Rules,
    {
        let Self { request, settings, .. } = self;
        let now = Now { utc: settings.now(), drift: settings.allowed_drift };
        let merge = Merge::new(since, request, objects, window, now).map_err(Error::of_database)?;
        self.check_schema(&unit, &merge, window)?;
        Walk::new(self, unit, merge).run().await
    }

    async fn window<U: UnitOfWork>(
        &self,
        unit: &mut U,
        since: i64,
        objects: &[(&str, &str)],
    ) -> Result<Window, Error> {
        let (log, ids) = (&*self.settings.diffs_model, &*self.request.ids());
        let query = WindowQuery { log, since, ids, objects };
        let mut window = unit.window(self.owner, query).await.map_err(Error::of_database)?;
        if window.clock < since {
            // The window may not have the server's clock, which the message should contain.
            window.clock = unit.clock(self.owner, log).await.map_err(Error::of_database)?;
            return Err(Error::ClockAhead { device: since, server: window.clock });
        }
        Ok(window)
    }

    /// The database must have the models and fields of all new diffs.
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

/// The answer to a new device, if the log has everything for it.
async fn first_sync<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    log: &str,
) -> Result<Option<SyncResponse>, Error> {
    let snapshot = unit.snapshot(owner, log).await.map_err(Error::of_database)?;
    let answer = snapshot.finish(owner).map_err(Error::of_database)?;
    Ok(answer.map(|(clock, diffs)| pulled(clock, diffs)))
}

/// The answer to a request without diffs.
fn pulled(clock: i64, diffs: Vec<Diff>) -> SyncResponse {
    super::record(0, 0, 0, 0, diffs.len());
    SyncResponse::new(clock, diffs)
}
