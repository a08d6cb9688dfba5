//! The spaces of a person on one device, against a server that knows them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
#![allow(unreachable_pub, reason = "the modules are as those of a library")]

mod batches;
mod failures;
mod follow;
mod killed;
mod laws;
mod stores;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
mod town;
mod whose;
