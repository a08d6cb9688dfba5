//! The device's side of a sync, for applications in Rust: desktop, command line, mobile by FFI.
//!
//! | part | is |
//! | --- | --- |
//! | [`Device`] | the client's part of the protocol, without a network: it records changes, creates requests, applies answers |
//! | [`LocalStore`] | where a device keeps its data: [`MemoryStore`], `SqliteStore` (feature `client-sqlite`), or your own |
//! | [`Transport`] | the connection to a server: `HttpTransport` (feature `client-http`), or your own |
//! | [`Client`] | a device and a transport: syncs, waits and tries again |
//!
//! Reads see writes immediately, with or without a network. Changes that the server refuses, or that
//! cannot be sent at all, are undone, and listed in [`Device::refused`] until the person has seen them.
//! Values of this device that others have overridden are listed in [`Device::overridden`].
//!
//! | what happens over the years | what the client does |
//! | --- | --- |
//! | a new device, or one that was away, has much to fetch | it fetches pages of about 1 MiB, and applies each immediately; [`Client::status`] shows the progress |
//! | the server no longer keeps what the device has missed (`too_old`) | it fetches everything again, and keeps unsent changes |
//! | the server was restored from a backup, or is another one (`clock_ahead`, `other_history`) | it stops until a person has called [`Device::resync`], unless the application has turned on [`Client::recover`] |
//! | somebody doubts that the copy is right | [`Client::check`] compares it with the server's; [`Client::refetch`] fetches it again |
//!
//! # When the schema changes
//!
//! Add a [`Step`](crate::schema::Step) to the list that the app and the server share, and open each device with
//! it: [`Device::schema`] updates the data of an earlier version in place, with everything that is pending, and
//! refuses data of a later one. The next sync fetches everything once more, beside what the device has, for the
//! fields that the earlier version was not sent.
//!
//! ```
//! use mobync::{Record, client::{Device, MemoryStore}, schema::Schema};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let store = MemoryStore::new();
//! let schema: Schema = serde_json::from_str(
//!     r#"[{"since": 2, "model": "tasks", "rename": "name", "to": "title"}]"#,
//! )?;
//! let device = Device::new(store).schema(schema).await?;
//! device.create("tasks", Record::new("t1").with("title", "Milk")).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A server that does not accept the app's version any more answers with [`SyncFailure::UpgradeRequired`], and
//! one that does not know it yet with [`SyncFailure::Refused`] and the code `unknown_field` or `unknown_model`.
//! In both cases everything stays pending, until the app or the server has been updated.
//!
//! # Accounts
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
    driver::{Client, Status},
    error::{DeviceError, StoreError},
    failure::SyncFailure,
    memory::{MemoryStore, MemoryStoreUnit},
    request::{Changed, Changes, Difference, Request, Synced, Taken},
    store::{LocalStore, LocalUnit, Located, Object, OverriddenDiff, Pending, RefusedDiff, State},
    transport::{NoAnswer, Reply, Transport},
};
