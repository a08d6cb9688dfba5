//! What the core reads from actix-web's requests.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    FromRequest, HttpRequest,
    body::{BodyStream, MessageBody},
    dev,
    error::PayloadError,
    http::header::{self, HeaderName, HeaderValue},
    web::{self, PayloadConfig},
};
use bytes::Bytes;
use futures_util::stream;
use http_body::{Body, Frame};
use mobync::http::{Head, Limits, OverLimit, Token};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub(crate) fn head(request: &HttpRequest) -> Head<'_> {
    let headers = request.headers();
    let value = |name: HeaderName| headers.get(name).map(HeaderValue::as_bytes);
    let encodings = headers.get_all(header::CONTENT_ENCODING);
    Head {
        method: request.method().as_str(),
        query: request.uri().query().map(str::as_bytes),
        token: token(request),
        content_type: value(header::CONTENT_TYPE),
        content_length: value(header::CONTENT_LENGTH),
        content_encodings: encodings.map(HeaderValue::as_bytes).collect(),
        // actix-web has sent `100 Continue` before it calls any handler.
        expects: false,
    }
}

/// The token of the headers `Authorization`.
pub(crate) fn token(request: &HttpRequest) -> Token {
    let authorizations = request.headers().get_all(header::AUTHORIZATION);
    Token::of_headers(authorizations.map(HeaderValue::as_bytes))
}

/// The limits in the `app_data`, stored in either of the two usual ways, or else those of the process.
pub(crate) fn limits(request: &HttpRequest) -> Limits {
    let shared = || request.app_data::<web::Data<Limits>>().map(|limits| &***limits);
    request.app_data().or_else(shared).cloned().unwrap_or_default()
}

/// Whether the application has set a limit of actix-web's own, in either of the two usual ways.
pub(crate) fn has_config(request: &HttpRequest) -> bool {
    request.app_data::<PayloadConfig>().is_some()
        || request.app_data::<web::Data<PayloadConfig>>().is_some()
}

/// A body as it arrives.
pub(crate) struct Raw(BodyStream<dev::Payload>);

impl Raw {
    pub(crate) fn new(payload: dev::Payload) -> Self {
        Self(BodyStream::new(payload))
    }
}

impl Body for Raw {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let chunk = Pin::new(&mut self.0).poll_next(context);
        chunk.map_ok(Frame::data).map_err(|error| error.to_string().into())
    }
}

/// A body within the application's `PayloadConfig`, or else actix-web's 256 KiB. The bytes beyond it can
/// still be read.
///
/// Only actix-web knows the limit, and it returns the body in one piece. Until then this yields empty
/// pieces, so that a slow body is not mistaken for a silent one.
pub(crate) struct Configured {
    extracted: Option<Extraction>,
    raw: Rc<RefCell<Raw>>,
    has_come: Rc<Cell<bool>>,
}

type Extraction = Pin<Box<dyn Future<Output = actix_web::Result<Bytes>>>>;

impl Configured {
    pub(crate) fn new(request: &HttpRequest, payload: dev::Payload) -> Self {
        let raw = Rc::new(RefCell::new(Raw::new(payload)));
        let has_come = Rc::new(Cell::new(false));
        let (tapped, tap) = (Rc::clone(&raw), Rc::clone(&has_come));
        let stream = stream::poll_fn(move |context| {
            let chunk = Pin::new(&mut tapped.borrow_mut().0).poll_next(context);
            tap.set(tap.get() || chunk.is_ready());
            chunk
        });
        let mut payload: dev::Payload = dev::Payload::Stream { payload: Box::pin(stream) };
        let extracted = web::Bytes::from_request(request, &mut payload);
        Self { extracted: Some(Box::pin(extracted)), raw, has_come }
    }
}

impl Body for Configured {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(extracted) = &mut self.extracted else {
            return Pin::new(&mut *self.raw.borrow_mut()).poll_frame(context);
        };
        let extracted = match extracted.as_mut().poll(context) {
            Poll::Pending if self.has_come.take() => Ok(Bytes::new()),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(extracted) => {
                self.extracted = None;
                extracted
            }
        };
        Poll::Ready(Some(extracted.map(Frame::data).map_err(|error| explain(&error))))
    }
}

fn explain(error: &actix_web::Error) -> BoxError {
    match error.as_error() {
        Some(PayloadError::Overflow) => OverLimit.into(),
        _ => error.to_string().into(),
    }
}
