//! The device's side of a sync, for applications in Rust: desktop, command line, mobile by FFI.
//!
//! A [`Device`] keeps the objects and the changes in a [`LocalStore`], and reads see writes at once.
//!
//! | part | is |
//! | --- | --- |
//! | [`Device`] | what the protocol says of a client, without a network |
//! | [`LocalStore`] | where a device keeps things: [`MemoryStore`], `SqliteStore`, or your own |

mod device;
mod error;
mod memory;
mod request;
mod settle;
#[cfg(feature = "client-sqlite")]
mod sqlite;
mod store;

#[cfg(feature = "client-sqlite")]
pub use self::sqlite::{SqliteStore, SqliteUnit};
pub use self::{
    device::Device,
    error::{DeviceError, StoreError},
    memory::{MemoryStore, MemoryStoreUnit},
    request::{Changed, Changes, Request, Taken},
    store::{LocalStore, LocalUnit, Located, Object, Pending, RefusedDiff, State},
};
