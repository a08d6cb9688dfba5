//! Writes that wait to go out together.

use crate::{Change, DatabaseError, Owner, Synchronizer};

/// Changes in the order made, until somebody looks at the database or there are no more.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    changes: Vec<Change>,
    diffs: Vec<usize>,
    /// What became of those that went out: the diff, and why the database did not take it.
    written: Vec<(usize, Option<DatabaseError>)>,
    broken: bool,
}

impl Pending {
    pub(super) fn push(&mut self, diff: usize, change: Change) {
        self.diffs.push(diff);
        self.changes.push(change);
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// If the database failed, or an earlier rejection has left the unit of work unusable.
    pub(crate) async fn flush<S: Synchronizer>(
        &mut self,
        unit: &mut S,
        owner: &Owner,
    ) -> Result<(), DatabaseError> {
        if !self.changes.is_empty() {
            let rejections = unit.write(owner, std::mem::take(&mut self.changes)).await?;
            self.broken = !rejections.is_empty() && !unit.survives_rejection();
            let first = self.written.len();
            self.written.extend(self.diffs.drain(..).map(|diff| (diff, None)));
            for rejection in rejections {
                if let Some((_, error)) = self.written.get_mut(first + rejection.place) {
                    *error = Some(rejection.error);
                }
            }
        }
        if self.broken {
            return Err(DatabaseError::failed("the unit of work was rejected a change"));
        }
        Ok(())
    }

    /// Whether the unit of work is of no more use, because the database rejected a change.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// What became of the changes that went out since the last call.
    pub(super) fn take_written(&mut self) -> Vec<(usize, Option<DatabaseError>)> {
        std::mem::take(&mut self.written)
    }
}
