//! A transport over HTTP.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, Url};
use tokio::sync::Mutex;

use super::{NoAnswer, Reply, Transport};
use crate::{SyncRequest, error::BoxError};

/// How long one request may take in all, and its connection.
const TIMEOUT: Duration = Duration::from_mins(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Posts requests to a URL, with a bearer token. Cheap to clone.
#[derive(Clone)]
pub struct HttpTransport {
    client: Client,
    url: Url,
    token: Arc<Mutex<Option<String>>>,
    renew: Option<Arc<Renew>>,
}

type Renewed = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;
type Renew = dyn Fn() -> Renewed + Send + Sync;

impl HttpTransport {
    /// The transport to the endpoint of that URL.
    ///
    /// # Errors
    /// [`NoAnswer`] if that is no URL, or no TLS can be had.
    pub fn new(url: &str) -> Result<Self, NoAnswer> {
        let client = Client::builder().timeout(TIMEOUT).connect_timeout(CONNECT_TIMEOUT).build();
        Ok(Self {
            client: client.map_err(NoAnswer::new)?,
            url: url.parse().map_err(|cause| NoAnswer::new(format!("{url}: {cause}")))?,
            token: Arc::default(),
            renew: None,
        })
    }

    /// Sends this token.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        Self { token: Arc::new(Mutex::new(Some(token.into()))), ..self }
    }

    /// Gets a token in this way when there is none yet, and a new one when the server does not take
    /// the last.
    #[must_use]
    pub fn token_from<F, Fut, E>(self, renew: F) -> Self
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

    /// Uses this HTTP client, for proxies, certificates or time limits of your own.
    #[must_use]
    pub fn client(self, client: Client) -> Self {
        Self { client, ..self }
    }

    async fn new_token(&self) -> Result<Option<String>, NoAnswer> {
        let Some(renew) = &self.renew else { return Ok(None) };
        renew().await.map(Some).map_err(NoAnswer::new)
    }
}

impl Transport for HttpTransport {
    async fn send(&self, request: &SyncRequest) -> Result<Reply, NoAnswer> {
        let mut token = self.token.lock().await;
        if token.is_none() {
            *token = self.new_token().await?;
        }
        let body = serde_json::to_vec(request).map_err(NoAnswer::new)?;
        let post = self.client.post(self.url.clone()).header(CONTENT_TYPE, "application/json");
        let post = token.iter().fold(post, RequestBuilder::bearer_auth);
        drop(token);
        let response = post.body(body).send().await.map_err(NoAnswer::new)?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(&response));
        let body = response.bytes().await.map_err(NoAnswer::new)?;
        Ok(Reply { status, retry_after, body })
    }

    async fn renew(&self) -> bool {
        match self.new_token().await {
            Ok(Some(new)) => {
                *self.token.lock().await = Some(new);
                true
            }
            Ok(None) | Err(_) => false,
        }
    }
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}
