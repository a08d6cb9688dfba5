//! What adapters build on: limits of the framework, and auth closures of another shape.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame};
use http_body_util::Full;
use mobync::{
    Mobync, Owner,
    http::{OverLimit, answer, receive},
    memory::MemoryDatabase,
};

/// A body that a limit of the framework has cut off.
struct CutOff;

impl Body for CutOff {
    type Data = Bytes;
    type Error = OverLimit;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OverLimit>>> {
        Poll::Ready(Some(Err(OverLimit)))
    }
}

fn post<B>(body: B) -> Request<B> {
    Request::post("/sync").header("content-type", "application/json").body(body).unwrap()
}

#[tokio::test]
async fn a_body_that_the_framework_cut_off_is_too_large() {
    let error = receive(post(CutOff), usize::MAX).await.unwrap_err();
    assert_eq!(error.code(), "payload_too_large");
    let sentence = "The body is larger than this server takes: send fewer diffs at once.";
    assert_eq!(error.to_string(), sentence);
    let error = receive(post(CutOff), 100).await.unwrap_err();
    assert!(error.to_string().contains("larger than 100 bytes"), "{error}");
}

#[tokio::test]
async fn an_auth_closure_of_an_adapter_may_borrow_and_need_not_be_send() {
    let mobync = Mobync::new(MemoryDatabase::new());
    let (asked, session) = (Cell::new(0), Rc::new("ada"));
    let request = post(Full::<Bytes>::from(r#"{"logical_clock": 0, "diffs": []}"#));
    let auth = |_| async {
        asked.set(asked.get() + 1);
        Ok(Owner::new(*session)?)
    };
    assert_eq!(answer(&mobync, request, 100, auth).await.status(), 200);
    assert_eq!(asked.get(), 1);
}
