//! One try to sync: requests, one after the other, until nothing is pending and nothing is left to fetch.

use super::{Client, exchange::Reached, pace::Pace, status::Syncing};
use crate::{
    client::{
        DeviceError, LocalStore, Request, SyncFailure, Synced, Taken, Transport, device::Limits,
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

impl<S: LocalStore, T: Transport> Client<S, T> {
    /// Sends requests until nothing is pending; `progress` says whether one was answered.
    pub(super) async fn attempt(
        &self,
        synced: &mut Synced,
        progress: &mut bool,
    ) -> Result<(), SyncFailure> {
        let mut pace = self.pace.lock().await;
        let syncing = Syncing::begin(&self.status);
        pace.is_renewed = false;
        let mut mended = Mended::default();
        loop {
            // Boxed, because the compiler has a limit for futures within futures.
            match Box::pin(self.step(&mut pace, &mut mended, synced, &syncing)).await {
                Ok(answered) => {
                    let standing = self.device.standing().await?;
                    syncing.reached(standing);
                    *progress |= answered;
                    let is_done = !standing.has_pending && !standing.is_anew;
                    if answered
                        && is_done
                        && standing.more.is_none()
                        && Box::pin(self.fetch_beside(&mut pace, &mut mended, synced, &syncing))
                            .await?
                    {
                        return Ok(());
                    }
                }
                Err(failure)
                    if self.recovers
                        && failure.needs_resync()
                        && !mended.has_resynced
                        && self.has_data_of_owner(&mut pace).await? =>
                {
                    tracing::warn!(%failure, "the device starts again with a server that has lost history");
                    mended.has_resynced = true;
                    self.device.resync().await?;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// One request. Returns whether its answer was applied.
    async fn step(
        &self,
        pace: &mut Pace,
        mended: &mut Mended,
        synced: &mut Synced,
        syncing: &Syncing<'_>,
    ) -> Result<bool, SyncFailure> {
        let standing = self.device.standing().await?;
        syncing.reached(standing);
        self.check_owner(pace).await?;
        // A request without an answer is repeated unchanged, so an answer to either of the two answers the
        // other. Then missed changes are fetched in pages. New changes are sent last, because the answer to a
        // request with diffs is never a page.
        let fetches = standing.is_asking || standing.more.is_some() || standing.is_away;
        let limits = if fetches { pace.fetching() } else { pace.pushing(standing.is_anew) };
        let request = self.ask(limits, synced).await?;
        let is_page = request.body.limit.is_some();
        let outcome = self.exchange(&request, pace).await;
        if was_refused(&outcome) {
            self.device.not_applied(&request).await?;
        }
        match outcome {
            Ok(Reached::Answer { answer, bytes }) => {
                if !self.take(&request, &answer, synced).await? {
                    return Ok(false);
                }
                // The server has accepted the changes, or named the owner, so it answers for the owner of
                // the store.
                let names_owner = answer.diffs.iter().any(|diff| !diff.owner.is_empty());
                pace.is_known |= names_owner || request.changes().next().is_some();
                pace.is_renewed = false;
                if answer.more.is_some() {
                    pace.had_page(bytes);
                }
                return Ok(true);
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
        Ok(false)
    }

    pub(super) async fn ask(
        &self,
        limits: Limits,
        synced: &mut Synced,
    ) -> Result<Request, SyncFailure> {
        let request = self.device.ask(limits).await?;
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
            );
            is_refused || failure.needs_resync()
        }
    }
}

/// A new device, or one that has just started again, cannot be too old.
pub(super) fn too_old(message: String) -> SyncFailure {
    SyncFailure::Refused { code: "too_old".to_owned(), message, diff: None }
}
