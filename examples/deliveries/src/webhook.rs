//! Tells another server of each delivery: a follower of the accepted changes.

use std::error::Error;

use mobync::{Diff, Operation, Owner};
use reqwest::{Client, header::CONTENT_TYPE};
use serde_json::json;
use sqlx::SqlitePool;

#[derive(Clone)]
pub(crate) struct Webhook {
    url: String,
    http: Client,
    pool: SqlitePool,
}

impl Webhook {
    pub(crate) fn new(url: String, pool: SqlitePool) -> Self {
        Self { url, http: Client::new(), pool }
    }

    /// Tells of the deliveries among these entries.
    ///
    /// # Errors
    /// Whatever keeps one from being told. All of them are told again then, so the other server must know
    /// them by their `Idempotency-Key`.
    pub(crate) async fn tell(
        self,
        driver: Owner,
        entries: Vec<Diff>,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        for entry in entries {
            let record = entry.record()?;
            let is_delivery = entry.model == "stops"
                && entry.operation == Operation::Update
                && record.get("delivered") == Some(&json!(true));
            if !is_delivery {
                continue;
            }
            // The entry says what has changed; the rest is in the row, if it is still there.
            let address: Option<String> =
                sqlx::query_scalar("SELECT address FROM stops WHERE driver = $1 AND id = $2")
                    .bind(driver.as_str())
                    .bind(record.id())
                    .fetch_optional(&self.pool)
                    .await?;
            let told = json!({"driver": driver.as_str(), "stop": record.id(), "address": address});
            let request = self.http.post(&self.url).header("idempotency-key", &entry.id);
            let request = request.header(CONTENT_TYPE, "application/json").body(told.to_string());
            request.send().await?.error_for_status()?;
        }
        Ok(())
    }
}
