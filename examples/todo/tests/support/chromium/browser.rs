//! Debian's Chromium, driven through chromedriver.

use std::{
    io::{BufRead, BufReader},
    panic::{AssertUnwindSafe, resume_unwind},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use fantoccini::{Client, ClientBuilder, wd::Capabilities};
use futures_util::FutureExt;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;

use super::{Device, device::WIDE};

/// One browser for each device, so that a test and the next do not starve each other of time.
static ONE_TEST_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A driver of browsers; each device is a browser with a profile of its own.
pub struct Browser {
    driver: Child,
    address: String,
    profiles: PathBuf,
    devices: Vec<Client>,
}

impl Browser {
    /// Runs a test with browsers, and closes them whatever comes of it.
    pub fn test(name: &str, test: impl AsyncFnOnce(&mut Self)) {
        let _turn = ONE_TEST_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut browser = Self::start(name);
            let outcome = AssertUnwindSafe(test(&mut browser)).catch_unwind().await;
            for device in browser.devices.drain(..) {
                let _ = device.close().await;
            }
            outcome.unwrap_or_else(|panic| resume_unwind(panic));
        });
    }

    fn start(name: &str) -> Self {
        let mut driver = Command::new("chromedriver");
        driver.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = driver.spawn().unwrap_or_else(|error| {
            panic!(
                "Chromium and chromedriver are needed for the tests in a browser \
                 (on Debian: apt-get install chromium chromium-driver): {error}"
            )
        });
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let started = lines.find_map(|line| {
            let line = line.unwrap();
            let port = line.strip_prefix("ChromeDriver was started successfully on port ")?;
            Some(port.trim_end_matches('.').to_owned())
        });
        let port = started.expect("chromedriver tells its port");
        let profiles = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&profiles);
        Self { driver, address: format!("http://127.0.0.1:{port}"), profiles, devices: Vec::new() }
    }

    /// A new device, which has never been here, with the page open.
    pub async fn device(&mut self, page: &str) -> Device {
        let device = self.blank_device(page).await;
        device.open("/").await;
        device
    }

    /// A new device that has room for so many bytes.
    pub async fn small_device(&mut self, page: &str, bytes: u32) -> Device {
        let device = self.blank_device(page).await;
        let quota = json!({"origin": page, "quotaSize": bytes});
        device.command("Storage.overrideQuotaForOrigin", quota).await;
        device.open("/").await;
        device
    }

    async fn blank_device(&mut self, page: &str) -> Device {
        let profile = self.profiles.join(self.devices.len().to_string());
        std::fs::create_dir_all(&profile).unwrap();
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--lang=en-GB",
            &format!("--user-data-dir={}", profile.display()),
            &format!("--window-size={},{}", WIDE.0, WIDE.1),
        ];
        let mut capabilities = Capabilities::new();
        capabilities.insert("goog:chromeOptions".to_owned(), json!({"args": arguments}));
        capabilities.insert("goog:loggingPrefs".to_owned(), json!({"browser": "ALL"}));
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&self.address)
            .await
            .expect("a browser: is chromium installed? (on Debian: apt-get install chromium)");
        self.devices.push(client.clone());
        Device::new(client, page).await
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = std::fs::remove_dir_all(&self.profiles);
    }
}
