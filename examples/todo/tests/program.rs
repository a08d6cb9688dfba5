//! The program itself: how it starts, what it serves, and how it stops.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{net::TcpListener, path::Path, process::Command};

use serde_json::{Value, json};
use sqlx::SqlitePool;
use ureq::{Agent, Body, http::Response};

use self::support::Server;

fn get(server: &Server, path: &str, tag: Option<&str>) -> Response<Body> {
    let agent: Agent = Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = agent.get(format!("{}{path}", server.address()));
    if let Some(tag) = tag {
        request = request.header("if-none-match", tag);
    }
    request.call().unwrap()
}

fn get_as(server: &Server, path: &str, token: &str) -> Response<Body> {
    let agent: Agent = Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent.get(format!("{}{path}", server.address()));
    request.header("authorization", format!("Bearer {token}")).call().unwrap()
}

fn post(server: &Server, path: &str, body: &Value) -> Response<Body> {
    ureq::post(format!("{}{path}", server.address())).send_json(body).unwrap()
}

#[test]
fn every_file_that_the_service_worker_keeps_is_there() {
    let server = Server::start();
    let worker = get(&server, "/sw.js", None).body_mut().read_to_string().unwrap();
    assert!(!worker.contains("VERSION_OF_THE_FILES"));
    let list = worker.split_once("FILES = [").unwrap().1.split_once(']').unwrap().0;
    let files: Vec<_> = list.split(',').map(|path| path.trim().trim_matches('"')).collect();
    for path in files.iter().filter(|path| !path.is_empty()) {
        assert_eq!(get(&server, path, None).status(), 200, "{path}");
    }
    assert_eq!(get(&server, "/nothing", None).status(), 404);
}

#[test]
fn every_script_that_the_page_loads_is_kept_by_the_service_worker() {
    let worker = include_str!("../web/sw.js");
    let web = concat!(env!("CARGO_MANIFEST_DIR"), "/web");
    for (folder, path) in [(web.to_owned(), "/"), (format!("{web}/mobync"), "/mobync/")] {
        for file in std::fs::read_dir(folder).unwrap() {
            let name = file.unwrap().file_name().into_string().unwrap();
            let is_part = ["js", "css"].iter().any(|ending| name.ends_with(&format!(".{ending}")));
            if is_part && name != "sw.js" {
                assert!(worker.contains(&format!("\"{path}{name}\"")), "{name}");
            }
        }
    }
}

#[test]
fn a_time_to_keep_the_log_that_is_none_is_told() {
    for days in ["0", "-1", "1e15", "NaN", "long"] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_todo"));
        let output = program.arg(format!("--keep={days}")).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains("greater than 0"), "{days}: {told}");
    }
}

#[test]
fn a_file_that_has_not_changed_is_not_sent_again() {
    let server = Server::start();
    for path in ["/", "/mobync.js", "/sw.js"] {
        let first = get(&server, path, None);
        let tag = first.headers()["etag"].to_str().unwrap();
        let mut again = get(&server, path, Some(tag));
        assert_eq!(again.status(), 304, "{path}");
        assert_eq!(again.body_mut().read_to_string().unwrap(), "");
        assert_eq!(get(&server, path, Some("\"another\"")).status(), 200, "{path}");
    }
}

#[test]
fn the_page_may_load_nothing_from_elsewhere() {
    let page = get(&Server::start(), "/", None);
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'self';"), "{policy}");
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
}

#[test]
fn a_port_in_use_is_told_in_one_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut program = Command::new(env!("CARGO_BIN_EXE_todo"));
    let output = program.args(["--port", &port]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!("Port {port} is in use by another program: choose another one with --port.\n")
    );
}

#[test]
fn a_server_that_is_started_again_goes_on_with_what_it_had() {
    let server = Server::start();
    let place = server.place();
    let diff = json!({
        "id": "d1", "owner": "", "logical_clock": 0, "utc_timestamp": 1, "type": "create",
        "model": "tasks", "json_data": r#"{"id": "t1", "name": "Milk", "position": 1.5}"#,
    });
    let body = json!({"auth_token": "ada", "logical_clock": 0, "diffs": [diff]});
    let answer: Value = post(&server, "/sync", &body).body_mut().read_json().unwrap();
    assert_eq!(answer["logical_clock"], 1);
    server.kill();
    let server = Server::start_on(place.0, place.1);
    assert_eq!(server.names("ada"), ["Milk"]);
    let records: Value = get_as(&server, "/records/tasks", "ada").body_mut().read_json().unwrap();
    let expected = json!([{
        "id": "t1", "title": "Milk", "note": "", "done": false, "position": 1.5, "due": null,
        "created_time": 0,
    }]);
    assert_eq!(records, expected);
    assert_eq!(get_as(&server, "/records/tasks", "nobody").status(), 401);
    assert_eq!(get_as(&server, "/records/teapots", "ada").status(), 422);
}

/// Makes the database what the first version of the app has left: its table, and its log.
fn of_version_1(data: &Path, and_then: &'static str) {
    let url = format!("sqlite://{}", data.join("todo.sqlite").display());
    run(async {
        let pool = SqlitePool::connect(&url).await.unwrap();
        for statement in [
            "DROP TABLE tasks",
            "CREATE TABLE tasks (owner text NOT NULL, id text NOT NULL, name text NOT NULL DEFAULT '',
                done boolean NOT NULL DEFAULT false, position double precision NOT NULL DEFAULT 0,
                due text, created_time bigint NOT NULL DEFAULT 0, PRIMARY KEY (owner, id))",
            "INSERT INTO tasks (owner, id, name) VALUES ('ada', 't1', 'Milk')",
            "INSERT INTO diffs (id, owner, logical_clock, utc_timestamp, type, model, json_data)
                VALUES ('d1', 'ada', 0, 1, 'create', 'tasks', '{\"id\":\"t1\",\"name\":\"Milk\"}')",
            and_then,
        ] {
            sqlx::query(statement).execute(&pool).await.unwrap();
        }
        pool.close().await;
    });
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

#[test]
fn a_database_of_version_1_is_changed_at_the_start_and_its_log_is_read_as_it_is() {
    let server = Server::start();
    let (_, data) = server.place();
    server.kill();
    of_version_1(data.path(), "SELECT 1");
    for _ in 0..2 {
        let server = Server::start_on(0, data.clone());
        let records = |model: &str| -> Value {
            get_as(&server, &format!("/records/{model}"), "ada").body_mut().read_json().unwrap()
        };
        assert_eq!(records("tasks")[0]["title"], "Milk");
        assert_eq!(records("tasks")[0]["note"], "");
        let [first, second] = [json!({}), json!({"schema": 2})].map(|mut request| {
            request["logical_clock"] = 0.into();
            request["diffs"] = json!([]);
            let answer = server.answer("ada", &request);
            let data = answer["diffs"][0]["json_data"].as_str().unwrap();
            serde_json::from_str::<Value>(data).unwrap()
        });
        assert_eq!(first["name"], "Milk");
        assert_eq!(second["title"], "Milk");
    }
    let url = format!("sqlite://{}", data.path().join("todo.sqlite").display());
    let log: Vec<String> = run(async {
        let pool = SqlitePool::connect(&url).await.unwrap();
        let log = sqlx::query_scalar("SELECT json_data FROM diffs WHERE model = 'tasks'")
            .fetch_all(&pool)
            .await;
        pool.close().await;
        log.unwrap()
    });
    assert_eq!(log, [r#"{"id":"t1","name":"Milk"}"#]);
}

#[test]
fn a_database_that_cannot_be_changed_stays_as_it_is_and_the_program_says_so() {
    let server = Server::start();
    let (_, data) = server.place();
    server.kill();
    // Somebody has added the column by hand.
    of_version_1(data.path(), "ALTER TABLE tasks ADD COLUMN note text");
    let mut program = Command::new(env!("CARGO_BIN_EXE_todo"));
    let output = program.args(["--port", "0"]).current_dir(data.path()).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains("todo.sqlite cannot be opened") && told.contains("note"), "{told}");
    let url = format!("sqlite://{}", data.path().join("todo.sqlite").display());
    let name: String = run(async {
        let pool = SqlitePool::connect(&url).await.unwrap();
        let name = sqlx::query_scalar("SELECT name FROM tasks").fetch_one(&pool).await;
        pool.close().await;
        name.unwrap()
    });
    assert_eq!(name, "Milk");
}

#[test]
fn a_database_that_cannot_be_opened_is_told_in_one_sentence() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_todo"));
    let place = "postgres://ada:secret@127.0.0.1:1/nowhere";
    let output = program.args(["--port", "0", "--database", place]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains("127.0.0.1:1/nowhere cannot be opened"), "{told}");
    assert!(!told.contains("secret"), "{told}");
}

#[test]
fn a_shared_list_is_for_its_members_and_no_other_list_is_there() {
    let server = Server::start();
    let diff = json!({
        "id": "d1", "owner": "", "logical_clock": 0, "utc_timestamp": 1, "type": "create",
        "model": "tasks", "json_data": r#"{"id": "t1", "name": "Milk"}"#,
    });
    let of = |space: &str| json!({"space": space, "logical_clock": 0, "diffs": [diff]});
    let spaces = ["family", "list family", "grace", "ada", "nothing"].map(of);
    let answer = server.answer("ada", &json!({"syncs": spaces}));
    let statuses: Vec<_> =
        answer["syncs"].as_array().unwrap().iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, [200, 403, 403, 403, 403]);
    assert_eq!(server.family("grace"), ["Milk"]);
    assert_eq!((server.names("ada"), server.names("grace")), (vec![], vec![]));
    assert_eq!(server.answer("eve", &json!({"syncs": [of("family")]}))["code"], "unauthenticated");
}
