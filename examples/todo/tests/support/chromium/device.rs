//! A device: what a person does there, and sees.

use std::{path::PathBuf, time::Duration};

use fantoccini::{
    Client, Locator,
    actions::{InputSource, MOUSE_BUTTON_LEFT, MouseActions, PointerAction},
    elements::Element,
    wd::WindowHandle,
};
use serde_json::{Value, json};

use super::{
    devtools::{DevTools, Log},
    is_in_time, until,
};

/// A window of a desktop, and that of a phone.
pub const WIDE: (u32, u32) = (1280, 860);
const NARROW: (u32, u32) = (390, 844);

/// A browser with the page open.
pub struct Device {
    client: Client,
    address: String,
}

impl Device {
    /// A browser that has not opened the page at that address yet.
    pub async fn new(client: Client, address: &str) -> Self {
        let device = Self { client, address: address.to_owned() };
        device.resize(WIDE).await;
        device
    }

    pub async fn open(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.address)).await.unwrap();
    }

    pub async fn reload(&self) {
        self.client.refresh().await.unwrap();
    }

    /// Waits until the page keeps itself, so that it can be loaded without a network.
    pub async fn is_installed(&self) {
        self.run("await navigator.serviceWorker.ready").await;
    }

    // ---------------------------------------------------------------- what a person does

    pub async fn find(&self, selector: &str) -> Element {
        let wait = self.client.wait().at_most(Duration::from_secs(10));
        let found = wait.for_element(Locator::Css(selector)).await;
        found.unwrap_or_else(|error| panic!("there is no {selector}: {error}"))
    }

    pub async fn click(&self, selector: &str) {
        // What moves, or lies under something that goes away, can be clicked in a moment.
        let mut problem = None;
        let click = async || {
            problem = self.find(selector).await.click().await.err();
            problem.is_none()
        };
        assert!(is_in_time(click).await, "{selector} cannot be clicked: {problem:?}");
    }

    pub async fn write(&self, selector: &str, keys: &str) {
        self.find(selector).await.send_keys(keys).await.unwrap();
    }

    /// Presses keys, wherever the focus is.
    pub async fn press(&self, keys: &str) {
        self.client.active_element().await.unwrap().send_keys(keys).await.unwrap();
    }

    /// Drags the one a little beyond the middle of the other.
    pub async fn drag(&self, from: &str, to: &str) {
        let (from, to) = (self.find(from).await, self.find(to).await);
        let (_, here, ..) = from.rectangle().await.unwrap();
        let (_, there, ..) = to.rectangle().await.unwrap();
        let way = (there - here) + (there - here).signum() * 4.0;
        let move_to = |y| PointerAction::MoveToElement {
            element: from.clone(),
            duration: Some(Duration::from_millis(100)),
            x: 0.0,
            y,
        };
        let actions = MouseActions::new("mouse".to_owned())
            .then(move_to(0.0))
            .then(PointerAction::Down { button: MOUSE_BUTTON_LEFT })
            .then(move_to(way))
            .then(PointerAction::Up { button: MOUSE_BUTTON_LEFT });
        self.client.perform_actions(actions).await.unwrap();
    }

    // ---------------------------------------------------------------- what a person sees

    pub async fn text(&self, selector: &str) -> String {
        self.find(selector).await.text().await.unwrap()
    }

    /// Waits until there is no such element.
    pub async fn has_no(&self, selector: &str) {
        let script = format!("return document.querySelector(`{selector}`) === null");
        until(&format!("{selector} is gone"), async || self.run(&script).await == true).await;
    }

    /// Waits until the status line says so.
    pub async fn says(&self, status: &str) {
        let mut said = String::new();
        let is_said = async || {
            said = self.text("#status").await;
            said == status
        };
        assert!(
            is_in_time(is_said).await,
            "waited in vain until the page says {status:?}: it says {said:?}"
        );
    }

    // -------------------------------------------------------------------- its surroundings

    pub async fn run(&self, script: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
            (async () => {{ {script} }})().then(done, (error) => done('failed: ' + error));"
        );
        let result = self.client.execute_async(&script, Vec::new()).await.unwrap();
        let failed = result.as_str().is_some_and(|text| text.starts_with("failed: "));
        assert!(!failed, "{result} in {script}");
        result
    }

    /// Takes the network from this device, or gives it back.
    pub async fn network(&self, up: bool) {
        let conditions = json!({
            "offline": !up, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1,
        });
        self.command("Network.enable", json!({})).await;
        self.command("Network.emulateNetworkConditions", conditions).await;
    }

    /// Another tab of the same browser, in front now; gives the one before.
    pub async fn new_tab(&self) -> WindowHandle {
        let before = self.client.window().await.unwrap();
        let tab = self.client.new_window(true).await.unwrap();
        self.client.switch_to_window(tab.handle).await.unwrap();
        self.open("/").await;
        before
    }

    pub async fn switch_to(&self, tab: WindowHandle) -> WindowHandle {
        let before = self.client.window().await.unwrap();
        self.client.switch_to_window(tab).await.unwrap();
        before
    }

    /// What the console says that is worse than information.
    pub async fn complaints(&self) -> Vec<String> {
        let entries = self.client.issue_cmd(Log).await.unwrap();
        let entries = entries.as_array().unwrap().iter();
        let bad = entries.filter(|entry| entry["level"] != "INFO" && entry["level"] != "DEBUG");
        bad.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    pub async fn resize(&self, (width, height): (u32, u32)) {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 2, "mobile": width < 500,
        });
        self.command("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// `light` or `dark`.
    pub async fn theme(&self, theme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": theme}]);
        self.command("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    /// Saves pictures of the page, as a desktop and a phone show it, in both themes.
    pub async fn pictures(&self, name: &str) {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        for (width, size) in [("desktop", WIDE), ("phone", NARROW)] {
            self.resize(size).await;
            for theme in ["light", "dark"] {
                self.theme(theme).await;
                self.run(
                    "await new Promise(requestAnimationFrame);
                    const ends = (animation) => animation.effect.getTiming().iterations < Infinity;
                    const pages = [document, ...Array.from(window, (_, place) => window[place]).map((frame) => frame.document)];
                    const animations = pages.flatMap((page) => page.getAnimations());
                    await Promise.all(animations.filter(ends).map((one) => one.finished));
                    await new Promise(requestAnimationFrame)",
                )
                .await;
                let picture = self.client.screenshot().await.unwrap();
                std::fs::write(folder.join(format!("{name}-{width}-{theme}.png")), picture)
                    .unwrap();
            }
        }
        self.resize(WIDE).await;
        self.theme("light").await;
    }

    pub async fn command(&self, command: &str, parameters: Value) -> Value {
        let command = DevTools(json!({"cmd": command, "params": parameters}));
        self.client.issue_cmd(command).await.unwrap()
    }
}
