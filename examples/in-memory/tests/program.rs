//! The program itself: how it starts, and how it stops.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{net::TcpListener, process::Command};

use serde_json::json;

use self::support::{Device, Server, program};

#[test]
fn it_stops_in_peace_when_it_is_told_to() {
    for signal in ["TERM", "INT"] {
        let server = Server::start();
        Device::new("phone", "ada").sync(&server);
        assert_eq!(server.stop(signal).code(), Some(0), "{signal}");
    }
}

#[test]
fn a_port_in_use_is_told_in_one_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = program().args(["--port", &port]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        format!("Port {port} is in use by another program: choose another one with --port.\n")
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn the_lines_of_its_banner_work_in_a_shell() {
    let mut server = Server::start();
    for _ in ["sync", "records"] {
        let line = server.read_banner("curl http");
        let output = Command::new("sh").args(["-c", &line]).output().unwrap();
        assert!(output.status.success(), "curl is needed for this test: {line}{output:?}");
    }
    let (_, tasks) = server.get_with_bearer("/records/tasks", "ada");
    assert_eq!(tasks, json!([{"id": "t1", "name": "Buy milk", "done": false}]));
}
