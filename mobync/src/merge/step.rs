//! What each new diff does: the table "its new diffs" of the protocol.

use super::{
    Merge, Write,
    arena::{DiffPlace, LifePlace},
    entry::{Entry, Fields},
    object::{Held, Object},
    time::Millis,
};
use crate::diff::Operation;

/// The effect of one new diff, unless it is refused.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    pub(super) diff: DiffPlace,
    /// The timestamp for the merge and the log.
    pub(super) at: Millis,
    pub(super) effect: Effect,
    /// The fields that it writes to the object or to a life apart.
    pub(super) fields: Fields<'a>,
}

/// The effect of a new diff.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It begins a life: the object is created.
    Begin,
    /// Its fields meet those of the life that is alive: the fields that it takes are written.
    Meet(LifePlace),
    /// It ends the life that is alive: the object is deleted.
    End(LifePlace),
    /// It begins a life apart: it is logged as sent, and changes nothing else.
    Part,
    /// It belongs to the life apart that the request is in: it is logged as sent, and changes nothing
    /// else.
    Apart(LifePlace),
    /// It has no effect, because its object does not exist.
    Receipt,
}

impl<'a> Merge<'a> {
    /// If planning this create would begin a life apart, the delete that would end that life. If that delete
    /// will be refused, call [`foresee_refusal`](Self::foresee_refusal), and then this method again.
    pub fn parts_until(&self, diff: DiffPlace) -> Option<DiffPlace> {
        let (entry, object) = self.at(diff);
        let is_create = entry.diff.operation == Operation::Create;
        let meets = is_create && object.apart.is_none() && object.held.is_none();
        let delete = if meets && object.alive.is_some() { object.deletes.front() } else { None };
        delete.copied()
    }

    /// Records that the delete that would [end the life apart](Self::parts_until) will be refused, so the
    /// life apart does not last until it.
    pub fn foresee_refusal(&mut self, delete: DiffPlace) {
        self.objects[self.object_of[delete]].pass(delete);
    }

    /// What a new diff will do unless it is refused. All earlier ones must be settled.
    pub fn plan(&self, diff: DiffPlace) -> Step<'a> {
        let (entry, object) = self.at(diff);
        let at = self.stored_at(entry, object);
        let effect = effect(entry.diff.operation, object);
        let fields = match effect {
            Effect::Meet(life) => object.lives[life].meet(&entry.fields, at),
            Effect::Begin | Effect::Part | Effect::Apart(_) => entry.fields.clone(),
            Effect::End(_) | Effect::Receipt => Fields::default(),
        };
        Step { diff, at, effect, fields }
    }

    /// A time too far ahead is replaced by the server's, and each diff is later than the one before it.
    fn stored_at(&self, entry: &Entry<'_>, object: &Object<'_>) -> Millis {
        let latest = self.now.utc.saturating_add(self.now.drift);
        let at = if entry.at() > Millis(latest) { Millis(self.now.utc) } else { entry.at() };
        at.max(object.floor.next())
    }

    fn at(&self, diff: DiffPlace) -> (&Entry<'a>, &Object<'a>) {
        (&self.request.entries[diff], &self.objects[self.object_of[diff]])
    }
}

impl Step<'_> {
    /// The diff's place in the request.
    pub fn diff(&self) -> DiffPlace {
        self.diff
    }
}

impl<'a> Merge<'a> {
    /// What a step writes to the database, if anything.
    pub fn write(&self, step: &Step<'a>) -> Option<Write<'a>> {
        let operation = match step.effect {
            Effect::Begin => Operation::Create,
            Effect::Meet(_) if !step.fields.is_empty() => Operation::Update,
            Effect::End(_) => Operation::Delete,
            Effect::Meet(_) | Effect::Part | Effect::Apart(_) | Effect::Receipt => return None,
        };
        let (entry, _) = self.at(step.diff);
        Some(Write {
            operation,
            model: &entry.diff.model,
            id: entry.object.clone(),
            fields: step.fields.clone(),
            whole: (step.effect == Effect::Begin).then_some(&*entry.diff.json_data),
        })
    }
}

/// The table "its new diffs" of the protocol.
fn effect(operation: Operation, object: &Object<'_>) -> Effect {
    use Operation::{Create, Delete, Update};

    if let Some(life) = object.apart {
        return Effect::Apart(life);
    }
    match (operation, object.holds(), object.alive) {
        (Create, Held::Nothing, None) => Effect::Begin,
        (Create, Held::Nothing, Some(_)) if !object.deletes.is_empty() => Effect::Part,
        (Create | Update, Held::Nothing, Some(life)) => Effect::Meet(life),
        (Create | Update, Held::Alive(life), _) => Effect::Meet(life),
        (Delete, Held::Alive(life), _) => Effect::End(life),
        (Update | Delete, Held::Nothing, _) | (_, Held::Ended, _) => Effect::Receipt,
    }
}
