//! Retention: the laws *Twin*, *Fold*, *Exact* and *No undead* of the protocol, on every database; and what a
//! compaction leaves.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod examples;
#[path = "../support/mod.rs"]
mod support;
mod twin;
