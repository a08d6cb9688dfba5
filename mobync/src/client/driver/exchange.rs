//! One request and its answer: tokens, limits, and which owner the server answers for.

use super::{
    attempt::{Part, too_old},
    pace::Pace,
    post::Delivered,
};
use crate::{
    client::{
        LocalStore, Request, SyncFailure, Synced, Transport,
        device::{Found, Identity, Limits, size_of},
        transport::Heard,
    },
    diff::Diff,
    protocol::SyncResponse,
};

/// No sensible limit refuses a request that is smaller than this, in bytes.
const TINY: usize = 256;

/// The result of a request that reached the server.
pub(super) enum Reached {
    /// An answer of this many bytes.
    Answer {
        answer: SyncResponse,
        bytes: usize,
    },
    /// The server no longer keeps what the device has missed.
    TooOld {
        message: String,
        forgotten: bool,
    },
    /// The server's message.
    TooLarge(String),
    InvalidDiff {
        diff_id: String,
        message: String,
    },
    /// The person is no member of the space; the server's message.
    NoMember(String),
    /// There may be a new token, which may belong to another person: nothing was sent with it.
    Renewed,
}

impl<S: LocalStore, T: Transport> Part<'_, S, T> {
    /// Sends one request. If the server rejects the token, it gets a new one, once.
    pub(super) async fn exchange(&self, request: &Request) -> Result<Reached, SyncFailure> {
        loop {
            let reply = match self.post.send(request).await {
                Delivered::Reply(reply) => reply,
                Delivered::Failed(failure) => return Err(failure),
                Delivered::Renewed if self.is_space() || request.changes().next().is_some() => {
                    return Ok(Reached::Renewed);
                }
                Delivered::Renewed => continue,
            };
            match reply.hear(request) {
                Heard::Answer(answer) => {
                    return Ok(Reached::Answer { answer, bytes: reply.body.len() });
                }
                Heard::TooOld { message, forgotten } => {
                    return Ok(Reached::TooOld { message, forgotten });
                }
                Heard::TooLarge { message } => return Ok(Reached::TooLarge(message)),
                Heard::InvalidDiff { diff_id, message } => {
                    return Ok(Reached::InvalidDiff { diff_id, message });
                }
                Heard::NoMember { message } => return Ok(Reached::NoMember(message)),
                Heard::Unauthenticated { failure } | Heard::Failed(failure) => return Err(failure),
            }
        }
    }

    /// Finds out which owner the server answers for, before changes of one person could reach another's
    /// account. It is done once for each client and token. A device that has never synced has nothing to
    /// compare.
    pub(super) async fn check_owner(&self) -> Result<(), SyncFailure> {
        if self.post.token.is_known() {
            return Ok(());
        }
        let Some(mut identity) = self.device.identity().await? else { return Ok(()) };
        let (mut request, mut is_from_zero) = (identity.request(), false);
        loop {
            request.body.schema = self.device.declared();
            request.body.owner = Some(identity.owner());
            request = match self.exchange(&request).await? {
                Reached::Answer { answer, .. } => match identity.check(&answer)? {
                    Found::More(next)
                        if next.body().logical_clock > request.body().logical_clock =>
                    {
                        *next
                    }
                    Found::More(_) => {
                        let reason = "the answer is a page that leads nowhere".to_owned();
                        return Err(SyncFailure::NoAnswer {
                            retry_after: None,
                            reason,
                            cause: None,
                        });
                    }
                    Found::Behind => return Ok(()),
                    Found::Owner => {
                        self.device.learn_owner(&identity, &answer).await?;
                        self.post.token.know();
                        return Ok(());
                    }
                },
                Reached::TooOld { message, .. } if is_from_zero => return Err(too_old(message)),
                Reached::TooOld { .. } => {
                    is_from_zero = true;
                    Identity::request_from_zero()
                }
                Reached::TooLarge(_)
                | Reached::InvalidDiff { .. }
                | Reached::NoMember(_)
                | Reached::Renewed => return Ok(()),
            };
        }
    }

    /// Whether the server has changes of the owner of the store, who must be known. An empty account may be
    /// another person's.
    pub(super) async fn has_data_of_owner(&self) -> Result<bool, SyncFailure> {
        let Some(owner) = self.device.owner().await? else { return Ok(false) };
        let mut request = Identity::request_from_zero();
        loop {
            request.space = self.device.space_name().map(Into::into);
            request.body.schema = self.device.declared();
            request.body.owner = Some(owner.clone());
            let Reached::Answer { answer, .. } = self.exchange(&request).await? else { break };
            if let Some(diff) = answer.diffs.iter().find(|diff| !diff.owner.is_empty()) {
                return Ok(diff.owner == owner);
            }
            if answer.more.is_none() || answer.logical_clock <= request.body().logical_clock {
                break;
            }
            request = Identity::request_behind(&answer);
        }
        Ok(false)
    }

    /// Makes the next request smaller, or sets aside the one diff that is too large by itself.
    pub(super) async fn make_smaller(
        &self,
        request: &Request,
        message: String,
        pace: &mut Pace,
        synced: &mut Synced,
    ) -> Result<(), SyncFailure> {
        self.device.too_large(request).await?;
        let diffs: Vec<&Diff> = request.changes().collect();
        let bytes = diffs.iter().map(|diff| size_of(diff)).sum();
        let diff = match diffs.as_slice() {
            [] => return Err(SyncFailure::TooLarge { message, diff: None }),
            [diff] if bytes < TINY => {
                return Err(SyncFailure::TooLarge { message, diff: Some((*diff).clone()) });
            }
            [diff] => *diff,
            diffs => {
                pace.halve(diffs.len(), bytes);
                return Ok(());
            }
        };
        // If even a request without diffs is too large, the diff is not the cause.
        let nothing = self.ask(Limits::NOTHING_NEW, synced).await?;
        match self.exchange(&nothing).await? {
            Reached::Answer { answer, .. } => {
                self.take(&nothing, &answer, synced).await?;
                pace.recover();
                self.set_aside(&diff.id, "payload_too_large", message, synced).await
            }
            Reached::TooLarge(message) => {
                self.device.too_large(&nothing).await?;
                Err(SyncFailure::TooLarge { message, diff: None })
            }
            // The next request gets the same reply, and handles it.
            Reached::InvalidDiff { .. }
            | Reached::TooOld { .. }
            | Reached::NoMember(_)
            | Reached::Renewed => Ok(()),
        }
    }
}
