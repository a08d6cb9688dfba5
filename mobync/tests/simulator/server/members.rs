//! Requests that came over HTTP, alone or as members of one request.

use mobync::{Mobync, SyncResponse};

use super::{Faults, Hooked, NoNo, Oracle, Posted, Reply, Server};
use crate::{hand::Place, ours::same, world::Failure};

/// What an answer says, without its bytes.
#[derive(Clone, Debug)]
pub struct Heard {
    pub status: u16,
    pub code: String,
    pub message: String,
    pub forgotten: bool,
    /// If the status is 200.
    pub answer: Option<SyncResponse>,
}

impl<D: Place> Server<D> {
    /// The engine, to serve requests with.
    pub fn mobync(&self) -> Mobync<Hooked<D, Faults>, NoNo> {
        self.mobync.clone()
    }

    pub fn faults(&self) -> &Faults {
        &self.database.hook
    }

    /// Another state of an owner by the text, if requests were served in another order.
    pub fn suppose(&mut self, owner: usize, oracle: Oracle) {
        self.owners[owner].1 = oracle;
    }

    /// The answer is what the text requires, if the request was served now.
    pub async fn explain_one(&mut self, posted: &Posted, heard: &Heard) -> Result<Reply, Failure> {
        match (heard.status, &*heard.code, &heard.answer) {
            (200, _, Some(answer)) => self.hold_against_text(posted, answer).await,
            (410, "too_old", _) => {
                let said = self.too_old(posted).await?;
                same("whether a device is too old", &Some(heard.forgotten), &said)?;
                Ok(Reply::TooOld { forgotten: heard.forgotten })
            }
            (500, "internal", _) | (503, "busy", _) => Ok(Reply::Failed),
            _ => Err(Failure(format!("a request failed: {heard:?}"))),
        }
    }

    /// Whether the answer to a request that asks for checksums has none.
    pub fn lacks_checksums(posted: &Posted, heard: &Heard) -> bool {
        let asks = posted.check && posted.diffs.is_empty();
        asks && heard.answer.as_ref().is_some_and(|it| it.more.is_none() && it.check.is_none())
    }
}
