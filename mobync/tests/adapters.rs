//! What adapters build on: limits of the framework, and auth closures of another shape.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use mobync::{
    Mobync, Owner,
    http::{Claim, Endpoint, Head, Limits, LiveEndpoint, OverLimit, receive},
    memory::MemoryDatabase,
};

fn post() -> Head<'static> {
    Head { method: "POST", content_type: Some(b"application/json"), ..Head::default() }
}

/// A body that the framework cuts off at once.
struct CutOff(Option<OverLimit>);

impl Body for CutOff {
    type Data = Bytes;
    type Error = OverLimit;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OverLimit>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

#[tokio::test]
async fn a_body_that_the_framework_cut_off_is_too_large() {
    let limits = Limits::new().max_body_bytes(usize::MAX);
    let error = receive(post(), CutOff(Some(OverLimit)), &limits).await.unwrap_err();
    assert_eq!(error.code(), "payload_too_large");
    let sentence = "The body is larger than this server takes: send fewer diffs at once.";
    assert_eq!(error.to_string(), sentence);
    let limits = limits.max_body_bytes(100);
    let error = receive(post(), CutOff(Some(OverLimit)), &limits).await.unwrap_err();
    assert!(error.to_string().contains("larger than 100 bytes"), "{error}");
}

#[tokio::test]
async fn an_auth_closure_of_an_adapter_may_borrow_and_need_not_be_send() {
    let endpoint = Endpoint::without_auth(Mobync::new(MemoryDatabase::new()));
    let (asked, session) = (Cell::new(0), Rc::new("ada"));
    let body = Full::<Bytes>::from(r#"{"logical_clock": 0, "diffs": []}"#);
    let auth = |_| async {
        asked.set(asked.get() + 1);
        Ok(Owner::new(*session)?)
    };
    let limits = Limits::new().max_body_bytes(100);
    assert_eq!(endpoint.answer(post(), body, &limits, auth).await.status(), 200);
    assert_eq!(asked.get(), 1);
}

#[tokio::test]
async fn so_may_the_closure_of_a_stream_as_long_as_it_is_open() {
    let live = LiveEndpoint::without_auth(Mobync::new(MemoryDatabase::new()));
    let (asked, session) = (Cell::new(0), Rc::new("ada"));
    let head = Head { method: "GET", query: Some(b"space=club"), ..Head::default() };
    let auth = |claim: Claim| {
        let (asked, session) = (&asked, &session);
        async move {
            asked.set(asked.get() + 1);
            Ok(Owner::new(claim.space.as_deref().unwrap_or(session))?)
        }
    };
    let mut events = live.answer(head, auth).await.into_body();
    assert_eq!(asked.get(), 1);
    let event = events.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(event, "event: clock\ndata: {\"space\":\"club\",\"logical_clock\":0}\n\n");
    assert_eq!(asked.get(), 2);
}
