//! The real program, and people with cookies who talk to it over HTTP.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use ureq::Agent;

/// The running program; it ends with the test.
struct Server {
    process: Child,
    address: String,
    _data: TempDir,
}

impl Server {
    fn start() -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_rocket-notes"));
        let data = tempfile::tempdir().unwrap();
        program.envs([("ROCKET_PORT", "0"), ("ROCKET_CLI_COLORS", "0")]);
        program.env("NOTES", data.path().join("notes.sqlite"));
        let mut process = program.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let launched =
            lines.find(|line| line.as_ref().unwrap().contains("http://")).unwrap().unwrap();
        let address = launched.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        let address = address.to_owned();
        // Rocket goes on telling what it does, and somebody must listen.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address, _data: data }
    }

    /// A person with a cookie jar.
    fn person(&self) -> Person<'_> {
        let http = Agent::config_builder().http_status_as_error(false).build().into();
        Person { server: self, http }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Person<'s> {
    server: &'s Server,
    http: Agent,
}

impl Person<'_> {
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.server.address)
    }

    fn sign_in(&self, name: &str, password: &str) -> u16 {
        let form = [("name", name), ("password", password)];
        self.http.post(self.at("/session")).send_form(form).unwrap().status().as_u16()
    }

    fn sync(&self, clock: i64, diffs: &[Value]) -> (u16, Value) {
        let body = json!({"logical_clock": clock, "diffs": diffs});
        let mut response = self.http.post(self.at("/sync")).send_json(body).unwrap();
        (response.status().as_u16(), response.body_mut().read_json().unwrap())
    }

    fn notes(&self) -> Value {
        self.http.get(self.at("/notes")).call().unwrap().body_mut().read_json().unwrap()
    }
}

fn create(id: &str, text: &str) -> Value {
    json!({
        "id": format!("create-{id}"), "owner": "", "logical_clock": 0, "utc_timestamp": 1000,
        "type": "create", "model": "notes", "json_data": json!({"id": id, "text": text}).to_string(),
    })
}

#[test]
fn devices_of_a_person_who_signed_in_share_notes() {
    let server = Server::start();
    let (phone, laptop, bobs) = (server.person(), server.person(), server.person());
    assert_eq!(phone.sign_in("ada", "analytical"), 204);
    assert_eq!(laptop.sign_in("ada", "analytical"), 204);
    assert_eq!(bobs.sign_in("bob", "builder"), 204);

    let (status, answer) = phone.sync(0, &[create("n1", "Bernoulli numbers")]);
    assert_eq!((status, &answer["logical_clock"]), (200, &json!(1)));
    assert_eq!(laptop.sync(0, &[]).1["diffs"][0]["id"], "create-n1");
    assert_eq!(laptop.notes(), json!([{"id": "n1", "title": null, "text": "Bernoulli numbers"}]));
    assert_eq!(bobs.sync(0, &[]).1["diffs"], json!([]));
    assert_eq!(bobs.notes(), json!([]));
}

#[test]
fn who_has_not_signed_in_or_signed_out_may_not_sync() {
    let server = Server::start();
    let phone = server.person();
    let refused = json!({"success": false, "message": "Sign in first.", "code": "unauthenticated"});
    assert_eq!(phone.sync(0, &[]), (401, refused.clone()));
    assert_eq!(phone.sign_in("ada", "wrong"), 401);
    assert_eq!(phone.sync(0, &[]).0, 401);
    assert_eq!(phone.sign_in("ada", "analytical"), 204);
    assert_eq!(phone.sync(0, &[]).0, 200);
    assert_eq!(phone.http.delete(phone.at("/session")).call().unwrap().status(), 204);
    assert_eq!(phone.sync(0, &[]), (401, refused));
}

#[test]
fn a_note_that_is_too_long_is_refused_alone() {
    let server = Server::start();
    let phone = server.person();
    phone.sign_in("ada", "analytical");
    let (_, answer) = phone.sync(0, &[create("n1", &"x".repeat(5000)), create("n2", "short")]);
    assert_eq!(answer["refused"][0]["message"], "A note has at most 4,000 letters.");
    assert_eq!(phone.notes(), json!([{"id": "n2", "title": null, "text": "short"}]));
}
