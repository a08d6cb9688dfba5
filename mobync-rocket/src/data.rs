//! What the core reads from Rocket's requests and data.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use mobync::http::{Head, Limits, Token};
use rocket::{
    Data, Request,
    data::{ByteUnit, DataStream},
    tokio::io::{AsyncRead, ReadBuf},
};

/// How many bytes of a body Rocket itself reads before it calls any handler.
const PEEKED: usize = 14;

/// How many bytes are read at once.
const CHUNK: usize = 8 * 1024;

/// The managed limits, or else those of the process, with the limit `mobync` of Rocket's configuration.
pub(crate) fn limits(request: &Request<'_>) -> Limits {
    let limits = request.rocket().state::<Limits>().cloned().unwrap_or_default();
    match request.limits().get("mobync") {
        Some(most) => limits.max_body_bytes(usize::try_from(most.as_u64()).unwrap_or(usize::MAX)),
        None => limits,
    }
}

/// The token of the headers `Authorization`.
pub(crate) fn token(request: &Request<'_>) -> Token {
    Token::of_headers(request.headers().get("authorization").map(str::as_bytes))
}

pub(crate) fn head<'r>(request: &'r Request<'_>) -> Head<'r> {
    let headers = request.headers();
    let value = |name| headers.get_one(name).map(str::as_bytes);
    Head {
        method: request.method().as_str(),
        query: request.uri().query().map(|query| query.as_str().as_bytes()),
        token: token(request),
        content_type: value("content-type"),
        content_length: value("content-length"),
        content_encodings: headers.get("content-encoding").map(str::as_bytes).collect(),
        // Rocket has sent `100 Continue` when it peeked.
        expects: false,
    }
}

/// A body as it arrives.
pub(crate) struct Raw<'r> {
    stream: DataStream<'r>,
    is_known_whole: bool,
    read: usize,
}

impl<'r> Raw<'r> {
    pub(crate) fn new(data: Data<'r>) -> Self {
        let is_known_whole = data.peek_complete();
        Self { stream: data.open(ByteUnit::max_value()), is_known_whole, read: 0 }
    }
}

impl Body for Raw<'_> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut chunk = [0; CHUNK];
        let mut buffer = ReadBuf::new(&mut chunk);
        if let Err(error) = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
            return Poll::Ready(Some(Err(error)));
        }
        let read = buffer.filled();
        self.read += read.len();
        Poll::Ready(match read.len() {
            // Rocket does not report that a body has ended too early while it peeked.
            0 if !self.is_known_whole && self.read < PEEKED => {
                Some(Err(io::ErrorKind::UnexpectedEof.into()))
            }
            0 => None,
            _ => Some(Ok(Frame::data(Bytes::copy_from_slice(read)))),
        })
    }
}
