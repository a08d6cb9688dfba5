//! Draining: brings changes of an owner's rows outside of syncs into the log.

use std::collections::BTreeMap;

use super::{
    Settings,
    look::{self, Object, Tables},
    mint,
    pending::MOST_AT_ONCE,
};
use crate::{
    DatabaseError, Mark, Owner, Snapshot, UnitOfWork,
    merge::{Now, object_of},
    reconcile::{MOST_IN_A_TICK, entries},
};

/// The greatest number of marks drained in one unit of work.
const MOST_AT_A_TIME: usize = 10 * MOST_IN_A_TICK;

/// The result of a drain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drained {
    /// The clock afterwards, in ticks.
    pub(super) clock: i64,
    /// Whether there may be more marks than one unit of work should drain.
    pub(super) has_more: bool,
    /// Whether marks were put back, because their rows cannot be read.
    pub(super) has_unreadable: bool,
}

/// The times of marked objects, by model and id.
type Marked = BTreeMap<String, BTreeMap<String, Option<i64>>>;

impl Settings {
    pub(super) fn time_now(&self) -> Now {
        Now { utc: self.now(), drift: self.allowed_drift }
    }
}

/// Reconciles the marked objects, with the tick `clock`. *Once*: one commit removes the marks and writes
/// the log, and what is logged is the row as it is after the marks were removed.
pub(super) async fn drain<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    settings: &Settings,
    clock: i64,
) -> Result<Drained, DatabaseError> {
    if !unit.captures() {
        return Ok(Drained { clock, has_more: false, has_unreadable: false });
    }
    let (marked, has_more) = take_marks(unit, owner).await?;
    let log = &*settings.diffs_model;
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    for (model, objects) in &marked {
        if model == log || unit.check_schema(model, &[]).is_err() {
            tracing::warn!(model, marks = objects.len(), "marks of an unknown model are dropped");
            continue;
        }
        let objects: Vec<_> = objects.iter().map(|(id, at)| (&**id, *at)).collect();
        for part in objects.chunks(MOST_AT_ONCE) {
            let ids: Vec<&str> = part.iter().map(|(id, _)| *id).collect();
            let Some(rows) = look::rows_of(unit, owner, model, &ids).await? else {
                unreadable.extend(part.iter().map(|(id, at)| Mark::new(model, *id, *at)));
                continue;
            };
            let mut said = said_of(unit, owner, log, model, &ids).await?;
            let mut compared = Vec::new();
            for (id, at) in part {
                let said = said.alive(model, id)?.map(look::Known::from);
                compared.push(Object { id: (*id).into(), at: *at, said, exact: Vec::new() });
            }
            let mut skipped = Vec::new();
            let differs =
                look::differences(unit, owner, model, &compared, &rows, &mut skipped).await?;
            found.extend(differs);
            if !skipped.is_empty() {
                tracing::warn!(
                    model,
                    rows = skipped.len(),
                    "rows that no diff can bring are left out"
                );
            }
        }
    }
    if !unreadable.is_empty() {
        unit.put_back(owner, &unreadable).await?;
    }
    let new = entries(found, &Tables(&*unit), owner, clock, settings.time_now(), mint);
    let clock = new.last().map_or(clock, |last| last.logical_clock.saturating_add(1));
    look::append(unit, owner, log, new).await?;
    Ok(Drained { clock, has_more, has_unreadable: !unreadable.is_empty() })
}

/// The marks, and whether there may be more.
async fn take_marks<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
) -> Result<(Marked, bool), DatabaseError> {
    let mut marked = Marked::new();
    let mut count = 0;
    while count < MOST_AT_A_TIME {
        let marks = unit.take_marks(owner, MOST_IN_A_TICK).await?;
        let are_last = marks.len() < MOST_IN_A_TICK;
        count += marks.len();
        for Mark { model, id, at } in marks {
            let newest = marked.entry(model).or_default().entry(id).or_default();
            *newest = at.max(*newest);
        }
        if are_last {
            return Ok((marked, false));
        }
    }
    Ok((marked, true))
}

/// What the log says about objects of a model.
pub(super) async fn said_of<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    log: &str,
    model: &str,
    ids: &[&str],
) -> Result<Snapshot, DatabaseError> {
    let objects: Vec<(&str, &str)> = ids.iter().map(|id| (model, *id)).collect();
    let entries = unit.entries_of(owner, log, &objects).await?;
    debug_assert!(
        entries.iter().all(|entry| object_of(entry).is_ok_and(|id| ids.contains(&&*id))),
        "only entries of the objects asked for"
    );
    let mut said = Snapshot::default();
    said.follow_all(entries.iter().map(Into::into))?;
    Ok(said)
}
