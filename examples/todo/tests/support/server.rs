//! The running program.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;

/// The running program; it ends with the test.
pub struct Server {
    process: Child,
    // Held, so that the program does not write into nothing.
    _stdout: BufReader<ChildStdout>,
    address: String,
    data: Arc<TempDir>,
}

impl Server {
    /// With a new, empty database.
    pub fn start() -> Self {
        Self::start_on(0, Arc::new(tempfile::tempdir().unwrap()))
    }

    /// With a new, empty database, and a log that keeps only what devices need that were away for so many days.
    pub fn keeping(days: &str) -> Self {
        Self::start_with(&["--keep", days], 0, Arc::new(tempfile::tempdir().unwrap()))
    }

    /// Its port and its data, for another one that goes on with them.
    pub fn place(&self) -> (u16, Arc<TempDir>) {
        (self.port(), Arc::clone(&self.data))
    }

    /// On that port, of which 0 is a free one, and with those data.
    pub fn start_on(port: u16, data: Arc<TempDir>) -> Self {
        Self::start_with(&[], port, data)
    }

    /// On that port and with those data, with the page of version 1.
    pub fn of_version_1(port: u16, data: Arc<TempDir>) -> Self {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/version-1");
        Self::start_with(&["--web", page], port, data)
    }

    fn start_with(options: &[&str], port: u16, data: Arc<TempDir>) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_todo"));
        program.args(["--port", &port.to_string()]).args(options).current_dir(data.path());
        program.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = program.spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut banner = String::new();
        stdout.read_line(&mut banner).unwrap();
        let address = banner.split_whitespace().find(|word| word.starts_with("http://"));
        let address = address.unwrap_or_else(|| panic!("no address in {banner:?}")).to_owned();
        Self { process, _stdout: stdout, address, data }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn port(&self) -> u16 {
        self.address.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// What a new device of that person gets.
    pub fn sync(&self, token: &str) -> Value {
        self.push(token, &json!([]))
    }

    /// What a new device of that person gets, with changes of its own.
    pub fn push(&self, token: &str, diffs: &Value) -> Value {
        self.answer(token, &json!({"logical_clock": 0, "diffs": diffs}))
    }

    /// The answer to a request, or the failure.
    pub fn answer(&self, token: &str, body: &Value) -> Value {
        let agent: Agent = Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent.post(format!("{}/sync", self.address));
        let mut answer =
            request.header("authorization", format!("Bearer {token}")).send_json(body).unwrap();
        answer.body_mut().read_json().unwrap()
    }

    /// The tasks that the server has of that person, sorted by name.
    pub fn names(&self, token: &str) -> Vec<String> {
        names_in(&self.sync(token))
    }

    /// The tasks that the server has of the list that is shared, as that person gets them, sorted by name.
    pub fn family(&self, token: &str) -> Vec<String> {
        let member = json!({"space": "family", "logical_clock": 0, "diffs": []});
        names_in(&self.answer(token, &json!({"syncs": [member]}))["syncs"][0])
    }

    /// Ends it at once, in the middle of whatever it does.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks it to stop, and waits for its end.
    #[cfg(unix)]
    pub fn stop(mut self) -> ExitStatus {
        let process = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &process]).status().unwrap().success());
        let patience = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < patience, "still running");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn names_in(answer: &Value) -> Vec<String> {
    let diffs = answer["diffs"].as_array().unwrap();
    let name = |diff: &Value| {
        let task: Value = serde_json::from_str(diff["json_data"].as_str().unwrap()).unwrap();
        task["name"].as_str().unwrap().to_owned()
    };
    let mut names: Vec<_> = diffs.iter().map(name).collect();
    names.sort_unstable();
    names
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
