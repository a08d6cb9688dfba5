//! The server's own entries in the tick of a request: side effects of writing its diffs.

use std::borrow::Cow;

use super::{
    Merge,
    arena::ObjectPlace,
    entry::Entry,
    life::{Life, Origin, Stamp, Value},
    object::Object,
    settle::{Logged, Writer},
    time::{Millis, Tick},
};
use crate::{DatabaseError, Diff, Operation, Write, hash::HashMap};

/// The state of an object in the log after the request's diffs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Standing<'m, 'a> {
    /// Only the log knows: neither its window nor the request has an entry of the object.
    Unknown,
    /// No life is alive.
    Gone,
    /// This life is alive.
    Alive(Alive<'m, 'a>),
}

/// What is known about a life that is alive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alive<'m, 'a> {
    life: &'m Life<'a>,
    /// The tick of the request.
    clock: Tick,
}

impl<'m, 'a> Alive<'m, 'a> {
    /// Whether it began before the window, so that the log has more fields of it.
    pub(crate) fn is_older(&self) -> bool {
        self.life.is_older()
    }

    /// Whether one of the request's new diffs has begun it.
    pub(crate) fn is_new(&self) -> bool {
        let began = self.life.began.as_ref();
        began.is_some_and(|began| began.origin == Origin::Own && began.tick == self.clock)
    }

    /// The fields with their values, as JSON text.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'m str, &'m str)> {
        self.life.fields().iter().map(|(name, value)| (&**name, value.json.get()))
    }

    /// The fields that the request's new diffs have written.
    pub(crate) fn own(&self) -> impl Iterator<Item = (&'m str, &'m str)> {
        let Self { life, clock } = *self;
        let own = life.fields().iter().filter(move |(_, value)| value.is_own(clock));
        own.map(|(name, value)| (&**name, value.json.get()))
    }

    /// Everything that the request's new diffs have written, as one write.
    pub(crate) fn write<'w>(&self, model: &'w str, id: &'w str) -> Write<'w>
    where
        'a: 'w,
        'm: 'w,
    {
        let operation = if self.is_new() { Operation::Create } else { Operation::Update };
        let written = self.life.fields_once();
        let own = written.iter().filter(|(_, value)| value.is_own(self.clock));
        let fields = own.map(|(name, value)| (name.clone(), value.json)).collect();
        Write { operation, model, id: id.into(), fields, whole: None }
    }
}

impl Value<'_> {
    /// Whether one of the request's new diffs has written it.
    fn is_own(&self, clock: Tick) -> bool {
        self.writer.origin == Origin::Own && self.writer.tick == clock
    }
}

/// The places of objects, by model and id.
type Places<'a> = HashMap<(&'a str, Cow<'a, str>), ObjectPlace>;

impl<'a> Merge<'a> {
    /// The objects of the request's new diffs, model and id, each once.
    pub(crate) fn named(&self) -> Vec<(&str, &str)> {
        let mut is_named = self.for_objects(false);
        self.new_diffs().for_each(|diff| is_named[self.object_of(diff)] = true);
        let named = self.objects.iter().filter(|(place, _)| is_named[*place]);
        named.map(|(_, object)| (object.model, &*object.id)).collect()
    }

    /// The states of objects, after all steps are settled.
    pub(crate) fn standings<'m>(&'m self) -> impl Fn(&str, &str) -> Standing<'m, 'a> + use<'m, 'a> {
        let objects = self.objects.items().iter();
        let places: HashMap<(&str, &str), &Object<'a>> =
            objects.map(|object| ((object.model, &*object.id), object)).collect();
        let clock = self.clock;
        move |model, id| match places.get(&(model, id)) {
            Some(object) if object.is_certain => match object.alive() {
                None => Standing::Gone,
                Some(life) => Standing::Alive(Alive { life, clock }),
            },
            _ => Standing::Unknown,
        }
    }

    /// Adds entries that make the log equal to the rows, after all steps are settled. Each entry is of
    /// another object. If the request has new diffs of the object, the entry is one millisecond after them,
    /// so that it is no later than they are relative to changes of others.
    ///
    /// An update or delete of an object that neither the window nor the request has belongs to an object that
    /// was alive at the device's clock.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`] if an entry cannot be read.
    pub(crate) fn set_off(&mut self, entries: &'a [Diff]) -> Result<(), DatabaseError> {
        let mut places: Places<'a> = HashMap::default();
        if !entries.is_empty() {
            let objects = self.objects.iter();
            places.extend(objects.map(|(at, object)| ((object.model, object.id.clone()), at)));
        }
        let mut latest: HashMap<ObjectPlace, Millis> =
            self.log.iter().map(|logged| (logged.object, logged.at)).collect();
        for diff in entries {
            let entry = Entry::of_log(diff)?;
            let place = places.entry((&diff.model, entry.object.clone()));
            let place = *place.or_insert_with_key(|(model, id)| {
                self.objects.push(Object::new(model, id.clone()))
            });
            let object = &mut self.objects[place];
            object.make_certain(diff.operation != Operation::Create, self.since);
            let before = latest.insert(place, Millis(diff.utc_timestamp));
            let at = before.map_or(Millis(diff.utc_timestamp), Millis::next);
            let id = Cow::Borrowed(&*diff.id);
            object.follow(&entry, Stamp { tick: self.clock, at, id, origin: Origin::Unseen });
            object.check();
            self.log.push(Logged {
                writer: Writer::Server(diff.id.clone()),
                object: place,
                at,
                operation: diff.operation,
                fields: entry.fields,
            });
        }
        Ok(())
    }
}
