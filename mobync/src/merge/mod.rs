//! The merge: what a device's diffs do, and what it gets back.
//!
//! Pure functions over the request and the log's window: no I/O, no async, no system clock. The words
//! are those of the [protocol](crate::protocol::document): *lives*, what a device *holds*, how fields
//! *meet*, what goes *back*.
//!
//! The engine walks a request through a [`Merge`] one diff at a time, for whether a diff is refused is
//! known only when rules and database were asked:
//!
//! 1. [`Merge::new`] replays the window, and then the diffs that the log already knows;
//! 2. for each of [`steps`](Merge::steps), [`plan`](Merge::plan) says what the diff would do to the
//!    database, and [`settle`](Merge::settle) hears whether it was refused;
//! 3. [`finish`](Merge::finish) says what goes back, and [`log`](Merge::log) what is logged.

mod answer;
mod entry;
mod life;
mod object;
mod request;
mod snapshot;
mod step;

#[cfg(feature = "memory")]
pub(crate) use self::entry::encode;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use self::entry::push_string;
pub(crate) use self::entry::{Entry, Fields, object_of};
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(crate) use self::snapshot::LogEntry;
pub use self::{
    answer::{Outcome, Rows},
    request::Request,
    snapshot::Snapshot,
    step::{Effect, Step},
};
use self::{
    life::Stamp,
    object::{Object, Past},
    step::Logged,
};
use crate::{
    DatabaseError, Operation, Window,
    hash::{HashMap, HashSet},
};

/// The time on the server, and how far past it a device's clock may be, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Milliseconds since 1970.
    pub utc: i64,
    /// A timestamp further ahead than this counts as `utc`.
    pub drift: i64,
}

/// The merge of one request.
#[derive(Debug)]
pub struct Merge<'a> {
    request: &'a Request<'a>,
    now: Now,
    clock: i64,
    objects: Vec<Object<'a>>,
    /// The place of each of the request's diffs' objects in `objects`.
    object_of: Vec<usize>,
    /// Whether the log has the diff already.
    known: Vec<bool>,
    /// Objects with updates that count as made behind their create.
    first_creates: Vec<usize>,
    log: Vec<Logged<'a>>,
    idle: usize,
}

impl<'a> Merge<'a> {
    /// Replays the window for a device whose clock is `since`, and then those of the request's diffs
    /// that are in it.
    ///
    /// `window` is the answer to the query of the request's ids and these objects.
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

        let mut objects: Vec<_> =
            request.objects.iter().map(|(model, id)| Object::new(model, id.clone())).collect();
        let mut pasts: Vec<Vec<Past<'a>>> = objects.iter().map(|_| Vec::new()).collect();
        let mut object_of = request.object_of.clone();
        let mut known = vec![false; object_of.len()];
        // Only for objects that entries of the log name.
        let mut places: HashMap<_, usize> = HashMap::default();
        if !entries.is_empty() {
            places.extend(request.objects.iter().cloned().zip(0..));
        }
        for diff in entries {
            let entry = Entry::of_log(diff)?;
            let sent = sent.get(diff.id.as_str()).copied();
            let place = places.entry((&diff.model, entry.object.clone()));
            let place = *place.or_insert_with_key(|(model, id)| {
                objects.push(Object::new(model, id.clone()));
                pasts.push(Vec::new());
                objects.len() - 1
            });
            if let Some(sent) = sent {
                known.get_mut(sent).into_iter().for_each(|known| *known = true);
                object_of.get_mut(sent).into_iter().for_each(|object| *object = place);
            }
            if let Some(past) = pasts.get_mut(place) {
                past.push(Past { entry, sent });
            }
        }

        let existing = existing_of(queried, window);
        for (object, past) in objects.iter_mut().zip(&pasts) {
            let exists = existing.contains(&(object.model, &*object.id));
            object.replay(past, since, exists, &request.entries);
        }

        let mut merge = Self {
            request,
            now,
            clock: window.clock,
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

    /// Notes what a diff must know of those behind it: the deletes, and the first creates.
    fn look_ahead(&mut self) {
        // Of each object the request's last create or delete so far; an update where it has neither.
        let mut last = vec![None; self.objects.len()];
        for (place, entry) in self.request.entries.iter().enumerate() {
            let Some((false, at)) = self.known.get(place).zip(self.object_of.get(place)) else {
                continue;
            };
            let Some((object, last)) = self.objects.get_mut(*at).zip(last.get_mut(*at)) else {
                continue;
            };
            match entry.diff.operation {
                Operation::Update => *last = last.or(Some(Operation::Update)),
                Operation::Create => {
                    let before = last.replace(Operation::Create);
                    let is_nowhere = object.held.is_none() && object.alive.is_none();
                    if before == Some(Operation::Update) && is_nowhere {
                        self.first_creates.push(*at);
                    }
                }
                Operation::Delete => {
                    *last = Some(Operation::Delete);
                    object.deletes.push_back(place);
                }
            }
        }
    }

    /// How many objects this merge is about.
    pub fn objects(&self) -> usize {
        self.objects.len()
    }

    /// The place of a diff's object among the objects of this merge.
    pub fn object_of(&self, diff: usize) -> Option<usize> {
        self.object_of.get(diff).copied()
    }

    /// Whether the log has the diff already, so that it does nothing again.
    pub fn is_known(&self, diff: usize) -> bool {
        self.known.get(diff).is_some_and(|known| *known)
    }

    /// How many of the request's diffs are new.
    pub fn new_diffs(&self) -> usize {
        self.known.iter().filter(|known| !**known).count()
    }

    /// The new diffs, by their places in the request, in the order in which they take effect.
    pub fn steps(&self) -> Vec<usize> {
        let mut steps = Vec::with_capacity(self.known.len());
        // "First create" of the protocol: an update that stands before it counts as made behind it.
        let mut waiting: HashMap<usize, Vec<usize>> =
            self.first_creates.iter().map(|object| (*object, Vec::new())).collect();
        let sent = self.request.entries.iter().zip(&self.object_of).enumerate();
        for (place, (entry, object)) in sent.filter(|(place, _)| !self.is_known(*place)) {
            match (entry.diff.operation, waiting.get_mut(object)) {
                (Operation::Update, Some(updates)) => updates.push(place),
                (Operation::Create, Some(_)) => {
                    steps.push(place);
                    steps.extend(waiting.remove(object).unwrap_or_default());
                }
                _ => steps.push(place),
            }
        }
        steps
    }

    fn own_stamp(&self, diff: usize, at: i64) -> Stamp<'a> {
        let id = self.request.entries.get(diff).map_or("", |entry| &entry.diff.id);
        Stamp { tick: self.clock, at, id: id.into(), origin: life::Origin::Own }
    }
}

/// Those of the queried objects that are there.
fn existing_of<'q>(queried: &[(&'q str, &'q str)], window: &Window) -> HashSet<(&'q str, &'q str)> {
    let queried = queried.iter().zip(&window.existing);
    queried.filter_map(|(object, exists)| exists.then_some(*object)).collect()
}
