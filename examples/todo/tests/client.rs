//! The JavaScript client, tested in Node: alone, and with the real server.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::process::Command;

use self::support::Server;

#[test]
fn the_client_keeps_its_contract() {
    let server = Server::start();
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client");
    let mut node = Command::new("node");
    node.args(["--test", tests]).env("TODO_SERVER", server.address());
    let output = node.output().unwrap_or_else(|error| {
        panic!("Node is needed, version 20 or newer (on Debian: apt-get install nodejs): {error}")
    });
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    assert!(report.contains("server.test.mjs") || report.contains("converge"), "{report}");
}
