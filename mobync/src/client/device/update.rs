//! Updating the data when the app has a newer version: the protocol's "When the app is updated".

use serde_json::Value;

use super::{beside, held};
use crate::{
    client::{DeviceError, LocalUnit, Located, Object, Pending, State},
    diff::{Diff, Operation},
    schema::Schema,
};

/// How many objects are read at once.
const PART: usize = 500;

/// Gives the data the version of the schema, unless it has it.
pub(super) async fn update<U: LocalUnit>(unit: &mut U, schema: &Schema) -> Result<(), DeviceError> {
    let mut state = unit.state().await?;
    let before = state.version();
    if before >= schema.version() {
        return Ok(());
    }
    if schema.has_renamed_since(before) {
        update_objects(unit, schema).await?;
        update_pending(unit, schema, &mut state).await?;
        update_refused(unit, schema).await?;
        update_overridden(unit, schema).await?;
        update_state(&mut state, schema);
        held::forget_idle(unit, &mut state).await?;
    }
    state.schema = Some(schema.version());
    // The answer to an earlier request may have older names.
    state.attempt += 1;
    beside::begin(unit, &mut state).await?;
    Ok(unit.set_state(&state).await?)
}

/// The next objects behind this one, which becomes the last of them.
pub(super) async fn next_part<U: LocalUnit>(
    unit: &mut U,
    last: &mut Option<(String, String)>,
) -> Result<Vec<Located>, DeviceError> {
    let behind = last.as_ref().map(|(model, id)| (&**model, &**id));
    let part = unit.objects_behind(behind, PART).await?;
    *last = part.last().map(|end| (end.model.clone(), end.id.clone()));
    Ok(part)
}

/// An object that has been moved may be read once more, under its newest name. Nothing changes then.
async fn update_objects<U: LocalUnit>(unit: &mut U, schema: &Schema) -> Result<(), DeviceError> {
    let mut last = None;
    loop {
        for Located { model, id, object } in next_part(unit, &mut last).await? {
            let now = schema.model_now(&model);
            let is_removed = schema.is_removed(&model);
            let updated = if is_removed { Object::default() } else { read(schema, now, &object) };
            if now != model || is_removed {
                unit.set_object(&model, &id, &Object::default()).await?;
            }
            if !is_removed && (now != model || updated != object) {
                unit.set_object(now, &id, &updated).await?;
            }
        }
        if last.is_none() {
            return Ok(());
        }
    }
}

fn read(schema: &Schema, model: &str, object: &Object) -> Object {
    let read = |record: &Option<_>| record.clone().map(|it| schema.record_now(model, it));
    let (current, acknowledged) = (read(&object.current), read(&object.acknowledged));
    Object { current, acknowledged, beside: None, changed_at: object.changed_at }
}

/// A diff that was in a request without an answer stays in any case, and is sent again as it was: the server
/// may know it, and may be older than the app.
async fn update_pending<U: LocalUnit>(
    unit: &mut U,
    schema: &Schema,
    state: &mut State,
) -> Result<(), DeviceError> {
    for pending in unit.pending(usize::MAX).await? {
        let mut diff = pending.diff.clone();
        schema.read(&mut diff);
        if diff == pending.diff {
            continue;
        }
        if pending.sent {
            state.as_sent.entry(diff.id.clone()).or_insert(pending.diff);
        }
        let updated = Pending { diff, ..pending };
        if updated.sent || !says_nothing(&updated.diff) {
            unit.set_pending(&updated).await?;
        } else {
            unit.forget(updated.seq).await?;
        }
    }
    Ok(())
}

/// Whether it is an update without fields.
pub(super) fn says_nothing(diff: &Diff) -> bool {
    diff.operation == Operation::Update
        && diff.record().is_ok_and(|changes| changes.fields().is_empty())
}

/// Those of a removed model stay: the person has not seen yet that they were refused.
async fn update_refused<U: LocalUnit>(unit: &mut U, schema: &Schema) -> Result<(), DeviceError> {
    for mut refused in unit.refused().await? {
        let diff = &mut refused.diff;
        if let Ok(record) = diff.record() {
            diff.json_data = Value::from(schema.record_now(&diff.model, record)).to_string();
        }
        diff.model = schema.model_now(&diff.model).to_owned();
        // All of them are stored again, so that they keep their order.
        unit.set_refused(&refused).await?;
    }
    Ok(())
}

async fn update_overridden<U: LocalUnit>(unit: &mut U, schema: &Schema) -> Result<(), DeviceError> {
    for mut lost in unit.overridden().await? {
        let is_removed = schema.is_removed(&lost.diff.model);
        let fields = std::mem::take(&mut lost.fields).into_iter();
        let fields = fields.filter_map(|(name, values)| {
            Some((schema.field_now(&lost.diff.model, &name)?.to_owned(), values))
        });
        lost.fields = fields.collect();
        if is_removed || lost.fields.is_empty() {
            // There is nothing that could be put back.
            unit.dismiss_overridden(&lost.diff.id).await?;
        } else {
            schema.read(&mut lost.diff);
            unit.set_overridden(&lost).await?;
        }
    }
    Ok(())
}

fn update_state(state: &mut State, schema: &Schema) {
    let now = |model: &mut String| *model = schema.model_now(model).to_owned();
    state.held.retain(|diff: &Diff| !schema.is_removed(&diff.model));
    state.held.iter_mut().for_each(|diff| schema.read(diff));
    state.deleted_before_resync.retain(|(model, _)| !schema.is_removed(model));
    state.deleted_before_resync.iter_mut().for_each(|(model, _)| now(model));
    state.marks.retain(|mark| !schema.is_removed(&mark.model));
    state.marks.iter_mut().for_each(|mark| now(&mut mark.model));
}
