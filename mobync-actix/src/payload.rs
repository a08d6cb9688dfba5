//! From actix-web's requests, which have the types of `http` 0.2, to those of the core.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::{
    FromRequest, HttpRequest, dev,
    error::PayloadError,
    http::header,
    web::{self, PayloadConfig},
};
use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderName, HeaderValue, Method, Request};
use http_body::Frame;
use mobync::http::OverLimit;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body, on its way to the core.
pub(crate) enum Payload {
    /// As it comes; the core sees to the limit.
    Streamed(dev::Payload),
    /// Whole, within the limit of actix-web's own extractors.
    Extracted(Pin<Box<<web::Bytes as FromRequest>::Future>>),
    Ended,
}

impl Payload {
    /// Within the application's `PayloadConfig`, else actix-web's 256 KiB.
    pub(crate) fn extract(request: &HttpRequest, payload: &mut dev::Payload) -> Self {
        Self::Extracted(Box::pin(web::Bytes::from_request(request, payload)))
    }
}

/// Whether the application has set a limit of actix-web's own, in one of the two usual ways.
pub(crate) fn has_config(request: &HttpRequest) -> bool {
    request.app_data::<PayloadConfig>().is_some()
        || request.app_data::<web::Data<PayloadConfig>>().is_some()
}

/// The headers that the core reads; who asks is told by the request itself.
static READ: [(header::HeaderName, HeaderName); 4] = [
    (header::AUTHORIZATION, http::header::AUTHORIZATION),
    (header::CONTENT_ENCODING, http::header::CONTENT_ENCODING),
    (header::CONTENT_LENGTH, http::header::CONTENT_LENGTH),
    (header::CONTENT_TYPE, http::header::CONTENT_TYPE),
];

/// What the core looks at: the method, and some headers.
pub(crate) fn convert(request: &HttpRequest, payload: Payload) -> Request<Payload> {
    let mut converted = Request::new(payload);
    let method = request.method().as_str().as_bytes();
    *converted.method_mut() = Method::from_bytes(method).unwrap_or_default();
    for (theirs, ours) in &READ {
        for value in request.headers().get_all(theirs) {
            if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                converted.headers_mut().append(ours, value);
            }
        }
    }
    converted
}

impl http_body::Body for Payload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let read = match &mut *self {
            Self::Streamed(payload) => ready!(Pin::new(payload).poll_next(context))
                .map(|chunk| chunk.map_err(|error| explain(&error))),
            Self::Extracted(body) => {
                let body = ready!(body.as_mut().poll(context));
                *self = Self::Ended;
                Some(body.map_err(|error| match error.as_error() {
                    Some(error) => explain(error),
                    None => error.to_string().into(),
                }))
            }
            Self::Ended => None,
        };
        Poll::Ready(read.map(|chunk| chunk.map(Frame::data)))
    }
}

fn explain(error: &PayloadError) -> BoxError {
    match error {
        PayloadError::Overflow => OverLimit.into(),
        other => other.to_string().into(),
    }
}
