//! What the attempts at a sync have learned, for the next attempt.

use super::verdict::Verdict;
use crate::{
    error::{DatabaseError, Error},
    hash::HashMap,
    merge::DiffPlace,
    unit::UnitOfWork,
};

/// How often a rule may change its verdict on a delete that it checked early.
const MOST_CHANGES_OF_MIND: usize = 3;

#[derive(Debug, Default)]
pub(super) struct Learned {
    verdicts: HashMap<DiffPlace, Verdict>,
    /// The owner's clock when these were learned.
    clock: i64,
    /// A write was rejected and it is not known which.
    checks: Checks,
    changes_of_mind: usize,
    /// Updates of one object are not written together.
    parts: bool,
    /// Rows are also changed outside of syncs, and these changes are marked.
    pub(super) captures: bool,
    /// The marks have been drained. Later ones are left to the next sync.
    pub(super) has_drained: bool,
    /// How often others have changed what the request is about during an attempt.
    pub(super) meetings: u32,
}

/// How closely the database must check each write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Checks {
    #[default]
    None,
    /// Each rejected write must be named.
    Each,
    /// Also those that the commit would reject.
    AtOnce,
    /// It must check again, because the checks were not enough.
    Again,
}

impl Learned {
    /// Tells a unit of work how closely to check.
    pub(super) async fn prepare<U: UnitOfWork>(&self, unit: &mut U) -> Result<(), DatabaseError> {
        if self.checks >= Checks::Each {
            unit.check_each_change().await?;
        }
        for checks in [Checks::AtOnce, Checks::Again] {
            if self.checks >= checks {
                unit.check_at_once().await?;
            }
        }
        Ok(())
    }

    /// Whether the database immediately checks what it would check at the commit.
    pub(super) fn checks_at_once(&self) -> bool {
        self.checks >= Checks::AtOnce
    }

    /// Drops the verdicts if another sync ran in between, because they may be wrong now.
    pub(super) fn renew(&mut self, clock: i64) {
        if std::mem::replace(&mut self.clock, clock) != clock {
            self.verdicts.clear();
        }
    }

    /// What is known about a diff.
    pub(super) fn verdict(&self, diff: DiffPlace) -> Option<&Verdict> {
        self.verdicts.get(&diff)
    }

    pub(super) fn learn(&mut self, diff: DiffPlace, verdict: Verdict) {
        self.verdicts.insert(diff, verdict);
    }

    /// Records that a rule checked a diff early. If its verdict changes too often, the last one is kept.
    pub(super) fn foresee(&mut self, diff: DiffPlace, verdict: &Verdict) {
        if self.changes_of_mind >= MOST_CHANGES_OF_MIND {
            self.learn(diff, verdict.clone());
        }
    }

    /// Records that the verdict differs from the early one.
    pub(super) fn change_mind(&mut self, diff: DiffPlace, verdict: Verdict) {
        self.changes_of_mind += 1;
        self.learn(diff, verdict);
    }

    /// From now on, updates of one object must not be written together.
    pub(super) fn part(&mut self) {
        self.parts = true;
    }

    pub(super) fn parts(&self) -> bool {
        self.parts
    }

    /// The database rejected something and cannot tell what: the next attempt checks more closely.
    ///
    /// # Errors
    /// If the checks were already that close.
    pub(super) fn look_closer(
        &mut self,
        rejection: DatabaseError,
        at_commit: bool,
    ) -> Result<(), Error> {
        self.checks = match self.checks {
            Checks::None if !at_commit => Checks::Each,
            Checks::None | Checks::Each => Checks::AtOnce,
            Checks::AtOnce => Checks::Again,
            Checks::Again => return Err(Error::of_database(rejection)),
        };
        Ok(())
    }
}
