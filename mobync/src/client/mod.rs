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
//! A local database belongs to one person on one server. Give each account its own store, and set its owner with
//! [`Device::of_owner`]; otherwise it is learned from the first answer. If another account logs in, the sync fails
//! before anything is sent or applied ([`SyncFailure::is_other_owner`]), unless the application lets it take over:
//! [`Client::other_account`]. When the person logs out, [`Device::unsent`] says whether anything is unsent, and
//! [`Device::destroy`] deletes everything.
//!
//! [`Client::run`] keeps the device synced. Call [`Client::wake`] when there is another network, or when the app
//! comes to the foreground.
//!
//! # Spaces
//!
//! Several people can share a *space*: the list of a family, the tasks of a project. Each space is a [`Device`] of
//! its own within the person's store, and the client syncs all of them with one request:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use mobync::{Record, client::{Client, Device, MemoryStore}};
//! # #[cfg(feature = "client-http")]
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use mobync::client::HttpTransport;
//!
//! let server = HttpTransport::new("https://example.com/sync")?.token("secret");
//! // The person's own model `memberships` lists their spaces.
//! let client = Client::new(Device::new(MemoryStore::new()), server).follow("memberships", "list");
//! let running = client.clone();
//! tokio::spawn(async move { running.run(Duration::from_mins(1), |_| {}).await });
//!
//! for space in client.spaces().await? {
//!     match space.left {
//!         None => println!("{}: {:?}", space.name, client.space(&space.name).all("tasks").await?),
//!         Some(message) => println!("{}: {message}", space.name),
//!     }
//! }
//! client.space("family").create("tasks", Record::new("t1").with("name", "Milk")).await?;
//! # Ok(())
//! # }
//! ```
//!
//! | what happens | what the client does |
//! | --- | --- |
//! | a space is [joined](Client::join), by the application or by the list that it [follows](Client::follow) | it fetches it in pages, like a new device; [`Status::spaces`] shows the progress |
//! | the person is no member any more, or [leaves](Client::leave) | the objects go, unsent changes are among the [refused](Device::refused) ones with the code `no_member`, and nothing is sent for it until it is joined again |
//! | one space fails | the others, and the person's own data, are synced; it waits by itself ([`SyncFailure::Space`]) |
//! | the server does not know spaces yet | the person's own data is synced, and the spaces wait ([`SyncFailure::NoSpaces`]) |
//!
//! A [`Transport`] of one's own implements [`Transport::send_all`] for spaces, and a [`LocalStore`]
//! [`begin_space`](LocalStore::begin_space).

mod batch;
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
    batch::Syncs,
    device::Device,
    driver::{Client, OtherAccount, SpaceStatus, Status},
    error::{DeviceError, StoreError},
    failure::SyncFailure,
    memory::{MemoryStore, MemoryStoreUnit},
    request::{Changed, Changes, Difference, Request, Space, Synced, Taken, Unsent},
    store::{LocalStore, LocalUnit, Located, Object, OverriddenDiff, Pending, RefusedDiff, State},
    transport::{NoAnswer, Reply, Transport},
};
