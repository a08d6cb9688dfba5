// The guides are also read as files: there their links lead to files, in rustdoc to items. The first
// definition of a link counts.
#![doc = include_str!("links.md")]
#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod any;
mod change;
mod checksum;
#[cfg(feature = "client")]
pub mod client;
mod database;
mod diff;
mod engine;
mod error;
mod filter;
pub mod follow;
mod grant;
mod hash;
pub mod http;
mod json;
mod live;
mod locks;
#[cfg(feature = "memory")]
pub mod memory;
pub mod merge;
mod owner;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod protocol;
mod reconcile;
mod record;
mod retention;
mod rules;
pub mod schema;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub mod sql;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod synchronizer;
mod unit;

#[doc = include_str!("links.md")]
#[doc = include_str!("../EXISTING.md")]
pub mod existing {}

#[doc = include_str!("../PERFORMANCE.md")]
pub mod performance {}

#[doc = include_str!("links.md")]
#[doc = include_str!("../SCHEMAS.md")]
pub mod schemas {}

#[doc = include_str!("links.md")]
#[doc = include_str!("../SHARING.md")]
pub mod sharing {}

pub use self::{
    any::{AnyDatabase, AnyRules, AnyUnit},
    change::Change,
    database::{Access, Database, Turns},
    diff::{Diff, Operation},
    engine::{Compacted, Mobync, Retention},
    error::{DatabaseError, Error},
    filter::{FilterType, ReadFilter},
    grant::Grant,
    live::Live,
    merge::{Snapshot, Window, Write},
    owner::{InvalidOwner, Owner},
    protocol::{Checksum, Overridden, OverriddenField, Refused, SyncRequest, SyncResponse},
    reconcile::{Differences, Reconciled, SkippedRow},
    record::Record,
    rules::{NoRules, Refusal, Rules, View},
    synchronizer::Synchronizer,
    unit::{IdleQuery, Mark, Rejection, Rewrite, SetOff, UnitOfWork, Will, WindowQuery},
};
