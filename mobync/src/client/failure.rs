//! Why a sync has not come to its end. Nothing is lost: what is pending stays so.

use std::time::Duration;

use super::DeviceError;
use crate::{diff::Diff, error::BoxError};

/// Why a sync has not come to its end. Nothing is lost by it: what is pending stays so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncFailure {
    /// There is no network, or the server cannot answer now. Try again later.
    #[error("there is no answer for now: {reason}")]
    NoAnswer {
        /// After how long, if the server says so.
        retry_after: Option<Duration>,
        /// What is known of it, with all causes, for a log.
        reason: String,
        /// The error of the transport, where there was one.
        #[source]
        cause: Option<BoxError>,
    },
    /// The answer is larger than the transport reads.
    #[error(
        "the answer has more than {most_bytes} bytes: have the transport take more, as by \
         HttpTransport::most_answer_bytes"
    )]
    AnswerTooLarge {
        /// What the transport reads at most, in bytes.
        most_bytes: usize,
    },
    /// The server takes neither the token nor a new one: ask the person to log in.
    #[error("{message}")]
    Unauthenticated {
        /// The server's sentence.
        message: String,
    },
    /// The server does not take the request. It fails again until the app is updated, the server
    /// mended, or the diff [withdrawn](super::Device::withdraw).
    #[error("{message}")]
    Refused {
        /// `unknown_field` and its like; see the [protocol](crate::protocol::document).
        code: String,
        /// The server's sentence.
        message: String,
        /// The diff to blame, where it is one.
        diff: Option<Diff>,
    },
    /// Something so small is too large for the server, or for what stands in front of it, that its
    /// limit must be wrong. (A diff that alone is too large is [set
    /// aside](super::Device::set_aside), and is no failure.)
    #[error("{message}")]
    TooLarge {
        /// The server's sentence.
        message: String,
        /// The diff; none if even a request without diffs is.
        diff: Option<Diff>,
    },
    /// The server has lost history, or is another one. Ask a person which of the two it is, and do
    /// not go on by yourself: see [`Device::resync`](super::Device::resync).
    #[error("{message}")]
    ClockAhead {
        /// The server's sentence.
        message: String,
    },
    /// The device's own store failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}

impl SyncFailure {
    /// Whether the same request can go well later, without anybody doing anything.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::NoAnswer { .. })
    }

    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::NoAnswer { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
