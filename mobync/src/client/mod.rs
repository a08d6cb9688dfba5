//! The device's side of a sync, for applications in Rust: desktop, command line, mobile by FFI.
//!
//! | part | is |
//! | --- | --- |
//! | [`Device`] | what the protocol says of a client, without a network: it records changes, hands out requests, takes answers |
//! | [`LocalStore`] | where a device keeps all that: [`MemoryStore`], `SqliteStore` (feature `client-sqlite`), or your own |
//! | [`Transport`] | the way to a server and back: `HttpTransport` (feature `client-http`), or your own |
//! | [`Client`] | a device and a transport: syncs, waits and tries again |
//!
//! Reads see writes immediately, with or without a network. Changes that the server refuses, or that
//! cannot be sent at all, are undone, and listed in [`Device::refused`] until the person has seen them.
//! A server that answers `clock_ahead` was restored from a backup, or is another server: see
//! [`Device::resync`].
//!
//! Give each account its own store, and set its owner with [`Device::of_owner`]. [`Client::run`] keeps
//! the device synced. Call [`Client::wake`] when there is another network, or when the app comes to the
//! foreground.

mod device;
mod driver;
mod error;
mod failure;
mod folding;
#[cfg(feature = "client-http")]
mod http;
mod memory;
mod request;
mod settle;
#[cfg(feature = "client-sqlite")]
mod sqlite;
mod store;
mod transport;

#[cfg(feature = "client-http")]
pub use self::http::HttpTransport;
#[cfg(feature = "client-sqlite")]
pub use self::sqlite::{SqliteStore, SqliteUnit};
pub use self::{
    device::Device,
    driver::Client,
    error::{DeviceError, StoreError},
    failure::SyncFailure,
    memory::{MemoryStore, MemoryStoreUnit},
    request::{Changed, Changes, Request, Taken},
    store::{LocalStore, LocalUnit, Located, Object, Pending, RefusedDiff, State},
    transport::{NoAnswer, Reply, Transport},
};
