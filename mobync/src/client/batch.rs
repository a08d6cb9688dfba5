//! Several requests in one: the protocol's `syncs`.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Reply, Request};
use crate::protocol::SyncRequest;

/// Several requests of one person, at most one for each space: a body for [`Transport::send_all`].
///
/// [`Transport::send_all`]: super::Transport::send_all
///
/// ```
/// use mobync::client::{Device, MemoryStore, Syncs};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let own = Device::new(MemoryStore::new());
/// own.join("family").await?;
/// let requests = [own.request(1000).await?, own.space("family").request(1000).await?];
/// let body = serde_json::to_value(Syncs::of(&requests))?;
/// assert_eq!(body["syncs"][1]["space"], "family");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct Syncs<'r> {
    /// The owner of the person's own data, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'r str>,
    syncs: Vec<Member<'r>>,
}

#[derive(Clone, Debug, Serialize)]
struct Member<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    space: Option<&'r str>,
    #[serde(flatten)]
    request: &'r SyncRequest,
}

impl<'r> Syncs<'r> {
    /// These requests, in this order.
    pub fn of(requests: impl IntoIterator<Item = &'r Request>) -> Self {
        Self::new(requests.into_iter().map(|request| (request.space(), request.body())), None)
    }

    pub(super) fn new(
        requests: impl IntoIterator<Item = (Option<&'r str>, &'r SyncRequest)>,
        owner: Option<&'r str>,
    ) -> Self {
        let member = |(space, request)| Member { space, request };
        Self { owner, syncs: requests.into_iter().map(member).collect() }
    }

    /// Each request, with its space; `None` is the person's own data.
    pub fn members(&self) -> impl ExactSizeIterator<Item = (Option<&'r str>, &'r SyncRequest)> {
        self.syncs.iter().map(|member| (member.space, member.request))
    }

    /// The replies to these requests, in the same order, each as if it had been sent alone; `None` if this is
    /// not an answer to them.
    pub fn replies(&self, reply: &Reply) -> Option<Vec<Reply>> {
        #[derive(Deserialize)]
        struct Answers<'a> {
            success: bool,
            #[serde(borrow)]
            syncs: Vec<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Head {
            status: u16,
            retry_after: Option<u64>,
        }
        if reply.status != 200 {
            return None;
        }
        let answers: Answers<'_> = serde_json::from_slice(&reply.body).ok()?;
        if !answers.success || answers.syncs.len() != self.syncs.len() {
            return None;
        }
        let member = |answer: &&RawValue| {
            let Head { status, retry_after } = serde_json::from_str(answer.get()).ok()?;
            let body = Bytes::copy_from_slice(answer.get().as_bytes());
            Some(Reply { status, retry_after: retry_after.map(Duration::from_secs), body })
        };
        answers.syncs.iter().map(member).collect()
    }
}
