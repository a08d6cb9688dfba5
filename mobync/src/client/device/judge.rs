//! Whether an answer belongs to this request: networks also deliver old answers, and answers of others.

use std::collections::HashSet;

use crate::{
    client::{DeviceError, Request},
    protocol::SyncResponse,
};

/// What is wrong with an answer.
#[derive(Debug)]
pub(super) enum Flaw {
    /// It cannot be an answer to this request.
    Invalid(&'static str),
    /// It is an old answer; or the server has accepted all of the request's diffs before the device's
    /// clock, because the device was restored from a backup.
    NothingNew,
    /// It is for another owner.
    OtherOwner(String),
}

/// Returns the owner in the answer. `heard` is the clock of an earlier answer to the same clock.
///
/// A pending diff is new to the server, or was accepted at the device's clock or later. In both cases the
/// clock of the answer is greater. If the clock is the same, nothing has happened that a device without own
/// changes could receive.
pub(super) fn judge<'a>(
    request: &Request,
    answer: &'a SyncResponse,
    owner: Option<&str>,
    heard: i64,
) -> Result<Option<&'a str>, Flaw> {
    let (sent, clock) = (&request.body.diffs, request.body.logical_clock);
    if !answer.success {
        return Err(Flaw::Invalid("it says that the sync has failed"));
    }
    let mut bears = answer.owner.as_deref().filter(|named| !named.is_empty());
    if let (Some(named), Some(known)) = (bears, owner)
        && named != known
    {
        return Err(Flaw::OtherOwner(named.to_owned()));
    }
    for diff in answer.diffs.iter().filter(|diff| !diff.owner.is_empty()) {
        let expected = *bears.get_or_insert(&*diff.owner);
        if diff.owner != owner.unwrap_or(expected) {
            return Err(Flaw::OtherOwner(diff.owner.clone()));
        }
    }
    if answer.logical_clock < clock {
        return Err(Flaw::Invalid("its clock is less than that of the request"));
    }
    let ids: HashSet<&str> = sent.iter().map(|diff| &*diff.id).collect();
    if answer.refused.iter().any(|refused| !ids.contains(&*refused.diff_id)) {
        return Err(Flaw::Invalid("it refuses a change that is not in the request"));
    }
    if answer.overridden.iter().any(|lost| !ids.contains(&*lost.diff_id)) {
        return Err(Flaw::Invalid("it reports on a change that is not in the request"));
    }
    if let Some(more) = answer.more {
        if !sent.is_empty() {
            return Err(Flaw::Invalid("it is a page, and the request has changes"));
        }
        if answer.logical_clock == clock || more <= answer.logical_clock {
            return Err(Flaw::Invalid("it is a page that leads nowhere"));
        }
    }
    if answer.diffs.iter().any(|diff| ids.contains(&*diff.id)) {
        return Err(Flaw::Invalid("it brings a change that is in the request"));
    }
    if answer.diffs.iter().any(|diff| !(0..answer.logical_clock).contains(&diff.logical_clock)) {
        return Err(Flaw::Invalid("it brings a change of a tick that has not been"));
    }
    if !sent.is_empty() && answer.logical_clock <= clock.max(heard) {
        return Err(Flaw::NothingNew);
    }
    match (answer.logical_clock == clock, sent.is_empty(), answer.diffs.is_empty()) {
        (true, true, false) => Err(Flaw::Invalid("it brings changes, and its clock says none")),
        _ => Ok(bears),
    }
}

impl Flaw {
    pub(super) fn into_error(self, owner: Option<String>) -> DeviceError {
        match self {
            Self::Invalid(reason) => DeviceError::InvalidAnswer(reason.to_owned()),
            Self::NothingNew => DeviceError::InvalidAnswer(
                "its clock is that of the request, as if none of the changes had arrived"
                    .to_owned(),
            ),
            Self::OtherOwner(other) => DeviceError::OtherOwner { owner, other },
        }
    }
}
