//! Starting again with a server that was restored: the protocol's "A clock that is ahead".

use super::{
    anew::{by_object, gone, hold_back_deletes, restart},
    change::is_delete,
};
use crate::{
    change::Change,
    client::{DeviceError, LocalUnit, Located, Pending},
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
        let record = object.acknowledged.take();
        unit.set_object(&model, &id, &object).await?;
        let object_of = (model.clone(), id);
        if let Some(record) = record
            && !deleted.contains(&object_of)
        {
            // The server may know these diffs already, and known diffs come before new ones. With their old
            // ids, the older create would take their fields.
            for change in of_object.get_mut(&object_of).into_iter().flatten() {
                change.diff.id = mint();
                unit.set_pending(change).await?;
            }
            creates.push(diff_of(Change::create(model, record), "", object.changed_at.max(0)));
        }
    }
    // Diffs of an unanswered request are always sent, so the diffs before them must be sent, too.
    let sent = of_object.values().flatten().any(|change| change.sent);
    for (seq, diff) in (i64::MIN..first_seq).rev().zip(creates.into_iter().rev()) {
        unit.set_pending(&Pending { seq, sent, diff }).await?;
    }

    state.deleted_before_resync.extend(gone(unit, deleted).await?);
    state.marks.clear();
    restart(&mut state);
    Ok(unit.set_state(&state).await?)
}
