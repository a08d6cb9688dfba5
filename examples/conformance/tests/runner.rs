//! The runner itself: it finds what is wrong, and says where.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::process::{Command, Output};

use conformance::{Database, Framework, Scenario, Server, run};
use serde_json::{Value, json};

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_conformance")).args(arguments).output().unwrap()
}

fn server() -> Server {
    Server::start(Framework::Axum, Database::Memory).unwrap()
}

/// Why a scenario of one step fails.
fn why(step: &Value) -> String {
    let scenario = json!({"name": "one step", "steps": [step]});
    let scenario: Scenario = serde_json::from_value(scenario).unwrap();
    let failure = run(&server().address.to_string(), "/sync", &scenario).expect_err("it passed");
    assert_eq!(failure.step, 1);
    failure.reason
}

#[test]
fn every_difference_is_told_by_its_place() {
    let create = json!({
        "id": "d1", "utc_timestamp": 1000, "type": "create", "model": "tasks",
        "json_data": {"id": "t1", "name": "forbidden"},
    });
    let undone = json!({
        "id": "{id:1}", "owner": "{owner}", "logical_clock": 0, "utc_timestamp": "{now}",
        "type": "delete", "model": "tasks", "json_data": {"id": "t1"},
    });
    let nothing = json!({"logical_clock": 0, "diffs": []});
    for (step, reason) in [
        (json!({"request": nothing, "status": 409}), "the status is 200, not 409"),
        (
            json!({"request": nothing, "answer_headers": {"allow": "POST"}}),
            "the header allow is None, not \"POST\"",
        ),
        (
            json!({"request": nothing, "answer": {"success": true, "message": "", "logical_clock": 1, "diffs": []}}),
            "the answer.logical_clock is 0, not 1",
        ),
        (
            json!({"request": nothing, "answer": {"success": true, "message": "", "logical_clock": 0}}),
            "the answer.diffs is [], but must not be there",
        ),
        (
            json!({"request": nothing, "answer": {"success": true, "message": "", "logical_clock": 0, "diffs": [], "refused": []}}),
            "the answer.refused is missing",
        ),
        (
            json!({"request": {"logical_clock": 0, "diffs": [create]}, "answer": {"diffs": [undone]}}),
            "the answer.diffs[0].utc_timestamp is 1001, not \"{now}\"",
        ),
    ] {
        assert_eq!(why(&step), reason);
    }
}

#[test]
fn a_scenario_with_a_word_that_it_does_not_know_is_not_read() {
    let read = |step: Value| -> Result<Scenario, _> {
        serde_json::from_value(json!({"name": "one step", "steps": [step]}))
    };
    assert!(read(json!({"answr": {}})).is_err());
    assert!(read(json!({"answer": {}})).is_ok());
}

#[test]
fn the_program_plays_all_scenarios_or_those_with_a_word() {
    let server = server();
    let url = format!("http://{}/sync", server.address);
    let output = program(&["--url", &url]);
    let all = Scenario::all().unwrap().len();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.ends_with(&format!("{all} passed, 0 failed\n")), "{printed}");
    assert!(output.status.success());

    let output = program(&["--url", &url, "retried"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.ends_with("1 passed, 0 failed\n"), "{printed}");
}

#[test]
fn the_program_fails_where_there_is_no_such_server() {
    let server = server();
    let elsewhere = format!("http://{}/elsewhere", server.address);
    for url in [&*elsewhere, "https://127.0.0.1/sync", "http://127.0.0.1:9/sync"] {
        assert!(!program(&["--url", url]).status.success(), "{url}");
    }
}
