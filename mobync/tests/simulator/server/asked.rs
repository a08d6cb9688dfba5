//! The optional parts of an answer, according to the text.

use std::collections::BTreeMap;

use mobync::{Checksum, Overridden, OverriddenField, SyncResponse};

use crate::oracle::{Answer, Lost};

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

/// A model without objects counts as one that is not named.
pub fn sums(check: &BTreeMap<String, Checksum>) -> BTreeMap<String, (u64, u64, u64)> {
    let number = |digits: &String| u64::from_str_radix(digits, 16).unwrap();
    let sum = |(model, it): (&String, &Checksum)| {
        (model.clone(), (it.count, number(&it.ids), number(&it.values)))
    };
    check.iter().map(sum).filter(|(_, sum)| *sum != (0, 0, 0)).collect()
}
