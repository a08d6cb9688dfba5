//! Recording, withdrawing and dismissing changes.

use serde_json::Value;

use super::{
    decode, held,
    sendable::{self, size_of},
};
use crate::{
    change::Change,
    client::{Changes, DeviceError, LocalUnit, Pending, StoreError, folding, settle::Decoded},
    diff::Operation,
    engine::diff_of,
    record::Record,
};

/// A nesting depth that no server accepts. Anything less deep is checked as text.
const DEEP: usize = 200;

/// Records changes that are made now, with a limit on the size of each. `folds` says whether the values that
/// they overwrite are [removed](folding) from pending ones.
pub(super) async fn record<U: LocalUnit>(
    unit: &mut U,
    changes: Vec<Change>,
    now: i64,
    most: usize,
    folds: bool,
) -> Result<Changes, DeviceError> {
    let mut seen = Changes::default();
    let mut state = unit.state().await?;
    for change in changes {
        let (model, id) = (change.model().to_owned(), change.id().to_owned());
        let mut object = unit.object(&model, &id).await?;
        let is_create = matches!(change, Change::Create { .. });
        match (is_create, object.current.is_some()) {
            (true, true) => return Err(DeviceError::AlreadyThere { model, id }),
            (false, false) => return Err(DeviceError::NotThere { model, id }),
            _ => {}
        }
        if matches!(&change, Change::Update { changes, .. } if changes.fields().is_empty()) {
            continue;
        }
        if is_deep(&change) {
            return Err(DeviceError::InvalidChange("a value is nested too deeply".to_owned()));
        }

        let mut diff = diff_of(change, "", now);
        diff.logical_clock = state.clock;
        if state.is_anew {
            diff.utc_timestamp = now.max(state.latest.saturating_add(1));
        }
        sendable::check(&diff).map_err(DeviceError::InvalidChange)?;
        let bytes = size_of(&diff);
        if bytes > most {
            return Err(DeviceError::ChangeTooLarge { bytes, most });
        }
        if folds && diff.operation == Operation::Update {
            folding::fold(unit, &mut diff).await?;
        }
        if is_create && state.has_orphans {
            forget_orphans(unit, &model, &id).await?;
        }
        if state.is_anew {
            state.latest = diff.utc_timestamp;
        }
        let pending = Pending { seq: state.next_seq, sent: false, diff };
        state.next_seq += 1;
        unit.set_pending(&pending).await?;

        let before = object.current.clone();
        if let Some(change) = decode(&pending) {
            change.apply(&mut object.current);
        }
        unit.set_object(&model, &id, &object).await?;
        seen.push((model, id), before.as_ref(), object.current);
    }
    unit.set_state(&state).await?;
    Ok(seen)
}

/// Removes the pending updates of an object that has not come back: they were made to another life than the
/// one that begins now.
async fn forget_orphans<U: LocalUnit>(
    unit: &mut U,
    model: &str,
    id: &str,
) -> Result<(), StoreError> {
    let mut pending = unit.pending(usize::MAX).await?;
    pending.retain(|pending| {
        decode(pending).is_some_and(|change| change.object() == (model.to_owned(), id.to_owned()))
    });
    if pending.iter().all(|pending| pending.diff.operation == Operation::Update) {
        for orphan in pending {
            unit.forget(orphan.seq).await?;
        }
    }
    Ok(())
}

/// Whether writing it as text could overflow the stack.
fn is_deep(change: &Change) -> bool {
    fn within(value: &Value, levels: usize) -> bool {
        let Some(levels) = levels.checked_sub(1) else { return false };
        match value {
            Value::Array(values) => values.iter().all(|value| within(value, levels)),
            Value::Object(fields) => fields.values().all(|value| within(value, levels)),
            _ => true,
        }
    }
    let record = match change {
        Change::Create { record, .. } => record,
        Change::Update { changes, .. } => changes,
        Change::Delete { .. } => return false,
    };
    !record.fields().values().all(|value| within(value, DEEP))
}

/// Takes back a pending diff and all later ones of its object, and abandons a request that is under way.
pub(super) async fn withdraw<U: LocalUnit>(
    unit: &mut U,
    diff_id: &str,
) -> Result<(Vec<Pending>, Changes), DeviceError> {
    let pending = unit.pending(usize::MAX).await?;
    let first = pending.iter().find(|pending| pending.diff.id == diff_id);
    let first = first.ok_or_else(|| DeviceError::NoSuchDiff(diff_id.to_owned()))?;
    let mut state = unit.state().await?;
    state.attempt += 1;
    let mut seen = Changes::default();
    let Some((model, id)) = decode(first).map(|change| change.object()) else {
        unit.set_state(&state).await?;
        unit.forget(first.seq).await?;
        return Ok((vec![first.clone()], seen));
    };
    let mut object = unit.object(&model, &id).await?;
    let before = object.current.take();
    object.current.clone_from(&object.acknowledged);

    let (mut withdrawn, mut has_left) = (Vec::new(), false);
    for pending in &pending {
        let of_object = |change: &Decoded| change.object() == (model.clone(), id.clone());
        let Some(change) = decode(pending).filter(of_object) else { continue };
        if pending.seq < first.seq {
            has_left = true;
            change.apply(&mut object.current);
        } else {
            unit.forget(pending.seq).await?;
            withdrawn.push(pending.clone());
        }
    }
    unit.set_object(&model, &id, &object).await?;
    state.has_orphans |= has_left && object.current.is_none();
    held::forget_idle(unit, &mut state).await?;
    unit.set_state(&state).await?;
    seen.push((model, id), before.as_ref(), object.current);
    Ok((withdrawn, seen))
}

/// Forgets a refused diff.
pub(super) async fn dismiss<U: LocalUnit>(unit: &mut U, diff_id: &str) -> Result<(), DeviceError> {
    let refused = unit.refused().await?;
    if !refused.iter().any(|refused| refused.diff.id == diff_id) {
        return Err(DeviceError::NoSuchDiff(diff_id.to_owned()));
    }
    Ok(unit.dismiss(diff_id).await?)
}

/// Forgets an overridden diff, and returns the change that writes its values again, except fields that
/// somebody has written since the report.
pub(super) async fn dismiss_overridden<U: LocalUnit>(
    unit: &mut U,
    diff_id: &str,
) -> Result<Change, DeviceError> {
    let all = unit.overridden().await?;
    let lost = all.into_iter().find(|lost| lost.diff.id == diff_id);
    let lost = lost.ok_or_else(|| DeviceError::NoSuchDiff(diff_id.to_owned()))?;
    unit.dismiss_overridden(diff_id).await?;
    let sent = Decoded::read(lost.diff.clone()).map_err(StoreError::new)?;
    let (model, id) = sent.object();
    let current = unit.object(&model, &id).await?.current;
    let mut mine = Record::new(id);
    for (field, values) in lost.fields {
        let value = current.as_ref().and_then(|record| record.get(&field));
        if value.unwrap_or(&Value::Null) == values.stands.as_ref().unwrap_or(&Value::Null) {
            mine.insert(&field, values.sent);
        }
    }
    Ok(Change::update(model, mine))
}

/// Whether it deletes its object.
pub(super) fn is_delete(pending: &Pending) -> bool {
    pending.diff.operation == Operation::Delete
}
