//! Why a sync has failed.

use std::time::Duration;

use super::DeviceError;
use crate::{diff::Diff, error::BoxError};

/// Why a sync has failed. Nothing is lost: pending changes stay pending.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncFailure {
    /// There is no network, or the server cannot answer now. Try again later.
    #[error("there is no answer for now: {reason}")]
    NoAnswer {
        /// The time to wait, if the server says so.
        retry_after: Option<Duration>,
        /// A description with all causes, for a log.
        reason: String,
        /// The error of the transport, if there was one.
        #[source]
        cause: Option<BoxError>,
    },
    /// The answer is larger than the transport reads.
    #[error(
        "the answer has more than {most_bytes} bytes: have the transport take more, as by \
         HttpTransport::most_answer_bytes"
    )]
    AnswerTooLarge {
        /// The limit of the transport, in bytes.
        most_bytes: usize,
    },
    /// The server rejects the token, and also a new one: ask the person to log in.
    #[error("{message}")]
    Unauthenticated {
        /// The server's message.
        message: String,
    },
    /// The server refuses the request. It fails again until the app is updated, the server is fixed, or
    /// the diff is [withdrawn](super::Device::withdraw).
    #[error("{message}")]
    Refused {
        /// A code such as `unknown_field`; see the [protocol](crate::protocol::document).
        code: String,
        /// The server's message.
        message: String,
        /// The diff that is the cause, if it is a diff.
        diff: Option<Diff>,
    },
    /// The server does not accept the app's version of the [schema](crate::schema) any more. Everything is kept:
    /// the person has to update the app.
    #[error("{message}")]
    UpgradeRequired {
        /// The least version that the server accepts.
        min_schema: Option<u64>,
        /// The server's message.
        message: String,
    },
    /// The server or a proxy refuses even a small request as too large, so its limit must be wrong. (A
    /// diff that is too large by itself is [set aside](super::Device::set_aside), which is not a
    /// failure.)
    #[error("{message}")]
    TooLarge {
        /// The server's message.
        message: String,
        /// The diff; `None` if even a request without diffs is too large.
        diff: Option<Diff>,
    },
    /// The server has lost history, or is another server. Ask a person which of the two it is before you
    /// continue: see [`Device::resync`](super::Device::resync).
    #[error("{message}")]
    ClockAhead {
        /// The server's message.
        message: String,
    },
    /// The server's history is not the one that this device has synced with: it was restored from a backup
    /// and has been used since, or it is another server. Ask a person, as for
    /// [`ClockAhead`](Self::ClockAhead).
    #[error("{message}")]
    OtherHistory {
        /// The server's message.
        message: String,
    },
    /// The account is not the one that this device's data is of. Nothing was sent that the account could
    /// keep, and nothing was applied; everything stays pending. Open another store for this account, or
    /// [`destroy`](super::Device::destroy) this one. See also [`Client::other_account`](super::Client::other_account).
    #[error("{message}")]
    OtherOwner {
        /// The server's message.
        message: String,
    },
    /// The server does not know spaces yet. The person's own data is synced; the spaces wait for a newer
    /// server.
    #[error("the server does not know spaces yet: they are synced when it has been updated")]
    NoSpaces,
    /// The sync of a space has failed. All others, and the person's own data, have been synced.
    #[error("the space {space:?}: {failure}")]
    Space {
        /// The name of the space.
        space: String,
        /// Why its sync has failed.
        failure: Box<SyncFailure>,
    },
    /// The local database was [deleted](super::Device::destroy). Make a new device with the store, and a new
    /// client.
    #[error("this device's data was deleted: make a new device with the store, and a new client")]
    Destroyed,
    /// The device's own store failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl SyncFailure {
    /// Whether the same request can succeed later without any action.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Space { failure, .. } => failure.is_temporary(),
            _ => false,
        }
    }

    /// Whether the account is another person's than the one that this device's data is of.
    pub fn is_other_owner(&self) -> bool {
        matches!(self, Self::OtherOwner { .. } | Self::Device(DeviceError::OtherOwner { .. }))
    }

    /// Whether the server has lost history, or is another server, so that only
    /// [`Device::resync`](super::Device::resync) helps, once somebody has confirmed that it is the right
    /// one.
    pub fn needs_resync(&self) -> bool {
        matches!(self, Self::ClockAhead { .. } | Self::OtherHistory { .. })
    }

    /// The sentence, without what it has in common with others of its kind.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::NoAnswer { reason, .. } => reason.clone(),
            other => other.to_string(),
        }
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NoAnswer { retry_after, .. } => *retry_after,
            Self::Space { failure, .. } => failure.retry_after(),
            _ => None,
        }
    }
}
