//! The JavaScript client, tested in Node: alone, and with the real server.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::process::Command;

use self::support::Server;

#[test]
fn the_client_keeps_its_contract() {
    // Several files of tests run at the same time, with the same owners.
    let [server, second, versions] = [Server::start(), Server::start(), Server::start()];
    let forgetful = Server::keeping("0.000002");
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client");
    let mut node = Command::new("node");
    node.args(["--test", tests]).env("TODO_SERVER", server.address());
    node.env("TODO_SECOND_SERVER", second.address());
    node.env("TODO_VERSIONS_SERVER", versions.address());
    node.env("TODO_FORGETFUL_SERVER", forgetful.address());
    let output = node.output().unwrap_or_else(|error| {
        panic!("Node is needed, version 20 or newer (on Debian: apt-get install nodejs): {error}")
    });
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    assert!(report.contains("server.test.mjs") || report.contains("converge"), "{report}");
}
