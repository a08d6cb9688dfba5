//! Starting from clock 0 with the pending changes: the protocol's "Away for too long".

use std::collections::BTreeMap;

use super::{
    change::is_delete,
    decode,
    sendable::{Unsendable, set_aside},
};
use crate::client::{Changes, DeviceError, LocalUnit, Located, Pending, State};

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
    let mut state = unit.state().await?;
    let mut pending = by_object(unit.pending(usize::MAX).await?);
    // The server knows a delete that it has accepted, and everything that happened after it.
    let waits = |pending: &Pending| is_delete(pending) && !pending.sent;
    let deleted = hold_back_deletes(unit, &mut pending, waits).await?;
    state.deleted_before_resync.extend(gone(unit, deleted).await?);

    for Located { model, id, mut object } in unit.objects(None).await? {
        let before = object.current.take();
        object.acknowledged = None;
        let object_of = (model, id);
        let changes = pending.get(&object_of).into_iter().flatten();
        changes.clone().filter_map(decode).for_each(|change| change.apply(&mut object.current));
        state.has_orphans |= object.current.is_none() && changes.count() > 0;
        unit.set_object(&object_of.0, &object_of.1, &object).await?;
        seen.push(object_of, before.as_ref(), object.current);
    }
    restart(&mut state);
    unit.set_state(&state).await?;
    Ok(seen)
}

/// Resets the state to that of a new device with pending changes.
pub(super) fn restart(state: &mut State) {
    state.clock = 0;
    state.head.clear();
    state.more = None;
    state.held.clear();
    state.attempt += 1;
    (state.is_asking, state.is_anew, state.doubts) = (false, true, 0);
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

/// The objects among these that the person does not see.
pub(super) async fn gone<U: LocalUnit>(
    unit: &mut U,
    objects: Vec<(String, String)>,
) -> Result<Vec<(String, String)>, DeviceError> {
    let mut gone = Vec::new();
    for (model, id) in objects {
        if unit.object(&model, &id).await?.current.is_none() {
            gone.push((model, id));
        }
    }
    Ok(gone)
}
