//! One try to sync: requests, one after the other, until nothing is pending and nothing is left to fetch.

use super::{exchange::Reached, pace::Pace, post::Post, status::Syncing};
use crate::{
    client::{
        Device, DeviceError, LocalStore, Request, SyncFailure, Synced, Taken, Transport,
        device::{Limits, Standing},
    },
    protocol::SyncResponse,
};

/// The factor by which a page shrinks if no answer came for it, or if the answer was too large to read.
pub(super) const LOST: u64 = 2;
pub(super) const TOO_LARGE: u64 = 8;

/// What a client has done by itself in this try. If it does not help, a person is needed.
#[derive(Default)]
pub(super) struct Mended {
    has_resynced: bool,
    has_begun_anew: bool,
    pub(super) has_begun_beside_again: bool,
    pub(super) rounds_beside: u32,
}

/// One device of a client, in one try: the person's own data, or a space.
pub(super) struct Part<'p, S, T> {
    pub(super) device: Device<S>,
    pub(super) post: &'p Post<'p, T>,
    pub(super) syncing: &'p Syncing<'p>,
    pub(super) recovers: bool,
}

/// How a step has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// An answer was applied.
    Answered,
    /// Another request is needed.
    Again,
    /// Nothing more can be sent for this space now: it was left, or there is a new token.
    Ended,
}

impl<S: LocalStore, T: Transport> Part<'_, S, T> {
    /// Sends requests until nothing is pending. Returns `false` if there is a new token, which must be checked
    /// first; `progress` says whether a request was answered.
    pub(super) async fn sync(
        &self,
        pace: &mut Pace,
        synced: &mut Synced,
        progress: &mut bool,
    ) -> Result<bool, SyncFailure> {
        let mut mended = Mended::default();
        loop {
            // Boxed, because the compiler has a limit for futures within futures.
            match Box::pin(self.step(pace, &mut mended, synced)).await {
                Ok(Step::Ended) => return Ok(synced.left.is_some()),
                Ok(step) => {
                    let answered = step == Step::Answered;
                    let standing = self.device.standing().await?;
                    self.reached(standing);
                    *progress |= answered;
                    let is_done = !standing.has_pending && !standing.is_anew;
                    if answered
                        && is_done
                        && standing.more.is_none()
                        && Box::pin(self.fetch_beside(pace, &mut mended, synced)).await?
                    {
                        return Ok(true);
                    }
                }
                Err(failure)
                    if self.recovers
                        && failure.needs_resync()
                        && !mended.has_resynced
                        && self.has_data_of_owner().await? =>
                {
                    tracing::warn!(%failure, "the device starts again with a server that has lost history");
                    mended.has_resynced = true;
                    self.device.resync().await?;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    pub(super) fn is_space(&self) -> bool {
        self.device.space_name().is_some()
    }

    pub(super) fn reached(&self, standing: Standing) {
        self.syncing.reached(self.device.space_name(), standing);
    }

    /// One request.
    async fn step(
        &self,
        pace: &mut Pace,
        mended: &mut Mended,
        synced: &mut Synced,
    ) -> Result<Step, SyncFailure> {
        if self.is_space() && !self.post.token.is_checked() {
            return Ok(Step::Ended);
        }
        let standing = self.device.standing().await?;
        self.reached(standing);
        if !self.is_space() {
            self.check_owner().await?;
        }
        // A request without an answer is repeated unchanged, so an answer to either of the two answers the
        // other. Then missed changes are fetched in pages. New changes are sent last, because the answer to a
        // request with diffs is never a page.
        let fetches = standing.is_asking || standing.more.is_some() || standing.is_away;
        let devices = self.post.devices();
        let limits =
            if fetches { pace.fetching(devices) } else { pace.pushing(standing.is_anew, devices) };
        let request = match self.ask(limits, synced).await {
            // The person has left it in the meantime.
            Err(SyncFailure::Device(DeviceError::NotJoined { .. })) => return Ok(Step::Ended),
            asked => asked?,
        };
        let is_page = request.body.limit.is_some();
        let outcome = self.exchange(&request).await;
        if was_refused(&outcome) {
            self.device.not_applied(&request).await?;
        }
        match outcome {
            Ok(Reached::Answer { answer, bytes }) => {
                if !self.take(&request, &answer, synced).await? {
                    return Ok(Step::Again);
                }
                // The server has accepted the changes, or named the owner, so it answers for the owner of
                // the store.
                let names_owner = answer.owner.is_some()
                    || answer.diffs.iter().any(|diff| !diff.owner.is_empty());
                let token = self.post.token;
                if !self.is_space() && (names_owner || request.changes().next().is_some()) {
                    token.know();
                }
                token.is_accepted(request.space());
                if let Some(limit) = request.body.limit.filter(|_| answer.more.is_some()) {
                    pace.had_page(limit, bytes);
                }
                return Ok(Step::Answered);
            }
            Ok(Reached::NoMember(message)) => {
                let changes = self.device.no_member(&request, &*message).await?;
                synced.left = Some(message);
                synced.add(changes);
                return Ok(Step::Ended);
            }
            Ok(Reached::TooLarge(message)) => {
                self.make_smaller(&request, message, pace, synced).await?;
            }
            Ok(Reached::InvalidDiff { diff_id, message }) => {
                self.set_aside(&diff_id, "invalid_diff", message, synced).await?;
            }
            Ok(Reached::TooOld { message, forgotten }) => {
                if mended.has_begun_anew || standing.clock == 0 {
                    return Err(too_old(message));
                }
                tracing::info!("the device was away for too long, and fetches everything again");
                mended.has_begun_anew = true;
                synced.add(self.device.too_old(&request, forgotten).await?);
            }
            Ok(Reached::Renewed) => {}
            Err(SyncFailure::AnswerTooLarge { .. }) if is_page && pace.lost_page(TOO_LARGE) => {}
            Err(failure) => {
                if is_page && failure.is_temporary() {
                    pace.lost_page(LOST);
                }
                return Err(failure);
            }
        }
        Ok(Step::Again)
    }

    pub(super) async fn ask(
        &self,
        limits: Limits,
        synced: &mut Synced,
    ) -> Result<Request, SyncFailure> {
        let request = self.device.ask(limits).await?;
        // Checked now: what was asked before has no answer any more.
        if self.device.is_destroyed() {
            return Err(SyncFailure::Destroyed);
        }
        synced.add(request.set_aside.clone());
        Ok(request)
    }

    /// Returns whether the answer was applied. It is not applied if something was withdrawn in the meantime.
    pub(super) async fn take(
        &self,
        request: &Request,
        answer: &SyncResponse,
        synced: &mut Synced,
    ) -> Result<bool, SyncFailure> {
        match self.device.take(request, answer).await {
            Ok(Taken::Applied(applied)) => {
                synced.add(applied);
                Ok(true)
            }
            Ok(Taken::Superseded) => Ok(false),
            Err(DeviceError::InvalidAnswer(reason)) => {
                Err(SyncFailure::NoAnswer { retry_after: None, reason, cause: None })
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn set_aside(
        &self,
        diff_id: &str,
        code: &str,
        message: String,
        synced: &mut Synced,
    ) -> Result<(), SyncFailure> {
        match self.device.set_aside(diff_id, code, message).await {
            Ok(aside) => synced.add(aside),
            // The person has withdrawn it in the meantime.
            Err(DeviceError::NoSuchDiff(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// Whether the server has said that nothing of the request was applied. The handling of [too
/// old](Reached::TooOld) or too large requests records this on the device.
fn was_refused(outcome: &Result<Reached, SyncFailure>) -> bool {
    match outcome {
        Ok(Reached::Renewed | Reached::InvalidDiff { .. }) => true,
        Ok(_) => false,
        Err(failure) => {
            let is_refused = matches!(
                failure,
                SyncFailure::Refused { .. }
                    | SyncFailure::Unauthenticated { .. }
                    | SyncFailure::UpgradeRequired { .. }
                    | SyncFailure::OtherOwner { .. }
                    | SyncFailure::NoSpaces
            );
            is_refused || failure.needs_resync()
        }
    }
}

/// A new device, or one that has just started again, cannot be too old.
pub(super) fn too_old(message: String) -> SyncFailure {
    SyncFailure::Refused { code: "too_old".to_owned(), message, diff: None }
}
