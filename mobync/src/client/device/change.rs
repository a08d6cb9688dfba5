//! Recording, withdrawing and dismissing changes.

use super::decode;
use crate::{
    Change, Error, Operation,
    client::{Changes, DeviceError, LocalUnit, Pending, settle::Decoded},
    engine::diff_of,
    protocol::check_diff,
};

/// Records changes of what is there, made now.
pub(super) async fn record<U: LocalUnit>(
    unit: &mut U,
    changes: Vec<Change>,
    now: i64,
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

        let mut diff = diff_of(change, "", now);
        diff.logical_clock = state.clock;
        check_diff(&diff).map_err(|error| DeviceError::InvalidChange(reason(error)))?;
        let pending = Pending { seq: state.next_seq, sent: false, diff };
        state.next_seq += 1;
        unit.set_pending(&pending).await?;

        let before = object.current.clone();
        decode(&pending)?.apply(&mut object.current);
        unit.set_object(&model, &id, &object).await?;
        seen.push((model, id), before.as_ref(), object.current);
    }
    unit.set_state(&state).await?;
    Ok(seen)
}

fn reason(error: Error) -> String {
    match error {
        Error::InvalidDiff { reason, .. } => reason,
        other => other.to_string(),
    }
}

/// Takes a pending diff and all later ones of its object back, and gives up a request under way.
pub(super) async fn withdraw<U: LocalUnit>(
    unit: &mut U,
    diff_id: &str,
) -> Result<(Vec<Pending>, Changes), DeviceError> {
    let pending = unit.pending(usize::MAX).await?;
    let first = pending.iter().find(|pending| pending.diff.id == diff_id);
    let first = first.ok_or_else(|| DeviceError::NoSuchDiff(diff_id.to_owned()))?;
    let (model, id) = decode(first)?.object();
    let mut object = unit.object(&model, &id).await?;
    let before = object.current.take();
    object.current.clone_from(&object.acknowledged);

    let mut withdrawn = Vec::new();
    for pending in &pending {
        let change: Decoded = decode(pending)?;
        if change.object() != (model.clone(), id.clone()) {
            continue;
        }
        if pending.seq < first.seq {
            change.apply(&mut object.current);
        } else {
            unit.forget(pending.seq).await?;
            withdrawn.push(pending.clone());
        }
    }
    unit.set_object(&model, &id, &object).await?;

    let mut state = unit.state().await?;
    state.attempt += 1;
    unit.set_state(&state).await?;
    let mut seen = Changes::default();
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

/// Whether it deletes its object.
pub(super) fn is_delete(pending: &Pending) -> bool {
    pending.diff.operation == Operation::Delete
}
