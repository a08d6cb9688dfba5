//! The real program on a free port, and devices that talk to it over HTTP.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod device;

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use ureq::{Agent, Body, http::Response};

pub use self::device::Device;

pub fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_in-memory"));
    program.stdout(Stdio::piped()).stderr(Stdio::piped());
    program
}

/// The running program; it ends with the test.
pub struct Server {
    process: Child,
    stdout: BufReader<ChildStdout>,
    address: String,
    http: Agent,
}

impl Server {
    pub fn start() -> Self {
        let mut process = program().args(["--port", "0"]).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut banner = String::new();
        stdout.read_line(&mut banner).unwrap();
        let address = banner.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        let http = Agent::config_builder().http_status_as_error(false).build().into();
        Self { process, stdout, address: address.to_owned(), http }
    }

    /// Such as `http://127.0.0.1:8000`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The next line of the banner that has this word in it.
    pub fn read_banner(&mut self, word: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.stdout.read_line(&mut line).unwrap(), 0, "no line with {word}");
            if line.contains(word) {
                return line;
            }
        }
    }

    /// Status and JSON of a sync's answer.
    pub fn sync(&self, token: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}/sync", self.address));
        read(request.header("authorization", format!("Bearer {token}")).send_json(body).unwrap())
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        read(self.http.get(format!("{}{path}", self.address)).call().unwrap())
    }

    pub fn get_with_bearer(&self, path: &str, token: &str) -> (u16, Value) {
        let request = self.http.get(format!("{}{path}", self.address));
        read(request.header("authorization", format!("Bearer {token}")).call().unwrap())
    }

    /// Asks the program to stop, with the signal, and waits for its end.
    #[cfg(unix)]
    pub fn stop(mut self, signal: &str) -> ExitStatus {
        let process = self.process.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &process]).status().unwrap();
        assert!(sent.success());
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

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read(mut response: Response<Body>) -> (u16, Value) {
    (response.status().as_u16(), response.body_mut().read_json().unwrap())
}
