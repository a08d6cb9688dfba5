//! Applying an answer.

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::{anew::wait_for, change};
use crate::{
    change::Change,
    client::{
        Changes, DeviceError, LocalUnit, OverriddenDiff, Pending, RefusedDiff, Request, State,
        StoreError,
        settle::{Acknowledged, Decoded, Left, settle},
    },
    diff::{Diff, Operation},
    protocol::SyncResponse,
};

/// A parsed answer, with its request.
pub(super) struct Answer {
    clock: i64,
    head: Option<String>,
    more: Option<i64>,
    objects: BTreeMap<(String, String), Touched>,
    refused: Vec<RefusedDiff>,
    overridden: Vec<OverriddenDiff>,
    /// The ids of the request's diffs.
    sent: HashSet<String>,
    /// Diffs with a smaller `seq` were pending when the request was made.
    next_seq: i64,
}

/// The parts of request and answer that concern one object.
#[derive(Default)]
pub(super) struct Touched {
    sent: Vec<Decoded>,
    /// From the earlier pages.
    held: Vec<Decoded>,
    answer: Vec<Decoded>,
    left: VecDeque<Left>,
    /// Whether the remaining diffs meet the answer only on the last page.
    waits: bool,
    /// Whether the answer replaces what the device has.
    is_anew: bool,
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
        // In the order sent, regardless of the order in the answer.
        let refused = request.changes().filter_map(|diff| {
            let refused = answer.refused.iter().find(|refused| refused.diff_id == diff.id)?;
            let (code, message) = (refused.code.clone(), refused.message.clone());
            Some(RefusedDiff { diff: diff.clone(), code, message, record: None })
        });
        let overridden = request.changes().filter_map(|diff| {
            let lost = answer.overridden.iter().find(|lost| lost.diff_id == diff.id)?;
            Some(OverriddenDiff { diff: diff.clone(), fields: lost.fields.clone() })
        });
        Ok(Self {
            clock: answer.logical_clock,
            head: answer.head.clone(),
            more: answer.more,
            objects,
            refused: refused.collect(),
            overridden: overridden.collect(),
            sent: request.changes().map(|diff| diff.id.clone()).collect(),
            next_seq: request.next_seq,
        })
    }

    /// Applies it, stores the new clock, and removes the diffs that were sent.
    pub(super) async fn apply<U: LocalUnit>(
        mut self,
        unit: &mut U,
        now: i64,
    ) -> Result<Changes, DeviceError> {
        let mut state = unit.state().await?;
        let pending = unit.pending(usize::MAX).await?;
        let (sent, left): (Vec<_>, Vec<_>) =
            pending.into_iter().partition(|pending| self.sent.contains(&pending.diff.id));
        for pending in sent {
            unit.forget(pending.seq).await?;
        }
        state.as_sent.retain(|id, _| left.iter().any(|pending| pending.diff.id == *id));
        state.attempt += 1;
        if state.is_anew && left.iter().any(|pending| pending.seq < self.next_seq) {
            return self.acknowledge(unit, state).await;
        }
        if state.is_anew {
            self.replace_all(unit).await?;
        }
        for diff in std::mem::take(&mut state.held) {
            let change = Decoded::read(diff).map_err(StoreError::new)?;
            self.objects.entry(change.object()).or_default().held.push(change);
        }
        state.has_orphans &= !left.is_empty();
        for pending in left {
            if let Some(left) = Left::of(&pending)
                && let Some(touched) = self.objects.get_mut(&left.change.object())
            {
                touched.left.push_back(left);
            }
        }

        if self.more.is_some() {
            for touched in self.objects.values_mut().filter(|touched| touched.meets()) {
                touched.waits = true;
                let brought = touched.held.iter().chain(&touched.answer);
                state.held.extend(brought.map(|change| change.diff.clone()));
            }
        }
        match self.head.take() {
            Some(head) => state.head = head,
            // A server that does not know heads: the head of an earlier answer does not belong to this clock.
            None if self.clock > state.clock => state.head.clear(),
            None => {}
        }
        (state.clock, state.more, state.is_anew, state.heard) = (self.clock, self.more, false, 0);
        let deleted = std::mem::take(&mut state.deleted_before_resync);
        let (again, waits): (Vec<_>, _) =
            deleted.into_iter().partition(|object| self.brings_back(object));
        if self.more.is_none() {
            state.caught_up_at = Some(now);
        } else {
            // A later page may bring them.
            wait_for(unit, &mut state, waits).await?;
        }

        let mut changes = report(unit, self.refused, self.overridden).await?;
        for (object, touched) in self.objects {
            state.has_orphans |= touched.apply(object, unit, now, &mut changes).await?;
        }
        unit.set_state(&state).await?;
        let again = again.into_iter().map(|(model, id)| Change::delete(model, id)).collect();
        changes.extend(change::record(unit, again, now, usize::MAX, false).await?);
        Ok(changes)
    }

    /// The device starts again with several requests, and this is not the answer to the last one: its diffs
    /// are accepted, and nothing is received.
    async fn acknowledge<U: LocalUnit>(
        self,
        unit: &mut U,
        mut state: State,
    ) -> Result<Changes, DeviceError> {
        state.heard = state.heard.max(self.clock);
        unit.set_state(&state).await?;
        for ((model, id), touched) in self.objects {
            let mut object = unit.object(&model, &id).await?;
            let (record, changed_at) = (object.acknowledged.take(), object.changed_at);
            let mut acknowledged = Acknowledged { record, changed_at };
            touched.sent.iter().for_each(|change| acknowledged.accept(change));
            (object.acknowledged, object.changed_at) =
                (acknowledged.record, acknowledged.changed_at);
            unit.set_object(&model, &id, &object).await?;
        }
        report(unit, self.refused, self.overridden).await
    }

    /// The device has started again, so that it has what this answer brings, and nothing else.
    async fn replace_all<U: LocalUnit>(&mut self, unit: &mut U) -> Result<(), StoreError> {
        for located in unit.objects(None).await? {
            self.objects.entry((located.model, located.id)).or_default();
        }
        self.objects.values_mut().for_each(|touched| touched.is_anew = true);
        Ok(())
    }

    /// Whether the object exists after this answer, and the person has not created it again.
    fn brings_back(&self, object: &(String, String)) -> bool {
        let is_create = |change: &Decoded| change.diff.operation == Operation::Create;
        self.objects.get(object).is_some_and(|touched| {
            touched.left.is_empty() && touched.answer.last().is_some_and(is_create)
        })
    }
}

/// How many overridden diffs are kept for the person. Beyond that, the oldest ones are dropped.
const MOST_OVERRIDDEN: usize = 1000;

/// Stores what the person should see.
async fn report<U: LocalUnit>(
    unit: &mut U,
    refused: Vec<RefusedDiff>,
    overridden: Vec<OverriddenDiff>,
) -> Result<Changes, DeviceError> {
    for refused in &refused {
        unit.set_refused(refused).await?;
    }
    for lost in &overridden {
        unit.set_overridden(lost).await?;
    }
    if !overridden.is_empty() {
        let all = unit.overridden().await?;
        for lost in all.iter().take(all.len().saturating_sub(MOST_OVERRIDDEN)) {
            unit.dismiss_overridden(&lost.diff.id).await?;
        }
    }
    Ok(Changes { refused, overridden, ..Changes::default() })
}

impl Touched {
    /// Whether there are changes on both sides.
    fn meets(&self) -> bool {
        let brings = !self.held.is_empty() || !self.answer.is_empty();
        brings && !self.left.is_empty()
    }

    /// What was brought, and what is left of an object.
    pub(super) fn by(brought: Option<Diff>, left: &[Pending]) -> Result<Self, StoreError> {
        let brought = brought.map(Decoded::read).transpose().map_err(StoreError::new)?;
        let left = left.iter().filter_map(Left::of);
        Ok(Self { answer: brought.into_iter().collect(), left: left.collect(), ..Self::default() })
    }

    /// Returns whether there are pending changes of an object that does not exist.
    pub(super) async fn apply<U: LocalUnit>(
        self,
        (model, id): (String, String),
        unit: &mut U,
        now: i64,
        changes: &mut Changes,
    ) -> Result<bool, DeviceError> {
        let mut object = unit.object(&model, &id).await?;
        let mut acknowledged =
            Acknowledged { record: object.acknowledged.take(), changed_at: object.changed_at };
        if self.is_anew {
            acknowledged = Acknowledged { record: None, changed_at: 0 };
        }
        self.sent.iter().for_each(|change| acknowledged.accept(change));
        self.answer.iter().for_each(|change| acknowledged.receive(change, now));
        object.acknowledged = acknowledged.record;
        object.changed_at = acknowledged.changed_at;
        if self.waits {
            unit.set_object(&model, &id, &object).await?;
            return Ok(false);
        }
        let before: Vec<i64> = self.left.iter().map(|left| left.seq).collect();
        let left = settle(&[self.held, self.answer].concat(), self.left);

        let seen = object.current.take();
        object.current.clone_from(&object.acknowledged);
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
        let is_orphan = self.is_anew && object.current.is_none() && !kept.is_empty();
        changes.push((model, id), seen.as_ref(), object.current);
        Ok(is_orphan)
    }
}
