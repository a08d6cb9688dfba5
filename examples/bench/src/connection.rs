//! One connection that is kept alive, and one request on it at a time.

use bytes::Bytes;
use http::{HeaderValue, Uri, header, uri::Authority};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::IgnoredAny};
use tokio::net::TcpStream;

use crate::{Failure, Result};

/// What a device sends.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The whole value of the `Authorization` header.
    pub(crate) authorization: HeaderValue,
    pub(crate) body: Bytes,
}

/// The expected answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) clock: i64,
    pub(crate) diffs: usize,
}

#[derive(Deserialize)]
struct AnswerBody {
    success: bool,
    logical_clock: i64,
    diffs: Vec<IgnoredAny>,
    #[serde(default)]
    refused: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Several {
    syncs: Vec<AnswerBody>,
}

/// A connection to a server's sync route.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    path: Uri,
    host: HeaderValue,
}

impl Request {
    /// A request of this owner, with the owner as the token.
    pub(crate) fn new(owner: impl std::fmt::Display, body: Bytes) -> Result<Self> {
        let authorization = HeaderValue::try_from(format!("Bearer {owner}"))?;
        Ok(Self { authorization, body })
    }
}

impl Connection {
    /// Connects to the route at that address.
    pub(crate) async fn open(url: &Uri) -> Result<Self> {
        let host = url.authority().map(Authority::as_str).ok_or("the address has no host")?;
        let address = (url.host().unwrap_or_default(), url.port_u16().unwrap_or(80));
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends when the sender is dropped. Its errors are also returned by the sender.
        tokio::spawn(connection);
        Ok(Self { sender, path: url.path().parse()?, host: HeaderValue::from_str(host)? })
    }

    /// Sends it, and waits for the whole answer, which must be a success.
    pub(crate) async fn send(&mut self, request: Request) -> Result<Bytes> {
        let request = http::Request::post(self.path.clone())
            .header(header::HOST, self.host.clone())
            .header(header::AUTHORIZATION, request.authorization)
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::new(request.body))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status != 200 {
            return Err(format!("answered {status}: {}", String::from_utf8_lossy(&body)).into());
        }
        Ok(body)
    }
}

impl Answer {
    /// # Errors
    /// If it is not a success, or something was refused.
    pub(crate) fn read(body: &[u8]) -> Result<Self> {
        serde_json::from_slice::<AnswerBody>(body)?.try_into()
    }

    /// The answers to several requests in one.
    ///
    /// # Errors
    /// If one of them is not a success, or something was refused.
    pub(crate) fn read_several(body: &[u8]) -> Result<Vec<Self>> {
        let several: Several = serde_json::from_slice(body)?;
        several.syncs.into_iter().map(Self::try_from).collect()
    }
}

impl TryFrom<AnswerBody> for Answer {
    type Error = Failure;

    fn try_from(answer: AnswerBody) -> Result<Self> {
        if !answer.success || !answer.refused.is_empty() {
            return Err("answered without success".into());
        }
        Ok(Self { clock: answer.logical_clock, diffs: answer.diffs.len() })
    }
}
