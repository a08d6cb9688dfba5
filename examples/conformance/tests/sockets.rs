//! What only raw sockets can show: how requests are framed, kept alive, and expected.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use conformance::{Server, every_server, http::Request};

use self::support::{all, connect, create, request, seen, send};

/// The body in chunks of that size.
fn chunked(request: &Request, size: usize) -> Vec<u8> {
    let mut bytes = request.head("transfer-encoding: chunked\r\n");
    for chunk in request.body.chunks(size) {
        bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
        bytes.extend(chunk);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

fn a_connection_is_kept_alive_from_sync_to_sync(server: &Server) {
    let mut connection = connect(server);
    for clock in 0..5 {
        let sent = request("kept-alive", clock, &[create(&format!("t{clock}"))]);
        assert_eq!(seen(&connection.send(&sent).unwrap()), (clock + 1, 0));
    }
}

fn a_connection_is_kept_alive_after_a_failure(server: &Server) {
    let mut connection = connect(server);
    assert_eq!(connection.send(&Request::post("no JSON")).unwrap().code(), "invalid_json");
    assert_eq!(connection.send(&request("", 0, &[])).unwrap().code(), "unauthenticated");
    assert_eq!(seen(&connection.send(&request("failed-before", 0, &[])).unwrap()), (0, 0));
}

fn requests_that_are_sent_ahead_are_answered_in_their_order(server: &Server) {
    let mut connection = connect(server);
    let requests = [0, 1, 2].map(|n| request("ahead", n, &[create(&format!("t{n}"))]).to_bytes());
    connection.write(&requests.concat()).unwrap();
    for clock in 1..=3 {
        assert_eq!(seen(&connection.read(false).unwrap()), (clock, 0));
    }
}

fn a_body_may_come_in_chunks_of_any_size(server: &Server) {
    for size in [1, 7, 1000] {
        let owner = format!("chunks-of-{size}");
        let mut connection = connect(server);
        connection.write(&chunked(&request(&owner, 0, &[create("t1")]), size)).unwrap();
        assert_eq!(seen(&connection.read(false).unwrap()), (1, 0));
        assert_eq!(all(server, &owner), (1, 1));
    }
}

fn a_body_in_chunks_that_goes_over_the_limit_is_too_large(server: &Server) {
    let mut large = request("too-large", 0, &[]);
    large.body.resize(16 * 1024 * 1024 + 1, b' ');
    let mut connection = connect(server);
    // The server may answer, and close, before all of it is sent.
    let _ = connection.write(&chunked(&large, 64 * 1024));
    assert_eq!(connection.read(false).unwrap().code(), "payload_too_large");
}

fn a_body_that_announces_too_much_is_refused_before_it_comes(server: &Server) {
    let mut connection = connect(server);
    let announced = request("announced", 0, &[]).head("content-length: 50000000\r\n");
    connection.write(&announced).unwrap();
    connection.write(&[b' '; 64]).unwrap(); // some servers look at the beginning
    assert_eq!(connection.read(false).unwrap().code(), "payload_too_large");
}

fn who_expects_to_continue_is_told_to(server: &Server) {
    let sent = request("expecting", 0, &[create("t1")]);
    let mut connection = connect(server);
    let length = sent.body.len();
    let head = sent.head(&format!("content-length: {length}\r\nexpect: 100-continue\r\n"));
    connection.write(&head).unwrap();
    assert_eq!(connection.read_head().unwrap().status, 100);
    connection.write(&sent.body).unwrap();
    assert_eq!(seen(&connection.read(false).unwrap()), (1, 0));
}

fn a_client_of_http_1_0_is_answered(server: &Server) {
    let sent = request("old", 0, &[create("t1")]);
    let old = String::from_utf8(sent.to_bytes()).unwrap().replacen("HTTP/1.1", "HTTP/1.0", 1);
    let mut connection = connect(server);
    connection.write(old.as_bytes()).unwrap();
    assert_eq!(seen(&connection.read(false).unwrap()), (1, 0));
}

fn the_answer_to_head_has_no_body(server: &Server) {
    let mut connection = connect(server);
    let head = Request { method: "HEAD".to_owned(), body: Vec::new(), ..request("", 0, &[]) };
    let get = Request { method: "GET".to_owned(), ..head.clone() };
    let (head, get) = (connection.send(&head).unwrap(), connection.send(&get).unwrap());
    assert_eq!((head.status, head.body.len()), (405, 0));
    assert_eq!(head.header("content-length"), get.header("content-length"));
    assert_eq!(get.header("content-length"), Some(&*get.body.len().to_string()));
}

fn a_large_sync_goes_both_ways(server: &Server) {
    let diffs: Vec<_> = (0..3000).map(|n| create(&format!("t{n}"))).collect();
    assert_eq!(seen(&send(server, &request("large", 0, &diffs))), (1, 0));
    assert_eq!(all(server, "large"), (1, 3000));
}

fn a_body_that_comes_byte_by_byte_holds_nobody_up(server: &Server) {
    let sent = request("slow", 0, &[create("t1")]).to_bytes();
    let mut slow = connect(server);
    for (place, byte) in sent.iter().enumerate() {
        slow.write(&[*byte]).unwrap();
        if place % 100 == 99 {
            // Meanwhile others sync, of that owner too.
            assert_eq!(all(server, "slow"), (0, 0));
            assert_eq!(all(server, "quick"), (0, 0));
        }
    }
    assert_eq!(seen(&slow.read(false).unwrap()), (1, 0));
}

every_server!(
    a_connection_is_kept_alive_from_sync_to_sync,
    a_connection_is_kept_alive_after_a_failure,
    requests_that_are_sent_ahead_are_answered_in_their_order,
    a_body_may_come_in_chunks_of_any_size,
    a_body_in_chunks_that_goes_over_the_limit_is_too_large,
    a_body_that_announces_too_much_is_refused_before_it_comes,
    who_expects_to_continue_is_told_to,
    a_client_of_http_1_0_is_answered,
    the_answer_to_head_has_no_body,
    a_large_sync_goes_both_ways,
    a_body_that_comes_byte_by_byte_holds_nobody_up,
);
