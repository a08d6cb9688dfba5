//! Writes that wait to be executed together.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::value::RawValue;

use crate::{
    diff::Operation,
    error::DatabaseError,
    filter::ReadFilter,
    merge::{DiffPlace, Field, Step, Write},
    owner::Owner,
    rules::{Look, Looked},
    unit::UnitOfWork,
};

/// How many changes or entries a database gets at once, so that a large push is not held in memory twice.
pub(super) const MOST_AT_ONCE: usize = 1_000;

/// Writes in their order, until the database is read or there are no more.
#[derive(Debug, Default)]
pub(super) struct Pending<'a> {
    writes: Vec<Write<'a>>,
    /// The steps of these writes.
    steps: Vec<Steps<'a>>,
    /// The results of executed writes, with the reasons of rejections.
    written: Vec<(Steps<'a>, Option<DatabaseError>)>,
    /// The unit of work may be unusable, because the database rejected a write.
    broken: bool,
    /// The same, but it is unknown which write was rejected.
    unnamed: Option<DatabaseError>,
}

/// The steps of one write: usually one. If there are several, all except the last are settled already.
#[derive(Debug)]
pub(super) struct Steps<'a> {
    /// The index of the first step's diff in the request.
    pub(super) first: DiffPlace,
    pub(super) are_several: bool,
    /// Not settled yet; `None` if the last one wrote nothing.
    pub(super) last: Option<Step<'a>>,
    /// The values that several steps write together, by field names.
    joined: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

impl<'a> Pending<'a> {
    /// Reserves memory for this number of writes, up to the limit of those that wait at once.
    pub(super) fn with_capacity(most: usize) -> Self {
        let most = most.min(MOST_AT_ONCE);
        Self {
            writes: Vec::with_capacity(most),
            steps: Vec::with_capacity(most),
            ..Self::default()
        }
    }

    /// Adds a write, and returns its index.
    pub(super) fn push(&mut self, step: Step<'a>, write: Write<'a>) -> usize {
        self.steps.push(Steps {
            first: step.diff(),
            are_several: false,
            last: Some(step),
            joined: BTreeMap::new(),
        });
        self.writes.push(write);
        self.writes.len() - 1
    }

    /// Whether no more writes should be added.
    pub(super) fn is_full(&self) -> bool {
        self.writes.len() >= MOST_AT_ONCE
    }

    /// Whether an update with these fields can be written together with a waiting write. The database must
    /// certainly accept both, because each rejected write must be identified.
    pub(super) fn can_join<U: UnitOfWork>(
        &self,
        unit: &U,
        place: usize,
        fields: &[Field<'_>],
    ) -> bool {
        let Some((write, steps)) = self.writes.get(place).zip(self.steps.get(place)) else {
            return false;
        };
        // Waiting writes with several steps were found to be acceptable.
        let mut waiting = write.fields().filter(|_| !steps.are_several);
        let mut fields = fields.iter().map(|(name, value)| (&**name, value.get()));
        let taken = |(name, value)| unit.takes(write.model, name, value);
        write.operation == Operation::Update && waiting.all(taken) && fields.all(taken)
    }

    /// The last step of a waiting write, which counts as done from now on.
    pub(super) fn count_as_done(&mut self, place: usize) -> Option<Step<'a>> {
        let steps = self.steps.get_mut(place)?;
        steps.are_several = true;
        steps.last.take()
    }

    /// Adds an update to a waiting write of the same object.
    pub(super) fn join(&mut self, place: usize, step: Step<'a>, update: &Write<'a>) {
        let Some((write, steps)) = self.writes.get_mut(place).zip(self.steps.get_mut(place)) else {
            return;
        };
        if steps.joined.is_empty() {
            steps.joined.extend(write.fields.iter().cloned());
        }
        steps.joined.extend(update.fields.iter().cloned());
        steps.last = Some(step);
    }

    /// Executes the waiting writes.
    ///
    /// # Errors
    /// If the database failed, or a rejection has left the unit of work unusable.
    pub(super) async fn flush<U: UnitOfWork>(
        &mut self,
        unit: &mut U,
        owner: &Owner,
    ) -> Result<(), DatabaseError> {
        if !self.writes.is_empty() && !self.broken {
            let mut writes = std::mem::take(&mut self.writes);
            for (write, steps) in writes.iter_mut().zip(&mut self.steps) {
                if !steps.joined.is_empty() {
                    write.fields = std::mem::take(&mut steps.joined).into_iter().collect();
                }
            }
            match unit.write(owner, &writes).await {
                Ok(rejections) => {
                    self.broken = !rejections.is_empty() && !unit.survives_rejection();
                    let first = self.written.len();
                    self.written.extend(self.steps.drain(..).map(|steps| (steps, None)));
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

    /// Whether the unit of work may be unusable, because the database rejected a write.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Records that the unit of work is still usable.
    pub(super) fn mend(&mut self) {
        self.broken = false;
    }

    /// The rejection of a write, if it is unknown which one.
    pub(super) fn take_unnamed(&mut self) -> Option<DatabaseError> {
        self.unnamed.take()
    }

    /// The results of the writes executed since the last call.
    pub(super) fn take_written(&mut self) -> Vec<(Steps<'a>, Option<DatabaseError>)> {
        std::mem::take(&mut self.written)
    }
}

/// The reads of a rule's view, which first execute the waiting writes.
pub(super) struct Looking<'l, 'a, U> {
    pub(super) unit: &'l mut U,
    pub(super) owner: &'l Owner,
    pub(super) pending: &'l mut Pending<'a>,
}

impl<U: UnitOfWork> Look for Looking<'_, '_, U> {
    fn read<'l>(&'l mut self, model: &'l str, filters: &'l [ReadFilter]) -> Looked<'l> {
        Box::pin(async move {
            self.pending.flush(self.unit, self.owner).await?;
            self.unit.read(self.owner, model, filters).await
        })
    }
}
