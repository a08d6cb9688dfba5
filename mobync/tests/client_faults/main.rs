//! What networks, gateways and other people's servers do to a client: nothing is lost by it, nothing
//! reaches the wrong account, and it ends by itself.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
#![allow(clippy::needless_pass_by_value, reason = "`json!` is written where it is needed")]
#![allow(unreachable_pub, reason = "the modules are as those of a library")]

mod answers;
mod http;
mod owners;
mod scripted;
#[path = "../support/mod.rs"]
mod support;
mod tokens;
mod unsendable;
mod waits;
mod way;
