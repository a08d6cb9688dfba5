//! The real program, and devices with tokens that talk to it over HTTP.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use serde_json::{Value, json};
use ureq::Agent;

const SECRET: &str = "a secret of the tests";

/// The running program; it ends with the test.
struct Server {
    process: Child,
    address: String,
    http: Agent,
}

impl Server {
    fn start() -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_axum-jwt"));
        program.args(["--port", "0"]).env("JWT_SECRET", SECRET).stdout(Stdio::piped());
        let mut process = program.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        let http = Agent::config_builder().http_status_as_error(false).build().into();
        Self { process, address: address.to_owned(), http }
    }

    fn post(&self, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.address));
        let request = request.header("authorization", format!("Bearer {token}"));
        let mut response = request.send_json(body).unwrap();
        (response.status().as_u16(), response.body_mut().read_json().unwrap())
    }

    fn sign_in(&self, name: &str, password: &str) -> (u16, Value) {
        self.post("/session", "", &json!({"name": name, "password": password}))
    }

    fn token(&self, name: &str, password: &str) -> String {
        self.sign_in(name, password).1["token"].as_str().unwrap().to_owned()
    }

    fn sync(&self, token: &str, diffs: &[Value]) -> (u16, Value) {
        self.post("/sync", token, &json!({"logical_clock": 0, "diffs": diffs}))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn forged(secret: &str, expires: u64) -> String {
    let claims = json!({"sub": "ada", "exp": expires});
    encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

#[test]
fn who_signs_in_syncs_what_is_theirs() {
    let server = Server::start();
    let (ada, bob) = (server.token("ada", "analytical"), server.token("bob", "builder"));
    let create = json!({
        "id": "d1", "owner": "", "logical_clock": 0, "utc_timestamp": 1000, "type": "create",
        "model": "tasks", "json_data": r#"{"id": "t1", "name": "Milk"}"#,
    });
    assert_eq!(server.sync(&ada, &[create]).1["logical_clock"], 1);
    assert_eq!(server.sync(&ada, &[]).1["diffs"][0]["owner"], "ada");
    assert_eq!(server.sync(&bob, &[]).1["diffs"], json!([]));
}

#[test]
fn a_wrong_password_gets_no_token() {
    let server = Server::start();
    let (status, failure) = server.sign_in("ada", "wrong");
    assert_eq!((status, &failure["code"]), (401, &json!("unauthenticated")));
    assert_eq!(failure["message"], "Name or password is wrong.");
}

#[test]
fn tokens_that_are_forged_or_have_expired_are_refused() {
    let server = Server::start();
    let now = get_current_timestamp();
    let none = "That is no token of this server.";
    for (token, message) in [
        ("ada".to_owned(), none),
        (forged("another secret", now + 1000), none),
        (forged(SECRET, now - 1000), "Your token has expired: sign in again."),
    ] {
        let (status, failure) = server.sync(&token, &[]);
        assert_eq!((status, &failure["message"]), (401, &json!(message)));
    }
    assert_eq!(server.sync(&forged(SECRET, now + 1000), &[]).0, 200);
}

#[test]
fn a_secret_that_can_be_guessed_is_refused_at_the_start() {
    use std::os::unix::ffi::OsStringExt;

    let blank = [" ", "\t", "\n", "\u{a0}", "                                "];
    let short = ["", "0", "secret", "fifteen bytes !", "      short, padded      "];
    let no_text = std::ffi::OsString::from_vec(vec![0xff; 64]);
    let secrets = blank.into_iter().chain(short).map(Into::into).chain([no_text]);
    for secret in secrets {
        let mut program = Command::new(env!("CARGO_BIN_EXE_axum-jwt"));
        let ended = program.args(["--port", "0"]).env("JWT_SECRET", &secret).output().unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success(), "{secret:?}");
        assert!(told.starts_with("JWT_SECRET must be a text of at least 16 bytes"), "{told}");
        assert_eq!((ended.stdout.len(), told.lines().count()), (0, 1), "it does not listen");
    }
}
