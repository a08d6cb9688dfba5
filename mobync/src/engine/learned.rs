//! What the attempts at a sync have found out, so that the next one need not ask again.

use super::verdict::Verdict;
use crate::{
    error::{DatabaseError, Error},
    hash::HashMap,
    merge::DiffPlace,
    unit::UnitOfWork,
};

/// How often a rule may change its mind on a delete that it was asked about before its turn.
const MOST_CHANGES_OF_MIND: usize = 3;

#[derive(Debug, Default)]
pub(super) struct Learned {
    verdicts: HashMap<DiffPlace, Verdict>,
    /// The owner's clock when these were found out.
    clock: i64,
    /// A write was rejected and it is not known which.
    checks: Checks,
    changes_of_mind: usize,
    /// Updates of one object do not go out together.
    parts: bool,
    /// Others than syncs write to the rows, and what they change is marked.
    pub(super) captures: bool,
    /// The marks have been drained: those that come behind that are for the next sync.
    pub(super) has_drained: bool,
    /// How often others have changed what the request is about, while it was done.
    pub(super) meetings: u32,
}

/// How closely the database must look at each write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Checks {
    #[default]
    None,
    /// Each one must be told of that is not taken.
    Each,
    /// Also what the commit would reject.
    AtOnce,
    /// It must look again, for that was not enough.
    Again,
}

impl Learned {
    /// Tells a unit of work how closely to look.
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

    /// Whether the database checks at once what it would check at the commit.
    pub(super) fn checks_at_once(&self) -> bool {
        self.checks >= Checks::AtOnce
    }

    /// Forgets the verdicts if somebody else's sync has come in between: they may not hold any more.
    pub(super) fn renew(&mut self, clock: i64) {
        if std::mem::replace(&mut self.clock, clock) != clock {
            self.verdicts.clear();
        }
    }

    /// What was found out of a diff.
    pub(super) fn verdict(&self, diff: DiffPlace) -> Option<&Verdict> {
        self.verdicts.get(&diff)
    }

    pub(super) fn learn(&mut self, diff: DiffPlace, verdict: Verdict) {
        self.verdicts.insert(diff, verdict);
    }

    /// A rule was asked about a diff before its turn. One that changes its mind too often is held to
    /// what it has said.
    pub(super) fn foresee(&mut self, diff: DiffPlace, verdict: &Verdict) {
        if self.changes_of_mind >= MOST_CHANGES_OF_MIND {
            self.learn(diff, verdict.clone());
        }
    }

    /// The verdict is another one than before the diff's turn.
    pub(super) fn change_mind(&mut self, diff: DiffPlace, verdict: Verdict) {
        self.changes_of_mind += 1;
        self.learn(diff, verdict);
    }

    /// Updates of one object must not go out together.
    pub(super) fn part(&mut self) {
        self.parts = true;
    }

    pub(super) fn parts(&self) -> bool {
        self.parts
    }

    /// The database rejected something, and cannot tell what: the next attempt looks more closely.
    ///
    /// # Errors
    /// If it did already.
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
