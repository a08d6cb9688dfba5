//! A row that is skipped, because no diff can represent it.

/// A row that [`reconcile`](crate::Mobync::reconcile) or an import skipped, because no diff can represent it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SkippedRow {
    /// Its owner, as text.
    pub owner: String,
    /// Its id, as text; empty if the owner is the reason.
    pub id: String,
    /// The reason, as the end of a sentence: "the id must not be empty".
    pub reason: String,
}

impl SkippedRow {
    /// The row of that owner and id is skipped for this reason.
    pub fn new(owner: impl Into<String>, id: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { owner: owner.into(), id: id.into(), reason: reason.into() }
    }
}
