//! Lives: the history of an object from a create to the delete that ends it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    sync::{Arc, OnceLock},
};

use serde_json::value::RawValue;

use super::{
    entry::Fields,
    time::{Millis, Tick},
};
use crate::{diff::Diff, hash::HashMap};

/// From a create in the log to the next delete.
#[derive(Clone, Debug, Default)]
pub(super) struct Life<'a> {
    /// The entry that began it; `None` if it is older than the window.
    pub(super) began: Option<Stamp<'a>>,
    /// What that entry wrote.
    created: Fields<'a>,
    pub(super) ended: Option<Box<Stamp<'a>>>,
    /// What later entries of the window and the request wrote, in order. The fields are only computed on
    /// demand, because most lives never need them.
    writes: Vec<(Fields<'a>, Stamp<'a>)>,
    fields: OnceLock<Box<Written<'a>>>,
    has_unseen: bool,
}

/// The current values in the fields of a life.
pub(super) type Written<'a> = BTreeMap<Cow<'a, str>, Value<'a>>;

/// The current value of a field.
#[derive(Clone, Debug)]
pub(super) struct Value<'a> {
    pub(super) json: &'a RawValue,
    pub(super) writer: Stamp<'a>,
    /// The last entry that wrote the field and that the device has not seen.
    pub(super) unseen: Option<Stamp<'a>>,
}

/// Identifies an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp<'a> {
    pub(super) tick: Tick,
    pub(super) at: Millis,
    pub(super) id: Cow<'a, str>,
    pub(super) origin: Origin,
}

/// The origin of an entry, as the syncing device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// From before the device's clock.
    Seen,
    /// Since the device's clock, and not by this request.
    Unseen,
    /// One of this request's own diffs, sent now or before.
    Own,
}

impl<'a> Life<'a> {
    pub(super) fn begin(began: Stamp<'a>, created: Fields<'a>) -> Self {
        let has_unseen = began.is_unseen();
        Self { began: Some(began), created, has_unseen, ..Self::default() }
    }

    /// Whether it began before the window, so that its other values are only in the object's row.
    pub(super) fn is_older(&self) -> bool {
        self.began.is_none()
    }

    /// The fields whose value is from an entry that the device has not seen.
    pub(super) fn unseen(&self) -> impl Iterator<Item = &str> {
        let fields = self.has_unseen.then(|| self.fields()).into_iter().flatten();
        fields.filter(|(_, value)| value.writer.is_unseen()).map(|(name, _)| &**name)
    }

    pub(super) fn write(&mut self, fields: &Fields<'a>, writer: &Stamp<'a>) {
        self.has_unseen |= writer.is_unseen();
        match self.fields.get_mut() {
            Some(written) => write(written, fields, writer),
            None => self.writes.push((Arc::clone(fields), writer.clone())),
        }
    }

    /// The current values of the fields that were written. They stay in memory.
    pub(super) fn fields(&self) -> &Written<'a> {
        self.fields.get_or_init(|| Box::new(self.compute()))
    }

    /// The same, to look at once: a request may have thousands of lives.
    pub(super) fn fields_once(&self) -> Cow<'_, Written<'a>> {
        match self.fields.get() {
            Some(written) => Cow::Borrowed(&**written),
            None => Cow::Owned(self.compute()),
        }
    }

    fn compute(&self) -> Written<'a> {
        let mut written = Written::default();
        if let Some(began) = &self.began {
            write(&mut written, &self.created, began);
        }
        for (fields, writer) in &self.writes {
            write(&mut written, fields, writer);
        }
        written
    }

    /// The entries of the window that wrote these fields, in order.
    pub(super) fn writers<'m>(
        &'m self,
        names: &HashSet<&'m str>,
    ) -> HashMap<&'m str, Vec<&'m Stamp<'a>>> {
        let mut writers: HashMap<_, Vec<_>> = HashMap::default();
        let began = self.began.iter().map(|began| (&self.created, began));
        let later = self.writes.iter().map(|(fields, writer)| (fields, writer));
        for (fields, writer) in began.chain(later) {
            for (name, _) in &**fields {
                if let Some(name) = names.get(&**name) {
                    writers.entry(*name).or_default().push(writer);
                }
            }
        }
        writers
    }

    /// The fields that a diff made at `at` takes here: all except those whose current value was written
    /// by an entry that the device has not seen, with a greater timestamp.
    pub(super) fn meet(&self, fields: &Fields<'a>, at: Millis) -> Fields<'a> {
        let written = self.fields();
        let takes = |name: &str| {
            let value = written.get(name);
            value.is_none_or(|Value { writer, .. }| !writer.is_unseen() || writer.at <= at)
        };
        if fields.iter().all(|(name, _)| takes(name)) {
            return Arc::clone(fields);
        }
        fields.iter().filter(|(name, _)| takes(name)).cloned().collect()
    }
}

fn write<'a>(written: &mut Written<'a>, fields: &Fields<'a>, writer: &Stamp<'a>) {
    for (name, json) in &**fields {
        let before = written.remove(name).and_then(|value| value.unseen);
        let unseen = if writer.origin == Origin::Unseen { Some(writer.clone()) } else { before };
        written.insert(name.clone(), Value { json, writer: writer.clone(), unseen });
    }
}

impl<'a> Stamp<'a> {
    pub(super) fn of(entry: &'a Diff, origin: Origin) -> Self {
        Self {
            tick: Tick(entry.logical_clock),
            at: Millis(entry.utc_timestamp),
            id: Cow::Borrowed(&entry.id),
            origin,
        }
    }

    pub(super) fn is_unseen(&self) -> bool {
        self.origin == Origin::Unseen
    }
}
