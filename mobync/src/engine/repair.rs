//! Reconciling all rows of an owner, or of all owners.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use super::{
    Mobync,
    look::{self, Known, Object, Tables},
    mint,
    pending::MOST_AT_ONCE,
};
use crate::{
    database::{Access, Database},
    diff::object_in,
    error::{DatabaseError, Error},
    merge::Snapshot,
    owner::Owner,
    reconcile::{Reconciled, entries},
    schema::Lens,
    unit::{UnitOfWork, WindowQuery},
};

/// How many rows are compared in one unit of work, so that the owner's syncs can run in between.
const PAGE: usize = MOST_AT_ONCE;
/// How many owners are read at once.
const OWNERS: usize = 100_000;
/// How many rows that no diff can represent are shown.
const SHOWN: usize = 10;

/// Whether differences are logged, or only reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Repair,
    DryRun,
}

impl<D: Database, R> Mobync<D, R> {
    /// Makes the log match all of the owner's rows, so that devices receive the changes: the repair for
    /// rows that were changed without a sync and without a mark.
    ///
    /// Rows are read in pages, each in its own unit of work and with its own tick, while the owner's
    /// devices sync. It can be cancelled at any time, and started again. Without differences nothing is
    /// written. The models are those of the database, or, if it does not know them, those in the log.
    ///
    /// # Errors
    /// [`Error::Internal`] or [`Error::Busy`] if the database fails. Rows that no diff can represent are
    /// not an error: they are left out and reported.
    ///
    /// # Examples
    /// ```
    /// use mobync::{Mobync, Owner, memory::MemoryDatabase};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mobync = Mobync::new(MemoryDatabase::new());
    /// let ada = Owner::new("ada")?;
    /// let differs = mobync.differences(&ada).await?; // a dry run
    /// let repaired = mobync.reconcile(&ada).await?;
    /// assert_eq!((differs.differences(), repaired.differences()), (0, 0));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn reconcile(&self, owner: &Owner) -> Result<Reconciled, Error> {
        self.go_through(owner, Mode::Repair).await
    }

    /// Returns how the owner's rows and log differ, and changes nothing: a dry run of
    /// [`reconcile`](Self::reconcile). Marked changes that wait for the next sync count as differences.
    ///
    /// # Errors
    /// As [`reconcile`](Self::reconcile).
    pub async fn differences(&self, owner: &Owner) -> Result<Reconciled, Error> {
        self.go_through(owner, Mode::DryRun).await
    }

    /// [Reconciles](Self::reconcile) all owners after `last`, in the order of their names, and calls
    /// `progress` after each one. After an interruption, continue with the last owner that `progress`
    /// received. Returns the sum, with the rows whose owner is not a valid name.
    ///
    /// # Errors
    /// As [`reconcile`](Self::reconcile), and if the database cannot list its owners.
    pub async fn reconcile_all(
        &self,
        last: Option<&Owner>,
        progress: impl FnMut(&Owner, &Reconciled) + Send,
    ) -> Result<Reconciled, Error> {
        self.go_through_all(last, Mode::Repair, progress).await
    }

    /// The dry run of [`reconcile_all`](Self::reconcile_all).
    ///
    /// # Errors
    /// As [`reconcile_all`](Self::reconcile_all).
    pub async fn differences_of_all(
        &self,
        last: Option<&Owner>,
        progress: impl FnMut(&Owner, &Reconciled) + Send,
    ) -> Result<Reconciled, Error> {
        self.go_through_all(last, Mode::DryRun, progress).await
    }

    async fn go_through_all(
        &self,
        last: Option<&Owner>,
        mode: Mode,
        mut progress: impl FnMut(&Owner, &Reconciled) + Send,
    ) -> Result<Reconciled, Error> {
        let mut all = Reconciled::default();
        let mut last = last.cloned();
        loop {
            let owners = self.database.owners(last.as_ref(), OWNERS).await;
            let owners = owners.map_err(Error::of_database)?.ok_or_else(|| {
                Error::Internal("the database cannot list its owners: reconcile one by one".into())
            })?;
            if owners.is_empty() {
                break;
            }
            for owner in owners {
                let of_owner = self.go_through(&owner, mode).await?;
                progress(&owner, &of_owner);
                all.add(of_owner);
                last = Some(owner);
            }
        }
        let models: Vec<String> = all.models.keys().cloned().collect();
        for model in models {
            let unsound = self.database.unsound_rows(None, &model, SHOWN).await;
            let (rows, shown) = unsound.map_err(Error::of_database)?;
            all.skip(rows, shown);
        }
        Ok(all)
    }

    async fn go_through(&self, owner: &Owner, mode: Mode) -> Result<Reconciled, Error> {
        if mode == Mode::Repair {
            // The marks have the times of the changes.
            self.drain_in_turn(owner, false, &mut self.patience()).await?;
        }
        let mut repair = Repair::new(self, owner, mode);
        repair.run(None, &mut |_| {}).await?;
        let mut reconciled = repair.reconciled;
        let models: Vec<String> = reconciled.models.keys().cloned().collect();
        for model in models {
            let unsound = self.database.unsound_rows(Some(owner), &model, SHOWN).await;
            let (rows, shown) = unsound.map_err(Error::of_database)?;
            reconciled.skip(rows, shown);
        }
        Ok(reconciled)
    }

    /// Reconciles the owner's rows of one model, and reports each page.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) async fn bring_in(
        &self,
        owner: &Owner,
        model: &str,
        progress: &mut (dyn FnMut(&Reconciled) + Send),
    ) -> Result<Reconciled, Error> {
        let mut repair = Repair::new(self, owner, Mode::Repair);
        repair.run(Some(model), progress).await?;
        Ok(repair.reconciled)
    }
}

/// One owner's rows, processed page by page.
struct Repair<'r, D, R> {
    mobync: &'r Mobync<D, R>,
    owner: &'r Owner,
    mode: Mode,
    /// What the log says, as far as it has been read.
    said: Option<Snapshot>,
    reconciled: Reconciled,
}

/// What is compared in one unit of work.
#[derive(Clone, Copy, Debug)]
enum Page<'p> {
    /// The rows after this id.
    Behind(Option<&'p str>),
    /// These objects, which had no row.
    Of(&'p [String]),
}

impl<'r, D: Database, R> Repair<'r, D, R> {
    fn new(mobync: &'r Mobync<D, R>, owner: &'r Owner, mode: Mode) -> Self {
        Self { mobync, owner, mode, said: None, reconciled: Reconciled::default() }
    }

    async fn run(
        &mut self,
        model: Option<&str>,
        progress: &mut (dyn FnMut(&Reconciled) + Send),
    ) -> Result<(), Error> {
        let models = match model {
            Some(model) => vec![model.to_owned()],
            None => self.models().await?,
        };
        let mut gone = Vec::new();
        // Parents before children; for removed objects the other way round.
        for model in &models {
            let mut seen = HashSet::new();
            let mut last: Option<String> = None;
            loop {
                let page = Page::Behind(last.as_deref());
                let ids = self.page(model, page).await?;
                let Some(end) = ids.last() else { break };
                last = Some(end.clone());
                seen.extend(ids);
                progress(&self.reconciled);
            }
            if !self.reconciled.unreadable.contains(model) {
                let said = self.said.iter().flat_map(|said| said.ids(model));
                let lost = said.filter(|id| !seen.contains(*id)).map(str::to_owned);
                gone.push((model, lost.collect::<Vec<String>>()));
            }
        }
        for (model, lost) in gone.iter().rev() {
            for part in lost.chunks(PAGE) {
                self.page(model, Page::Of(part)).await?;
                progress(&self.reconciled);
            }
        }
        Ok(())
    }

    /// The models to compare. Those that others refer to come first.
    async fn models(&mut self) -> Result<Vec<String>, Error> {
        let unit = self.mobync.open(self.owner, Access::Read).await;
        let mut unit = unit.map_err(Error::of_database)?;
        let mut models = unit.models();
        let log = &self.mobync.settings.diffs_model;
        if models.is_empty() {
            let said = unit
                .snapshot(self.owner, log, Snapshot::default())
                .await
                .map_err(Error::of_database)?;
            models.extend(said.models().map(str::to_owned));
        }
        models.retain(|model| model != log && unit.check_schema(model, &[]).is_ok());
        models.sort();
        models.sort_by_key(|model| unit.rank(model));
        Ok(models)
    }

    /// Compares a page, and logs the differences. Returns the ids of its rows; none at the end.
    async fn page(&mut self, model: &str, page: Page<'_>) -> Result<Vec<String>, Error> {
        let mobync = self.mobync;
        let mut patience = mobync.patience();
        loop {
            // Acquired for each page and each attempt, so that others get their turns.
            let compared = {
                let _turn = mobync.turn(self.owner, Access::Write).await?;
                self.page_in_turn(model, page).await.map_err(Error::of_database)
            };
            match compared {
                Ok((ids, of_page, clock)) => {
                    self.reconciled.add(of_page);
                    if let Some(clock) = clock {
                        mobync.live.announce(self.owner, clock);
                    }
                    return Ok(ids);
                }
                Err(error) if error.is_conflict() && patience.again(true).await => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn page_in_turn(
        &mut self,
        model: &str,
        page: Page<'_>,
    ) -> Result<(Vec<String>, Reconciled, Option<i64>), DatabaseError> {
        let Self { mobync, owner, mode, .. } = *self;
        let log = &*mobync.settings.diffs_model;
        let mut unit = mobync.open(owner, Access::Write).await?;
        let said = self.follow(&mut unit).await?;
        let clock = said.clock();

        let mut of_page = Reconciled::default();
        let ids = match page {
            Page::Behind(_) => Vec::new(),
            Page::Of(ids) => ids.iter().map(|id| &**id).collect::<Vec<_>>(),
        };
        let texts = match page {
            Page::Behind(last) => unit.rows_behind(owner, model, last, PAGE).await,
            Page::Of(_) => unit.rows(owner, model, &ids).await,
        };
        let Some(texts) = look::readable(model, texts)? else {
            of_page.add_unreadable(model);
            return Ok((Vec::new(), of_page, None));
        };
        let read: Vec<String> = texts
            .iter()
            .map(|text| object_in(text).map(Cow::into_owned).map_err(DatabaseError::failed))
            .collect::<Result<_, _>>()?;
        let rows: HashMap<String, String> = read.iter().cloned().zip(texts).collect();
        let compared: Vec<&str> = match page {
            Page::Behind(_) => read.iter().map(|id| &**id).collect(),
            Page::Of(_) => ids,
        };
        let mut objects = Vec::with_capacity(compared.len());
        for id in compared {
            let said = said.alive(model, id)?.map(Known::from);
            objects.push(Object { id: id.into(), at: None, said, exact: Vec::new() });
        }
        let mut skipped = Vec::new();
        let differs =
            look::differences(&mut unit, owner, model, &objects, &rows, &mut skipped).await?;
        of_page.add_rows(model, rows.len().saturating_sub(skipped.len()));
        of_page.skip(skipped.len() as u64, skipped);
        for difference in &differs {
            of_page.add_difference(difference);
        }
        if differs.is_empty() || mode == Mode::DryRun {
            return Ok((read, of_page, None));
        }
        let now = mobync.settings.time_now();
        let new = entries(differs, &Tables(&unit), owner, clock, now, mint);
        let clock = new.last().map(|last| last.logical_clock.saturating_add(1));
        look::append(&mut unit, owner, log, new).await?;
        unit.commit().await?;
        Ok((read, of_page, clock))
    }

    /// Reads what was added to the log since the last read.
    async fn follow(&mut self, unit: &mut Lens<D::Unit>) -> Result<&mut Snapshot, DatabaseError> {
        let log = &*self.mobync.settings.diffs_model;
        if self.said.is_none() {
            self.said = Some(unit.snapshot(self.owner, log, Snapshot::default()).await?);
        } else if let Some(said) = &mut self.said {
            let query = WindowQuery::since(log, said.clock());
            let window = unit.window(self.owner, query).await?;
            said.follow_all(window.entries.iter().map(Into::into))?;
        }
        Ok(self.said.get_or_insert_default())
    }
}
