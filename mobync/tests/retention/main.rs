//! Retention: the laws *Twin*, *Fold*, *Exact* and *No undead* of the protocol, on every database, and the
//! results of a compaction.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod examples;
mod paces;
mod patience;
#[path = "../support/mod.rs"]
mod support;
mod twin;
