//! Fetching everything once more after an update of the app.

use super::{
    attempt::{LOST, Mended, Part, TOO_LARGE, too_old},
    exchange::Reached,
    pace::Pace,
};
use crate::client::{LocalStore, SyncFailure, Synced, Transport};

/// How often a try to sync fetches beside up to the last page, and then syncs because others have written.
const MOST_ROUNDS: u32 = 5;

impl<S: LocalStore, T: Transport> Part<'_, S, T> {
    /// Fetches pages beside until the last one, or until something is pending. Returns whether everything has
    /// been fetched; otherwise the device must sync, to get to the same clock.
    pub(super) async fn fetch_beside(
        &self,
        pace: &mut Pace,
        mended: &mut Mended,
        synced: &mut Synced,
    ) -> Result<bool, SyncFailure> {
        mended.rounds_beside += 1;
        if mended.rounds_beside > MOST_ROUNDS {
            // Others keep writing. The next sync goes on.
            return Ok(true);
        }
        loop {
            let Some(request) = self.device.fetch_beside(pace.page(self.post.devices())).await?
            else {
                return Ok(true);
            };
            match self.exchange(&request).await {
                Ok(Reached::Answer { answer, bytes }) => {
                    self.take(&request, &answer, synced).await?;
                    if let Some(limit) = request.body.limit.filter(|_| answer.more.is_some()) {
                        pace.had_page(limit, bytes);
                    }
                }
                Ok(Reached::TooOld { message, .. }) => {
                    if mended.has_begun_beside_again || request.body().logical_clock == 0 {
                        return Err(too_old(message));
                    }
                    mended.has_begun_beside_again = true;
                    self.device.too_old(&request, false).await?;
                }
                Ok(Reached::TooLarge(message)) => {
                    return Err(SyncFailure::TooLarge { message, diff: None });
                }
                Ok(Reached::InvalidDiff { .. } | Reached::NoMember(_) | Reached::Renewed) => {
                    return Ok(false);
                }
                Err(SyncFailure::AnswerTooLarge { .. }) if pace.lost_page(TOO_LARGE) => {}
                Err(failure) => {
                    if failure.is_temporary() {
                        pace.lost_page(LOST);
                    }
                    if failure.needs_resync() {
                        // If the device has seen another history, too, its own request finds out.
                        self.device.too_old(&request, false).await?;
                        if !mended.has_begun_beside_again {
                            mended.has_begun_beside_again = true;
                            return Ok(false);
                        }
                    }
                    return Err(failure);
                }
            }
            let standing = self.device.standing().await?;
            self.reached(standing);
            match standing.beside {
                None => return Ok(!standing.has_pending),
                Some((_, None)) => return Ok(false),
                Some(_) if standing.has_pending => return Ok(false),
                Some(_) => {}
            }
        }
    }
}
