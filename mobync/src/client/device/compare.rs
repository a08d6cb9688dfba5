//! Whether the device's copy is right: the protocol's "Is the copy right?".

use std::collections::{BTreeMap, BTreeSet};

use super::Device;
use crate::{
    checksum::{Defaults, Sum},
    client::{DeviceError, Difference, LocalStore, LocalUnit, Object, StoreError},
    database::Access,
    protocol::{Checksum, SyncResponse},
};

impl<S: LocalStore> Device<S> {
    /// Compares the device's copy with the checksums of an answer that it has applied. Returns the models
    /// that differ; or `None` if nothing can be said, because the answer has no checksums, changes are
    /// pending, another answer has been applied since, everything is being fetched once more after an
    /// [update](Self::schema), or the server has older names than the app.
    ///
    /// # Errors
    /// [`DeviceError::Store`], or [`DeviceError::InvalidAnswer`] if the checksums cannot be read.
    pub async fn compare(
        &self,
        answer: &SyncResponse,
    ) -> Result<Option<Vec<Difference>>, DeviceError> {
        let Some(theirs) = &answer.check else { return Ok(None) };
        let mut unit = self.begin(Access::Read).await?;
        let state = unit.state().await?;
        let is_of_this = state.clock == answer.logical_clock && state.beside.is_none();
        let is_older = |model: &String| {
            let schema = self.schema.as_ref();
            schema.is_some_and(|it| it.is_removed(model) || it.model_now(model) != model)
        };
        if !is_of_this || theirs.keys().any(is_older) || !unit.pending(1).await?.is_empty() {
            return Ok(None);
        }
        let mut ours: BTreeMap<String, Sum> = BTreeMap::new();
        let defaults = defaults(theirs)?;
        let none = Defaults::default();
        for located in unit.objects(None).await? {
            let of_model = defaults.get(&located.model).unwrap_or(&none);
            let sum = ours.entry(located.model).or_default();
            add(sum, &located.id, &located.object, of_model)?;
        }

        let models: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        let differences = models.into_iter().filter_map(|model| {
            let sum = ours.get(model).copied().unwrap_or_default().finish(Defaults::default());
            let none = || Sum::default().finish(Defaults::default());
            // A model that the server does not compare is listed without a checksum.
            let theirs = theirs.get(model).cloned().unwrap_or_else(|| Some(none()))?;
            let is_equal =
                (sum.count, &sum.ids, &sum.values) == (theirs.count, &theirs.ids, &theirs.values);
            let model = model.clone();
            (!is_equal).then_some(Difference { model, here: sum.count, there: theirs.count })
        });
        Ok(Some(differences.collect()))
    }
}

fn defaults(
    theirs: &BTreeMap<String, Option<Checksum>>,
) -> Result<BTreeMap<String, Defaults>, DeviceError> {
    let of_model = |(model, checksum): (&String, &Checksum)| {
        let texts: Vec<(&String, String)> =
            checksum.defaults.iter().map(|(name, value)| (name, value.to_string())).collect();
        let defaults = Defaults::read(texts.iter().map(|(name, text)| (name.as_str(), &**text)));
        let invalid = |cause| DeviceError::InvalidAnswer(format!("a default is no JSON: {cause}"));
        Ok((model.clone(), defaults.map_err(invalid)?))
    };
    let known = theirs.iter().filter_map(|(model, sum)| Some((model, sum.as_ref()?)));
    known.map(of_model).collect()
}

/// Adds an object as the server has acknowledged it.
fn add(sum: &mut Sum, id: &str, object: &Object, defaults: &Defaults) -> Result<(), StoreError> {
    let Some(record) = &object.acknowledged else { return Ok(()) };
    let fields: Vec<(&String, String)> =
        record.fields().iter().map(|(name, value)| (name, value.to_string())).collect();
    let fields = fields.iter().map(|(name, text)| (name.as_str(), &**text));
    sum.add(id, fields, defaults).map_err(StoreError::new)
}
