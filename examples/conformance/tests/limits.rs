//! Uploads that are too large, too slow or too many, and answers that nobody reads: over real sockets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use conformance::{
    Framework, Server,
    http::{Connection, Request},
};
use mobync::http::Limits;
use serde_json::json;

use self::support::{connect, create, eventually, request, seen, send};

const MIB: usize = 1024 * 1024;

fn servers(limits: &Limits) -> impl Iterator<Item = (Framework, Server)> {
    let start = |framework| (framework, Server::start_within(framework, limits.clone()).unwrap());
    Framework::ALL.map(start).into_iter()
}

/// With spaces behind its body, up to that size.
fn padded(mut request: Request, size: usize) -> Request {
    request.body.resize(size, b' ');
    request
}

/// Sends all of it, whatever the server says meanwhile, and only then reads.
fn deaf(server: &Server, request: &Request, is_chunked: bool) -> (u16, String) {
    let mut connection = connect(server);
    if is_chunked {
        connection.write(&request.head("transfer-encoding: chunked\r\n")).unwrap();
        for chunk in request.body.chunks(100_000) {
            let head = format!("{:x}\r\n", chunk.len());
            connection.write(&[head.as_bytes(), chunk, b"\r\n"].concat()).unwrap();
        }
        connection.write(b"0\r\n\r\n").unwrap();
    } else {
        connection.write(&request.to_bytes()).unwrap();
    }
    let answer = connection.read(false).unwrap();
    (answer.status, answer.code())
}

#[test]
fn a_client_that_reads_only_when_all_is_sent_hears_why_it_is_refused() {
    let limits = Limits::new().max_body_bytes(64 * 1024);
    for (framework, server) in servers(&limits) {
        for is_chunked in [false, true] {
            for size in [64 * 1024 + 1, MIB, 20 * MIB] {
                let body = padded(request("ada", 0, &[]), size);
                for (sent, status, code) in [
                    (body.clone(), 413, "payload_too_large"),
                    (
                        body.clone().header("content-encoding", "gzip"),
                        415,
                        "unsupported_media_type",
                    ),
                    (Request { method: "PUT".to_owned(), ..body }, 405, "method_not_allowed"),
                ] {
                    let heard = deaf(&server, &sent, is_chunked);
                    assert_eq!(heard, (status, code.to_owned()), "{framework:?}: {size}");
                }
            }
        }
    }
    let limits = Limits::new();
    for (framework, server) in servers(&limits) {
        for is_chunked in [false, true] {
            let body = padded(request("ada", 0, &[]), 15 * MIB);
            for (token, status, code) in [
                ("Bearer stranger", 401, "unauthenticated"),
                ("Bearer", 401, "unauthenticated"),
                ("Bearer banned", 403, "forbidden"),
                ("Bearer lost", 500, "internal"),
                ("Bearer panicking", 500, "internal"),
                ("Bearer ada", 200, ""),
            ] {
                let sent = body.clone().header("authorization", token);
                let heard = deaf(&server, &sent, is_chunked);
                assert_eq!(heard, (status, code.to_owned()), "{framework:?}: {token}");
            }
        }
    }
}

#[test]
fn a_client_that_was_told_to_go_on_hears_why_it_is_refused() {
    for (framework, server) in servers(&Limits::new()) {
        let large = padded(request("ada", 0, &[]), 20 * MIB).header("expect", "100-continue");
        let small = padded(large.clone(), 15 * MIB).header("authorization", "Bearer stranger");
        let put = Request { method: "PUT".to_owned(), ..large.clone() };
        for (sent, code) in
            [(large, "payload_too_large"), (small, "unauthenticated"), (put, "method_not_allowed")]
        {
            let mut connection = connect(&server);
            let length = format!("content-length: {}\r\n", sent.body.len());
            connection.write(&sent.head(&length)).unwrap();
            let mut answer = connection.read_head().unwrap();
            if answer.status == 100 {
                connection.write(&sent.body).unwrap();
                answer = connection.read_head().unwrap();
            }
            let answer = connection.read_body(answer).unwrap();
            assert_eq!(answer.code(), code, "{framework:?}");
        }
    }
}

/// Begins a request, and sends of its body what is there of it.
fn begin(server: &Server, sent: &Request, length: usize) -> Connection {
    let mut connection = connect(server);
    connection.write(&sent.head(&format!("content-length: {length}\r\n"))).unwrap();
    connection.write(&sent.body).unwrap();
    connection
}

#[test]
fn a_token_is_refused_before_its_body_has_come() {
    for (framework, server) in servers(&Limits::new()) {
        for (token, code) in [
            ("Bearer stranger", "unauthenticated"),
            ("Bearer banned", "forbidden"),
            ("Bearer lost", "internal"),
            ("Bearer panicking", "internal"),
        ] {
            let beginning = Request::post(vec![b' '; 64]).header("authorization", token);
            let mut connection = begin(&server, &beginning, MIB);
            let began = Instant::now();
            assert_eq!(connection.read(false).unwrap().code(), code, "{framework:?}: {token}");
            assert!(began.elapsed() < Duration::from_secs(20), "{framework:?}");
        }
    }
}

#[test]
fn an_upload_that_moves_ends_well_and_one_that_is_silent_is_told_so() {
    let silence = Duration::from_secs(3);
    for (framework, server) in servers(&Limits::new().silence(silence)) {
        let sent = request("slow", 0, &[create("t1")]);
        let (begun, rest) = sent.body.split_at(sent.body.len() - 12);
        let begun = Request { body: begun.to_vec(), ..sent.clone() };
        let mut slow = begin(&server, &begun, sent.body.len());
        let mut silent = begin(&server, &begun, sent.body.len());
        let began = Instant::now();
        for byte in rest {
            sleep(silence / 8);
            slow.write(&[*byte]).unwrap();
        }
        assert!(began.elapsed() > silence);
        assert_eq!(seen(&slow.read(false).unwrap()), (1, 0), "{framework:?}");
        let answer = silent.read(false).unwrap();
        assert_eq!((answer.status, &*answer.code()), (503, "busy"), "{framework:?}");
        assert_eq!(answer.header("retry-after"), Some("1"), "{framework:?}");
    }
}

#[test]
fn bodies_under_way_have_so_much_room_and_leave_it_when_they_end_or_are_gone() {
    let limits = Limits::new().body_bytes_at_once(4 * MIB);
    for (framework, server) in servers(&limits) {
        let large = padded(request("large", 0, &[]), 3 * MIB);
        let most = Request { body: large.body[..3 * MIB - 1].to_vec(), ..large.clone() };
        for is_left in [false, true] {
            // Whoever comes first has the room; so another begins where the second was the first.
            let mut held = begin(&server, &most, 3 * MIB);
            eventually(&format!("{framework:?}: there is always room"), || {
                sleep(Duration::from_millis(500));
                let refused = send(&server, &large);
                if refused.status == 200 {
                    held = begin(&server, &most, 3 * MIB);
                    return false;
                }
                assert_eq!((refused.status, &*refused.code()), (503, "busy"));
                assert_eq!(refused.header("retry-after"), Some("1"));
                true
            });
            let small = request("small", 0, &[]).header("authorization", "Bearer small");
            assert_eq!(seen(&send(&server, &small)), (0, 0));
            if is_left {
                drop(held);
            } else {
                held.write(b" ").unwrap();
                assert_eq!(seen(&held.read(false).unwrap()), (0, 0));
            }
            eventually(&format!("{framework:?}: the room is not left"), || {
                send(&server, &large).status == 200
            });
        }
    }
}

/// An owner whose first sync is so large that no buffer of the operating system takes it.
fn fill(server: &Server, owner: &str) {
    for part in 0..2 {
        let mut diff = create(&format!("t{part}"));
        let name = "x".repeat(6 * MIB);
        diff["json_data"] = json!({"id": format!("t{part}"), "name": name}).to_string().into();
        assert_eq!(send(server, &request(owner, part, &[diff])).status, 200);
    }
}

fn is_whole(connection: &mut Connection) -> bool {
    let answer = connection.read(false).unwrap();
    let length: usize = answer.header("content-length").unwrap().parse().unwrap();
    seen(&answer) == (2, 2) && answer.body.len() == length && length > 12 * MIB
}

fn unread(server: &Server, owner: &str) -> Connection {
    let mut connection = connect(server);
    connection.write(&request(owner, 0, &[]).to_bytes()).unwrap();
    connection
}

/// Waits until as many large answers are held as may be.
fn until_full(server: &Server, owner: &str) {
    eventually("there is always room", || {
        let answer = send(server, &request(owner, 0, &[]));
        assert!(matches!(answer.status, 200 | 503));
        answer.status == 503
    });
}

#[test]
fn answers_that_nobody_reads_have_so_much_room_and_small_ones_do_not_wait() {
    let limits = Limits::new().answer_bytes_at_once(32 * MIB).patience(Duration::from_millis(500));
    for (framework, server) in servers(&limits) {
        fill(&server, "large");
        let mut held = [unread(&server, "large"), unread(&server, "large")];
        until_full(&server, "large");
        // Many more are told to come again, without holding anything; others are served at once.
        let more: Vec<_> = (0..8).map(|_| unread(&server, "large")).collect();
        let began = Instant::now();
        for clock in 0..20 {
            let small = request("small", clock, &[create(&format!("t{clock}"))]);
            assert_eq!(seen(&send(&server, &small)), (clock + 1, 0));
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{framework:?}");
        for mut connection in more {
            let answer = connection.read(false).unwrap();
            assert_eq!((answer.status, &*answer.code()), (503, "busy"), "{framework:?}");
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
        // What was held is whole; when it has been read, or nobody is there to read it, there is room.
        assert!(is_whole(&mut held[0]), "{framework:?}");
        drop(held);
        let again = || send(&server, &request("large", 0, &[])).status == 200;
        eventually(&format!("{framework:?}: the room is not left"), again);
    }
}

#[test]
fn who_waits_for_room_is_told_all_when_there_is_some() {
    let limits = Limits::new().answer_bytes_at_once(16 * MIB).patience(Duration::from_mins(1));
    for (framework, server) in servers(&limits) {
        fill(&server, "large");
        let mut held = unread(&server, "large");
        let mut refused = create("t9");
        refused["json_data"] = json!({"id": "t9", "name": "forbidden"}).to_string().into();
        eventually("it is not held", || held.read_head().is_ok());
        let mut waiting = connect(&server);
        waiting.write(&request("large", 0, &[create("t8"), refused]).to_bytes()).unwrap();
        // It has been applied, and waits only to be told.
        eventually("it was not applied", || {
            let answer = send(&server, &request("large", 2, &[]));
            seen(&answer).0 == 3
        });
        drop(held);
        let answer = waiting.read(false).unwrap();
        assert_eq!(seen(&answer).0, 3, "{framework:?}");
        assert_eq!(answer.json()["refused"][0]["diff_id"], "create-t9", "{framework:?}");
        assert!(answer.body.len() > 12 * MIB);
    }
}

#[test]
fn an_answer_that_is_never_read_is_dropped_when_another_waits() {
    let limits = Limits::new()
        .answer_bytes_at_once(16 * MIB)
        .patience(Duration::from_mins(1))
        .unread(Duration::from_millis(500));
    for (framework, server) in servers(&limits) {
        fill(&server, "large");
        let mut never_read = unread(&server, "large");
        eventually("it is not held", || never_read.read_head().is_ok());
        sleep(Duration::from_secs(2));
        assert!(is_whole(&mut unread(&server, "large")), "{framework:?}");
    }
}
