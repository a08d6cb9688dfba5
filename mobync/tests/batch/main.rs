//! Several requests in one: each member is answered as if it were alone.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
#![allow(clippy::needless_pass_by_value, reason = "`json!` is written where it is needed")]

mod alone;
mod apart;
mod grants;
mod idle;
mod isolation;
mod large;
#[path = "../support/mod.rs"]
mod support;
mod town;
mod whole;
