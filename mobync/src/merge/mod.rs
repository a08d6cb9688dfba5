//! The merge: the effects of a device's diffs, and the diffs that go back to it.
//!
//! Pure functions over the request and the log's window: no I/O, no async, no system clock. The terms are
//! those of the [protocol](crate::protocol::document): *lives*, what a device *holds*, how fields *meet*,
//! what goes *back*.
//!
//! This module keeps three of the [promises](crate::protocol::document): *Converge*, *Exactly once* and *Cut
//! anywhere*. *Nothing lost* and *Isolation* also need the database: one transaction for each sync, and the
//! owner in every statement.
//!
//! The engine processes a request with a [`Merge`] one diff at a time, because only the rules and the
//! database decide whether a diff is refused:
//!
//! 1. [`Merge::new`] replays the window, and then the diffs that the log already has;
//! 2. for each of [`steps`](Merge::steps), [`plan`](Merge::plan) returns what the diff would do to the
//!    database, and [`settle`](Merge::settle) records whether it was refused;
//! 3. [`finish`](Merge::finish) returns what goes back, [`log`](Merge::log) the new log entries, and
//!    [`overridden`](Merge::overridden) the overridden values, if the request asks for them.

mod answer;
mod arena;
mod entry;
mod life;
mod named;
mod object;
mod report;
mod request;
mod server;
mod settle;
mod snapshot;
mod step;
mod time;
mod window;
mod write;

pub(crate) use self::arena::Arena;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use self::entry::push_string;
pub(crate) use self::entry::{Entry, Field, Fields, encode, object_of, read_members};
#[cfg(feature = "memory")]
pub(crate) use self::window::next_page;
pub use self::{
    answer::{Outcome, Rows},
    arena::{DiffPlace, ObjectPlace},
    request::Request,
    snapshot::Snapshot,
    step::Step,
    window::Window,
    write::Write,
};
use self::{
    life::{Origin, Stamp},
    object::{Object, Past},
    settle::Logged,
    time::{Millis, Tick},
};
pub(crate) use self::{
    server::Standing,
    snapshot::{Alive, LogEntry},
};
use crate::{diff::Operation, error::DatabaseError, hash::HashMap};

/// The server's time, and how far ahead of it a device's clock may be, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Milliseconds since 1970.
    pub utc: i64,
    /// A timestamp further ahead than this is replaced by `utc`.
    pub drift: i64,
}

/// The merge of one request.
#[derive(Debug)]
pub struct Merge<'a> {
    request: &'a Request<'a>,
    window: &'a Window,
    now: Now,
    /// The clock of the device.
    since: Tick,
    /// The tick of this sync.
    clock: Tick,
    /// The objects of the request, at the same places, followed by those that only the log names.
    objects: Arena<ObjectPlace, Object<'a>>,
    object_of: Arena<DiffPlace, ObjectPlace>,
    /// Whether the log already has the diff.
    known: Arena<DiffPlace, bool>,
    /// Objects with updates that count as made after their create.
    first_creates: Vec<ObjectPlace>,
    log: Vec<Logged<'a>>,
    idle: usize,
}

impl<'a> Merge<'a> {
    /// Replays the window for a device whose clock is `since`, and then the request's diffs that are in the
    /// window.
    ///
    /// `window` is the result of the query for the request's ids and these objects.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`] if an entry of the log cannot be read.
    pub fn new(
        since: i64,
        request: &'a Request<'a>,
        queried: &[(&str, &str)],
        window: &'a Window,
        now: Now,
    ) -> Result<Self, DatabaseError> {
        let sent = request.places(window);
        let mut entries: Vec<_> = window.entries.iter().collect();
        entries.sort_by_key(|entry| entry.order());

        let mut objects = request.objects.map(|(model, id)| Object::new(model, id.clone()));
        let mut pasts: Arena<ObjectPlace, Vec<Past<'a>>> = objects.map(|_| Vec::new());
        let mut object_of = request.object_of.clone();
        let mut known = object_of.map(|_| false);
        // Only for objects that log entries name.
        let mut places: HashMap<_, ObjectPlace> = HashMap::default();
        if !entries.is_empty() {
            let named = request.objects.iter();
            places.extend(named.map(|(place, object)| (object.clone(), place)));
        }
        for diff in entries {
            let entry = Entry::of_log(diff)?;
            let sent = sent.get(diff.id.as_str()).copied();
            let place = places.entry((&diff.model, entry.object.clone()));
            let place = *place.or_insert_with_key(|(model, id)| {
                pasts.push(Vec::new());
                objects.push(Object::new(model, id.clone()))
            });
            if let Some(sent) = sent {
                known[sent] = true;
                object_of[sent] = place;
            }
            pasts[place].push(Past { entry, sent });
        }

        let existing = existing_of(queried, window);
        for (object, past) in objects.items_mut().iter_mut().zip(pasts.items()) {
            let exists = existing.get(&(object.model, &*object.id)).copied();
            object.replay(past, Tick(since), exists, request);
        }

        let mut merge = Self {
            request,
            window,
            now,
            since: Tick(since),
            clock: Tick(window.clock),
            objects,
            object_of,
            known,
            first_creates: Vec::new(),
            log: Vec::with_capacity(request.len()),
            idle: 0,
        };
        merge.look_ahead();
        Ok(merge)
    }

    /// Records what a diff must know about later diffs: the deletes, and the first creates.
    fn look_ahead(&mut self) {
        // For each object, the last create or delete of the request so far; an update if it has neither.
        let mut last = self.objects.map(|_| None);
        for (place, entry) in self.request.entries.iter() {
            if self.known[place] {
                continue;
            }
            let at = self.object_of[place];
            let (object, last) = (&mut self.objects[at], &mut last[at]);
            match entry.diff.operation {
                Operation::Update => *last = last.or(Some(Operation::Update)),
                Operation::Create => {
                    let before = last.replace(Operation::Create);
                    let is_nowhere = object.held.is_none() && object.alive.is_none();
                    if before == Some(Operation::Update) && is_nowhere {
                        self.first_creates.push(at);
                    }
                }
                Operation::Delete => {
                    *last = Some(Operation::Delete);
                    object.deletes.push_back(place);
                }
            }
        }
    }

    /// An arena with this value for each object of this merge.
    pub(crate) fn for_objects<T: Copy>(&self, value: T) -> Arena<ObjectPlace, T> {
        self.objects.map(|_| value)
    }

    /// The object of a diff.
    pub fn object_of(&self, diff: DiffPlace) -> ObjectPlace {
        self.object_of[diff]
    }

    /// The same, by model and id.
    pub(crate) fn object_at(&self, diff: DiffPlace) -> (&str, &str) {
        let object = &self.objects[self.object_of[diff]];
        (object.model, &object.id)
    }

    /// The request's new diffs, in the order sent: those that the log does not have.
    pub fn new_diffs(&self) -> impl Iterator<Item = DiffPlace> {
        self.known.iter().filter(|(_, known)| !**known).map(|(place, _)| place)
    }

    /// The new diffs in the order in which they take effect.
    pub fn steps(&self) -> Vec<DiffPlace> {
        let mut steps = Vec::with_capacity(self.known.len());
        // "First create" of the protocol: an update before it counts as made after it.
        let mut waiting: HashMap<ObjectPlace, Vec<DiffPlace>> =
            self.first_creates.iter().map(|object| (*object, Vec::new())).collect();
        for place in self.new_diffs() {
            let object = self.object_of[place];
            match (self.request.diff(place).operation, waiting.get_mut(&object)) {
                (Operation::Update, Some(updates)) => updates.push(place),
                (Operation::Create, Some(_)) => {
                    steps.push(place);
                    steps.extend(waiting.remove(&object).unwrap_or_default());
                }
                _ => steps.push(place),
            }
        }
        steps
    }

    fn own_stamp(&self, diff: DiffPlace, at: Millis) -> Stamp<'a> {
        let id = self.request.diff(diff).id.as_str();
        Stamp { tick: self.clock, at, id: id.into(), origin: Origin::Own }
    }
}

/// The queried objects that exist.
fn existing_of<'q>(
    queried: &[(&'q str, &'q str)],
    window: &Window,
) -> HashMap<(&'q str, &'q str), bool> {
    queried.iter().copied().zip(window.existing.iter().copied()).collect()
}
