//! What a sync costs: a load generator for any server of the protocol, and the least that the same work
//! could cost, measured in the same run.
//!
//! A [`Workload`] is what devices do. [`drive()`] runs it over connections, each of which waits for its
//! answers. A [`Server`] is what they sync with. The [`rows`] compare servers with their floors.

mod body;
mod compaction;
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

/// An error that ends a run. It is shown to the person.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A result whose error ends the run.
pub type Result<T, E = Failure> = std::result::Result<T, E>;
