//! Older names in a database.

use std::collections::BTreeMap;

use crate::{
    diff::{Diff, Operation},
    merge::{encode, read_members},
};

/// The models and fields of which a database has an older name than the newest: between the two steps of a
/// rename. First all processes know both names, then the database gets the new one.
///
/// Until then the log gets the older names, for processes that know no others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OlderNames {
    models: BTreeMap<String, OlderModel>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OlderModel {
    name: Option<String>,
    fields: BTreeMap<String, String>,
}

impl OlderNames {
    /// Sets the name that the database has for a model.
    pub fn set_model(&mut self, newest: &str, older: impl Into<String>) {
        self.models.entry(newest.to_owned()).or_default().name = Some(older.into());
    }

    /// Sets the name that the database has for a field of a model, whose newest name is given.
    pub fn set_field(&mut self, model: &str, newest: impl Into<String>, older: impl Into<String>) {
        let model = self.models.entry(model.to_owned()).or_default();
        model.fields.insert(newest.into(), older.into());
    }

    /// Whether all names are the newest.
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// The name that the database has for a model.
    pub fn model<'n>(&'n self, newest: &'n str) -> &'n str {
        self.models.get(newest).and_then(|model| model.name.as_deref()).unwrap_or(newest)
    }

    /// Gives an entry the names that the database has.
    pub(super) fn write(&self, entry: &mut Diff) {
        let Some(model) = self.models.get(&entry.model) else { return };
        if entry.operation != Operation::Delete
            && !model.fields.is_empty()
            && let Ok((id, fields)) = read_members(&entry.json_data)
        {
            let older = |name: &str| model.fields.get(name).map(|older| &**older);
            let fields =
                fields.iter().map(|(name, value)| (older(name).unwrap_or(name), value.get()));
            let json_data = encode(&id, fields);
            entry.json_data = json_data;
        }
        if let Some(name) = &model.name {
            entry.model.clone_from(name);
        }
    }
}
