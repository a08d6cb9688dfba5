//! Live streams, which are alike on all frameworks, to the byte.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};

use conformance::{
    Database, Framework, Server,
    http::{Answer, Request},
};
use serde_json::json;

use self::support::{connect, create, request, seen, send};

fn servers() -> [Server; 3] {
    Framework::ALL.map(|framework| Server::start(framework, Database::Memory).unwrap())
}

fn live(method: &str, query: &str) -> Request {
    Request {
        method: method.to_owned(),
        path: format!("/sync/live{query}"),
        headers: vec![("authorization".to_owned(), "Bearer ada".to_owned())],
        body: Vec::new(),
    }
}

/// The same answer of all.
fn alike(what: &str, answers: [Answer; 3]) -> Answer {
    let [axum, actix, rocket] = answers.map(Answer::of_protocol);
    assert_eq!(actix, axum, "{what}");
    assert_eq!(rocket, axum, "{what}");
    axum
}

/// The events of an open stream, without the framing of its chunks.
struct Stream(BufReader<std::net::TcpStream>);

impl Stream {
    fn open(server: &Server, request: &Request) -> Self {
        let mut stream = std::net::TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        stream.write_all(&request.to_bytes()).unwrap();
        let mut stream = Self(BufReader::new(stream));
        assert_eq!(stream.line(), "HTTP/1.1 200 OK\r\n");
        while stream.line() != "\r\n" {}
        stream
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    /// The next event, heartbeats apart.
    fn event(&mut self) -> String {
        loop {
            let size = usize::from_str_radix(self.line().trim(), 16).unwrap();
            let mut event = vec![0; size];
            self.0.read_exact(&mut event).unwrap();
            assert_eq!(self.line(), "\r\n");
            if event != b":\n\n" {
                return String::from_utf8(event).unwrap();
            }
        }
    }
}

#[test]
fn a_stream_over_spaces_is_the_same_everywhere() {
    let servers = servers();
    // The person's own data, two spaces that Ada is a member of, one that she is not, one that is not there,
    // one whose owner is hers, and some of which nothing can be said.
    let query = "?space=&space=ada%2Cbob&space=ada,%3Fz%c3%bc%0a%22+x&space=bob&space=nowhere\
                 &space=mirror&space=lost&space=panicking&space=failing&other=x";
    let streams = servers.each_ref().map(|server| {
        let mut stream = Stream::open(server, &live("GET", query));
        let mut events: Vec<String> = (0..6).map(|_| stream.event()).collect();
        events.sort();
        seen(&send(server, &request("ada", 0, &[create("t1")])));
        events.push(stream.event());
        events
    });
    let lost = |space: &str, message: &str| {
        let data = json!({"space": space, "message": message});
        let (space, message) = (&data["space"], &data["message"]);
        format!("event: no_member\ndata: {{\"space\":{space},\"message\":{message}}}\n\n")
    };
    let clock = |data: &str| format!("event: clock\ndata: {data}\n\n");
    let expected = [
        clock(r#"{"logical_clock":0}"#),
        clock(r#"{"space":"ada,?zü\n\" x","logical_clock":0}"#),
        clock(r#"{"space":"ada,bob","logical_clock":0}"#),
        lost("bob", "You are not a member of this list."),
        lost("mirror", "You are not a member of this space."),
        lost("nowhere", "You are not a member of this list."),
        clock(r#"{"logical_clock":1}"#),
    ];
    for (framework, events) in Framework::ALL.iter().zip(streams) {
        assert_eq!(events, expected, "{framework:?}");
    }
}

#[test]
fn a_stream_without_spaces_is_the_same_everywhere() {
    for query in ["", "?", "?spaces=x&&y=space"] {
        for server in &servers() {
            let mut stream = Stream::open(server, &live("GET", query));
            assert_eq!(stream.event(), "event: clock\ndata: 0\n\n", "{query}");
            seen(&send(server, &request("ada", 0, &[create("t1")])));
            assert_eq!(stream.event(), "event: clock\ndata: 1\n\n", "{query}");
        }
    }
}

#[test]
fn a_query_that_cannot_be_is_refused_alike() {
    let servers = servers();
    let many: Vec<_> = (0..101).map(|number| format!("space={number}")).collect();
    for query in [
        "?space=a&space=a".to_owned(),
        "?space=a+b&x=y&space=a%20b".to_owned(),
        "?space&space=".to_owned(),
        "?space=%00".to_owned(),
        "?space=%ff".to_owned(),
        "?sp%61ce=%C3".to_owned(),
        format!("?space={}", "x".repeat(1025)),
        format!("?{}", many.join("&")),
    ] {
        for (method, code) in [("GET", "invalid_request"), ("HEAD", "")] {
            let sent = servers.each_ref().map(|server| send(server, &live(method, &query)));
            let answer = alike(&query, sent);
            assert_eq!((answer.status, &*answer.code()), (400, code), "{method} {query}");
        }
        let mut stranger = live("GET", &query);
        stranger.headers.clear();
        let answer = alike(&query, servers.each_ref().map(|server| send(server, &stranger)));
        assert_eq!((answer.status, &*answer.code()), (401, "unauthenticated"), "{query}");
    }
    let most = live("HEAD", &format!("?{}", many[..100].join("&")));
    let answer = alike("100 spaces", servers.each_ref().map(|server| send(server, &most)));
    assert_eq!(answer.status, 200);
}

#[test]
fn a_connection_goes_on_after_a_refused_stream() {
    for server in &servers() {
        let mut connection = connect(server);
        assert_eq!(connection.send(&live("GET", "?space=a&space=a")).unwrap().status, 400);
        assert_eq!(seen(&connection.send(&request("ada", 0, &[])).unwrap()), (0, 0));
    }
}
