//! A body with axum's own limit. The bytes beyond the limit can still be read.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use axum::{
    RequestExt,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    http::request::Parts,
};
use http_body::{Frame, SizeHint};

/// A body that fails once at axum's limit, and then continues with the rest.
pub(crate) struct Limited {
    limited: Option<Body>,
    whole: Shared,
}

/// A body with two owners.
#[derive(Clone)]
struct Shared(Arc<Mutex<Body>>);

impl Limited {
    pub(crate) fn of(request: Request) -> (Parts, Self) {
        let (parts, body) = request.into_parts();
        let whole = Shared(Arc::new(Mutex::new(body)));
        let request = Request::from_parts(parts, Body::new(whole.clone()));
        let (parts, limited) = request.with_limited_body().into_parts();
        (parts, Self { limited: Some(limited), whole })
    }
}

impl HttpBody for Limited {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Some(limited) = &mut this.limited else {
            return Pin::new(&mut this.whole).poll_frame(context);
        };
        let frame = ready!(Pin::new(limited).poll_frame(context));
        if let Some(Err(_)) = frame {
            this.limited = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.limited.as_ref().is_some_and(HttpBody::is_end_stream)
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut body = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}
