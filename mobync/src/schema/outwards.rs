//! What a version of the schema has: its names and its fields.

use std::collections::BTreeMap;

use super::{Schema, names::Model};
use crate::{
    diff::{Diff, Operation},
    error::DatabaseError,
    hash::HashMap,
    merge::{encode, read_members},
    protocol::{Overridden, SyncResponse},
};

/// The records as a version of the schema has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'s> {
    schema: &'s Schema,
    pub(crate) version: u64,
}

impl Schema {
    /// What this version has. A version that is newer than the schema gets the newest names.
    pub(crate) fn view(&self, version: u64) -> View<'_> {
        View { schema: self, version }
    }
}

impl<'s> View<'s> {
    /// The model, if the version does not have the newest names and fields of it.
    fn older(&self, model: &str) -> Option<Model<'s>> {
        let known = self.schema.models.get(model)?;
        (self.version < known.changed).then_some(known)
    }

    /// The name of the model in this version; `None` if the version does not have it.
    pub(crate) fn model<'m>(&self, model: &'m str) -> Option<&'m str>
    where
        's: 'm,
    {
        match self.schema.models.get(model) {
            None => Some(model),
            Some(known) => known.line.at(self.version),
        }
    }

    /// The name of the field in this version; `None` if the version does not have it.
    pub(crate) fn field<'f>(&self, model: &str, field: &'f str) -> Option<&'f str>
    where
        's: 'f,
    {
        match self.older(model).and_then(|known| known.fields.get(field)) {
            None => Some(field),
            Some(line) => line.at(self.version),
        }
    }

    /// Whether the version has the model or fields of it that were removed later.
    pub(crate) fn has_removed(&self, model: &str) -> bool {
        self.older(model)
            .is_some_and(|known| known.line.is_removed() || self.removed(known).next().is_some())
    }

    fn removed(&self, known: Model<'s>) -> impl Iterator<Item = (&'s str, &'s str)> {
        let version = self.version;
        let removed = known.fields.iter().filter(|line| line.is_removed());
        removed.filter_map(move |line| Some((line.at(version)?, line.replaced())))
    }

    /// What goes to a device of this version: nothing, if it is about nothing that the version has.
    ///
    /// # Errors
    /// If `json_data` is broken.
    pub(crate) fn diff(&self, mut diff: Diff) -> Result<Option<Diff>, DatabaseError> {
        let Some(known) = self.older(&diff.model) else { return Ok(Some(diff)) };
        let Some(model) = known.line.at(self.version) else { return Ok(None) };
        if diff.operation != Operation::Delete {
            let (id, fields) = read_members(&diff.json_data).map_err(DatabaseError::failed)?;
            let mut named: Vec<(&str, &str)> = Vec::with_capacity(fields.len());
            for (name, value) in &fields {
                named.extend(self.field(&diff.model, name).map(|name| (name, value.get())));
            }
            if diff.operation == Operation::Create {
                named.extend(self.removed(known));
            } else if named.is_empty() {
                return Ok(None);
            }
            let json_data = encode(&id, named.into_iter());
            diff.json_data = json_data;
        }
        model.clone_into(&mut diff.model);
        Ok(Some(diff))
    }

    /// An answer as a device of this version gets it. `sent` are the diffs of its request, by the newest names.
    ///
    /// # Errors
    /// If a diff is broken.
    pub(crate) fn answer(
        &self,
        mut answer: SyncResponse,
        sent: &[Diff],
    ) -> Result<SyncResponse, DatabaseError> {
        if self.version >= self.schema.version() {
            return Ok(answer);
        }
        let mut diffs = Vec::with_capacity(answer.diffs.len());
        for diff in answer.diffs {
            diffs.extend(self.diff(diff)?);
        }
        answer.diffs = diffs;
        if !answer.overridden.is_empty() {
            let models: HashMap<&str, &str> =
                sent.iter().map(|diff| (&*diff.id, &*diff.model)).collect();
            let overridden = answer.overridden.into_iter();
            answer.overridden = overridden.filter_map(|lost| self.lost(lost, &models)).collect();
        }
        Ok(answer)
    }

    fn lost(&self, lost: Overridden, models: &HashMap<&str, &str>) -> Option<Overridden> {
        let model = models.get(&*lost.diff_id)?;
        let fields: BTreeMap<_, _> = lost
            .fields
            .into_iter()
            .filter_map(|(name, values)| Some((self.field(model, &name)?.to_owned(), values)))
            .collect();
        (!fields.is_empty()).then_some(Overridden { diff_id: lost.diff_id, fields })
    }
}
