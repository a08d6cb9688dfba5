//! What pages have brought for objects with pending changes.

use std::collections::BTreeSet;

use crate::{
    client::{LocalUnit, State, StoreError},
    diff::Diff,
};

/// Shows it, and forgets it, for objects that have no pending changes any more. So later changes are made with
/// knowledge of it.
pub(super) async fn forget_idle<U: LocalUnit>(
    unit: &mut U,
    state: &mut State,
) -> Result<(), StoreError> {
    if state.held.is_empty() {
        return Ok(());
    }
    let object = |diff: &Diff| Some((diff.model.clone(), diff.object_id().ok()?));
    let pending = unit.pending(usize::MAX).await?;
    let has_pending: BTreeSet<_> = pending.iter().filter_map(|it| object(&it.diff)).collect();
    let mut idle: BTreeSet<_> = state.held.iter().filter_map(object).collect();
    idle.retain(|object| !has_pending.contains(object));
    state.held.retain(|diff| object(diff).is_some_and(|object| !idle.contains(&object)));
    for (model, id) in idle {
        let mut object = unit.object(&model, &id).await?;
        object.current.clone_from(&object.acknowledged);
        unit.set_object(&model, &id, &object).await?;
    }
    Ok(())
}
