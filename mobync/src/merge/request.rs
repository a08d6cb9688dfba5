//! A request's diffs, checked and parsed.

use std::{
    borrow::Cow,
    collections::{BTreeSet, hash_map::Entry as Slot},
};

use super::{
    Window,
    arena::{Arena, DiffPlace, ObjectPlace},
    entry::{Entry, Field, object_of},
};
use crate::{
    diff::Diff,
    error::{DatabaseError, Error},
    hash::{HashMap, HashSet},
    protocol::check_diff,
};

/// The diffs that a device sends, checked and without duplicates.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub(super) entries: Arena<DiffPlace, Entry<'a>>,
    /// The objects (model, id) that the diffs name, each once.
    pub(super) objects: Arena<ObjectPlace, (&'a str, Cow<'a, str>)>,
    pub(super) object_of: Arena<DiffPlace, ObjectPlace>,
}

impl<'a> Request<'a> {
    /// Checks the diffs.
    ///
    /// # Errors
    /// [`Error::InvalidDiff`] for the first diff that breaks a rule of the wire format, or has the id of
    /// another diff without being equal to it.
    pub fn new(diffs: &'a [Diff]) -> Result<Self, Error> {
        let mut first: HashMap<&str, &Diff> = HashMap::default();
        first.reserve(diffs.len());
        let mut entries = Arena::with_capacity(diffs.len());
        for diff in diffs {
            match first.entry(&diff.id) {
                Slot::Vacant(slot) => {
                    entries.push(check_diff(diff)?);
                    slot.insert(diff);
                }
                Slot::Occupied(slot) if same(slot.get(), diff) => {}
                Slot::Occupied(_) => {
                    let reason =
                        "another diff of the request has the same id, but says something else";
                    return Err(Error::invalid_diff(&diff.id, reason));
                }
            }
        }
        let mut objects = Arena::default();
        let mut places = HashMap::default();
        places.reserve(entries.len());
        let object_of = entries.map(|entry: &Entry<'a>| {
            let object = (entry.diff.model.as_str(), entry.object.clone());
            *places.entry(object).or_insert_with_key(|object| objects.push(object.clone()))
        });
        Ok(Self { entries, objects, object_of })
    }

    /// The number of diffs, without duplicates.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none, so that nothing will be written.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The ids of the diffs.
    pub fn ids(&self) -> Vec<&'a str> {
        self.entries.items().iter().map(|entry| entry.diff.id.as_str()).collect()
    }

    /// The objects (model, id) that the diffs name, each once.
    pub fn objects(&self) -> Vec<(&str, &str)> {
        self.objects.items().iter().map(|(model, id)| (*model, &**id)).collect()
    }

    /// The objects, each once, that the log has for known diffs of this request, but that the request does
    /// not name. There are none unless a client uses an id twice.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`] if an entry of the log cannot be read.
    pub fn misnamed_objects(
        &self,
        window: &Window,
    ) -> Result<BTreeSet<(String, String)>, DatabaseError> {
        let sent = self.places(window);
        let mut misnamed = BTreeSet::new();
        for stored in &window.entries {
            if let Some(sent) = sent.get(stored.id.as_str()) {
                let sent = &self.entries[*sent];
                let object = object_of(stored)?;
                if stored.model != sent.diff.model || object != sent.object {
                    misnamed.insert((stored.model.clone(), object));
                }
            }
        }
        if !misnamed.is_empty() {
            let named: HashSet<_> = self.objects().into_iter().collect();
            misnamed.retain(|(model, id)| !named.contains(&(&**model, &**id)));
        }
        Ok(misnamed)
    }

    /// The place of each diff by its id, if there is anything to look up.
    pub(super) fn places(&self, window: &Window) -> HashMap<&str, DiffPlace> {
        if window.entries.is_empty() {
            return HashMap::default();
        }
        self.entries.iter().map(|(place, entry)| (&*entry.diff.id, place)).collect()
    }

    /// The fields that a diff names; empty for a delete.
    pub fn fields(&self, place: DiffPlace) -> impl Iterator<Item = &str> {
        self.entries[place].fields.iter().map(|(name, _)| &**name)
    }

    /// The fields that a diff names, with their values.
    pub(crate) fn values(&self, place: DiffPlace) -> &[Field<'a>] {
        &self.entries[place].fields
    }

    /// A diff, as sent.
    pub fn diff(&self, place: DiffPlace) -> &'a Diff {
        self.entries[place].diff
    }
}

/// Whether two diffs are equal as sent, except for members that the server ignores.
fn same(left: &Diff, right: &Diff) -> bool {
    (left.utc_timestamp, left.operation) == (right.utc_timestamp, right.operation)
        && left.model == right.model
        && left.json_data == right.json_data
}
