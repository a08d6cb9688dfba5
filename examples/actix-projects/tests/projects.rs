//! The real program, and members of projects that talk to it over HTTP.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[allow(dead_code, unreachable_pub, reason = "shared with tests that use more of it")]
#[path = "../../../mobync/tests/support/postgres.rs"]
mod postgres;

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use ureq::Agent;

/// The running program; it ends with the test.
struct Server {
    process: Child,
    address: String,
    http: Agent,
}

impl Server {
    fn start() -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_actix-projects"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let database = runtime.block_on(postgres::new_database());
        program.args(["--port", "0", "--database", &database]);
        let mut process = program.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        let http = Agent::config_builder().http_status_as_error(false).build().into();
        Self { process, address: address.to_owned(), http }
    }

    fn post(&self, path: &str, user: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.address));
        let request = request.header("authorization", format!("Bearer {user}"));
        let mut response = request.send_json(body).unwrap();
        (response.status().as_u16(), response.body_mut().read_json().unwrap())
    }

    /// A new project of that user.
    fn found(&self, user: &str) -> String {
        let (status, answer) = self.post("/projects", user, &json!(null));
        assert_eq!(status, 200, "{answer}");
        answer["project"].as_str().unwrap().to_owned()
    }

    fn sync(&self, project: &str, user: &str, clock: i64, diffs: &[Value]) -> (u16, Value) {
        let body = json!({"logical_clock": clock, "diffs": diffs});
        self.post(&format!("/projects/{project}/sync"), user, &body)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn diff(operation: &str, model: &str, data: &Value) -> Value {
    json!({
        "id": format!("{operation} {model} {data}"), "owner": "", "logical_clock": 0,
        "utc_timestamp": 1000, "type": operation, "model": model, "json_data": data.to_string(),
    })
}

#[test]
fn members_share_a_project_and_nobody_else_sees_it() {
    let server = Server::start();
    let project = server.found("ada");
    let add = diff("create", "members", &json!({"id": "bob"}));
    let task = diff("create", "tasks", &json!({"id": "t1", "name": "Engine", "assignee": "bob"}));
    let (status, answer) = server.sync(&project, "ada", 1, &[add, task]);
    assert_eq!((status, &answer["refused"]), (200, &json!(null)));

    let (_, answer) = server.sync(&project, "bob", 0, &[]);
    let models: Vec<_> =
        answer["diffs"].as_array().unwrap().iter().map(|diff| &diff["model"]).collect();
    assert_eq!(models, ["members", "members", "tasks"]);
    let done = diff("update", "tasks", &json!({"id": "t1", "done": true}));
    assert_eq!(server.sync(&project, "bob", 2, &[done]).0, 200);
    assert_eq!(
        server.sync(&project, "ada", 2, &[]).1["diffs"][0]["json_data"],
        r#"{"id":"t1","done":true}"#
    );

    let (status, stranger) = server.sync(&project, "eve", 0, &[]);
    assert_eq!((status, &stranger["code"]), (403, &json!("forbidden")));
    assert_eq!(server.sync("elsewhere", "eve", 0, &[]).1, stranger);
}

#[test]
fn who_is_removed_may_not_sync_any_more() {
    let server = Server::start();
    let project = server.found("ada");
    server.sync(&project, "ada", 1, &[diff("create", "members", &json!({"id": "bob"}))]);
    assert_eq!(server.sync(&project, "bob", 0, &[]).0, 200);
    server.sync(&project, "ada", 2, &[diff("delete", "members", &json!({"id": "bob"}))]);
    assert_eq!(server.sync(&project, "bob", 2, &[]).0, 403);
}

#[test]
fn a_task_is_given_to_members_only() {
    let server = Server::start();
    let project = server.found("ada");
    let task = diff("create", "tasks", &json!({"id": "t1", "name": "Engine", "assignee": "eve"}));
    let (_, answer) = server.sync(&project, "ada", 1, &[task]);
    assert_eq!(
        answer["refused"][0]["message"],
        "A task can only be given to a member of the project."
    );
}

#[test]
fn the_last_member_stays() {
    let server = Server::start();
    let project = server.found("ada");
    let (_, answer) =
        server.sync(&project, "ada", 1, &[diff("delete", "members", &json!({"id": "ada"}))]);
    assert_eq!(answer["refused"][0]["message"], "A project needs a member.");
    assert_eq!(server.sync(&project, "ada", 2, &[]).0, 200);
}

#[test]
fn who_does_not_say_who_they_are_founds_nothing() {
    let server = Server::start();
    let mut response =
        server.http.post(format!("{}/projects", server.address)).send_empty().unwrap();
    assert_eq!(response.status(), 401);
    let failure: Value = response.body_mut().read_json().unwrap();
    assert_eq!(failure["code"], "unauthenticated");
}
