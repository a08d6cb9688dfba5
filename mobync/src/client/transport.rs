//! How a request gets to a server, and its answer back.

use std::{error::Error, future::Future, time::Duration};

use bytes::Bytes;
use serde::Deserialize;

use super::{Request, SyncFailure, Syncs};
use crate::{
    error::BoxError,
    protocol::{SyncRequest, SyncResponse},
};

/// Sends requests to a server: over HTTP (`HttpTransport`, with the feature `client-http`), or in
/// another way.
pub trait Transport: Send + Sync + 'static {
    /// Posts a request with the token of the account, and returns the reply.
    ///
    /// # Errors
    /// [`NoAnswer`] if there is no reply: no network, a broken connection, a time limit; or if there is no
    /// token at the moment.
    fn send(&self, request: &SyncRequest) -> impl Future<Output = Result<Reply, NoAnswer>> + Send;

    /// Posts several requests in one, with the token of the person: the body is the JSON of `requests`. A
    /// client with [spaces](super::Device::space) needs it; the default has no reply.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    fn send_all(
        &self,
        requests: &Syncs<'_>,
    ) -> impl Future<Output = Result<Reply, NoAnswer>> + Send {
        let _ = requests;
        async {
            Err(NoAnswer::new(
                "this transport sends no spaces: implement Transport::send_all for it",
            ))
        }
    }

    /// Drops the token, because the server rejects it. Returns whether another one is possible for the next
    /// request. The default is `false`.
    fn renew(&self) -> impl Future<Output = bool> + Send {
        async { false }
    }
}

/// The reply of a server or a proxy.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The time to wait before the next try, if the reply says so (the header `Retry-After`, in seconds).
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Bytes,
}

/// There was no reply.
#[derive(Debug, thiserror::Error)]
#[error("there is no answer")]
pub struct NoAnswer(#[source] BoxError);

impl NoAnswer {
    /// There was no reply, for this cause.
    pub fn new(cause: impl Into<BoxError>) -> Self {
        Self(cause.into())
    }

    /// The reply is larger than this limit in bytes, and was not read to its end.
    pub fn too_large(most_bytes: usize) -> Self {
        Self(Box::new(TooMuch(most_bytes)))
    }

    pub(super) fn into_failure(self) -> SyncFailure {
        if let Some(TooMuch(most_bytes)) = self.0.downcast_ref() {
            return SyncFailure::AnswerTooLarge { most_bytes: *most_bytes };
        }
        let reason = chain(&*self.0);
        SyncFailure::NoAnswer { retry_after: None, reason, cause: Some(self.0) }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the answer has more than {0} bytes")]
struct TooMuch(usize);

/// An error with all of its causes, each once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// What a reply means to a device.
#[derive(Debug)]
pub(super) enum Heard {
    Answer(SyncResponse),
    /// The token is rejected; the field says whether by a sync server.
    Unauthenticated {
        failure: SyncFailure,
    },
    TooLarge {
        message: String,
    },
    /// The server no longer keeps what the device has missed.
    TooOld {
        message: String,
        forgotten: bool,
    },
    /// The person is no member of the space.
    NoMember {
        message: String,
    },
    /// One diff is invalid for this server.
    InvalidDiff {
        diff_id: String,
        message: String,
    },
    Failed(SyncFailure),
}

/// The codes of failures, with their statuses. Any other combination is not part of this protocol: a
/// gateway's 403 says nothing about the owner.
const CODES: [(u16, &str); 21] = [
    (400, "invalid_json"),
    (400, "invalid_request"),
    (400, "invalid_diff"),
    (401, "unauthenticated"),
    (403, "forbidden"),
    (403, "no_member"),
    (403, "other_owner"),
    (405, "method_not_allowed"),
    (409, "clock_ahead"),
    (409, "other_history"),
    (410, "too_old"),
    (413, "payload_too_large"),
    (415, "unsupported_media_type"),
    (422, "unknown_model"),
    (422, "unknown_field"),
    (422, "invalid_value"),
    (422, "constraint"),
    (426, "upgrade_required"),
    (429, "too_many_listeners"),
    (500, "internal"),
    (503, "busy"),
];

#[derive(Deserialize)]
struct Failure {
    success: bool,
    message: String,
    code: String,
    diff_id: Option<String>,
    forgotten: Option<bool>,
    min_schema: Option<u64>,
}

impl Failure {
    fn read(status: u16, body: &[u8]) -> Option<Self> {
        let failure: Self = serde_json::from_slice(body).ok()?;
        let is_ours = !failure.success && CODES.contains(&(status, &*failure.code));
        is_ours.then_some(failure)
    }
}

/// Whether a reply to several requests is that of a server that does not know them: it looks for the clock of
/// one request. With any other sentence, the body has not arrived as it was sent.
pub(super) fn refuses_spaces(reply: &Reply) -> bool {
    Failure::read(reply.status, &reply.body).is_some_and(|failure| {
        failure.code == "invalid_request" && failure.message.contains("logical_clock is missing")
    })
}

/// Whether the account that is logged in is not the one of the local database.
pub(super) fn names_other_owner(reply: &Reply) -> bool {
    Failure::read(reply.status, &reply.body).is_some_and(|failure| failure.code == "other_owner")
}

impl Reply {
    pub(super) fn hear(&self, request: &Request) -> Heard {
        let Self { status, retry_after, ref body } = *self;
        let nothing = |reason| SyncFailure::NoAnswer { retry_after, reason, cause: None };
        if status == 200 {
            return match serde_json::from_slice::<SyncResponse>(body) {
                Ok(answer) => Heard::Answer(answer),
                Err(cause) => Heard::Failed(nothing(format!(
                    "the answer is not one of a sync server, or broke off: {cause}"
                ))),
            };
        }
        let Some(Failure { message, code, diff_id, forgotten, min_schema, .. }) =
            Failure::read(status, body)
        else {
            let message = format!("something that is no sync server answered with status {status}");
            return match status {
                // Proxies have limits and tokens as well, and do not speak this protocol.
                413 => Heard::TooLarge { message },
                401 => Heard::Unauthenticated { failure: nothing(message) },
                _ => Heard::Failed(nothing(message)),
            };
        };
        let diff = diff_id.and_then(|id| request.diff(&id).cloned());
        match (status, &*code, diff) {
            (401, ..) => {
                Heard::Unauthenticated { failure: SyncFailure::Unauthenticated { message } }
            }
            (403, "other_owner", _) => Heard::Failed(SyncFailure::OtherOwner { message }),
            (403, "no_member", _) if request.space.is_some() => Heard::NoMember { message },
            (409, "other_history", _) => Heard::Failed(SyncFailure::OtherHistory { message }),
            (409, ..) => Heard::Failed(SyncFailure::ClockAhead { message }),
            (410, ..) => Heard::TooOld { message, forgotten: forgotten == Some(true) },
            (426, ..) => Heard::Failed(SyncFailure::UpgradeRequired { min_schema, message }),
            (413, ..) => Heard::TooLarge { message },
            (400, "invalid_diff", Some(diff)) => Heard::InvalidDiff { diff_id: diff.id, message },
            // A device sends valid requests, so this body was truncated in transit.
            (400, "invalid_request", _) => Heard::Failed(nothing(message)),
            (400..429, _, diff) => Heard::Failed(SyncFailure::Refused { code, message, diff }),
            _ => Heard::Failed(nothing(message)),
        }
    }
}
