//! What a client keeps, by the newest names.

use super::{Schema, step::What};
use crate::record::Record;

impl Schema {
    /// Whether data of this version may have names that are not the newest.
    pub(crate) fn has_renamed_since(&self, version: u64) -> bool {
        let renames = |what: &What| !matches!(what, What::Added { .. });
        self.steps().iter().any(|step| step.since > version && renames(&step.what))
    }

    /// The newest name of a field; `None` if it was removed.
    pub(crate) fn field_now<'n>(&'n self, model: &str, field: &'n str) -> Option<&'n str> {
        match self.models.get(model).and_then(|model| model.fields.get(field)) {
            None => Some(field),
            Some(line) => (!line.is_removed()).then(|| line.now()),
        }
    }

    /// A record of this model by the newest names, without the fields that were removed.
    pub(crate) fn record_now(&self, model: &str, record: Record) -> Record {
        let Some(known) = self.models.get(model) else { return record };
        let is_newest = |field: &String| {
            known.fields.get(field).is_none_or(|line| !line.is_removed() && line.now() == field)
        };
        if record.fields().keys().all(is_newest) {
            return record;
        }
        let (id, fields) = record.into_parts();
        let (newest, older): (Vec<_>, Vec<_>) =
            fields.into_iter().partition(|(field, _)| is_newest(field));
        let mut now = Record::new(id);
        for (field, value) in newest.into_iter().chain(older) {
            if let Some(name) = self.field_now(model, &field)
                && now.get(name).is_none()
            {
                now.insert(name, value);
            }
        }
        now
    }

    /// Gives a record the fields that were added and that it does not have, with their defaults.
    pub(crate) fn complete(&self, model: &str, record: &mut Record) {
        let fields = self.models.get(model).map(|known| known.fields.iter());
        for line in fields.into_iter().flatten().filter(|line| !line.is_removed()) {
            if let Some(default) = line.added()
                && record.get(line.now()).is_none()
            {
                record.insert(line.now(), default.clone());
            }
        }
    }
}
