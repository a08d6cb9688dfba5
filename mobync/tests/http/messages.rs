//! Every sentence that a device or a person can read, in one table.

use std::{collections::BTreeSet, fmt::Write as _};

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::Full;
use mobync::{
    Change, DatabaseError, Diff, Mobync, Owner, Refusal, View, http::respond,
    memory::MemoryDatabase,
};
use serde_json::{Value, json};

use super::{
    Answer, Error, Server, diff, post, request,
    support::{self, Faulty, Hooked, ada, create, hooked::Hook, update},
};

/// The codes of the protocol.
const CODES: [&str; 19] = [
    "invalid_json",
    "invalid_request",
    "invalid_diff",
    "unauthenticated",
    "forbidden",
    "no_member",
    "other_owner",
    "method_not_allowed",
    "clock_ahead",
    "other_history",
    "payload_too_large",
    "unsupported_media_type",
    "unknown_model",
    "unknown_field",
    "invalid_value",
    "constraint",
    "too_many_listeners",
    "internal",
    "busy",
];

/// `code | status | message`, one per line. A diff that is refused alone has no status of its own.
#[derive(Default)]
struct Table(String);

impl Table {
    fn add(&mut self, code: &Value, status: &str, message: &Value) {
        let (code, message) = (code.as_str().unwrap(), message.as_str().unwrap());
        writeln!(self.0, "{code} | {status} | {message}").unwrap();
    }

    fn answer(&mut self, answer: &Answer) {
        assert_ne!(answer.status, 200, "{}", answer.json);
        self.add(&answer.json["code"], &answer.status.to_string(), &answer.json["message"]);
    }

    fn error(&mut self, error: &Error) {
        let response = respond(Err(error));
        let body: Value = serde_json::from_slice(response.body()).unwrap();
        self.add(&body["code"], response.status().as_str(), &body["message"]);
    }

    fn refused(&mut self, answer: &Answer) {
        for refused in answer.json["refused"].as_array().unwrap() {
            self.add(&refused["code"], "refused", &refused["message"]);
        }
    }
}

/// Bodies that are wrong as a whole.
async fn bodies(table: &mut Table) {
    let server = Server::new();
    let bodies: [&[u8]; 26] = [
        b"",
        b"{",
        b"\xff",
        b"{} {}",
        br#"{"logical_clock": 0, "logical_clock": 1, "diffs": []}"#,
        br#"{"logical_clock": 9223372036854775808, "diffs": []}"#,
        br#"{"logical_clock": 0, "diffs": [], "x": "\ud800"}"#,
        b"[]",
        br#"{"diffs": []}"#,
        br#"{"logical_clock": -1, "diffs": []}"#,
        br#"{"logical_clock": 1.5, "diffs": []}"#,
        br#"{"logical_clock": 0, "diffs": [], "head": 1}"#,
        br#"{"logical_clock": 0, "diffs": [], "limit": 0}"#,
        br#"{"logical_clock": 0}"#,
        br#"{"logical_clock": 0, "diffs": {}}"#,
        br#"{"logical_clock": 0, "diffs": [7]}"#,
        br#"{"logical_clock": 0, "diffs": [{}]}"#,
        br#"{"logical_clock": 0, "diffs": [], "owner": 7}"#,
        br#"{"logical_clock": 0, "diffs": [], "owner": "bob"}"#,
        br#"{"logical_clock": 0, "syncs": []}"#,
        br#"{"syncs": {}}"#,
        br#"{"syncs": [7]}"#,
        br#"{"syncs": [{}, {}]}"#,
        br#"{"syncs": [{"space": 7}]}"#,
        br#"{"syncs": [{"space": ""}]}"#,
        br#"{"syncs": [{"space": "\u0000"}]}"#,
    ];
    for body in bodies {
        let mut request = post(body.to_vec());
        request.headers_mut().insert(header::AUTHORIZATION, "Bearer ada".parse().unwrap());
        table.answer(&server.send(request).await);
    }
}

/// Diffs that break a rule of the wire format.
async fn members(table: &mut Table) {
    let server = Server::new();
    let long = "l".repeat(1025);
    for member in ["id", "owner", "logical_clock", "utc_timestamp", "type", "model", "json_data"] {
        for wrong in [json!("<missing>"), json!(true)] {
            table.answer(&server.post(request(&[diff(json!({ member: wrong }))])).await);
        }
    }
    for wrong in [
        json!({"id": ""}),
        json!({"id": long}),
        json!({"id": "\0"}),
        json!({"model": ""}),
        json!({"utc_timestamp": -1}),
        json!({"type": "upsert"}),
        json!({"json_data": "{"}),
        json!({"json_data": "[]"}),
        json!({"json_data": "{}"}),
        json!({"json_data": r#"{"id": 1}"#}),
        json!({"json_data": r#"{"id": ""}"#}),
        json!({"json_data": r#"{"id": "t1", "a": 1, "a": 2}"#}),
        json!({"json_data": r#"{"id": "t1", "a": 9223372036854775808}"#}),
    ] {
        table.answer(&server.post(request(&[diff(wrong)])).await);
    }
    let twice = [diff(json!({})), diff(json!({"utc_timestamp": 2}))];
    table.answer(&server.post(request(&twice)).await);
}

/// Errors of authentication, of the headers and of limits.
async fn heads(table: &mut Table) {
    let server = Server::new();
    let mut get = Request::new(Full::<Bytes>::default());
    *get.method_mut() = Method::GET;
    table.answer(&server.send(get).await);
    for (name, value) in [(header::CONTENT_TYPE, "text/plain"), (header::CONTENT_ENCODING, "gzip")]
    {
        let mut request = post(request(&[]));
        request.headers_mut().insert(name, value.parse().unwrap());
        table.answer(&server.send(request).await);
    }
    table.answer(&server.post(vec![b' '; 100_001]).await);
    let few = Server(Server::new().0.max_diffs(1));
    table.answer(&few.post(request(&[diff(json!({})), diff(json!({"id": "d2"}))])).await);
    let long = "l".repeat(1025);
    for token in ["", "stranger", "banned", "broken", &long] {
        table.answer(&server.sync(token, 0, []).await);
    }
    let many = vec!["{}"; 101].join(",");
    table.answer(&server.post(format!(r#"{{"auth_token": "ada", "syncs": [{many}]}}"#)).await);
    // A closure that does not look at the space, and one that does.
    let space = json!({"space": "family", "logical_clock": 0, "diffs": [], "syncs": []});
    let several = json!({"auth_token": "ada", "syncs": [space]}).to_string();
    for body in [several.clone(), several.replace("ada", "member")] {
        let answer = server.post(body).await;
        let part = &answer.json["syncs"][0];
        table.add(&part["code"], &part["status"].to_string(), &part["message"]);
    }
    table.error(&Error::TooManyListeners { most: 100 });
    table.error(&Error::Silent { after: std::time::Duration::from_secs(10) });
}

/// A database that rejects some values, each for another reason.
#[derive(Clone, Debug)]
struct Strict;

impl Hook for Strict {
    fn change(&self, change: &Change) -> Result<(), DatabaseError> {
        match change.id() {
            "value" => Err(DatabaseError::invalid_value("done", "must be true or false")),
            "constraint" => Err(DatabaseError::constraint("tasks_parent")),
            "left out" => Err(DatabaseError::left_out("tasks")),
            _ => Ok(()),
        }
    }
}

async fn no_forbidden(_: &Owner, diff: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
    #[derive(serde::Deserialize)]
    struct Task {
        #[expect(dead_code, reason = "its type counts")]
        done: Option<bool>,
    }
    if diff.object_id()? == "forbidden" {
        return Err(Refusal::because("That is not yours to change."));
    }
    if diff.object_id()? == "misfit" {
        diff.parse::<Task>()?;
    }
    Ok(())
}

/// The errors of server and database for valid requests.
async fn refusals(table: &mut Table) {
    let memory = || MemoryDatabase::new().model("tasks", ["name", "done"]);
    let server = Server::new();
    table.answer(&server.sync("ada", 7, []).await);
    table.error(&Error::OtherHistory);
    table.answer(&server.sync("ada", 0, [create("t1", json!({})).id("d1").model("taks")]).await);
    table.answer(&server.sync("ada", 0, [create("t1", json!({"titel": 1})).id("d1")]).await);
    table.error(&server.0.read(&ada(), "taks", &[]).await.unwrap_err());

    let endpoint = |mobync: Mobync<_, _>, sent: support::Sent| async move {
        let body = json!({"logical_clock": 0, "diffs": support::diffs([sent])}).to_string();
        let mut request = post(body);
        request.headers_mut().insert(header::AUTHORIZATION, "Bearer ada".parse().unwrap());
        super::answer(mobync, request).await
    };
    for object in ["value", "constraint", "left out", "forbidden", "misfit"] {
        let sent = || create(object, json!({"done": 1})).id("d1");
        let mobync = || Mobync::new(Hooked { inner: memory(), hook: Strict }).rules(no_forbidden);
        table.refused(&endpoint(mobync(), sent()).await);
        table.answer(&endpoint(mobync().all_or_nothing(true), sent()).await);
    }

    let sent = || [update("t1", json!({"name": "x"})).id("d1")];
    for calls in 0..6 {
        for hook in [Faulty::after(calls), Faulty::busy_after(calls)] {
            let server = Server(Mobync::new(Hooked { inner: memory(), hook: hook.clone() }));
            let answer = server.sync("ada", 0, sent()).await;
            if hook.has_struck() {
                table.answer(&answer);
            }
        }
    }
}

#[tokio::test]
async fn every_message_is_a_sentence_that_says_what_to_change() {
    let mut table = Table::default();
    bodies(&mut table).await;
    members(&mut table).await;
    heads(&mut table).await;
    refusals(&mut table).await;
    let mut lines: Vec<&str> = Vec::new();
    for line in table.0.lines() {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    let codes: BTreeSet<&str> = lines.iter().filter_map(|line| line.split(" | ").next()).collect();
    assert_eq!(codes, BTreeSet::from(CODES));
    for line in &lines {
        let message = line.rsplit(" | ").next().unwrap();
        assert!(message.starts_with(char::is_uppercase) && message.ends_with('.'), "{line}");
    }
    let table = lines.join("\n") + "\n";
    println!("{table}");
    assert_eq!(table, include_str!("messages.txt"), "if it is meant, keep what is printed above");
}
