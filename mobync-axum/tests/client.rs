//! The library's own client against the route, over a real network.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use mobync::{
    Record,
    client::{Client, Device, HttpTransport, MemoryStore, SyncFailure},
};
use support::{auth, mobync};
use tokio::net::TcpListener;

/// Serves the route for as long as the test lives, and returns its URL.
async fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/sync", listener.local_addr().unwrap());
    let app = mobync_axum::router(mobync(), auth);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

fn milk() -> Record {
    Record::new("t1").with("name", "Milk")
}

#[tokio::test]
async fn two_devices_converge_over_http() {
    let url = serve().await;
    let device = || async {
        let transport = HttpTransport::new(&url).unwrap().token("ada");
        Client::new(Device::new(MemoryStore::new()), transport)
    };
    let (a, b) = (device().await, device().await);
    a.device().create("tasks", milk()).await.unwrap();
    a.sync().await.unwrap();
    b.sync().await.unwrap();
    assert_eq!(b.device().get("tasks", "t1").await.unwrap(), Some(milk()));
}

#[tokio::test]
async fn a_token_is_got_when_it_is_needed() {
    let url = serve().await;
    let got = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&got);
    let transport = HttpTransport::new(&url).unwrap().token_from(move || {
        let number = count.fetch_add(1, Ordering::SeqCst);
        // The first one is not taken.
        let token = if number == 0 { "" } else { "ada" };
        async move { Ok::<_, std::io::Error>(token.to_owned()) }
    });
    let client = Client::new(Device::new(MemoryStore::new()), transport);
    client.device().create("tasks", milk()).await.unwrap();
    client.sync_now().await.unwrap();
    assert_eq!(got.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn nobody_there_is_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/sync", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(
        Device::new(MemoryStore::new()),
        HttpTransport::new(&url).unwrap().token("ada"),
    );
    let failure = client.sync_now().await.unwrap_err();
    assert!(matches!(failure, SyncFailure::NoAnswer { .. }), "{failure}");
}
