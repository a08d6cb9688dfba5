//! What a sync costs: a load generator for any server that speaks the protocol, and the least that the
//! same work could cost, measured in the same run.
//!
//! A [`Workload`] is what devices do; [`drive()`] lets them do it, over connections that each wait for
//! their answers; a [`Server`] is what they do it to. The [`rows`] set servers against their floors.

mod body;
mod connection;
pub mod drive;
mod places;
mod report;
pub mod rows;
pub mod serve;
mod server;
#[allow(dead_code, unreachable_pub, reason = "shared with tests that use more of it")]
#[path = "../../../mobync/tests/support/postgres.rs"]
mod throwaway;
mod transactions;
mod workload;

pub use self::{
    drive::{Measured, Until, drive},
    places::{Database, Places},
    report::Report,
    serve::{Framework, What},
    server::Server,
    workload::Workload,
};

/// Whatever ends a run; it is told to a person, and nothing goes on.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A result of something that ends the run if it fails.
pub type Result<T, E = Failure> = std::result::Result<T, E>;
