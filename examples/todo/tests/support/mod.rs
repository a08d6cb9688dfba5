//! The real program on a port, a network that can be cut, and browsers on it.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod chromium;
mod proxy;
mod server;
mod tasks;

pub use self::{
    chromium::{Browser, Device, until},
    proxy::{Network, Proxy},
    server::Server,
};
