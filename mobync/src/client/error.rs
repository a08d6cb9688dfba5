//! Why an operation on the device failed. Nothing of it was stored.

use crate::error::BoxError;

/// Why an operation on the device failed. Nothing of it was stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// A create of an object that the device has: update it instead.
    #[error("the model {model} has an object {id} already")]
    AlreadyThere {
        /// The object's model.
        model: String,
        /// The object's id.
        id: String,
    },
    /// An update or a delete of an object that the device does not have.
    #[error("the model {model} has no object {id}")]
    NotThere {
        /// The object's model.
        model: String,
        /// The object's id.
        id: String,
    },
    /// A change that no server would accept: an empty or long name, an integer beyond 64 bits, deep nesting.
    /// The sentence says what is wrong.
    #[error("the change is not valid: {0}")]
    InvalidChange(String),
    /// A change that is larger than [a server accepts](super::Device::most_change_bytes): split it.
    #[error("the change has {bytes} bytes, and may have {most}: split it into several")]
    ChangeTooLarge {
        /// The size of the change on the wire, in bytes.
        bytes: usize,
        /// The greatest size, in bytes.
        most: usize,
    },
    /// The store and the account belong to different owners. Nothing was sent or applied. If they are the
    /// same and `owner` is not known, call [`Device::of_owner`](super::Device::of_owner).
    #[error(
        "this device's data is of {}, and not of {other}: give each account a store of its own",
        owner.as_deref().unwrap_or("somebody else")
    )]
    OtherOwner {
        /// The owner of the store, if it is known.
        owner: Option<String>,
        /// The owner that the server answers for, or that the application has named.
        other: String,
    },
    /// The application has named another server than before. Nothing was sent or applied.
    #[error(
        "this device's data is of the server {server:?}, and not of {other:?}: give each its own store"
    )]
    OtherServer {
        /// The server of the store.
        server: String,
        /// The server that the application has named now.
        other: String,
    },
    /// The person is not, or no longer, a member of the space, as far as the device knows. See
    /// [`Device::join`](super::Device::join).
    #[error("the space {space:?} is not joined")]
    NotJoined {
        /// The name of the space.
        space: String,
    },
    /// Everything was [deleted](super::Device::destroy), for example because the person has logged out. Make a
    /// new device with the store.
    #[error("this device's data was deleted: make a new device with the store")]
    Destroyed,
    /// The name of a space is 1 to 1,024 bytes, without a NUL.
    #[error("the name of a space must have 1 to 1,024 bytes, and no NUL")]
    InvalidSpace,
    /// The data has a later version of the schema than the app: an earlier version of the app was installed
    /// again. Nothing has changed.
    #[error(
        "this device's data has the schema version {data}, and this app has only {app}: install the app's \
         latest version"
    )]
    NewerData {
        /// The version of the data.
        data: u64,
        /// The version of the app.
        app: u64,
    },
    /// The diff is neither pending nor refused.
    #[error("there is no diff {0}")]
    NoSuchDiff(String),
    /// The answer is not one of this protocol. Treat it as no answer, and send the request again.
    #[error("the answer is not valid: {0}")]
    InvalidAnswer(String),
    /// The local store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The local store failed, and stored nothing of the unit of work.
#[derive(Debug, thiserror::Error)]
#[error("the device's store failed")]
pub struct StoreError(#[source] BoxError);

impl StoreError {
    /// The store failed, for this cause.
    pub fn new(cause: impl Into<BoxError>) -> Self {
        Self(cause.into())
    }
}
