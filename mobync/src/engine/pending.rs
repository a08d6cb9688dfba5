//! Writes that wait to go out together.

use std::{fmt, future::Future, pin::Pin};

use crate::{DatabaseError, Owner, Synchronizer, Write, merge::Step};

/// How many changes or entries a database gets at once, so that a large push needs no memory for all
/// of them twice.
pub(super) const MOST_AT_ONCE: usize = 1_000;

/// Writes in the order made, until somebody looks at the database or there are no more.
#[derive(Debug, Default)]
pub(crate) struct Pending<'a> {
    writes: Vec<Write<'a>>,
    /// The steps that these are of.
    steps: Vec<Step<'a>>,
    /// What became of those that went out: the step, and why the database did not take it.
    written: Vec<(Step<'a>, Option<DatabaseError>)>,
    /// The unit of work is of no more use, because the database rejected a write.
    broken: bool,
    /// So it is, and which write that was is not known.
    unnamed: Option<DatabaseError>,
}

impl<'a> Pending<'a> {
    /// With room for so many writes, or for as many as wait at once.
    pub(super) fn with_capacity(most: usize) -> Self {
        let most = most.min(MOST_AT_ONCE);
        Self {
            writes: Vec::with_capacity(most),
            steps: Vec::with_capacity(most),
            ..Self::default()
        }
    }

    pub(super) fn push(&mut self, step: Step<'a>, write: Write<'a>) {
        self.steps.push(step);
        self.writes.push(write);
    }

    /// Whether no more should wait.
    pub(super) fn is_full(&self) -> bool {
        self.writes.len() >= MOST_AT_ONCE
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// If the database failed, or a rejection has left the unit of work unusable.
    pub(super) async fn flush<S: Synchronizer>(
        &mut self,
        unit: &mut S,
        owner: &Owner,
    ) -> Result<(), DatabaseError> {
        if !self.writes.is_empty() && !self.broken {
            let writes = std::mem::take(&mut self.writes);
            match unit.write(owner, &writes).await {
                Ok(rejections) => {
                    self.broken = !rejections.is_empty() && !unit.survives_rejection();
                    let first = self.written.len();
                    self.written.extend(self.steps.drain(..).map(|step| (step, None)));
                    for rejection in rejections {
                        if let Some((_, error)) = self.written.get_mut(first + rejection.place) {
                            *error = Some(rejection.error);
                        }
                    }
                }
                Err(error) if error.is_rejection() => {
                    (self.broken, self.unnamed) = (true, Some(error));
                }
                Err(error) => return Err(error),
            }
        }
        if self.broken {
            return Err(DatabaseError::failed("the unit of work was rejected a write"));
        }
        Ok(())
    }

    /// Whether the unit of work is of no more use, because the database rejected a write.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// The rejection of a write, if which one it was is not known.
    pub(super) fn take_unnamed(&mut self) -> Option<DatabaseError> {
        self.unnamed.take()
    }

    /// What became of the writes that went out since the last call.
    pub(super) fn take_written(&mut self) -> Vec<(Step<'a>, Option<DatabaseError>)> {
        std::mem::take(&mut self.written)
    }
}

/// What a rule's view knows of the writes that wait: that they must go out before it looks.
pub(crate) trait Flush<S>: Send {
    fn flush<'f>(&'f mut self, unit: &'f mut S, owner: &'f Owner) -> Flushed<'f>;
}

type Flushed<'f> = Pin<Box<dyn Future<Output = Result<(), DatabaseError>> + Send + 'f>>;

impl<S: Synchronizer> Flush<S> for Pending<'_> {
    fn flush<'f>(&'f mut self, unit: &'f mut S, owner: &'f Owner) -> Flushed<'f> {
        Box::pin(Pending::flush(self, unit, owner))
    }
}

impl<S> fmt::Debug for dyn Flush<S> + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}
