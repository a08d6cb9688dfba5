//! Lives: what happened to an object from a create to the delete that ends it.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::value::RawValue;

use super::entry::Fields;

/// From a create in the log to the next delete.
#[derive(Clone, Debug, Default)]
pub(super) struct Life<'a> {
    /// The entry that began it; none where that is older than the window.
    pub(super) began: Option<Stamp<'a>>,
    pub(super) ended: Option<Stamp<'a>>,
    /// What the window's and the request's entries wrote.
    pub(super) fields: BTreeMap<Cow<'a, str>, Written<'a>>,
}

/// The value that stands in a field.
#[derive(Clone, Debug)]
pub(super) struct Written<'a> {
    pub(super) value: &'a RawValue,
    pub(super) writer: Stamp<'a>,
    /// The last entry that wrote the field and that the device has not seen.
    pub(super) unseen: Option<Stamp<'a>>,
}

/// Which entry it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp<'a> {
    pub(super) tick: i64,
    pub(super) at: i64,
    pub(super) id: Cow<'a, str>,
    pub(super) origin: Origin,
}

/// Whose an entry is, as the syncing device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// Before the device's clock.
    Seen,
    /// Since the device's clock, and not by this request.
    Unseen,
    /// One of this request's own diffs, sent now or before.
    Own,
}

impl<'a> Life<'a> {
    pub(super) fn begin(began: Stamp<'a>) -> Self {
        Self { began: Some(began), ..Self::default() }
    }

    /// Whether it began before the window, so that its other values are in the object's row only.
    pub(super) fn is_older(&self) -> bool {
        self.began.is_none()
    }

    pub(super) fn write(&mut self, fields: &Fields<'a>, writer: &Stamp<'a>) {
        for (name, value) in fields {
            let before = self.fields.remove(name).and_then(|written| written.unseen);
            let unseen =
                if writer.origin == Origin::Unseen { Some(writer.clone()) } else { before };
            self.fields.insert(name.clone(), Written { value, writer: writer.clone(), unseen });
        }
    }

    /// The fields of a diff made at `at` that take their field here: all but those whose value was
    /// written by an entry that the device has not seen, with a greater timestamp.
    pub(super) fn meet(&self, fields: &Fields<'a>, at: i64) -> Fields<'a> {
        let stands = |name: &str| {
            self.fields
                .get(name)
                .is_some_and(|Written { writer, .. }| writer.is_unseen() && writer.at > at)
        };
        fields.iter().filter(|(name, _)| !stands(name)).cloned().collect()
    }
}

impl Stamp<'_> {
    pub(super) fn is_unseen(&self) -> bool {
        self.origin == Origin::Unseen
    }
}
