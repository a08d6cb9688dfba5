//! Whose data each of several requests is for, or each space of a stream.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Once,
    task::Poll,
    time::Duration,
};

use tokio::time::timeout;

use super::{AuthError, Claim, Token, receive::ask, side_by_side::side_by_side};
use crate::{engine::log_failure, error::Error, grant::Grant, owner::Owner};

/// After how long without an answer about a space the auth closure counts as busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the person may do: with their own data, and with spaces.
pub(super) struct Person {
    /// What the auth closure grants without a space. If it refuses, then with `no_member`.
    pub(super) own: Result<Grant, Error>,
    pub(super) token: Token,
}

impl Person {
    /// The person with this token.
    ///
    /// # Errors
    /// Those of the auth closure, but for `no_member`: they may still be a member of spaces.
    pub(super) async fn of<Fut, G>(
        token: Token,
        auth: impl FnOnce(Token) -> Fut,
    ) -> Result<Self, Error>
    where
        Fut: Future<Output = Result<G, AuthError>>,
        G: Into<Grant>,
    {
        match ask(token.clone(), auth).await {
            own @ (Ok(_) | Err(Error::NoMember(_))) => Ok(Self { own, token }),
            Err(error) => Err(error),
        }
    }

    /// The owner of their own data, if the request names whose the local database is: an empty name is nobody's.
    ///
    /// # Errors
    /// [`Error::OtherOwner`] if it is another owner's.
    pub(super) fn check(&self, named: Option<&str>) -> Result<Option<Owner>, Error> {
        let (Some(named), Ok(own)) = (named, &self.own) else { return Ok(None) };
        if named.is_empty() || named == own.owner().as_str() {
            return Ok(Some(own.owner().clone()));
        }
        Err(Error::OtherOwner)
    }

    /// What the auth closure grants for each of these spaces, which are different; `None` is the person's own
    /// data.
    pub(super) async fn grants<F, Fut, G>(
        self,
        spaces: Vec<Option<String>>,
        at_once: usize,
        auth: &F,
    ) -> Vec<Result<Grant, Error>>
    where
        F: Fn(Claim) -> Fut,
        Fut: Future<Output = Result<G, AuthError>>,
        G: Into<Grant>,
    {
        let Self { own, token } = self;
        let person = own.as_ref().ok().map(|grant| grant.owner().clone());
        let mut own = Some(own);
        let asks = spaces.into_iter().map(|space| {
            // There is only one request without a space.
            let granted = if space.is_none() { own.take() } else { None };
            let (person, claim) = (person.as_ref(), Claim { token: token.clone(), space });
            async move {
                match granted {
                    Some(granted) => granted,
                    None => {
                        let granted = in_time(ask(claim, auth)).await;
                        granted.and_then(|grant| of_space(grant, person))
                    }
                }
            }
        });
        side_by_side(at_once, asks).await
    }
}

/// What the auth closure says of a space, if it does so in time: no other space waits longer.
async fn in_time(asked: impl Future<Output = Result<Grant, Error>>) -> Result<Grant, Error> {
    let mut asked = pin!(asked);
    // What is known at once needs no timer.
    match poll_fn(|context| Poll::Ready(asked.as_mut().poll(context))).await {
        Poll::Ready(granted) => granted,
        Poll::Pending => timeout(PATIENCE, asked).await.unwrap_or_else(|late| {
            let error = Error::busy(late);
            log_failure(&error);
            Err(error)
        }),
    }
}

/// A space is never the person's own data: an auth closure that does not look at the space must not apply the
/// changes of a team to it.
pub(super) fn of_space(grant: Grant, person: Option<&Owner>) -> Result<Grant, Error> {
    static WARNED: Once = Once::new();
    if person != Some(grant.owner()) {
        return Ok(grant);
    }
    WARNED.call_once(|| {
        tracing::warn!(
            "the auth closure names the person's own owner for a space: does it look at space()?"
        );
    });
    Err(Error::NoMember("You are not a member of this space.".into()))
}
