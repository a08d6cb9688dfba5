//! Offline-first sync for any Rust backend.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "client")]
pub mod client;
mod database;
mod diff;
mod engine;
mod error;
mod filter;
pub mod http;
mod locks;
#[cfg(feature = "memory")]
pub mod memory;
pub mod merge;
mod owner;
pub mod protocol;
mod record;
mod rules;
mod synchronizer;

pub use self::{
    database::{Access, Database},
    diff::{Diff, Operation},
    engine::Mobync,
    error::{DatabaseError, Error},
    filter::{FilterType, ReadFilter},
    owner::{InvalidOwner, Owner},
    protocol::{Refused, SyncRequest, SyncResponse},
    record::Record,
    rules::{NoRules, Refusal, Rules, View},
    synchronizer::{Change, Rejection, Synchronizer, Window, WindowQuery},
};
