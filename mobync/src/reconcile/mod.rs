//! The rows have the last word: what they say that the log does not, as entries of the server's own.
//!
//! Pure, as the merge is. *Once* and *Quiet* are kept here: behind the entries that are made of a
//! difference there is none, and where nothing differs nothing is made.

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
