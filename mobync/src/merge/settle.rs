//! Carries out or refuses a planned step: the new state of the object, and the log entries.

use super::{
    Merge,
    arena::{DiffPlace, ObjectPlace},
    entry::Fields,
    life::{Origin, Stamp},
    object::Object,
    step::{Effect, Step},
    time::Millis,
};
use crate::diff::Operation;

/// An entry that will be added to the log.
#[derive(Debug)]
pub(super) struct Logged<'a> {
    pub(super) writer: Writer,
    pub(super) object: ObjectPlace,
    pub(super) at: Millis,
    pub(super) operation: Operation,
    pub(super) fields: Fields<'a>,
}

/// Whose entry it is.
#[derive(Debug)]
pub(super) enum Writer {
    /// One of the request's diffs.
    Diff(DiffPlace),
    /// The server, under this id.
    Server(String),
}

impl<'a> Merge<'a> {
    /// Records that the step was done, or that it was refused and nothing was done.
    ///
    /// `mint` creates an id for a log entry of the server's own, if one is needed.
    pub fn settle(&mut self, step: Step<'a>, refused: bool, mint: impl FnOnce() -> String) {
        let Step { diff, at, effect, fields } = step;
        let own = self.own_stamp(diff, at);
        let (entry, place) = (&self.request.entries[diff], self.object_of[diff]);
        let object = &mut self.objects[place];
        let sent_as = entry.diff.operation;
        let took = if refused { Fields::default() } else { fields };
        debug_assert!(at > object.floor, "the times of an object grow");
        object.floor = at;
        object.pass(diff);

        let mut undone = None;
        let logged_as = match effect {
            _ if refused && object.makes_its_own(sent_as) => {
                undone = Some(object.undo(own, mint()));
                Operation::Create
            }
            _ if refused => Operation::Update,
            Effect::Begin => {
                let life = object.begin(own, took.clone());
                (object.alive, object.held) = (Some(life), Some(life));
                Operation::Create
            }
            Effect::Meet(life) => {
                object.lives[life].write(&took, &own);
                if sent_as == Operation::Create {
                    object.held = Some(life);
                }
                Operation::Update
            }
            Effect::End(life) => {
                object.lives[life].ended = Some(own.into());
                object.alive = None;
                Operation::Delete
            }
            Effect::Part => {
                object.apart = Some(object.begin(own, took.clone()));
                Operation::Create
            }
            Effect::Apart(life) if sent_as == Operation::Delete => {
                object.lives[life].ended = Some(own.into());
                object.apart = None;
                Operation::Delete
            }
            Effect::Apart(_) => Operation::Update,
            Effect::Receipt => {
                self.idle += 1;
                Operation::Update
            }
        };
        if sent_as == Operation::Delete {
            object.held = None;
        }
        object.named.note(entry, &took);
        object.check();

        let (writer, object) = (Writer::Diff(diff), place);
        self.log.push(Logged { writer, object, at, operation: logged_as, fields: took });
        if let Some(Stamp { at, id, .. }) = undone {
            let (writer, fields) = (Writer::Server(id.into_owned()), Fields::default());
            self.log.push(Logged { writer, object, at, operation: Operation::Delete, fields });
        }
    }
}

impl Merge<'_> {
    /// Invariants of the new entries, after all diffs.
    pub(super) fn check_log(&self) {
        let mut has_entry = self.known.clone();
        let mut latest = self.objects.map(|_| Millis::NEVER);
        for Logged { writer, object, at, .. } in &self.log {
            if let Writer::Diff(diff) = writer {
                debug_assert!(!has_entry[*diff], "one entry of each new diff");
                has_entry[*diff] = true;
            }
            debug_assert!(*at > latest[*object], "the entries of an object are in the log's order");
            latest[*object] = *at;
        }
        debug_assert!(has_entry.items().iter().all(|has| *has), "an entry of each new diff");
    }
}

impl<'a> Object<'a> {
    /// Whether such a diff has created the object on its device.
    fn makes_its_own(&self, sent_as: Operation) -> bool {
        sent_as == Operation::Create && self.held.is_none() && self.apart.is_none()
    }

    /// Makes the device hold a life that the server has ended, so that the diffs that go back undo its
    /// create.
    fn undo(&mut self, created: Stamp<'a>, id: String) -> Stamp<'a> {
        let ended = Stamp {
            at: created.at.next(),
            id: id.into(),
            origin: Origin::Unseen,
            ..created.clone()
        };
        let life = self.begin(created, Fields::default());
        self.lives[life].ended = Some(ended.clone().into());
        self.held = Some(life);
        self.floor = ended.at;
        ended
    }
}
