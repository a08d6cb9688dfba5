//! Browsers with a page open, for the tests of any example.

mod browser;
mod device;
mod devtools;

pub use self::{browser::Browser, device::Device};

use std::time::{Duration, Instant};

/// Waits until the condition holds, which something under way must bring about.
pub async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    assert!(is_in_time(condition).await, "waited in vain until {what}");
}

/// Whether the condition comes to hold while there is patience.
async fn is_in_time(mut condition: impl AsyncFnMut() -> bool) -> bool {
    let patience = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        if Instant::now() > patience {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    true
}
