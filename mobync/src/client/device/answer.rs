//! Applying an answer.

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::{change, decode};
use crate::{
    change::Change,
    client::{
        Changes, DeviceError, LocalUnit, Pending, RefusedDiff, Request,
        settle::{Acknowledged, Decoded, Left},
    },
    diff::{Diff, Operation},
    protocol::SyncResponse,
};

/// A parsed answer, with its request.
pub(super) struct Answer {
    clock: i64,
    objects: BTreeMap<(String, String), Touched>,
    refused: Vec<RefusedDiff>,
    /// The ids of the request's diffs.
    sent: HashSet<String>,
}

/// The parts of request and answer that concern one object.
#[derive(Default)]
struct Touched {
    sent: Vec<Decoded>,
    answer: Vec<Decoded>,
    left: VecDeque<Left>,
}

impl Answer {
    /// # Errors
    /// [`DeviceError::InvalidAnswer`], before anything was changed.
    pub(super) fn read(request: &Request, answer: &SyncResponse) -> Result<Self, DeviceError> {
        let read = |diff: &Diff| {
            Decoded::read(diff.clone()).map_err(|cause| {
                DeviceError::InvalidAnswer(format!("json_data of diff {}: {cause}", diff.id))
            })
        };
        let mut objects: BTreeMap<_, Touched> = BTreeMap::new();
        for diff in request.changes() {
            let change = read(diff)?;
            objects.entry(change.object()).or_default().sent.push(change);
        }
        for diff in &answer.diffs {
            let change = read(diff)?;
            objects.entry(change.object()).or_default().answer.push(change);
        }
        // In the order sent, whatever the order in the answer is.
        let refused = request.changes().filter_map(|diff| {
            let refused = answer.refused.iter().find(|refused| refused.diff_id == diff.id)?;
            let (code, message) = (refused.code.clone(), refused.message.clone());
            Some(RefusedDiff { diff: diff.clone(), code, message })
        });
        Ok(Self {
            clock: answer.logical_clock,
            objects,
            refused: refused.collect(),
            sent: request.changes().map(|diff| diff.id.clone()).collect(),
        })
    }

    /// Applies it, stores the new clock, and removes the diffs that were sent.
    pub(super) async fn apply<U: LocalUnit>(
        mut self,
        unit: &mut U,
        now: i64,
    ) -> Result<Changes, DeviceError> {
        for pending in unit.pending(usize::MAX).await? {
            if self.sent.contains(&pending.diff.id) {
                unit.forget(pending.seq).await?;
            } else if let Some(change) = decode(&pending)
                && let Some(touched) = self.objects.get_mut(&change.object())
            {
                touched.left.push_back(Left { seq: pending.seq, change, amended: false });
            }
        }

        let mut state = unit.state().await?;
        let deleted = std::mem::take(&mut state.deleted_before_resync);
        state.clock = self.clock;
        state.attempt += 1;
        unit.set_state(&state).await?;

        let brought_back = |object: &(String, String)| {
            self.objects.get(object).is_some_and(|touched| {
                let is_create = |change: &Decoded| change.diff.operation == Operation::Create;
                touched.left.is_empty() && touched.answer.last().is_some_and(is_create)
            })
        };
        let again: Vec<_> = deleted.into_iter().filter(brought_back).collect();

        let mut changes = Changes { refused: self.refused, ..Changes::default() };
        for refused in &changes.refused {
            unit.set_refused(refused).await?;
        }
        for (object, touched) in self.objects {
            touched.apply(object, unit, &mut changes).await?;
        }
        let again = again.into_iter().map(|(model, id)| Change::delete(model, id)).collect();
        changes.extend(change::record(unit, again, now, usize::MAX, false).await?);
        Ok(changes)
    }
}

impl Touched {
    async fn apply<U: LocalUnit>(
        self,
        (model, id): (String, String),
        unit: &mut U,
        changes: &mut Changes,
    ) -> Result<(), DeviceError> {
        let mut object = unit.object(&model, &id).await?;
        let mut acknowledged =
            Acknowledged { record: object.acknowledged.take(), changed_at: object.changed_at };
        for change in &self.sent {
            acknowledged.apply(change);
        }
        let before: Vec<i64> = self.left.iter().map(|left| left.seq).collect();
        let mut left = self.left;
        for diff in &self.answer {
            left = acknowledged.settle(diff, left);
        }

        let seen = object.current.take();
        object.current.clone_from(&acknowledged.record);
        object.acknowledged = acknowledged.record;
        object.changed_at = acknowledged.changed_at;
        for left in &left {
            left.change.apply(&mut object.current);
            if left.amended {
                let diff = left.change.diff.clone();
                unit.set_pending(&Pending { seq: left.seq, sent: false, diff }).await?;
            }
        }
        let kept: HashSet<i64> = left.iter().map(|left| left.seq).collect();
        for seq in before.into_iter().filter(|seq| !kept.contains(seq)) {
            unit.forget(seq).await?;
        }
        unit.set_object(&model, &id, &object).await?;
        changes.push((model, id), seen.as_ref(), object.current);
        Ok(())
    }
}
