//! A transport over HTTP.

mod token;
mod transfer;

use std::{fmt, future::Future, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap,
    header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use reqwest::{Client, ClientBuilder, Response, Url, redirect};
use serde::Serialize;

use self::{
    token::Tokens,
    transfer::{Patience, Progress, Upload},
};
use super::{NoAnswer, Reply, Syncs, Transport};
use crate::{error::BoxError, protocol::SyncRequest};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_mins(1);
const MOST_ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// The greatest size of a failure response. A failure of this protocol is short.
const MOST_FAILURE_BYTES: usize = 1024 * 1024;

/// Posts requests to a URL, with a bearer token. Cheap to clone.
///
/// There is no limit on the total time of a transfer, only on the time without data. Redirects are not
/// followed, so no other server gets the changes or the token.
#[derive(Clone)]
pub struct HttpTransport {
    client: Client,
    url: Url,
    tokens: Tokens,
    silence: Duration,
    patience: Patience,
    most_answer_bytes: usize,
}

impl HttpTransport {
    /// The transport to the endpoint of that URL.
    ///
    /// # Errors
    /// [`NoAnswer`] if the URL is invalid, or TLS cannot be set up.
    pub fn new(url: &str) -> Result<Self, NoAnswer> {
        Ok(Self {
            client: build(Client::builder().connect_timeout(CONNECT_TIMEOUT))?,
            url: url.parse().map_err(|cause| NoAnswer::new(format!("{url}: {cause}")))?,
            tokens: Tokens::default(),
            silence: SILENCE,
            patience: Patience::default(),
            most_answer_bytes: MOST_ANSWER_BYTES,
        })
    }

    /// Sends this token.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        Self { tokens: Tokens::of(token.into()), ..self }
    }

    /// Calls this function for the first token, and for a new one when the server rejects the current one. An
    /// error, or half a minute without a token, counts as a missing network, and the function is called again
    /// later. If nobody is signed in, return an empty token: then none is sent, and the server answers
    /// [`Unauthenticated`](super::SyncFailure::Unauthenticated).
    #[must_use]
    pub fn token_from<F, Fut, E>(self, renew: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self { tokens: self.tokens.renewed_by(renew), ..self }
    }

    /// Uses an HTTP client from this builder, for your own proxies, certificates or time limits.
    ///
    /// # Errors
    /// [`NoAnswer`] if the client cannot be built.
    pub fn client(self, builder: ClientBuilder) -> Result<Self, NoAnswer> {
        Ok(Self { client: build(builder)?, ..self })
    }

    /// The longest time without data before a transfer is aborted; 1 minute by default. For a request with
    /// changes it is a second longer for each 4 KiB of the first MiB, because the progress of data in the
    /// network's buffers is not visible. That second is doubled after each transfer that was aborted, until
    /// there is an answer, so that a network of any speed is given enough time in the end. The rest of the
    /// time is doubled, too, but at most to eight times as long.
    #[must_use]
    pub fn silence(self, silence: Duration) -> Self {
        Self { silence, ..self }
    }

    /// The greatest size of an answer, in bytes; 256 MiB by default. A larger one fails with
    /// [`AnswerTooLarge`](super::SyncFailure::AnswerTooLarge).
    #[must_use]
    pub fn most_answer_bytes(self, most: usize) -> Self {
        Self { most_answer_bytes: most, ..self }
    }

    async fn read(&self, response: &mut Response, progress: &Progress) -> Result<Bytes, NoAnswer> {
        let is_answer = response.status().is_success();
        let most = self.most_answer_bytes;
        let most = if is_answer { most } else { most.min(MOST_FAILURE_BYTES) };
        let mut body = Vec::new();
        while let Some(chunk) = progress.watch(response.chunk()).await?.map_err(no_answer)? {
            if chunk.len() > most.saturating_sub(body.len()) {
                // A failure of this length is not one of this protocol.
                return if is_answer { Err(NoAnswer::too_large(most)) } else { Ok(Bytes::new()) };
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.into())
    }
}

impl Transport for HttpTransport {
    async fn send(&self, request: &SyncRequest) -> Result<Reply, NoAnswer> {
        self.post(request).await
    }

    async fn send_all(&self, requests: &Syncs<'_>) -> Result<Reply, NoAnswer> {
        self.post(requests).await
    }

    async fn renew(&self) -> bool {
        self.tokens.give_up()
    }
}

impl HttpTransport {
    async fn post(&self, body: &(impl Serialize + Sync)) -> Result<Reply, NoAnswer> {
        let body = Bytes::from(serde_json::to_vec(body).map_err(NoAnswer::new)?);
        let progress = self.patience.begin(self.silence, body.len());
        let mut post = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(CACHE_CONTROL, "no-store");
        if let Some(token) = self.tokens.header().await? {
            post = post.header(AUTHORIZATION, token);
        }
        let post = post.body(reqwest::Body::wrap(Upload::new(body, &progress)));
        let mut response = progress.watch(post.send()).await?.map_err(no_answer)?;
        if response.status().is_redirection() {
            return Err(NoAnswer::new(redirected(response.headers())));
        }
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        let body = self.read(&mut response, &progress).await?;
        progress.end();
        Ok(Reply { status, retry_after, body })
    }
}

fn build(builder: ClientBuilder) -> Result<Client, NoAnswer> {
    builder.redirect(redirect::Policy::none()).build().map_err(no_answer)
}

/// Omits the URL, which may contain secrets.
fn no_answer(error: reqwest::Error) -> NoAnswer {
    NoAnswer::new(error.without_url())
}

fn redirected(headers: &HeaderMap) -> String {
    let place = headers.get(LOCATION).and_then(|place| place.to_str().ok()).unwrap_or_default();
    let place: String = place.chars().take(200).collect();
    format!("the server redirects to {place:?}: if that is the right place, use its URL")
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // URLs may contain secrets.
        let origin = self.url.origin().ascii_serialization();
        f.debug_struct("HttpTransport").field("origin", &origin).finish_non_exhaustive()
    }
}
