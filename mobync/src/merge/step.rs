//! What each new diff does: the table "its new diffs" of the protocol.

use std::sync::Arc;

use super::{
    Merge,
    entry::{Entry, Fields},
    life::{Life, Origin, Stamp},
    object::{Held, Object},
};
use crate::{Operation, Write};

/// What one new diff does, unless it is refused.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    pub(super) diff: usize,
    /// The timestamp that counts and is stored, in milliseconds.
    at: i64,
    effect: Effect,
    /// The fields that it writes to the object or to a life apart.
    fields: Fields<'a>,
}

/// What a new diff does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It begins a life: the object is created.
    Begin,
    /// Its fields meet those of the life that is alive (by its place): those that take are written.
    Meet(usize),
    /// It ends the life that is alive (by its place): the object is deleted.
    End(usize),
    /// It is of a life apart: logged as it is, and nothing else.
    Apart,
    /// Nothing is done, for its object is not there.
    Receipt,
}

/// An entry that will be added to the log.
#[derive(Debug)]
pub(super) struct Logged<'a> {
    /// The request's diff, or none for an entry of the server's own with this id.
    pub(super) diff: Result<usize, String>,
    pub(super) object: usize,
    pub(super) at: i64,
    pub(super) operation: Operation,
    pub(super) fields: Fields<'a>,
}

impl<'a> Merge<'a> {
    /// Where planning this create would begin a life apart: the delete up to which it goes. If that
    /// delete will be refused, say so with [`foresee_refusal`](Self::foresee_refusal), and ask again.
    pub fn parts_until(&self, diff: usize) -> Option<usize> {
        let (entry, object) = self.at(diff)?;
        let is_create = entry.diff.operation == Operation::Create;
        let meets = is_create && object.apart.is_none() && object.held.is_none();
        let delete = if meets && object.alive.is_some() { object.deletes.front() } else { None };
        delete.copied()
    }

    /// The delete that a create [parts until](Self::parts_until) will be refused, so that nothing goes
    /// on up to it.
    pub fn foresee_refusal(&mut self, delete: usize) {
        let object = self.object_of.get(delete).and_then(|place| self.objects.get_mut(*place));
        if let Some(object) = object {
            object.pass(delete);
        }
    }

    /// What one of the new diffs will do unless it is refused. Those before it must be settled.
    pub fn plan(&self, diff: usize) -> Option<Step<'a>> {
        let (entry, object) = self.at(diff)?;
        let at = self.stored_at(entry, object);
        let (effect, fields) = match effect(entry.diff.operation, object) {
            Effect::Meet(life) => (Effect::Meet(life), object.life(life)?.meet(&entry.fields, at)),
            effect @ (Effect::Begin | Effect::Apart) => (effect, entry.fields.clone()),
            effect @ (Effect::End(_) | Effect::Receipt) => (effect, Fields::default()),
        };
        Some(Step { diff, at, effect, fields })
    }

    /// A clock far ahead counts as the server's, and no diff as earlier than the one before it.
    fn stored_at(&self, entry: &Entry<'_>, object: &Object<'_>) -> i64 {
        let sent = entry.diff.utc_timestamp;
        let at =
            if sent > self.now.utc.saturating_add(self.now.drift) { self.now.utc } else { sent };
        if at > object.floor { at } else { object.floor.saturating_add(1) }
    }

    /// Takes note that the step was done; or that it was refused, and nothing was.
    ///
    /// `mint` makes an id for a log entry of the server's own, should one be needed.
    pub fn settle(&mut self, step: Step<'a>, refused: bool, mint: impl FnOnce() -> String) {
        let Step { diff, at, effect, fields } = step;
        let request = self.request;
        let (Some(entry), Some(&place)) = (request.entries.get(diff), self.object_of.get(diff))
        else {
            return;
        };
        let own = self.own_stamp(diff, at);
        let Some(object) = self.objects.get_mut(place) else { return };
        let operation = entry.diff.operation;
        object.floor = at;
        object.pass(diff);

        let mut log = |diff, at, operation, fields| {
            self.log.push(Logged { diff, object: place, at, operation, fields });
        };
        if refused {
            let holds_nothing = object.held.is_none() && object.apart.is_none();
            if operation == Operation::Create && holds_nothing {
                // A life that the server ended: what goes back undoes the create.
                let (end, id) = (at.saturating_add(1), mint());
                let ended = Stamp { at: end, id: id.clone().into(), origin: Origin::Unseen, ..own };
                let mut life = Life::begin(own, Fields::default());
                life.ended = Some(ended.into());
                object.held = Some(object.begin(life));
                object.floor = end;
                log(Ok(diff), at, Operation::Create, Fields::default());
                log(Err(id), end, Operation::Delete, Fields::default());
            } else {
                object.name_fields(entry, &Fields::default());
                log(Ok(diff), at, Operation::Update, Fields::default());
            }
            return;
        }

        let logged_as = match effect {
            Effect::Begin => {
                let life = object.begin(Life::begin(own, Arc::clone(&fields)));
                (object.alive, object.held) = (Some(life), Some(life));
                object.name_fields(entry, &fields);
                Operation::Create
            }
            Effect::Meet(life) => {
                if let Some(life) = object.lives.get_mut(life) {
                    life.write(&fields, &own);
                }
                if operation == Operation::Create {
                    object.held = Some(life);
                }
                object.name_fields(entry, &fields);
                Operation::Update
            }
            Effect::End(life) => {
                if let Some(life) = object.lives.get_mut(life) {
                    life.ended = Some(own.into());
                }
                object.alive = None;
                object.let_go();
                Operation::Delete
            }
            Effect::Apart => match (operation, object.apart) {
                (Operation::Create, None) => {
                    object.apart = Some(object.begin(Life::begin(own, Fields::default())));
                    Operation::Create
                }
                (Operation::Delete, _) => {
                    object.apart = None;
                    object.let_go();
                    Operation::Delete
                }
                (Operation::Create | Operation::Update, _) => Operation::Update,
            },
            Effect::Receipt => {
                object.name_fields(entry, &fields);
                self.idle += 1;
                Operation::Update
            }
        };
        log(Ok(diff), at, logged_as, fields);
    }

    fn at(&self, diff: usize) -> Option<(&Entry<'a>, &Object<'a>)> {
        let object = self.object_of.get(diff).and_then(|place| self.objects.get(*place))?;
        Some((self.request.entries.get(diff)?, object))
    }
}

impl<'a> Object<'a> {
    /// Notes which of the fields that a diff names it took. A delete names none.
    fn name_fields(&mut self, entry: &Entry<'a>, took: &Fields<'a>) {
        if entry.diff.operation == Operation::Delete {
            return self.let_go();
        }
        if Arc::ptr_eq(took, &entry.fields) && self.notes_nothing() {
            return; // What was taken is not noted, and most diffs take all that they name.
        }
        let mut took = took.iter().map(|(name, _)| name).peekable();
        for (name, _) in &*entry.fields {
            // What it took is in the same order.
            let took = took.next_if_eq(&name).is_some();
            self.name(name.clone(), took);
        }
    }
}

impl Step<'_> {
    /// The diff's place in the request.
    pub fn diff(&self) -> usize {
        self.diff
    }

    /// What the diff does.
    pub fn effect(&self) -> Effect {
        self.effect
    }
}

impl<'a> Merge<'a> {
    /// What a step writes to the database, if it writes.
    pub fn write(&self, step: &Step<'a>) -> Option<Write<'a>> {
        let operation = match step.effect {
            Effect::Begin => Operation::Create,
            Effect::Meet(_) if !step.fields.is_empty() => Operation::Update,
            Effect::End(_) => Operation::Delete,
            Effect::Meet(_) | Effect::Apart | Effect::Receipt => return None,
        };
        let (entry, _) = self.at(step.diff)?;
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

    if object.apart.is_some() {
        return Effect::Apart;
    }
    match (operation, object.holds(), object.alive) {
        (Create, Held::Nothing, None) => Effect::Begin,
        (Create, Held::Nothing, Some(_)) if !object.deletes.is_empty() => Effect::Apart,
        (Create | Update, Held::Nothing, Some(life)) => Effect::Meet(life),
        (Create | Update, Held::Alive(life), _) => Effect::Meet(life),
        (Delete, Held::Alive(life), _) => Effect::End(life),
        (Update | Delete, Held::Nothing, _) | (_, Held::Ended, _) => Effect::Receipt,
    }
}
