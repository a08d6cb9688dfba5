//! A device over years: long logs in pages, restored servers, long absences, overridden values, and stores of
//! older versions.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
#![allow(clippy::needless_pass_by_value, reason = "`json!` is written where it is needed")]
#![allow(unreachable_pub, reason = "the modules are as those of a library")]

mod again;
mod away;
mod copy;
mod history;
mod line;
mod lost;
mod old_store;
mod pages;
mod recovered;
mod shelf;
#[path = "../support/mod.rs"]
mod support;
