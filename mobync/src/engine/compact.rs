//! Compacts the log of one owner.

use std::time::Duration;

use super::{Mobync, mint};
use crate::{
    database::{Access, Database},
    diff::Diff,
    error::{DatabaseError, Error},
    owner::Owner,
    retention::{Begun, Marks, Thinned, Thinning},
    schema::Lens,
    unit::UnitOfWork,
};

/// The result of a [compaction](Mobync::compact).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// How many entries of the log were removed.
    pub removed: u64,
    /// How many entries lost values that later entries have overwritten.
    pub thinned: u64,
    /// How many entries remain below the horizon; 0 if there was nothing to do.
    pub kept: u64,
    /// The horizon, in ticks: devices whose clock is less, and not 0, must fetch everything again. 0 if
    /// there is none yet.
    pub horizon: i64,
    /// The tick below which the ids of diffs may be forgotten.
    pub forgotten: i64,
    /// Whether the log is kept for a [follower](crate::follow) that has not handled entries older than the
    /// time.
    pub waits: bool,
}

impl<D: Database, R> Mobync<D, R> {
    /// Sets about how many log entries a [compaction](Self::compact) reads and changes in one unit of work,
    /// for which the owner's devices wait. The default is 1,000.
    #[must_use]
    pub fn compacts_at_once(self, entries: usize) -> Self {
        self.set(|settings| settings.compacts_at_once = entries.max(1))
    }

    /// Removes from the owner's log what is not needed by any device that has synced within this time.
    ///
    /// What exists stays, and devices that have synced within the time notice nothing. A device that has
    /// not gets [`Error::TooOld`]: it fetches everything again, and keeps its unsent changes. After twice
    /// the time, ids of diffs are forgotten. The rules are in the chapter "Retention" of the
    /// [protocol](crate::protocol::document).
    ///
    /// The server learns the age of the log from the calls: each call marks where the log ends now. So call
    /// it regularly, about once a day, or let [`retain`](Self::retain) do it. The first call removes
    /// nothing. It works in small units of work, and the owner's devices sync in between. It can be
    /// cancelled at any time; the next call continues. It stops at the least position of the
    /// [followers](crate::follow): if it would go further without them, it says so ([`Compacted::waits`]) and
    /// logs a warning. [Remove](Self::unfollow) followers that are gone.
    ///
    /// The time is your promise to the people who use the app: how long a device may be away. Less than a
    /// few weeks is rarely right. A lower value takes effect at once; a greater one does not restore
    /// anything.
    ///
    /// # Errors
    /// [`Error::Internal`] or [`Error::Busy`] if the database fails.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    ///
    /// use mobync::{Mobync, Owner, memory::MemoryDatabase};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mobync = Mobync::new(MemoryDatabase::new());
    /// let a_year = Duration::from_secs(365 * 24 * 60 * 60);
    /// let compacted = mobync.compact(&Owner::new("ada")?, a_year).await?;
    /// assert_eq!(compacted.removed, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn compact(&self, owner: &Owner, older_than: Duration) -> Result<Compacted, Error> {
        let compacted = self.compact_one(owner, older_than).await?;
        if compacted.waits {
            tracing::warn!(
                "a log is kept for a follower that has not handled its old entries: repair the follower, \
                 or remove it with `unfollow`"
            );
        }
        Ok(compacted)
    }

    /// The same without the warning.
    pub(super) async fn compact_one(
        &self,
        owner: &Owner,
        older_than: Duration,
    ) -> Result<Compacted, Error> {
        let age = i64::try_from(older_than.as_millis()).unwrap_or(i64::MAX);
        let compacted = Compaction { mobync: self, owner, age }.run().await?;
        let Compacted { removed, thinned, kept, horizon, forgotten, waits } = compacted;
        if removed > 0 || thinned > 0 {
            tracing::info!(removed, thinned, kept, horizon, forgotten, waits, "compacted a log");
        } else {
            tracing::debug!(horizon, forgotten, waits, "nothing to compact");
        }
        Ok(compacted)
    }
}

/// A compaction in progress.
struct Compaction<'c, D, R> {
    mobync: &'c Mobync<D, R>,
    owner: &'c Owner,
    /// In milliseconds.
    age: i64,
}

/// A part of the log, and the changes to it.
#[derive(Debug, Default)]
struct Piece {
    thinned: Thinned,
    /// How many entries it has, without those about the log itself.
    entries: usize,
    /// Its first tick; `None` after the last part.
    start: Option<i64>,
}

impl<D: Database, R> Compaction<'_, D, R> {
    async fn run(self) -> Result<Compacted, Error> {
        // For most owners there is nothing to do, so the log is only read.
        let mut begun = self.look().await.map_err(Error::of_database)?;
        if !begun.rewrite.is_empty() {
            begun = self.begin().await?;
        }
        let mut compacted = Compacted { waits: begun.waits, ..Compacted::default() };
        let Begun { horizon: Some(horizon), thinning, .. } = begun else { return Ok(compacted) };
        (compacted.horizon, compacted.forgotten) = (horizon.clock, horizon.forgotten);
        let Some(thinning) = thinning else { return Ok(compacted) };

        let mut walk = Some(Thinning::new(self.log(), horizon.clock, horizon.forgotten));
        let mut end = horizon.clock;
        while walk.is_some() {
            let piece = self.piece(&mut walk, end, &thinning).await?;
            let count = |entries: usize| u64::try_from(entries).unwrap_or(u64::MAX);
            compacted.removed += count(piece.thinned.rewrite.removed.len());
            compacted.thinned += count(piece.thinned.rewrite.changed.len());
            compacted.kept += count(piece.entries);
            end = piece.start.unwrap_or(0);
        }
        compacted.kept = compacted.kept.saturating_sub(compacted.removed);
        Ok(compacted)
    }

    fn log(&self) -> &str {
        &self.mobync.settings.diffs_model
    }

    async fn look(&self) -> Result<Begun, DatabaseError> {
        let mut unit = self.mobync.open(self.owner, Access::Read).await?;
        self.look_in(&mut unit).await
    }

    async fn look_in(&self, unit: &mut Lens<D::Unit>) -> Result<Begun, DatabaseError> {
        if unit.is_renaming() {
            tracing::info!("a compaction waits for a rename in the database to be finished");
            // Processes that do not know the newest names still read the log.
            return Ok(Begun::default());
        }
        let (owner, log) = (self.owner, self.log());
        let marks = Marks::read(&unit.own_entries(owner, log).await?, log);
        let clock = unit.clock(owner, log).await?;
        let handled = unit.handled(owner, log).await?;
        let now = self.mobync.settings.now();
        Ok(marks.begin((now, self.age), clock, handled, (owner, log), mint))
    }

    /// Writes a milestone, and moves the horizon, if necessary.
    async fn begin(&self) -> Result<Begun, Error> {
        let mut patience = self.mobync.patience();
        loop {
            match self.begin_in_turn().await {
                Err(error) if error.is_conflict() && patience.again(true).await => {}
                begun => return begun,
            }
        }
    }

    /// Nobody waits for the turn while a conflict is waited for.
    async fn begin_in_turn(&self) -> Result<Begun, Error> {
        let _turn = self.mobync.turn(self.owner, Access::Write).await?;
        self.try_to_begin().await.map_err(Error::of_database)
    }

    async fn try_to_begin(&self) -> Result<Begun, DatabaseError> {
        let mut unit = self.mobync.open(self.owner, Access::Write).await?;
        let begun = self.look_in(&mut unit).await?;
        unit.rewrite(self.owner, self.log(), &begun.rewrite).await?;
        unit.commit().await?;
        Ok(begun)
    }

    /// Thins the entries of some ticks before `end`. If there are none, it ends the walk, and the log
    /// records that everything is thinned.
    async fn piece(
        &self,
        walk: &mut Option<Thinning>,
        end: i64,
        thinning: &str,
    ) -> Result<Piece, Error> {
        // A part is computed once, even if it must be tried again, because the walk has passed it then.
        let mut piece = None;
        let mut patience = self.mobync.patience();
        loop {
            match self.piece_in_turn(walk, end, thinning, &mut piece).await {
                Err(error) if error.is_conflict() && patience.again(true).await => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(piece.unwrap_or_default()),
            }
        }
    }

    async fn piece_in_turn(
        &self,
        walk: &mut Option<Thinning>,
        end: i64,
        thinning: &str,
        piece: &mut Option<Piece>,
    ) -> Result<(), Error> {
        let _turn = self.mobync.turn(self.owner, Access::Write).await?;
        self.try_piece(walk, end, thinning, piece).await.map_err(Error::of_database)
    }

    async fn try_piece(
        &self,
        walk: &mut Option<Thinning>,
        end: i64,
        thinning: &str,
        piece: &mut Option<Piece>,
    ) -> Result<(), DatabaseError> {
        let (owner, log) = (self.owner, self.log());
        let mut unit = self.mobync.open(owner, Access::Write).await?;
        let Piece { thinned, start, .. } = match piece {
            Some(piece) => piece,
            None => {
                let at_once = self.mobync.settings.compacts_at_once;
                let entries = unit.entries_before(owner, log, end, at_once).await?;
                piece.insert(Piece::of(walk, entries, log)?)
            }
        };
        let mut rewrite = thinned.rewrite.clone();
        if thinned.ends_lives {
            // A device that fetches pages may have the beginning of a life, and would not learn of its end.
            let own = unit.own_entries(owner, log).await?;
            if let Some(horizon) = Marks::read(&own, log).horizon {
                horizon.renew(mint(), owner, log, &mut rewrite);
            }
        }
        if start.is_none() {
            rewrite.removed.push(thinning.to_owned());
        }
        if rewrite.is_empty() {
            return Ok(());
        }
        unit.rewrite(owner, log, &rewrite).await?;
        unit.commit().await
    }
}

impl Piece {
    /// The next part of the walk, which ends if there is none.
    fn of(
        walk: &mut Option<Thinning>,
        entries: Vec<Diff>,
        log: &str,
    ) -> Result<Self, DatabaseError> {
        let start = entries.iter().map(|entry| entry.logical_clock).min();
        let count = entries.iter().filter(|entry| entry.model != log).count();
        let thinned = match start {
            Some(_) => walk.as_mut().map(|walk| walk.go_back(entries)).transpose()?,
            None => walk.take().map(Thinning::finish),
        };
        Ok(Self { thinned: thinned.unwrap_or_default(), entries: count, start })
    }
}
