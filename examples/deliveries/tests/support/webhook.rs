//! The server that is told of deliveries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};

/// A server that fails at the first request.
pub struct Webhook {
    pub url: String,
    told: UnboundedReceiver<(String, Value)>,
}

impl Webhook {
    pub async fn start() -> Self {
        let (tell, told) = unbounded_channel();
        let has_failed = Arc::new(AtomicBool::new(false));
        let handler = async move |headers: HeaderMap, body: String| {
            let key = headers["idempotency-key"].to_str().unwrap().to_owned();
            tell.send((key, serde_json::from_str(&body).unwrap())).unwrap();
            if has_failed.swap(true, Ordering::SeqCst) {
                StatusCode::NO_CONTENT
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/delivered", listener.local_addr().unwrap());
        let app = Router::new().route("/delivered", post(handler));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, told }
    }

    /// The next request: its key, and what it says.
    pub async fn told(&mut self) -> (String, Value) {
        let told = timeout(Duration::from_secs(20), self.told.recv()).await;
        told.expect("it is told in time").unwrap()
    }
}
