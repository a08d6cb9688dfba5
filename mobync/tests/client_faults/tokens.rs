//! Tokens that cannot be had, take for ever, or are none.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mobync::client::{Client, HttpTransport, MemoryStore, SyncFailure};
use tokio::time::{Instant, timeout};

use super::{
    scripted::{Act, Scripted, answer},
    way::device,
};

const DONE: &str = r#"{"success":true,"message":"","logical_clock":1,"diffs":[]}"#;
const NO: &str = r#"{"success":false,"message":"Sign in.","code":"unauthenticated"}"#;

async fn client(transport: HttpTransport) -> Client<MemoryStore, HttpTransport> {
    Client::new(device(&["a"]).await, transport)
}

/// A new device, which one request is enough for.
async fn new_client(transport: HttpTransport) -> Client<MemoryStore, HttpTransport> {
    Client::new(device(&[]).await, transport)
}

#[tokio::test]
async fn without_a_token_no_header_is_sent() {
    let ways: [fn(HttpTransport) -> HttpTransport; 4] = [
        |transport| transport,
        |transport| transport.token(""),
        |transport| transport.token_from(|| async { Ok::<_, std::io::Error>(String::new()) }),
        |transport| transport.token_from(|| async { Ok::<_, std::io::Error>(" \n".to_owned()) }),
    ];
    for way in ways {
        let server = Scripted::new(vec![Act::Say(answer(401, "", NO))]).await;
        let client = client(way(HttpTransport::new(&server.url()).unwrap())).await;
        let failure = client.sync().await.unwrap_err();
        assert!(matches!(failure, SyncFailure::Unauthenticated { .. }), "{failure}");
        assert!(server.heads().iter().all(|head| !head.contains("authorization")));
        assert!((1..=2).contains(&server.heads().len()));
    }
}

#[tokio::test]
async fn a_token_that_no_header_can_have_is_not_sent_and_another_is_got() {
    let server = Scripted::new(vec![Act::Say(answer(200, "", DONE))]).await;
    let got = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&got);
    let transport = HttpTransport::new(&server.url()).unwrap().token_from(move || {
        let tokens = ["two\r\nx-evil: lines", "nul\0", "good"];
        let token = tokens[count.fetch_add(1, Ordering::SeqCst)];
        async move { Ok::<_, std::io::Error>(token.to_owned()) }
    });
    let client = new_client(transport).await;
    for _ in 0..2 {
        let failure = client.sync_now().await.unwrap_err();
        assert!(failure.is_temporary() && failure.to_string().contains("header"), "{failure}");
    }
    client.sync_now().await.unwrap();
    let heads = server.heads();
    assert!(heads.len() == 1 && heads[0].contains("authorization: bearer good"), "{heads:?}");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_had_for_now_is_no_reason_to_sign_in() {
    let got = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&got);
    let transport = HttpTransport::new("http://127.0.0.1:9/sync").unwrap().token_from(move || {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move {
            match number {
                0 => Err(std::io::Error::other("no network for the token")),
                _ => pending().await,
            }
        }
    });
    let client = client(transport).await;
    let failure = client.sync_now().await.unwrap_err();
    assert!(failure.is_temporary(), "{failure}");
    assert!(failure.to_string().contains("no network for the token"), "{failure}");

    let before = Instant::now();
    let failure = client.sync_now().await.unwrap_err();
    assert!(failure.is_temporary() && failure.to_string().contains("too long"), "{failure}");
    assert!(before.elapsed() < Duration::from_mins(1), "{:?}", before.elapsed());

    // Whoever gives up meanwhile leaves nothing locked.
    for _ in 0..3 {
        let given_up = timeout(Duration::from_secs(1), client.sync_now()).await;
        assert!(given_up.is_err());
        assert!(client.device().has_pending().await.unwrap());
    }
    assert_eq!(got.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn two_who_need_a_token_at_once_get_it_once() {
    let server = Scripted::new(vec![Act::Say(answer(200, "", DONE))]).await;
    let got = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&got);
    let transport = HttpTransport::new(&server.url()).unwrap().token_from(move || {
        count.fetch_add(1, Ordering::SeqCst);
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok::<_, std::io::Error>("ada".to_owned())
        }
    });
    let clients = [new_client(transport.clone()).await, new_client(transport).await];
    let (first, second) = tokio::join!(clients[0].sync_now(), clients[1].sync_now());
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(got.load(Ordering::SeqCst), 1);
}
