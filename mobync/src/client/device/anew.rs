//! Starting from clock 0 with the pending changes: the protocol's "Away for too long".

use std::collections::{BTreeMap, BTreeSet};

use super::{
    change::is_delete,
    decode,
    sendable::{Unsendable, set_aside},
};
use crate::client::{Changes, DeviceError, LocalUnit, Located, Pending, State, StoreError};

/// Pending diffs by object (model, id), in the order in which they were made.
pub(super) type ByObject = BTreeMap<(String, String), Vec<Pending>>;

pub(super) async fn begin<U: LocalUnit>(
    unit: &mut U,
    forgotten: bool,
) -> Result<Changes, DeviceError> {
    let mut seen = Changes::default();
    if forgotten {
        let aside = perhaps_accepted(unit.pending(usize::MAX).await?);
        seen = set_aside(unit, aside).await?;
    }
    hold_back(unit).await?;
    let mut state = unit.state().await?;
    let mut pending = by_object(unit.pending(usize::MAX).await?);
    for changes in pending.values_mut() {
        grow(unit, changes, i64::MIN).await?;
    }
    for Located { model, id, mut object } in unit.objects(None).await? {
        let before = object.current.take();
        (object.acknowledged, object.beside) = (None, None);
        let object_of = (model, id);
        let changes = pending.get(&object_of).into_iter().flatten();
        changes.clone().filter_map(decode).for_each(|change| change.apply(&mut object.current));
        state.has_orphans |= object.current.is_none() && changes.count() > 0;
        unit.set_object(&object_of.0, &object_of.1, &object).await?;
        seen.push(object_of, before.as_ref(), object.current);
    }
    restart(unit, state).await?;
    Ok(seen)
}

/// Resets the state to that of a new device with pending changes, whose times have [grown](grow).
pub(super) async fn restart<U: LocalUnit>(
    unit: &mut U,
    mut state: State,
) -> Result<(), StoreError> {
    let pending = unit.pending(usize::MAX).await?;
    state.latest = pending.iter().map(|it| it.diff.utc_timestamp).max().unwrap_or_default();
    (state.clock, state.heard) = (0, 0);
    state.head.clear();
    state.more = None;
    state.held.clear();
    state.beside = None;
    state.attempt += 1;
    (state.is_asking, state.is_anew, state.doubts) = (false, true, 0);
    unit.set_state(&state).await
}

/// Gives one object's diffs growing times, later than this one, as the server does within one request.
pub(super) async fn grow<U: LocalUnit>(
    unit: &mut U,
    changes: &mut [Pending],
    mut latest: i64,
) -> Result<(), StoreError> {
    for change in changes {
        let least = latest.saturating_add(1);
        if change.diff.utc_timestamp < least && !change.sent {
            change.diff.utc_timestamp = least;
            unit.set_pending(change).await?;
        }
        latest = change.diff.utc_timestamp.max(least);
    }
    Ok(())
}

/// Holds back the deletes that are pending, before anything is sent at clock 0. A delete that was in a
/// request without an answer stays: if the server has accepted it, it knows what happened since.
pub(super) async fn hold_back<U: LocalUnit>(unit: &mut U) -> Result<(), DeviceError> {
    let waits = |pending: &Pending| is_delete(pending) && !pending.sent;
    let pending = unit.pending(usize::MAX).await?;
    let mut state = unit.state().await?;
    if state.deleted_before_resync.is_empty() && !pending.iter().any(waits) {
        return Ok(());
    }
    let deleted = hold_back_deletes(unit, &mut by_object(pending), waits).await?;
    wait_for(unit, &mut state, deleted).await?;
    Ok(unit.set_state(&state).await?)
}

/// Remembers the objects that the person has deleted, except those that exist again.
pub(super) async fn wait_for<U: LocalUnit>(
    unit: &mut U,
    state: &mut State,
    deleted: Vec<(String, String)>,
) -> Result<(), StoreError> {
    let before = std::mem::take(&mut state.deleted_before_resync);
    let all: BTreeSet<_> = before.into_iter().chain(deleted).collect();
    for (model, id) in all {
        if unit.object(&model, &id).await?.current.is_none() {
            state.deleted_before_resync.push((model, id));
        }
    }
    Ok(())
}

fn perhaps_accepted(pending: Vec<Pending>) -> Vec<Unsendable> {
    let sent = pending.into_iter().filter(|pending| pending.sent);
    let aside = sent.map(|pending| Unsendable {
        diff_id: pending.diff.id,
        code: "too_old".to_owned(),
        message:
            "This change was sent so long ago that the server no longer knows whether it has it."
                .to_owned(),
    });
    aside.collect()
}

pub(super) fn by_object(pending: Vec<Pending>) -> ByObject {
    let mut of_object = ByObject::new();
    for change in pending {
        if let Some(decoded) = decode(&change) {
            of_object.entry(decoded.object()).or_default().push(change);
        }
    }
    of_object
}

/// Removes these deletes and all diffs before them, and returns their objects. To a server, a device at clock
/// 0 holds nothing that it could delete.
pub(super) async fn hold_back_deletes<U: LocalUnit>(
    unit: &mut U,
    pending: &mut ByObject,
    waits: impl Fn(&Pending) -> bool,
) -> Result<Vec<(String, String)>, DeviceError> {
    let mut deleted = Vec::new();
    for (object, changes) in pending {
        if let Some(last) = changes.iter().rposition(&waits) {
            for change in changes.drain(..=last) {
                unit.forget(change.seq).await?;
            }
            deleted.push(object.clone());
        }
    }
    Ok(deleted)
}
