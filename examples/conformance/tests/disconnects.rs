//! Clients that go away: what was committed is committed once, and whoever comes next is served.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use conformance::{Database, Framework, Server, every_server};

use self::support::{all, connect, create, eventually, request, seen, send};

fn who_goes_away_in_the_middle_of_the_body_has_changed_nothing(server: &Server) {
    let sent = request("cut-off", 0, &[create("t1")]);
    let bytes = sent.to_bytes();
    for missing in [1, 10, sent.body.len()] {
        let mut connection = connect(server);
        connection.write(bytes.get(..bytes.len() - missing).unwrap()).unwrap();
        drop(connection);
        assert_eq!(all(server, "cut-off"), (0, 0));
    }
    assert_eq!(seen(&send(server, &sent)), (1, 0));
    assert_eq!(all(server, "cut-off"), (1, 1));
}

fn a_body_in_chunks_that_breaks_off_has_changed_nothing(server: &Server) {
    let sent = request("broken-off", 0, &[create("t1")]);
    let mut connection = connect(server);
    connection.write(&sent.head("transfer-encoding: chunked\r\n")).unwrap();
    connection.write(format!("{:x}\r\n", sent.body.len()).as_bytes()).unwrap();
    connection.write(&sent.body).unwrap();
    connection.write(b"\r\n").unwrap(); // the last, empty chunk is missing
    drop(connection);
    assert_eq!(all(server, "broken-off"), (0, 0));
    assert_eq!(seen(&send(server, &sent)), (1, 0));
}

/// Who ends only its own side can still be told; whether it is, is the framework's business.
fn a_body_that_breaks_off_is_told_so_wherever_it_does(server: &Server) {
    let sent = request("half-closed", 0, &[create("t1")]);
    let length = format!("content-length: {}\r\n", sent.body.len());
    let chunk = format!("{:x}\r\n", sent.body.len());
    let whole = [sent.head(&length), sent.body.clone()].concat();
    let chunked =
        [sent.head("transfer-encoding: chunked\r\n"), chunk.into(), sent.body.clone()].concat();
    for (bytes, head) in [(whole, sent.head(&length).len()), (chunked, sent.head("").len() + 40)] {
        for missing in (1..bytes.len() - head).step_by(7) {
            let mut connection = connect(server);
            connection.write(bytes.get(..bytes.len() - missing).unwrap()).unwrap();
            connection.finish().unwrap();
            let Ok(answer) = connection.read(false) else { continue };
            assert_eq!((answer.status, &*answer.code()), (400, "invalid_request"), "{missing}");
            let message = answer.json()["message"].to_string();
            assert!(message.contains("broke off"), "{message}");
        }
    }
    assert_eq!(all(server, "half-closed"), (0, 0));
}

fn who_goes_away_before_the_answer_can_ask_again_and_counts_once(server: &Server) {
    let sent = request("gated-1", 0, &[create("t1")]);
    for _ in 0..3 {
        let mut connection = connect(server);
        connection.write(&sent.to_bytes()).unwrap();
        eventually("the sync did not begin", || server.gate.waiting() > 0);
        drop(connection);
    }
    server.gate.open();
    eventually("syncs of clients that are gone go on", || server.gate.waiting() == 0);
    assert_eq!(seen(&send(server, &sent)), (1, 0));
    assert_eq!(all(server, "gated-1"), (1, 1));
}

fn who_does_not_read_the_answer_has_synced_once(server: &Server) {
    let sent = request("deaf", 0, &[create("t1")]);
    let mut connection = connect(server);
    connection.write(&sent.to_bytes()).unwrap();
    eventually("the sync was not done", || all(server, "deaf") == (1, 1));
    drop(connection);
    assert_eq!(seen(&send(server, &sent)), (1, 0));
    assert_eq!(all(server, "deaf"), (1, 1));
}

/// Rocket's handlers run to their end, and nothing tells them; actix-web needs `h1_allow_half_closed(false)`.
#[test]
fn nobody_waits_on_behalf_of_who_is_gone() {
    for framework in [Framework::Axum, Framework::Actix] {
        let server = Server::start(framework, Database::Memory).unwrap();
        let owners = ["gated-2", "gated-3", "gated-4", "gated-5"];
        let sent = owners.map(|owner| request(owner, 0, &[create("t1")]));
        let connections = sent.each_ref().map(|sent| {
            let mut connection = connect(&server);
            connection.write(&sent.to_bytes()).unwrap();
            connection
        });
        eventually("not all have begun", || server.gate.waiting() == owners.len());
        drop(connections);
        eventually(&format!("{framework:?}: they wait on"), || server.gate.waiting() == 0);
        server.gate.open();
        for (owner, sent) in owners.iter().zip(&sent) {
            assert_eq!(all(&server, owner), (0, 0), "{framework:?}: nothing was done");
            assert_eq!(seen(&send(&server, sent)), (1, 0));
        }
    }
}

every_server!(
    who_goes_away_in_the_middle_of_the_body_has_changed_nothing,
    a_body_in_chunks_that_breaks_off_has_changed_nothing,
    a_body_that_breaks_off_is_told_so_wherever_it_does,
    who_goes_away_before_the_answer_can_ask_again_and_counts_once,
    who_does_not_read_the_answer_has_synced_once,
);
