//! What the frameworks answer alike, to the byte, whatever the method, the path, the header or the panic;
//! and where they cannot, as the adapters' pages say.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use conformance::{
    Database, Framework, Server,
    http::{Answer, Request},
};
use serde_json::{Value, json};

use self::support::{connect, create, request, seen, send};

fn servers() -> [(Framework, Server); 3] {
    Framework::ALL.map(|framework| (framework, Server::start(framework, Database::Memory).unwrap()))
}

/// The same answer of all, with the headers that the protocol speaks of.
fn alike<const N: usize>(what: &str, answers: [Answer; N]) -> Answer {
    let [first, others @ ..] = &answers.map(Answer::of_protocol)[..] else { unreachable!() };
    for other in others {
        assert_eq!(other, first, "{what}");
    }
    first.clone()
}

fn plain(method: &str, path: &str) -> Request {
    let request = Request {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    request.header("content-type", "application/json")
}

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"];

/// Those that Rocket does not know, and answers by itself.
const UNKNOWN: [&str; 4] = ["BREW", "PROPFIND", "post", "Get"];

#[test]
fn every_method_on_both_routes_is_answered_alike_and_never_to_be_kept() {
    let servers = servers();
    for path in ["/sync", "/sync?a=b"] {
        for method in METHODS {
            let what = format!("{method} {path}");
            let answers = servers.each_ref().map(|(_, server)| send(server, &plain(method, path)));
            let answer = alike(&what, answers);
            // Without a body there is no JSON in it.
            assert_eq!(answer.status, if method == "POST" { 400 } else { 405 }, "{what}");
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
            assert_eq!(answer.header("allow"), (method != "POST").then_some("POST"), "{what}");
        }
    }
    for method in METHODS {
        let what = format!("{method} /sync/live");
        let answers =
            servers.each_ref().map(|(_, server)| send(server, &plain(method, "/sync/live")));
        let answer = alike(&what, answers);
        let is_read = matches!(method, "GET" | "HEAD");
        assert_eq!(answer.status, if is_read { 401 } else { 405 }, "{what}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{what}");
        assert_eq!(answer.header("allow"), (!is_read).then_some("GET, HEAD"), "{what}");
    }
    for (method, path) in
        UNKNOWN.iter().flat_map(|method| ["/sync", "/sync/live"].map(|path| (method, path)))
    {
        let what = format!("{method} {path}");
        let [axum, actix, rocket] =
            servers.each_ref().map(|(_, server)| send(server, &plain(method, path)));
        let answer = alike(&what, [axum, actix]);
        assert_eq!((answer.status, &*answer.code()), (405, "method_not_allowed"), "{what}");
        assert_eq!(rocket.status, 400, "{what}: a catcher answers");
    }
}

#[test]
fn no_other_path_is_the_route() {
    let servers = servers();
    for path in
        ["/sync/", "//sync", "/sync//", "/SYNC", "/sync/x", "/syn", "/sync/live/", "/./sync"]
    {
        for method in ["GET", "POST"] {
            for (framework, server) in &servers {
                let mut request = plain(method, path);
                request.body =
                    br#"{"auth_token": "ada", "logical_clock": 0, "diffs": []}"#.to_vec();
                let answer = send(server, &request);
                assert_eq!(answer.status, 404, "{framework:?}: {method} {path}");
            }
        }
    }
}

#[test]
fn every_code_and_every_stream_is_never_to_be_kept() {
    let sync = |token: &str, clock: i64, diffs: &[Value]| request(token, clock, diffs);
    let renamed = |name: &str, model: &str| {
        let mut diff = create("t1");
        diff["json_data"] = json!({"id": "t1", "name": name}).to_string().into();
        diff["model"] = model.into();
        diff
    };
    let mut large = sync("ada", 0, &[]);
    large.body.resize(16 * 1024 * 1024 + 1, b' ');
    let compressed = sync("ada", 0, &[]).header("content-encoding", "gzip");
    let cases = [
        (200, sync("ada", 0, &[])),
        (200, sync("bob", 0, &[create("t1")])),
        (200, sync("bob", 0, &[renamed("forbidden", "tasks")])),
        (400, sync("ada", -1, &[])),
        (400, Request::post("no JSON")),
        (401, sync("stranger", 0, &[])),
        (403, sync("banned", 0, &[])),
        (409, sync("ada", 9, &[])),
        (413, large),
        (415, compressed),
        (422, sync("ada", 0, &[renamed("x", "taks")])),
        (500, sync("failing", 0, &[])),
        (500, sync("panicking", 0, &[])),
        (503, sync("busy", 0, &[])),
    ];
    let servers = servers();
    for (status, request) in cases {
        let answers = servers.each_ref().map(|(_, server)| send(server, &request));
        let answer = alike(&status.to_string(), answers);
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{status}");
    }
    let listening = plain("GET", "/sync/live").header("authorization", "Bearer ada");
    for (framework, server) in &servers {
        let mut connection = connect(server);
        connection.write(&listening.to_bytes()).unwrap();
        let head = connection.read_head().unwrap();
        assert_eq!(head.header("cache-control"), Some("no-store"), "{framework:?}");
        assert_eq!(head.header("content-type"), Some("text/event-stream"), "{framework:?}");
    }
}

#[test]
fn a_panic_of_the_application_is_a_500_and_nothing_else() {
    let mut named = create("t1");
    named["json_data"] = json!({"id": "t1", "name": "panicking"}).to_string().into();
    let in_header = |request: Request| request.header("authorization", "Bearer panicking");
    let cases = [
        ("the auth closure, by the body's token", request("panicking", 0, &[])),
        ("the auth closure, by the header's", in_header(request("ada", 0, &[]))),
        ("the auth closure, before the body", in_header(Request::post("no JSON"))),
        ("the live route's", in_header(plain("GET", "/sync/live"))),
        ("the live route's, without a body", in_header(plain("HEAD", "/sync/live"))),
        ("a rule", request("ada", 0, &[create("t2"), named])),
    ];
    let servers = servers();
    for (what, request) in &cases {
        let answers = servers.each_ref().map(|(_, server)| {
            let mut connection = connect(server);
            let answer = connection.send(request).unwrap();
            // Connection, worker and owner go on as before, and nothing was changed.
            let sync = support::request("ada", 0, &[]);
            assert_eq!(seen(&connection.send(&sync).unwrap()), (0, 0), "{what}");
            answer
        });
        let answer = alike(what, answers);
        assert_eq!(answer.status, 500, "{what}");
        if request.method != "HEAD" {
            assert_eq!(answer.code(), "internal", "{what}");
        }
        assert!(!String::from_utf8_lossy(&answer.body).contains("panic"), "{what}");
    }
}

/// A request with header lines that are no text.
fn with_lines(request: &Request, lines: &[&[u8]]) -> Vec<u8> {
    let mut sent = request.head(&format!("content-length: {}\r\n", request.body.len()));
    sent.truncate(sent.len() - 2);
    for line in lines {
        sent.extend([b"authorization: ", *line, b"\r\n"].concat());
    }
    [sent, b"\r\n".to_vec(), request.body.clone()].concat()
}

/// Who is meant by the headers `Authorization` of a request whose body has the token `body`: the clocks of
/// these owners differ.
const HEADER: Option<i64> = Some(1);
const BODY: Option<i64> = Some(2);
const NOBODY: Option<i64> = None;

const BEARERS: [(&[&[u8]], Option<i64>); 26] = [
    (&[b"Bearer header"], HEADER),
    (&[b"bearer header"], HEADER),
    (&[b"BEARER   header  "], HEADER),
    (&[b"Bearer\theader"], HEADER),
    (&[b"\t Bearer \t header\t"], HEADER),
    (&[b"Basic eA==", b"Bearer header"], HEADER),
    (&[b"Bearer header", b"Basic eA=="], HEADER),
    (&[], BODY),
    (&[b""], BODY),
    (&[b"Basic header"], BODY),
    (&[b"Bearers header"], BODY),
    (&[b"Bearer-x header"], BODY),
    (&[b"header"], BODY),
    (&[b"Bearer"], NOBODY),
    (&[b"Bearer "], NOBODY),
    (&[b"Bearer\t"], NOBODY),
    (&[b"Bearer:header"], NOBODY),
    (&[b"Bearer,header"], NOBODY),
    (&[b"Bearer=header"], NOBODY),
    (&[b"Bearer \"header\""], NOBODY),
    (&[b"Bearer header", b"Bearer header"], NOBODY),
    (&[b"Bearer header", b"Bearer body"], NOBODY),
    (&[b"Bearer", b"Bearer header"], NOBODY),
    (&[b"Basic eA==", b"Bearer"], NOBODY),
    (&[b"Bearer stranger"], NOBODY),
    (&[b"Bearer header, Bearer body"], NOBODY),
];

/// What is not UTF-8 is nobody's token.
const NOT_UTF_8: [&[u8]; 8] = [
    b"Bearer \xff",
    b"Bearer header\xff",
    b"Bearer \xe4da",
    b"Bearer \x80",
    b"Bearer \xc3",
    b"Bearer \xc0\xaf",
    b"Bearer \xed\xa0\x80",
    b"Bearer\xa0header",
];

#[test]
fn a_bearer_header_is_never_passed_over_for_the_body_s_token() {
    for (framework, server) in &servers() {
        for (owner, syncs) in [("header", 1), ("body", 2)] {
            for clock in 0..syncs {
                seen(&send(server, &request(owner, clock, &[create(&format!("t{clock}"))])));
            }
        }
        let ask = |token: &str, lines: &[&[u8]]| {
            let mut connection = connect(server);
            connection.write(&with_lines(&request(token, 0, &[]), lines)).unwrap();
            let answer = connection.read(false).unwrap();
            assert!(matches!(answer.status, 200 | 401), "{framework:?}: {}", answer.status);
            (answer.status == 200).then(|| answer.json()["logical_clock"].as_i64().unwrap())
        };
        for (lines, expected) in BEARERS {
            let shown: Vec<_> = lines.iter().map(|line| line.escape_ascii().to_string()).collect();
            // The quoted token and the two in one line are tokens that nobody has.
            let got = ask("body", lines).filter(|clock| *clock > 0);
            assert_eq!(got, expected, "{framework:?}: {shown:?}");
        }
        for line in NOT_UTF_8 {
            assert_eq!(ask("", &[line]), NOBODY, "{framework:?}: {}", line.escape_ascii());
            // Rocket drops such a header before anybody can look at it.
            let seen = if *framework == Framework::Rocket { BODY } else { NOBODY };
            assert_eq!(ask("body", &[line]), seen, "{framework:?}: {}", line.escape_ascii());
        }
    }
}

#[test]
fn a_request_without_a_body_has_the_owner_of_a_sync_or_is_refused_like_it() {
    let servers = servers();
    let ask = |request: &Request, lines: &[&[u8]]| {
        let answers = servers.each_ref().map(|(_, server)| {
            let mut connection = connect(server);
            connection.write(&with_lines(request, lines)).unwrap();
            connection.read(false).unwrap()
        });
        alike(&format!("{}: {lines:?}", request.path), answers)
    };
    let without_token = Request::post(r#"{"logical_clock": 0, "diffs": []}"#);
    let [owner, token] = ["/owner", "/token"].map(|path| plain("GET", path));
    let missing = ask(&without_token, &[]);
    assert_eq!((missing.status, &*missing.code()), (401, "unauthenticated"));

    // Those of the auth closure's moods have tokens, whatever it says to them.
    let moods = ["stranger", "banned", "lost", "panicking"].map(|token| format!("Bearer {token}"));
    let moods = moods.each_ref().map(|line| [line.as_bytes()]);
    let lines = BEARERS.map(|(lines, _)| lines).into_iter();
    let lines = lines.chain(NOT_UTF_8.iter().map(std::slice::from_ref));
    let mut statuses = Vec::new();
    for lines in lines.chain(moods.iter().map(|line| &line[..])) {
        let (sync, owner, token) =
            (ask(&without_token, lines), ask(&owner, lines), ask(&token, lines));
        if sync.status == 200 {
            assert_eq!((owner.status, &owner.body), (200, &token.body), "{lines:?}");
        } else {
            assert_eq!(owner, sync, "{lines:?}");
        }
        assert_eq!(token.status == 401, sync == missing, "{lines:?}");
        assert!(token.status == 200 || token == missing, "{lines:?}");
        statuses.push(sync.status);
    }
    for status in [200, 401, 403, 500] {
        assert!(statuses.contains(&status), "{status}");
    }
}
