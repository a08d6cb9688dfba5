//! The fields that the request's diffs of one object name, for rules 2 and 3 of "What goes back".

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use super::entry::{Entry, Field, Fields};
use crate::diff::Operation;

/// The fields that the request's diffs after its last delete name.
#[derive(Clone, Debug, Default)]
pub(super) struct Named<'a> {
    /// Whether the last diff that names the field took it. Without a delete, fields that were taken are
    /// omitted.
    fields: BTreeMap<Cow<'a, str>, bool>,
    /// Whether the request has deleted the object, or tried to.
    deleted: bool,
}

impl<'a> Named<'a> {
    /// Records which of its fields a diff took.
    pub(super) fn note(&mut self, entry: &Entry<'a>, took: &Fields<'a>) {
        if entry.diff.operation == Operation::Delete {
            self.fields.clear();
            self.deleted = true;
        }
        if Arc::ptr_eq(took, &entry.fields) && self.fields.is_empty() && !self.deleted {
            return; // What was taken is not noted, and most diffs take all that they name.
        }
        let mut took = took.iter().map(|(name, _)| name).peekable();
        for field in &*entry.fields {
            // The taken fields have the same order.
            let took = took.next_if_eq(&&field.0).is_some();
            self.field(field, took);
        }
    }

    /// Records that a diff names a field, and whether it took it.
    pub(super) fn field(&mut self, (name, _): &Field<'a>, took: bool) {
        if took && !self.deleted {
            self.fields.remove(name);
        } else {
            self.fields.insert(name.clone(), took);
        }
    }

    /// Whether the request has deleted the object, or tried to.
    pub(super) fn behind_delete(&self) -> bool {
        self.deleted
    }

    /// Whether a diff after a delete names the field.
    pub(super) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// The fields that the last diff that names them did not take.
    pub(super) fn failed(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().filter(|(_, took)| !**took).map(|(name, _)| &**name)
    }
}
