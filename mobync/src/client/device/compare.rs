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
    /// pending, or another answer has been applied since.
    ///
    /// # Errors
    /// [`DeviceError::Store`], or [`DeviceError::InvalidAnswer`] if the checksums cannot be read.
    pub async fn compare(
        &self,
        answer: &SyncResponse,
    ) -> Result<Option<Vec<Difference>>, DeviceError> {
        let Some(theirs) = &answer.check else { return Ok(None) };
        let mut unit = self.store.begin(Access::Read).await?;
        let clock = unit.state().await?.clock;
        if clock != answer.logical_clock || !unit.pending(1).await?.is_empty() {
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
            let theirs = theirs.get(model).cloned();
            let theirs = theirs.unwrap_or_else(|| Sum::default().finish(Defaults::default()));
            let is_equal =
                (sum.count, &sum.ids, &sum.values) == (theirs.count, &theirs.ids, &theirs.values);
            let model = model.clone();
            (!is_equal).then_some(Difference { model, here: sum.count, there: theirs.count })
        });
        Ok(Some(differences.collect()))
    }
}

fn defaults(
    theirs: &BTreeMap<String, Checksum>,
) -> Result<BTreeMap<String, Defaults>, DeviceError> {
    let of_model = |(model, checksum): (&String, &Checksum)| {
        let texts: Vec<(&String, String)> =
            checksum.defaults.iter().map(|(name, value)| (name, value.to_string())).collect();
        let defaults = Defaults::read(texts.iter().map(|(name, text)| (name.as_str(), &**text)));
        let invalid = |cause| DeviceError::InvalidAnswer(format!("a default is no JSON: {cause}"));
        Ok((model.clone(), defaults.map_err(invalid)?))
    };
    theirs.iter().map(of_model).collect()
}

/// Adds an object as the server has acknowledged it.
fn add(sum: &mut Sum, id: &str, object: &Object, defaults: &Defaults) -> Result<(), StoreError> {
    let Some(record) = &object.acknowledged else { return Ok(()) };
    let fields: Vec<(&String, String)> =
        record.fields().iter().map(|(name, value)| (name, value.to_string())).collect();
    let fields = fields.iter().map(|(name, text)| (name.as_str(), &**text));
    sum.add(id, fields, defaults).map_err(StoreError::new)
}
