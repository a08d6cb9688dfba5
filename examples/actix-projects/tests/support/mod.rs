//! The real program, and people who talk to it over HTTP.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

#[path = "../../../todo/tests/support/chromium/mod.rs"]
mod chromium;
#[path = "../../../../mobync/tests/support/postgres.rs"]
mod postgres;
mod server;

pub use self::{
    chromium::{Browser, Device, until},
    server::{Live, Server, changes, diff, on_every_database},
};
