//! The token, and how to get a new one.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::HeaderValue;
use tokio::time::timeout;

use crate::{client::NoAnswer, error::BoxError};

/// How long getting a token may take.
const TOKEN_TIME: Duration = Duration::from_secs(30);

#[derive(Clone, Default)]
pub(super) struct Tokens {
    token: Arc<Mutex<Option<String>>>,
    renew: Option<Arc<Renew>>,
    /// Locked while a new token is requested, so that two tasks that need one request it once.
    turn: Arc<tokio::sync::Mutex<()>>,
}

type Renewed = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;
type Renew = dyn Fn() -> Renewed + Send + Sync;

impl Tokens {
    pub(super) fn of(token: String) -> Self {
        Self { token: Arc::new(Mutex::new(Some(token))), ..Self::default() }
    }

    pub(super) fn renewed_by<F, Fut, E>(self, renew: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let renew = move || -> Renewed {
            let token = renew();
            Box::pin(async move { token.await.map_err(Into::into) })
        };
        Self { renew: Some(Arc::new(renew)), ..self }
    }

    /// The token of the request; `None` if there is none.
    pub(super) async fn header(&self) -> Result<Option<HeaderValue>, NoAnswer> {
        let token = match timeout(TOKEN_TIME, self.get()).await {
            Ok(token) => token?,
            Err(_) => return Err(NoAnswer::new("it took too long to get a token")),
        };
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
        let Ok(mut header) = HeaderValue::try_from(format!("Bearer {token}")) else {
            self.give_up();
            return Err(NoAnswer::new("the token has characters that no header may have"));
        };
        header.set_sensitive(true);
        Ok(Some(header))
    }

    async fn get(&self) -> Result<Option<String>, NoAnswer> {
        let Some(renew) = &self.renew else { return Ok(self.known()) };
        let _turn = self.turn.lock().await;
        if let Some(token) = self.known() {
            return Ok(Some(token));
        }
        let token = renew().await.map_err(NoAnswer::new)?.trim().to_owned();
        self.keep(Some(token.clone()));
        Ok(Some(token))
    }

    /// Drops the token. Returns whether another one is possible.
    pub(super) fn give_up(&self) -> bool {
        let can_renew = self.renew.is_some();
        if can_renew {
            self.keep(None);
        }
        can_renew
    }

    fn known(&self) -> Option<String> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, token: Option<String>) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }
}
