//! A driver's phone.

use std::time::Duration;

use mobync::{
    Record,
    client::{Client, Device, HttpTransport, MemoryStore, SyncFailure},
};
use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

pub struct Phone {
    client: Client<MemoryStore, HttpTransport>,
    address: String,
    token: String,
}

impl Phone {
    pub fn new(address: &str, token: &str) -> Self {
        let transport = HttpTransport::new(&format!("{address}/sync")).unwrap().token(token);
        let client = Client::new(Device::new(MemoryStore::new()), transport);
        Self { client, address: address.to_owned(), token: token.to_owned() }
    }

    pub async fn sync(&self) {
        self.client.sync_now().await.unwrap();
    }

    pub async fn is_refused(&self) {
        let failure = self.client.sync_now().await.unwrap_err();
        assert!(matches!(failure, SyncFailure::Unauthenticated { .. }), "{failure:?}");
    }

    /// A change while the phone may be offline.
    pub async fn change(&self, model: &str, changes: Record) {
        self.client.device().update(model, changes).await.unwrap();
    }

    pub async fn delete(&self, model: &str, id: &str) {
        self.client.device().delete(model, id).await.unwrap();
    }

    pub async fn all(&self, model: &str) -> Vec<Value> {
        let records = self.client.device().all(model).await.unwrap();
        records.into_iter().map(Value::from).collect()
    }

    pub async fn one(&self, model: &str) -> Value {
        let all = self.all(model).await;
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }

    pub async fn get(&self, model: &str, id: &str) -> Value {
        self.client.device().get(model, id).await.unwrap().unwrap().into()
    }

    /// The sentences that the driver reads.
    pub async fn refused(&self) -> Vec<String> {
        let refused = self.client.device().refused().await.unwrap();
        refused.into_iter().map(|refused| refused.message).collect()
    }

    /// Listens for news, as an app does while it is in front.
    pub async fn listen(&self) -> Live {
        let request = reqwest::Client::new().get(format!("{}/sync/live", self.address));
        let response = request.bearer_auth(&self.token).send().await.unwrap();
        assert_eq!(response.status(), 200);
        Live(response)
    }
}

/// A stream of Server-Sent Events.
pub struct Live(Response);

impl Live {
    /// Waits until the server tells of a clock that the phone has not come to, and syncs it.
    pub async fn hears_more_than(&mut self, phone: &Phone) {
        let known = phone.client.device().clock().await.unwrap();
        loop {
            let chunk = timeout(Duration::from_secs(20), self.0.chunk()).await;
            let chunk = chunk.expect("it hears in time").unwrap().expect("the stream goes on");
            let text = str::from_utf8(&chunk).unwrap();
            let clocks = text.lines().filter_map(|line| line.strip_prefix("data: ")?.parse().ok());
            if clocks.max().is_some_and(|clock: i64| clock > known) {
                return phone.sync().await;
            }
        }
    }
}
