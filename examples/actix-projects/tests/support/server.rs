//! The running program.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::{Agent, http::Request};

use super::postgres;

/// The running program; it ends with the test.
pub struct Server {
    process: Child,
    // Held, so that the program does not write into nothing.
    _stdout: BufReader<ChildStdout>,
    address: String,
    http: Agent,
    _data: TempDir,
}

/// Runs the test on SQLite and on PostgreSQL.
pub fn on_every_database(test: impl Fn(&Server)) {
    test(&Server::start());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let database = runtime.block_on(postgres::new_database());
    test(&Server::start_with(&["--database", &database]));
}

impl Server {
    /// With a new, empty file.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(options: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut program = Command::new(env!("CARGO_BIN_EXE_actix-projects"));
        program.args(["--port", "0"]).args(options).current_dir(data.path());
        let mut process = program.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.split_whitespace().find(|word| word.starts_with("http://"));
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}")).to_owned();
        let http = Agent::config_builder().http_status_as_error(false).build().into();
        Self { process, _stdout: stdout, address, http, _data: data }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// A request of that person, with a body unless it is null.
    pub fn ask(&self, method: &str, path: &str, person: &str, body: &Value) -> (u16, Value) {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.address));
        let request = request.header("authorization", format!("Bearer {person}"));
        let request = request.header("content-type", "application/json");
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let mut answer = self.http.run(request.body(body).unwrap()).unwrap();
        let status = answer.status().as_u16();
        (status, answer.body_mut().read_json().unwrap_or_default())
    }

    /// As [`ask`](Self::ask), of which the person expects nothing but success.
    pub fn does(&self, method: &str, path: &str, person: &str, body: &Value) {
        let (status, answer) = self.ask(method, path, person, body);
        assert_eq!(status, 204, "{method} {path}: {answer}");
    }

    /// A new project of that person.
    pub fn found(&self, person: &str, name: &str) -> String {
        let (status, answer) = self.ask("POST", "/projects", person, &json!({"name": name}));
        assert_eq!(status, 200, "{answer}");
        answer["project"].as_str().unwrap().to_owned()
    }

    /// The owner invites somebody, who accepts.
    pub fn joins(&self, project: &str, owner: &str, person: &str, role: &str) {
        let invitation = format!("/projects/{project}/invitations/{person}");
        self.does("PUT", &invitation, owner, &json!({"role": role}));
        self.does("POST", &format!("/projects/{project}/members"), person, &Value::Null);
    }

    /// What a new device of that person gets of their own data, model by model: `["memberships …"]`.
    pub fn own(&self, person: &str) -> Vec<String> {
        let body = json!({"logical_clock": 0, "diffs": []});
        let (status, answer) = self.ask("POST", "/sync", person, &body);
        assert_eq!(status, 200, "{answer}");
        changes(&answer)
    }

    /// A request for these spaces, each with a clock and diffs; the answers to them.
    pub fn sync(&self, person: &str, spaces: &[(&str, i64, &[Value])]) -> Vec<Value> {
        let own = json!({"logical_clock": 0, "diffs": []});
        let member = |(space, clock, diffs): &(&str, i64, &[Value])| json!({"space": space, "logical_clock": clock, "diffs": diffs});
        let syncs: Vec<Value> = [own].into_iter().chain(spaces.iter().map(member)).collect();
        let (status, answer) = self.ask("POST", "/sync", person, &json!({"syncs": syncs}));
        assert_eq!(status, 200, "{answer}");
        answer["syncs"].as_array().unwrap()[1..].to_vec()
    }

    /// The answer to a request for one space.
    pub fn push(&self, person: &str, space: &str, clock: i64, diffs: &[Value]) -> Value {
        self.sync(person, &[(space, clock, diffs)]).remove(0)
    }

    /// A live stream of that person, of the project.
    pub fn listen(&self, person: &str, project: &str) -> Live {
        let agent: Agent =
            Agent::config_builder().timeout_recv_body(Some(Duration::from_secs(20))).build().into();
        let stream = agent.get(format!("{}/sync/live?space={project}", self.address));
        let stream = stream.header("authorization", format!("Bearer {person}")).call().unwrap();
        Live(Box::new(BufReader::new(stream.into_body().into_reader())))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A stream of events.
pub struct Live(Box<dyn BufRead>);

impl Live {
    /// The next event, as its name and its data. Heartbeats are skipped.
    pub fn next(&mut self) -> (String, Value) {
        let mut event = String::new();
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream has ended");
            if let Some(name) = line.strip_prefix("event: ") {
                name.trim().clone_into(&mut event);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return (event, serde_json::from_str(data).unwrap());
            }
        }
    }
}

/// A change that a device has made.
pub fn diff(operation: &str, model: &str, data: &Value) -> Value {
    json!({
        "id": format!("{operation} {model} {data}"), "owner": "", "logical_clock": 0,
        "utc_timestamp": 1000, "type": operation, "model": model, "json_data": data.to_string(),
    })
}

/// What an answer brings: `create tasks {…}`.
pub fn changes(answer: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let one =
        |diff: &Value| [&diff["type"], &diff["model"], &diff["json_data"]].map(text).join(" ");
    answer["diffs"].as_array().unwrap().iter().map(one).collect()
}
