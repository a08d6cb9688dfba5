//! The rows are authoritative: turns differences between the rows and the log into entries of the server's
//! own.
//!
//! Pure, like the merge. This module keeps *Once* and *Quiet*: after the entries for a difference there is no
//! difference left, and without a difference there are no entries.

mod compare;
mod order;
mod report;
mod skipped;
#[cfg(test)]
mod tests;
mod value;

pub(crate) use self::{
    compare::{Difference, Differs, Rest, Row, Said, Schema},
    order::{MOST_IN_A_TICK, entries},
    value::same,
};
pub use self::{
    report::{Differences, Reconciled},
    skipped::SkippedRow,
};
