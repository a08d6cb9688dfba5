//! Starting again with a server that was restored: the protocol's "A clock that is ahead".

use super::{
    anew::{by_object, grow, hold_back_deletes, restart, wait_for},
    change::is_delete,
    decode,
};
use crate::{
    change::Change,
    client::{
        DeviceError, LocalUnit, Located, Pending, StoreError,
        settle::{Decoded, Left, settle},
    },
    diff::{Diff, Operation},
    engine::{diff_of, mint},
};

pub(super) async fn resync<U: LocalUnit>(unit: &mut U) -> Result<(), DeviceError> {
    let mut state = unit.state().await?;
    let pending = unit.pending(usize::MAX).await?;
    let first_seq = pending.first().map_or(state.next_seq, |first| first.seq);
    let mut of_object = by_object(pending);
    // The deletes are repeated after the answer.
    let deleted = hold_back_deletes(unit, &mut of_object, is_delete).await?;

    // First, each record that the server had is created again, with its old time.
    let mut creates = Vec::new();
    for Located { model, id, mut object } in unit.objects(None).await? {
        object.beside = None;
        let record = object.acknowledged.take();
        let object_of = (model, id);
        if let Some(record) = record
            && !deleted.contains(&object_of)
        {
            let create = Change::create(&object_of.0, record.clone());
            let create = diff_of(create, "", object.changed_at.max(0));
            if let Some(changes) = of_object.get_mut(&object_of) {
                if meet(unit, &create, changes).await? {
                    object.current = Some(record);
                    let left = changes.iter().filter_map(decode);
                    left.for_each(|change| change.apply(&mut object.current));
                }
                // The server may know these diffs already, and known diffs come before new ones. With their
                // old ids, the older create would take their fields.
                for change in changes.iter_mut() {
                    (change.diff.id, change.sent) = (mint(), false);
                    unit.set_pending(change).await?;
                }
                grow(unit, changes, create.utc_timestamp).await?;
            }
            creates.push(create);
        }
        unit.set_object(&object_of.0, &object_of.1, &object).await?;
    }
    for changes in of_object.values_mut() {
        grow(unit, changes, i64::MIN).await?;
    }
    // Diffs of an unanswered request are always sent, so the diffs before them must be sent, too.
    let changes: Vec<Pending> = of_object.into_values().flatten().collect();
    let last_sent = changes.iter().filter(|change| change.sent).map(|change| change.seq).max();
    let before = |change: &Pending| !change.sent && Some(change.seq) < last_sent;
    for change in changes.into_iter().filter(before) {
        unit.set_pending(&Pending { sent: true, ..change }).await?;
    }
    let sent = last_sent.is_some();
    for (seq, diff) in (i64::MIN..first_seq).rev().zip(creates.into_iter().rev()) {
        unit.set_pending(&Pending { seq, sent, diff }).await?;
    }

    wait_for(unit, &mut state, deleted).await?;
    state.marks.clear();
    Ok(restart(unit, state).await?)
}

/// A pending create that has waited for the last page meets what the pages have brought, because one object
/// needs one create. Returns whether there was such a create.
async fn meet<U: LocalUnit>(
    unit: &mut U,
    create: &Diff,
    changes: &mut Vec<Pending>,
) -> Result<bool, DeviceError> {
    if changes.first().is_none_or(|first| first.diff.operation != Operation::Create) {
        return Ok(false);
    }
    let left = changes.iter().filter_map(Left::of);
    let create = Decoded::read(create.clone()).map_err(StoreError::new)?;
    let left = settle(&[create], left.collect());
    for pending in std::mem::take(changes) {
        match left.iter().find(|left| left.seq == pending.seq) {
            Some(left) => changes.push(Pending { diff: left.change.diff.clone(), ..pending }),
            None => unit.forget(pending.seq).await?,
        }
    }
    Ok(true)
}
