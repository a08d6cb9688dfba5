//! How a request gets to a server and its answer back.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use serde::Deserialize;

use super::Request;
use crate::{Diff, SyncRequest, SyncResponse, error::BoxError};

/// Takes requests to a server: over HTTP (`HttpTransport`, with the feature `client-http`), or in
/// another way.
pub trait Transport: Send + Sync + 'static {
    /// Posts a request, with the token of the account, and returns whatever came back.
    ///
    /// # Errors
    /// [`NoAnswer`] if nothing came back: no network, a connection that broke off, a time limit.
    fn send(&self, request: &SyncRequest) -> impl Future<Output = Result<Reply, NoAnswer>> + Send;

    /// Gets a new token, because the server does not take this one; whether there is one now.
    /// Provided: no.
    fn renew(&self) -> impl Future<Output = bool> + Send {
        async { false }
    }
}

/// What came back from a server, or from what stands in front of it.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// After how long to try again, if it says so (the header `Retry-After`, in seconds).
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

/// Nothing came back.
#[derive(Debug, thiserror::Error)]
#[error("there is no answer")]
pub struct NoAnswer(#[source] BoxError);

impl NoAnswer {
    /// Nothing came back, for this cause.
    pub fn new(cause: impl Into<BoxError>) -> Self {
        Self(cause.into())
    }
}

/// What a reply means to a device.
pub(super) enum Heard {
    Answer(SyncResponse),
    /// No answer of this protocol: the same request, later.
    Nothing {
        retry_after: Option<Duration>,
        reason: String,
    },
    Unauthenticated {
        message: String,
    },
    TooLarge {
        message: String,
    },
    ClockAhead {
        message: String,
    },
    Refused {
        code: String,
        message: String,
        diff: Option<Diff>,
    },
}

#[derive(Deserialize)]
struct Failure {
    message: String,
    code: String,
    diff_id: Option<String>,
}

impl Reply {
    pub(super) fn hear(&self, request: &Request) -> Heard {
        let Self { status, retry_after, ref body } = *self;
        let nothing = |reason| Heard::Nothing { retry_after, reason };
        if status == 200 {
            let answer = serde_json::from_slice::<SyncResponse>(body).ok();
            let answer = answer.filter(|answer| answer.success);
            return answer.map_or_else(
                || nothing("the answer is not one of a sync server".to_owned()),
                Heard::Answer,
            );
        }
        // Servers in front have limits as well, and do not speak this protocol.
        let Ok(Failure { message, code, diff_id }) = serde_json::from_slice(body) else {
            let message = format!("the server answered with status {status}");
            return if status == 413 { Heard::TooLarge { message } } else { nothing(message) };
        };
        match (status, &*code) {
            (401, _) => Heard::Unauthenticated { message },
            (409, "clock_ahead") => Heard::ClockAhead { message },
            (413, _) => Heard::TooLarge { message },
            // What a device sends is valid, so this body broke off on its way.
            (400, "invalid_request") => nothing(message),
            (400..500, _) => {
                let diff = diff_id.and_then(|id| request.diff(&id).cloned());
                Heard::Refused { code, message, diff }
            }
            _ => nothing(message),
        }
    }
}
