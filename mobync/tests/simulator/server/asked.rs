//! The optional parts of an answer, according to the text.

use std::collections::{BTreeMap, BTreeSet};

use mobync::{Checksum, Operation, Overridden, OverriddenField, SyncResponse};
use serde_json::Value;

use crate::{
    oracle::{Answer, Lost},
    ours::same,
    versions::{self, Version},
    world::Failure,
};

/// The overridden values.
pub fn overridden(answer: &SyncResponse, told: &Answer) -> Vec<Lost> {
    let of_diff = |diff: &Overridden| {
        let diff_id = &diff.diff_id;
        let key = told.overridden.iter().find(|lost| lost.diff_id == *diff_id);
        let key = key.map(|lost| lost.key.clone()).unwrap_or_default();
        let lost = |(field, it): (&String, &OverriddenField)| Lost {
            diff_id: diff_id.clone(),
            key: key.clone(),
            field: field.clone(),
            sent: it.sent.clone(),
            stands: it.stands.clone(),
            by: Some(it.by.clone()),
        };
        diff.fields.iter().map(lost).collect::<Vec<_>>()
    };
    answer.overridden.iter().flat_map(of_diff).collect()
}

/// The models that cannot be compared.
pub fn nulls(check: &BTreeMap<String, Option<Checksum>>) -> BTreeSet<String> {
    check.iter().filter(|(_, sum)| sum.is_none()).map(|(model, _)| model.clone()).collect()
}

/// An answer to a version by the newest names, without what it has in place of a removed field.
pub fn plain(answer: &SyncResponse, version: Version) -> Result<SyncResponse, Failure> {
    let mut plain = answer.clone();
    for diff in &mut plain.diffs {
        let named = versions::now(diff);
        // It has the names of its version.
        same("the names in an answer", &version.diff(named.clone()), &versions::sorted(diff))?;
        let data: Value = serde_json::from_str(&named.json_data).unwrap();
        let is_whole = diff.operation == Operation::Create && version.has_old(&named.model);
        let said = is_whole.then(versions::replaced);
        same("what is in place of a removed field", &data.get("old").cloned(), &said)?;
        *diff = versions::diff_without_old(&named);
    }
    for lost in &mut plain.overridden {
        let fields = std::mem::take(&mut lost.fields).into_iter();
        lost.fields =
            fields.map(|(name, it)| (versions::field_now(&name).to_owned(), it)).collect();
    }
    Ok(plain)
}

/// A model without objects counts as one that is not named.
pub fn sums(check: &BTreeMap<String, Option<Checksum>>) -> BTreeMap<String, (u64, u64, u64)> {
    let number = |digits: &String| u64::from_str_radix(digits, 16).unwrap();
    let sum = |(model, it): (&String, &Option<Checksum>)| {
        let it = it.as_ref()?;
        Some((model.clone(), (it.count, number(&it.ids), number(&it.values))))
    };
    check.iter().filter_map(sum).filter(|(_, sum)| *sum != (0, 0, 0)).collect()
}
