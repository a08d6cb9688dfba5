//! Arbitrary and mutated requests through every framework, in its own process and without sockets.
//!
//! A case is one request. It goes through the bare endpoint, axum, actix-web and Rocket, each with a
//! memory database of its own, a fixed clock, and a small limit. On every case:
//!
//! - nothing panics, and nothing of the inside is told;
//! - all of them answer alike, to the byte and in the headers that the protocol speaks of, and keep the
//!   same log and rows;
//! - status and code are those that `expect.rs` reads in the protocol's text, and the JSON has its shape;
//! - a failure changes nothing, for no owner; a success changes its owner alone, advances the clock by
//!   one if there is something new, logs each new diff once, and does nothing when it comes again;
//! - a new device gets the rows that are there;
//! - several requests in one are answered with the bytes that each of them gets alone, on a fifth server.
//!
//! Cases come in sessions, so that requests meet what earlier ones left; a session depends on its seed
//! alone. A failing one is reduced before it is told. To play more, or one again:
//!
//! ```text
//! FUZZ_CASES=5000000 cargo test --release -p conformance --test fuzz -- --nocapture
//! FUZZ_SEED=17       cargo test           -p conformance --test fuzz -- --nocapture
//! ```
//!
//! `FUZZ_FIRST` says with which seed to begin.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::large_futures, reason = "all servers' are in one")]
#![allow(clippy::panic, reason = "that is how a test fails")]
#![allow(unreachable_pub, reason = "the modules are as those of a library")]

mod case;
mod draw;
mod expect;
mod json;
mod judge;
mod mutate;
mod run;
mod servers;
mod session;
mod several;
mod shrink;
mod state;
mod words;

#[test]
fn whatever_comes_all_frameworks_answer_as_the_text_says() {
    run::run(2_000);
}
