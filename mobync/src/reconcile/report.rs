//! The result of reconciling.

use std::collections::BTreeMap;

use super::{Difference, Differs, SkippedRow};

/// The number of ids and rows that are listed.
const SHOWN: usize = 10;

/// The differences between rows and log, returned by [`Mobync::reconcile`](crate::Mobync::reconcile) and
/// its variants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reconciled {
    /// Each model that was compared.
    pub models: BTreeMap<String, Differences>,
    /// How many rows were skipped, because no diff can represent them.
    pub skipped_rows: u64,
    /// The first few of these.
    pub skipped: Vec<SkippedRow>,
    /// The models whose rows could not be read, for example because a table was altered since the start.
    pub unreadable: Vec<String>,
}

/// The differences between the rows of a model and the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Differences {
    /// How many rows were compared.
    pub rows: u64,
    /// How many of them the log did not have.
    pub creates: u64,
    /// How many had other values in the log.
    pub updates: u64,
    /// How many objects of the log had no row.
    pub deletes: u64,
    /// The ids of the first few objects that differed.
    pub objects: Vec<String>,
}

impl Reconciled {
    /// How many objects differed.
    pub fn differences(&self) -> u64 {
        self.models.values().map(|it| it.creates + it.updates + it.deletes).sum()
    }

    pub(crate) fn add_rows(&mut self, model: &str, rows: usize) {
        self.models.entry(model.to_owned()).or_default().rows += rows as u64;
    }

    pub(crate) fn add_difference(&mut self, difference: &Difference) {
        let model = self.models.entry(difference.model.clone()).or_default();
        let count = match difference.change {
            Differs::Create(_) => &mut model.creates,
            Differs::Update(_) => &mut model.updates,
            Differs::Delete => &mut model.deletes,
        };
        *count += 1;
        if model.objects.len() < SHOWN {
            model.objects.push(difference.id.clone());
        }
    }

    pub(crate) fn skip(&mut self, rows: u64, shown: impl IntoIterator<Item = SkippedRow>) {
        self.skipped_rows += rows;
        let room = SHOWN.saturating_sub(self.skipped.len());
        self.skipped.extend(shown.into_iter().take(room));
    }

    pub(crate) fn add_unreadable(&mut self, model: &str) {
        if !self.unreadable.iter().any(|known| known == model) {
            self.unreadable.push(model.to_owned());
        }
    }

    /// Adds the result of another owner.
    pub(crate) fn add(&mut self, other: Self) {
        for (name, Differences { rows, creates, updates, deletes, objects }) in other.models {
            let model = self.models.entry(name).or_default();
            model.rows += rows;
            model.creates += creates;
            model.updates += updates;
            model.deletes += deletes;
            let room = SHOWN.saturating_sub(model.objects.len());
            model.objects.extend(objects.into_iter().take(room));
        }
        self.skip(other.skipped_rows, other.skipped);
        other.unreadable.iter().for_each(|model| self.add_unreadable(model));
    }
}
