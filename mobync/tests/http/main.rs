//! The endpoint from the outside: the reference flow, the error table, owners and concurrency.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
#![allow(clippy::needless_pass_by_value, reason = "`json!` is written where it is needed")]

mod hostile;
mod limits;
mod members;
mod messages;
#[path = "../support/mod.rs"]
mod support;
mod tokens;

use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use mobync::{
    Database, Error, Mobync, Owner, Rules,
    http::{AuthError, Credentials, Endpoint, respond},
    memory::MemoryDatabase,
};
use serde_json::{Value, json};
use support::{Faulty, Hooked, Sent, T0, ada, create, delete, update};

/// The token is the owner. Some tokens stand for the other results of an auth closure.
async fn auth(credentials: Credentials) -> Result<Owner, AuthError> {
    if let Some(user) = credentials.extensions.get::<Owner>() {
        return Ok(user.clone());
    }
    match credentials.token()? {
        "stranger" => Err(AuthError::unauthenticated("The token is not known.")),
        "banned" => Err(AuthError::forbidden("Your account is closed.")),
        "broken" => Err(AuthError::failed("the users' table is gone")),
        "member" if credentials.space().is_some() => Ok(Owner::new("space")?),
        token => Ok(Owner::new(token)?),
    }
}

/// A server that is called without a network.
struct Server<D = MemoryDatabase>(Mobync<D>);

/// A parsed answer.
struct Answer {
    status: u16,
    response: Response<()>,
    json: Value,
}

impl Server {
    fn new() -> Self {
        Self(Mobync::new(MemoryDatabase::new().model("tasks", ["name", "done"])).time(|| T0))
    }
}

impl<D: Database> Server<D> {
    async fn send(&self, request: Request<Full<bytes::Bytes>>) -> Answer {
        answer(self.0.clone(), request).await
    }

    async fn post(&self, body: impl Into<bytes::Bytes>) -> Answer {
        self.send(post(body)).await
    }

    /// A sync of the owner with this token.
    async fn sync(&self, token: &str, clock: i64, sent: impl IntoIterator<Item = Sent>) -> Answer {
        let diffs = support::diffs(sent);
        let body = json!({"auth_token": token, "logical_clock": clock, "diffs": diffs});
        self.post(body.to_string()).await
    }
}

async fn answer<D: Database, R: Rules>(
    mobync: Mobync<D, R>,
    request: Request<Full<bytes::Bytes>>,
) -> Answer {
    let endpoint = Endpoint::new(mobync, auth).max_body_bytes(100_000);
    let (parts, body) = endpoint.handle(request).await.into_parts();
    let json = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    assert_eq!(parts.headers[header::CONTENT_TYPE], "application/json");
    if !body.is_empty() {
        assert_eq!(parts.headers[header::CONTENT_LENGTH], body.len().to_string());
        assert_eq!(json["success"], parts.status.is_success());
    }
    Answer { status: parts.status.as_u16(), response: Response::from_parts(parts, ()), json }
}

fn post(body: impl Into<bytes::Bytes>) -> Request<Full<bytes::Bytes>> {
    let request = Request::post("/sync").header("content-type", "application/json");
    request.body(Full::new(body.into())).unwrap()
}

fn diff(changes: Value) -> Value {
    let mut diff = json!({
        "id": "d1", "owner": "x", "logical_clock": 0, "utc_timestamp": 1, "type": "create",
        "model": "tasks", "json_data": "{\"id\": \"t1\"}"
    });
    for (name, value) in changes.as_object().unwrap() {
        match value.as_str() {
            Some("<missing>") => diff.as_object_mut().unwrap().remove(name),
            _ => diff.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    diff
}

fn request(diffs: &[Value]) -> String {
    json!({"auth_token": "ada", "logical_clock": 0, "diffs": diffs}).to_string()
}

#[tokio::test]
async fn two_clients_converge_by_the_reference_flow() {
    let server = Server::new();
    let name = |name: &str| json!({"name": name});
    let lines = |answer: &Answer| -> Vec<String> {
        let diffs: Vec<mobync::Diff> =
            serde_json::from_value(answer.json["diffs"].clone()).unwrap();
        support::lines(&diffs)
    };
    let clock = |answer: &Answer| answer.json["logical_clock"].as_i64().unwrap();

    let one = server.sync("ada", 0, [create("t1", name("first"))]).await;
    assert_eq!((clock(&one), lines(&one).len()), (1, 0));
    let two = server.sync("ada", 0, [create("t2", name("second"))]).await;
    assert_eq!((clock(&two), lines(&two)), (2, vec![r#"create t1 {"name":"first"}"#.into()]));
    let one = server.sync("ada", 1, [create("t3", name("third"))]).await;
    assert_eq!((clock(&one), lines(&one)), (3, vec![r#"create t2 {"name":"second"}"#.into()]));
    let two = server.sync("ada", 2, []).await;
    assert_eq!((clock(&two), lines(&two)), (3, vec![r#"create t3 {"name":"third"}"#.into()]));
    let two = server.sync("ada", 3, [update("t1", name("1st")).at(1)]).await;
    assert_eq!((clock(&two), lines(&two).len()), (4, 0));
    let one = server.sync("ada", 3, []).await;
    assert_eq!((clock(&one), lines(&one)), (4, vec![r#"update t1 {"name":"1st"}"#.into()]));
    let one = server.sync("ada", 4, [delete("t2").at(2)]).await;
    assert_eq!((clock(&one), lines(&one).len()), (5, 0));
    let two = server.sync("ada", 4, []).await;
    assert_eq!((clock(&two), lines(&two)), (5, vec!["delete t2".into()]));

    let back = &server.sync("ada", 0, []).await.json["diffs"][0];
    let members: Vec<_> = back.as_object().unwrap().keys().collect();
    let seven = ["id", "json_data", "logical_clock", "model", "owner", "type", "utc_timestamp"];
    assert_eq!(members, seven);
    assert_eq!(back["owner"], "ada");
}

#[tokio::test]
async fn an_answer_has_its_members_and_refused_only_where_something_was() {
    let server = Server::new();
    let endpoint = Endpoint::new(server.0.clone(), auth);
    let response = endpoint.handle(post(request(&[]))).await;
    assert_eq!(response.body(), r#"{"success":true,"message":"","logical_clock":0,"diffs":[]}"#);
}

#[tokio::test]
async fn the_token_is_checked_before_the_members_and_after_the_json() {
    let server = Server::new();
    let body =
        |token: Value| json!({"auth_token": token, "logical_clock": 0, "diffs": []}).to_string();
    for (token, status, code) in [
        (json!(null), 401, "unauthenticated"),
        (json!(""), 401, "unauthenticated"),
        (json!(7), 401, "unauthenticated"),
        (json!("stranger"), 401, "unauthenticated"),
        (json!("banned"), 403, "forbidden"),
        (json!("broken"), 500, "internal"),
        (json!("a\u{0}b"), 401, "unauthenticated"),
    ] {
        let answer = server.post(body(token.clone())).await;
        assert_eq!((answer.status, &answer.json["code"]), (status, &json!(code)), "{token}");
        let headers = answer.response.headers();
        assert_eq!(headers.contains_key(header::WWW_AUTHENTICATE), status == 401);
        assert!(!answer.json.to_string().contains("users' table"), "causes are not told");
    }
    let no_members = server.post(r#"{"auth_token": "stranger"}"#).await;
    assert_eq!(no_members.status, 401);
    assert_eq!(server.post("{").await.status, 400);
}

#[tokio::test]
async fn a_bearer_header_wins_over_the_body() {
    let server = Server::new();
    server.sync("ada", 0, [create("t1", json!({}))]).await;
    for (authorization, status, clock) in [
        ("Bearer ada", 200, Some(1)),
        ("bearer  ada ", 200, Some(1)),
        ("Bearer bob", 200, Some(0)),
        ("Bearer", 401, None),
        ("Bearer ", 401, None),
        ("Basic Ym9iOg==", 200, Some(1)),
    ] {
        let mut request = post(request(&[]));
        request.headers_mut().insert(header::AUTHORIZATION, authorization.parse().unwrap());
        let answer = server.send(request).await;
        assert_eq!(answer.status, status, "{authorization}");
        assert_eq!(answer.json["logical_clock"].as_i64(), clock, "{authorization}");
    }
}

#[tokio::test]
async fn the_auth_closure_sees_what_middleware_left() {
    let server = Server::new();
    server.sync("ada", 0, [create("t1", json!({}))]).await;
    let mut request = post(r#"{"logical_clock": 0, "diffs": []}"#);
    request.extensions_mut().insert(ada());
    assert_eq!(server.send(request).await.json["logical_clock"], 1);
}

#[tokio::test]
async fn only_post_is_allowed() {
    let server = Server::new();
    for method in [Method::GET, Method::PUT, Method::OPTIONS, Method::DELETE, Method::HEAD] {
        let mut request = post(request(&[]));
        *request.method_mut() = method.clone();
        let answer = server.send(request).await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.response.headers()[header::ALLOW], "POST");
        assert_eq!(answer.json.is_null(), method == Method::HEAD, "a HEAD has no body");
    }
}

#[tokio::test]
async fn only_plain_json_is_taken() {
    let server = Server::new();
    for (name, value, status) in [
        ("content-type", "text/plain", 415),
        ("content-type", "application/jsonx", 415),
        ("content-type", "", 415),
        ("content-type", "APPLICATION/Json ; charset=utf-8; x=y", 200),
        ("content-encoding", "gzip", 415),
        ("content-encoding", "Identity", 200),
    ] {
        let mut request = post(request(&[]));
        request.headers_mut().insert(name, value.parse().unwrap());
        let answer = server.send(request).await;
        assert_eq!(answer.status, status, "{name}: {value}");
        if status == 415 {
            assert_eq!(answer.json["code"], "unsupported_media_type");
        }
    }
    let mut request = post(request(&[]));
    request.headers_mut().remove(header::CONTENT_TYPE);
    assert_eq!(server.send(request).await.status, 415);
}

#[tokio::test]
async fn a_body_over_the_limit_is_too_large_however_it_comes() {
    let server = Server::new();
    for size in [100_001, 50_000_000] {
        let answer = server.post(vec![b' '; size]).await;
        assert_eq!((answer.status, &answer.json["code"]), (413, &json!("payload_too_large")));
    }
    let mut announced = post("{}");
    announced.headers_mut().insert(header::CONTENT_LENGTH, 50_000_000.into());
    assert_eq!(server.send(announced).await.status, 413, "before it is read");
    assert_eq!(server.post(request(&[]) + &" ".repeat(99_000)).await.status, 200);
}

#[tokio::test]
async fn too_many_diffs_are_too_large_whatever_they_are() {
    let server = Server(Server::new().0.max_diffs(2));
    let mut three: Vec<Value> = (0..3).map(|n| diff(json!({"id": format!("d{n}")}))).collect();
    three[2] = json!("no diff");
    let answer = server.post(request(&three)).await;
    assert_eq!((answer.status, &answer.json["code"]), (413, &json!("payload_too_large")));
    assert!(answer.json["message"].as_str().unwrap().contains("3 diffs, but at most 2"));
    assert_eq!(server.post(request(&three[..2])).await.status, 200);
}

#[tokio::test]
async fn device_and_server_that_disagree_are_told_with_status_and_diff() {
    let server = Server::new();
    server.sync("ada", 0, [create("t1", json!({"name": "x"})).id("known")]).await;
    let ahead = server.sync("ada", 2, [create("t2", json!({"oops": 1}))]).await;
    assert_eq!((ahead.status, &ahead.json["code"]), (409, &json!("clock_ahead")));
    let fine = create("t2", json!({"name": "y"}));
    for (wrong, code, message) in [
        (create("t3", json!({})).model("taks"), "unknown_model", "there is no model \"taks\""),
        (create("t3", json!({})).model("diffs"), "unknown_model", "there is no model \"diffs\""),
        (
            update("t3", json!({"titel": "x"})),
            "unknown_field",
            "the model tasks has no field \"titel\" (it has name, done)",
        ),
    ] {
        let answer = server.sync("ada", 1, [fine.clone(), wrong.id("wrong")]).await;
        assert_eq!((answer.status, &answer.json["code"]), (422, &json!(code)));
        assert_eq!(answer.json["diff_id"], "wrong");
        assert!(answer.json["message"].as_str().unwrap().contains(message), "{}", answer.json);
    }
    let known = create("t1", json!({"gone": 1})).id("known").model("taks");
    assert_eq!(server.sync("ada", 1, [known]).await.status, 200, "a known diff is not asked");
    assert_eq!(server.sync("ada", 0, []).await.json["logical_clock"], 1, "nothing was applied");
}

#[tokio::test]
async fn a_database_that_fails_is_500_and_a_busy_one_503() {
    let inner = MemoryDatabase::new();
    let failing = Server(Mobync::new(Hooked { inner: inner.clone(), hook: Faulty::after(1) }));
    let answer = failing.sync("ada", 0, [create("t1", json!({}))]).await;
    assert_eq!((answer.status, &answer.json["code"]), (500, &json!("internal")));
    assert!(!answer.json.to_string().contains("fire"), "causes are not told");
    let busy = Server(Mobync::new(Hooked { inner, hook: Faulty::busy_after(0) }));
    let answer = busy.sync("ada", 0, []).await;
    assert_eq!((answer.status, &answer.json["code"]), (503, &json!("busy")));
    assert_eq!(answer.response.headers()[header::RETRY_AFTER], "1");
}

#[test]
fn every_error_has_the_status_and_code_of_the_table() {
    let text = || "x".to_owned();
    let table = [
        (Error::InvalidJson(text()), 400, "invalid_json"),
        (Error::InvalidRequest(text()), 400, "invalid_request"),
        (Error::InvalidDiff { diff_id: None, reason: text() }, 400, "invalid_diff"),
        (Error::Unauthenticated("x".into()), 401, "unauthenticated"),
        (Error::Forbidden { diff_id: None, reason: "x".into() }, 403, "forbidden"),
        (Error::MethodNotAllowed, 405, "method_not_allowed"),
        (Error::ClockAhead { device: 2, server: 1 }, 409, "clock_ahead"),
        (Error::PayloadTooLarge(text()), 413, "payload_too_large"),
        (Error::UnsupportedMediaType("x"), 415, "unsupported_media_type"),
        (
            Error::UnknownModel { diff_id: Some(text()), model: text(), newer_app: None },
            422,
            "unknown_model",
        ),
        (
            Error::UnknownField {
                diff_id: Some(text()),
                model: text(),
                field: text(),
                known: vec![],
                newer_app: None,
            },
            422,
            "unknown_field",
        ),
        (Error::InvalidValue { diff_id: Some(text()), reason: text() }, 422, "invalid_value"),
        (Error::Constraint { diff_id: Some(text()), reason: text() }, 422, "constraint"),
        (Error::TooManyListeners { most: 9 }, 429, "too_many_listeners"),
        (Error::Internal("secret".into()), 500, "internal"),
        (
            Error::Busy { retry_after: Duration::from_millis(1500), source: "secret".into() },
            503,
            "busy",
        ),
    ];
    for (error, status, code) in table {
        let response = respond(Err(&error));
        assert_eq!((response.status().as_u16(), error.code()), (status, code));
        let body: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!((&body["success"], &body["code"]), (&json!(false), &json!(code)));
        assert_eq!(body.get("diff_id").is_some(), status == 422);
        let message = body["message"].as_str().unwrap();
        assert!(!message.is_empty() && !message.contains("secret"), "{message}");
        assert_eq!(response.headers().contains_key("retry-after"), status == 503);
    }
    assert_eq!(StatusCode::OK, respond(Ok(&mobync::SyncResponse::new(0, vec![]))).status());
}

#[tokio::test]
async fn long_texts_of_a_client_are_quoted_in_part() {
    let server = Server::new();
    let answer = server.post(request(&[diff(json!({"type": "é".repeat(30_000)}))])).await;
    assert!(answer.json["message"].as_str().unwrap().len() < 400);
}

#[tokio::test]
async fn owners_do_not_see_each_other_even_with_equal_ids() {
    let server = Server::new();
    let made = create("t1", json!({"name": "ada's"})).id("d1");
    server.sync("ada", 0, [made.clone()]).await;
    let bobs = server.sync("bob", 0, [create("t1", json!({"name": "bob's"})).id("d1")]).await;
    assert_eq!((bobs.json["logical_clock"].as_i64(), &bobs.json["diffs"]), (Some(1), &json!([])));
    server.sync("bob", 1, [delete("t1").at(5)]).await;
    assert_eq!(server.sync("ada", 1, []).await.json["diffs"], json!([]));
    let records = server.0.database().records(&ada(), "tasks");
    assert_eq!(records[0].get("name"), Some(&json!("ada's")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_requests_of_one_owner_lose_nothing_and_share_no_tick() {
    async fn storm<D: Database>(server: std::sync::Arc<Server<D>>) {
        let mut tasks = tokio::task::JoinSet::new();
        for device in 0..8 {
            let server = std::sync::Arc::clone(&server);
            tasks.spawn(async move {
                let mut clock = 0;
                let mut ticks = Vec::new();
                for round in 0..25 {
                    let sent = create(&format!("t{device}-{round}"), json!({}));
                    let answer = server.sync("ada", clock, [sent]).await;
                    assert_eq!(answer.status, 200);
                    clock = answer.json["logical_clock"].as_i64().unwrap();
                    ticks.push(clock - 1);
                }
                ticks
            });
        }
        let mut ticks: Vec<i64> = tasks.join_all().await.concat();
        ticks.sort_unstable();
        assert_eq!(ticks, (0..200).collect::<Vec<_>>(), "each sync has a tick of its own");
        let all = server.sync("ada", 0, []).await;
        assert_eq!(all.json["diffs"].as_array().unwrap().len(), 200);
    }
    storm(std::sync::Arc::new(Server(Mobync::new(MemoryDatabase::new())))).await;
    storm(std::sync::Arc::new(Server(Mobync::new(support::Plain::default())))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_request_that_is_delivered_many_times_at_once_counts_once() {
    let server = std::sync::Arc::new(Server::new());
    let sent = [create("t1", json!({"name": "x"})), update("t1", json!({"name": "y"})).at(1)];
    let mut deliveries = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (server, sent) = (std::sync::Arc::clone(&server), sent.clone());
        deliveries.spawn(async move { server.sync("ada", 0, sent).await });
    }
    for answer in deliveries.join_all().await {
        assert_eq!((answer.status, answer.json["logical_clock"].as_i64()), (200, Some(1)));
    }
}
