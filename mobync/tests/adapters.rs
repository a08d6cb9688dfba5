//! What adapters build on: limits of the framework, and auth closures of another shape.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::{cell::Cell, rc::Rc};

use bytes::Bytes;
use mobync::{
    Mobync, Owner,
    http::{Head, OverLimit, answer, receive},
    memory::MemoryDatabase,
};

fn post() -> Head<'static> {
    Head { method: "POST", content_type: Some(b"application/json"), ..Head::default() }
}

#[tokio::test]
async fn a_body_that_the_framework_cut_off_is_too_large() {
    let error = receive(post(), usize::MAX, async { Err(OverLimit.into()) }).await.unwrap_err();
    assert_eq!(error.code(), "payload_too_large");
    let sentence = "The body is larger than this server takes: send fewer diffs at once.";
    assert_eq!(error.to_string(), sentence);
    let error = receive(post(), 100, async { Err(OverLimit.into()) }).await.unwrap_err();
    assert!(error.to_string().contains("larger than 100 bytes"), "{error}");
}

#[tokio::test]
async fn an_auth_closure_of_an_adapter_may_borrow_and_need_not_be_send() {
    let mobync = Mobync::new(MemoryDatabase::new());
    let (asked, session) = (Cell::new(0), Rc::new("ada"));
    let body = async { Ok(Bytes::from(r#"{"logical_clock": 0, "diffs": []}"#)) };
    let received = receive(post(), 100, body).await;
    let auth = |_| async {
        asked.set(asked.get() + 1);
        Ok(Owner::new(*session)?)
    };
    assert_eq!(answer(&mobync, received, auth).await.status(), 200);
    assert_eq!(asked.get(), 1);
}
