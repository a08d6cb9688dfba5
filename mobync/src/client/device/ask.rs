//! The next request.

use std::collections::BTreeMap;

use super::{
    anew, decode,
    sendable::{set_aside, size_of, unsendable},
};
use crate::{
    client::{Changes, DeviceError, LocalUnit, Pending, Request},
    diff::{Diff, Operation},
    engine::mint,
    protocol::SyncRequest,
    record::Record,
};

/// After this many answers that look as if no new diff had arrived, a request checks whether they are old
/// answers.
const DOUBTS: u32 = 3;

/// The limits of a request. It has at least one diff if any is pending, and always the diffs of a request
/// that got no answer.
#[derive(Clone, Copy, Debug)]
pub(in crate::client) struct Limits {
    pub(in crate::client) diffs: usize,
    /// The total size of all diffs.
    pub(in crate::client) bytes: usize,
    /// The number of log entries that one answer covers, if there are no diffs.
    pub(in crate::client) page: Option<u64>,
}

impl Limits {
    /// Only the diffs of a request that got no answer.
    pub(in crate::client) const NOTHING_NEW: Self = Self { diffs: 0, bytes: 0, page: None };
}

pub(super) async fn ask<U: LocalUnit>(
    unit: &mut U,
    limits: Limits,
) -> Result<Request, DeviceError> {
    let mut aside = Changes::default();
    if unit.state().await?.is_anew {
        anew::hold_back(unit).await?;
    }
    // New changes are merged with the pages before they are sent.
    let most = if unit.state().await?.more.is_some() { 0 } else { limits.diffs };
    let mut pending = loop {
        let pending = next(unit, most).await?;
        let unsendable: Vec<_> = pending.iter().filter_map(unsendable).collect();
        if unsendable.is_empty() {
            break pending;
        }
        aside.extend(set_aside(unit, unsendable).await?);
    };
    let unanswered = pending.iter().rposition(|pending| pending.sent).map_or(0, |last| last + 1);
    let mut bytes = 0_usize;
    let fits = |(place, pending): (usize, &Pending)| {
        bytes = bytes.saturating_add(size_of(&pending.diff));
        place < unanswered.max(1) || bytes <= limits.bytes
    };
    let most = pending.iter().enumerate().map(fits).take_while(|fits| *fits).count();
    pending.truncate(most);

    let mut state = unit.state().await?;
    state.attempt += 1;
    state.is_asking = true;
    for pending in pending.iter().filter(|pending| !pending.sent) {
        state.as_sent.remove(&pending.diff.id);
    }
    unit.set_state(&state).await?;
    let probe = pending.first().filter(|_| state.doubts >= DOUBTS);
    let probe = probe.and_then(|first| probe_for(first, state.clock));
    let probe_id = probe.as_ref().map(|probe| probe.id.clone());

    let (mut first_sent, mut renamed) = (Vec::new(), BTreeMap::new());
    let mut diffs = Vec::from_iter(probe);
    for pending in pending {
        if !pending.sent {
            first_sent.push(pending.seq);
            unit.set_pending(&Pending { sent: true, ..pending.clone() }).await?;
        }
        match state.as_sent.remove(&pending.diff.id) {
            Some(as_sent) => {
                diffs.push(as_sent);
                renamed.insert(pending.diff.id.clone(), pending.diff);
            }
            None => diffs.push(pending.diff),
        }
    }
    let mut body = SyncRequest::new(state.clock, diffs);
    body.head = Some(state.head);
    body.owner = Some(state.owner.unwrap_or_default());
    if body.diffs.is_empty() {
        // An answer to another limit is also valid: each one is a state that the server has been in.
        body.limit = limits.page;
    } else {
        body.report = true;
    }
    Ok(Request {
        attempt: state.attempt,
        space: None,
        body,
        first_sent,
        next_seq: state.next_seq,
        probe: probe_id,
        renamed,
        is_beside: false,
        set_aside: aside,
    })
}

/// The first pending diffs.
async fn next<U: LocalUnit>(unit: &mut U, most: usize) -> Result<Vec<Pending>, DeviceError> {
    let mut looked_at = most.max(1);
    loop {
        let mut pending = unit.pending(looked_at).await?;
        let is_all = pending.len() < looked_at;
        if is_all || pending.last().is_none_or(|last| !last.sent) {
            let sent = pending.iter().rposition(|pending| pending.sent);
            pending.truncate(most.max(sent.map_or(0, |last| last + 1)));
            return Ok(pending);
        }
        looked_at = looked_at.saturating_mul(2);
    }
}

/// A new diff that changes nothing. Because of it, the clock of a correct answer is greater than the
/// device's, even if the server knows all other diffs.
fn probe_for(first: &Pending, clock: i64) -> Option<Diff> {
    let (model, id) = decode(first)?.object();
    Some(Diff {
        id: mint(),
        owner: String::new(),
        logical_clock: clock,
        utc_timestamp: 0,
        operation: Operation::Update,
        model,
        json_data: serde_json::Value::from(Record::new(id)).to_string(),
    })
}
