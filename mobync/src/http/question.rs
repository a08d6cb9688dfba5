//! A question to the auth closure of an open stream, where the closure may fail, panic or hang.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use super::{AuthError, Claim, panic::unwound};
use crate::{engine::log_failure, error::Error, grant::Grant};

/// After how long without an answer the closure counts as busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// A question that has been asked.
pub(super) struct Question<Fut> {
    answer: Pin<Box<Fut>>,
    asked: Instant,
    until: Instant,
}

impl<Fut, G> Question<Fut>
where
    Fut: Future<Output = Result<G, AuthError>>,
    G: Into<Grant>,
{
    /// Asks the closure.
    pub(super) fn new(
        auth: &impl Fn(Claim) -> Fut,
        claim: Claim,
        now: Instant,
    ) -> Result<Self, Error> {
        let answer = unwound(|| Box::pin(auth(claim)))?;
        Ok(Self { answer, asked: now, until: now + PATIENCE })
    }

    /// What it says, or [`Error::Busy`] if it does not answer in time. Its failures are logged.
    pub(super) fn poll(
        &mut self,
        context: &mut Context<'_>,
        now: Instant,
    ) -> Poll<Result<Grant, Error>> {
        let answered = if self.until <= now {
            Poll::Ready(Err(AuthError::busy("the auth closure has not answered for a minute")))
        } else {
            match unwound(|| self.answer.as_mut().poll(context)) {
                Ok(answered) => answered.map_ok(Into::into),
                Err(panicked) => return Poll::Ready(Err(panicked)),
            }
        };
        answered.map(|granted| granted.map_err(Error::from).inspect_err(log_failure))
    }
}

impl<Fut> Question<Fut> {
    /// When the closure was asked.
    pub(super) fn asked(&self) -> Instant {
        self.asked
    }

    /// Until when the closure may answer.
    pub(super) fn until(&self) -> Instant {
        self.until
    }
}
