//! Bodies that arrive slowly, not at all, too large or too many at once; on a simulated clock.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use mobync::{
    Mobync, Owner,
    http::{Endpoint, Head, Limits, Token, authenticate, receive},
    memory::MemoryDatabase,
};
use serde_json::Value;
use tokio::time::{Instant, Sleep, sleep};

/// A body in pieces, each after a pause. `None` breaks it off. It counts how much of it is read.
struct Pieces {
    left: VecDeque<(Duration, Option<Bytes>)>,
    waiting: Option<Pin<Box<Sleep>>>,
    read: Arc<AtomicUsize>,
}

impl Pieces {
    fn new(pieces: impl IntoIterator<Item = (Duration, Option<Bytes>)>) -> Self {
        Self { left: pieces.into_iter().collect(), waiting: None, read: Arc::default() }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some((after, _)) = self.left.front().cloned() else { return Poll::Ready(None) };
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(after)));
        ready!(waiting.as_mut().poll(context));
        self.waiting = None;
        let piece = self.left.pop_front().and_then(|(_, piece)| piece);
        let piece = piece.ok_or_else(|| io::ErrorKind::ConnectionReset.into());
        self.read.fetch_add(piece.as_ref().map_or(0, Bytes::len), Ordering::SeqCst);
        Poll::Ready(Some(piece.map(Frame::data)))
    }
}

const SILENCE: Duration = Duration::from_secs(30);
const AT_ONCE: Duration = Duration::ZERO;

fn limits() -> Limits {
    Limits::new().max_body_bytes(1000).silence(SILENCE)
}

type Answering = Pin<Box<dyn Future<Output = Response<Bytes>> + Send>>;

/// The response of a server with these limits to this body, with this token in the header.
fn send(limits: &Limits, token: Option<&str>, body: Pieces) -> Answering {
    let endpoint = Endpoint::new(Mobync::new(MemoryDatabase::new()), async |credentials| {
        match credentials.token()? {
            "panicking" => panic!("it does"),
            token => Ok(Owner::new(token)?),
        }
    });
    let endpoint = endpoint.limits(limits.clone());
    let mut request = Request::post("/").header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header("authorization", token);
    }
    let request = request.body(body).unwrap();
    Box::pin(async move { endpoint.handle(request).await })
}

fn code(response: &Response<Bytes>) -> (u16, String) {
    let json: Value = serde_json::from_slice(response.body()).unwrap();
    (response.status().as_u16(), json["code"].as_str().unwrap_or_default().to_owned())
}

fn failure(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

const SYNC: &[u8] = br#"{"auth_token": "ada", "logical_clock": 0, "diffs": []}"#;

#[expect(clippy::unnecessary_wraps, reason = "a piece, which none breaks off")]
fn bytes(bytes: &[u8]) -> Option<Bytes> {
    Some(Bytes::copy_from_slice(bytes))
}

#[tokio::test(start_paused = true)]
async fn a_body_may_take_as_long_as_it_moves() {
    for piece in [1, 2, 7, SYNC.len()] {
        let gap = SILENCE * 99 / 100;
        let pieces = Pieces::new(SYNC.chunks(piece).map(|piece| (gap, bytes(piece))));
        let began = Instant::now();
        let answer = send(&limits(), None, pieces).await;
        assert_eq!(answer.status(), 200, "{piece}");
        assert!(began.elapsed() >= gap * u32::try_from(SYNC.len() / piece).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_goes_silent_is_given_up_with_an_answer_that_says_so() {
    for come in [0, 1, 20, SYNC.len() - 1] {
        let (come, missing) = SYNC.split_at(come);
        let late = SILENCE + Duration::from_secs(100);
        let pieces = Pieces::new([(AT_ONCE, bytes(come)), (late, bytes(missing))]);
        let began = Instant::now();
        let answer = send(&limits(), None, pieces).await;
        assert_eq!(code(&answer), failure(503, "busy"));
        assert_eq!(answer.headers()["retry-after"], "1");
        let text = std::str::from_utf8(answer.body()).unwrap();
        assert!(text.contains("Nothing of the body came for 30 seconds"), "{text}");
        assert!(began.elapsed() < SILENCE + Duration::from_secs(5));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_silent_or_broken_body_held_is_free_again() {
    let limits = limits().max_body_bytes(usize::MAX).body_bytes_at_once(100 * 1024);
    let large = |rest: Duration| {
        let mut body = SYNC.to_vec();
        body.resize(90 * 1024, b' ');
        let broken = if rest.is_zero() { None } else { bytes(b" ") };
        Pieces::new([(AT_ONCE, bytes(&body)), (rest, broken)])
    };
    for (rest, expected) in [
        (Duration::ZERO, failure(400, "invalid_request")),
        (SILENCE * 2, failure(503, "busy")),
        (SILENCE / 2, failure(200, "")),
    ] {
        let first = tokio::spawn(send(&limits, None, large(rest)));
        if !rest.is_zero() {
            sleep(SILENCE / 4).await;
            let second = send(&limits, None, large(SILENCE / 2)).await;
            assert_eq!(code(&second), failure(503, "busy"), "there is no room");
            assert_eq!(second.headers()["retry-after"], "1");
            let small = Pieces::new([(AT_ONCE, bytes(SYNC))]);
            assert_eq!(send(&limits, Some("Bearer ada"), small).await.status(), 200);
        }
        assert_eq!(code(&first.await.unwrap()), expected);
        assert_eq!(send(&limits, None, large(SILENCE / 2)).await.status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_shown_no_token_yet_leaves_half_of_the_room_to_who_has() {
    let limits = limits().max_body_bytes(usize::MAX).body_bytes_at_once(100 * 1024);
    // All of it except the end, which comes long after.
    let slow = |kibibytes: usize| {
        let mut body = SYNC.to_vec();
        body.resize(kibibytes * 1024 - 1, b' ');
        Pieces::new([(AT_ONCE, bytes(&body)), (SILENCE / 2, bytes(b" "))])
    };
    let strangers: Vec<_> = (0..20).map(|_| tokio::spawn(send(&limits, None, slow(10)))).collect();
    sleep(SILENCE / 4).await;
    for (token, kibibytes, status) in [
        (None, 1, 503),
        (Some("Basic ada"), 1, 503),
        (Some("Bearer ada"), 51, 503),
        (Some("Bearer ada"), 50, 200),
        (None, 10, 200),
    ] {
        let answer = send(&limits, token, slow(kibibytes)).await;
        assert_eq!(answer.status(), status, "{token:?}: {kibibytes}");
    }
    let mut served = 0;
    for stranger in strangers {
        served += usize::from(stranger.await.unwrap().status() == 200);
    }
    assert_eq!(served, 5);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_dropped_in_the_middle_holds_nothing() {
    let limits = limits().max_body_bytes(usize::MAX).body_bytes_at_once(100 * 1024);
    for _ in 0..100 {
        let come = (AT_ONCE, Some(vec![b' '; 90 * 1024].into()));
        let unfinished = send(&limits, None, Pieces::new([come, (SILENCE / 2, bytes(b" "))]));
        assert!(tokio::time::timeout(SILENCE / 4, unfinished).await.is_err());
    }
    let mut body = SYNC.to_vec();
    body.resize(90 * 1024, b' ');
    assert_eq!(send(&limits, None, Pieces::new([(AT_ONCE, bytes(&body))])).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_has_of_a_request_counts_as_held_until_it_is_done_with_it() {
    let limits = limits().max_body_bytes(usize::MAX).body_bytes_at_once(100 * 1024);
    let mut body = SYNC.to_vec();
    body.resize(60 * 1024, b' ');
    let head = || Head {
        method: "POST",
        token: Token::of_headers([&b"Bearer ada"[..]]),
        content_type: Some(b"application/json"),
        ..Head::default()
    };
    let body = || Pieces::new([(AT_ONCE, bytes(&body))]);
    let by_ada = async |_| Ok(Owner::new("ada")?);
    let received = async || receive(head(), body(), &limits).await;
    let authenticated = async || authenticate(head(), body(), &limits, by_ada).await;
    let code = async || received().await.err().map(|error| error.code());

    for is_known in [false, true] {
        let request =
            if is_known { authenticated().await.unwrap().1 } else { received().await.unwrap() };
        assert_eq!(code().await, Some("busy"));
        assert_eq!(authenticated().await.unwrap_err().code(), "busy");
        // As handlers do: the diffs are moved out, and the rest is dropped with the handler.
        let (copy, diffs) = (request.clone(), request.diffs);
        drop(diffs);
        assert_eq!(code().await, Some("busy"));
        drop(copy);
    }
    assert_eq!(code().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_header_s_token_is_looked_at_before_the_body() {
    for (token, body, expected) in [
        ("Bearer", &b"no JSON"[..], failure(401, "unauthenticated")),
        ("Bearer panicking", SYNC, failure(500, "internal")),
        ("Bearer panicking", b"no JSON", failure(500, "internal")),
        ("Bearer ada", b"no JSON", failure(400, "invalid_json")),
        ("Bearer ada", b"{}", failure(400, "invalid_request")),
        ("Basic ada", b"no JSON", failure(400, "invalid_json")),
        ("Basic ada", b"{}", failure(401, "unauthenticated")),
        ("Basic ada", SYNC, failure(200, "")),
    ] {
        let pieces = Pieces::new([(SILENCE / 2, bytes(body))]);
        let began = Instant::now();
        let answer = send(&limits(), Some(token), pieces).await;
        assert_eq!(code(&answer), expected, "{token}");
        let is_early = matches!(expected.0, 401 | 500) && token != "Basic ada";
        assert_eq!(began.elapsed() < SILENCE / 2, is_early, "{token}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_body_is_read_on_a_little_and_no_more() {
    let mebibyte = Bytes::from(vec![b' '; 1024 * 1024]);
    let second = Duration::from_secs(1);
    for (token, status) in [(None, 413), (Some("Bearer"), 401)] {
        // Everything that arrives quickly, up to the limit; of a slow body, what arrives within half a
        // minute. A pause ends the wait.
        for (pieces, gap, most) in [
            (20, AT_ONCE, 20),
            (500, AT_ONCE, 66),
            (500, second * 9 / 10, 35),
            (500, second * 2, 1),
        ] {
            let body = std::iter::repeat_n((gap, Some(mebibyte.clone())), pieces);
            let body = Pieces::new(body);
            let (read, began) = (Arc::clone(&body.read), Instant::now());
            let answer = send(&limits(), token, body).await;
            assert_eq!(answer.status(), status);
            let read = read.load(Ordering::SeqCst) / mebibyte.len();
            assert!(read <= most && (read + 5 >= most || gap > second), "{read} of {most}");
            assert!(began.elapsed() < second * 40);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_expects_to_be_asked_for_the_body_is_answered_without_it() {
    let endpoint = Endpoint::new(Mobync::new(MemoryDatabase::new()), async |credentials| {
        Ok(Owner::new(credentials.token()?)?)
    });
    let endpoint = endpoint.limits(limits());
    for (length, token, status) in
        [("2000", "Bearer ada", 413), ("10", "Bearer", 401), ("54", "Bearer ada", 200)]
    {
        let body = Pieces::new([(AT_ONCE, bytes(SYNC))]);
        let read = Arc::clone(&body.read);
        let request = Request::post("/")
            .header("content-type", "application/json")
            .header("authorization", token)
            .header("expect", "100-continue")
            .header("content-length", length);
        assert_eq!(endpoint.handle(request.body(body).unwrap()).await.status(), status);
        assert_eq!(read.load(Ordering::SeqCst) > 0, status == 200, "{status}");
    }
}

#[tokio::test]
async fn a_byte_order_mark_in_front_of_a_body_is_ignored() {
    let mark = "\u{feff}".as_bytes();
    for (prefix, status) in [
        (mark.to_vec(), 200),
        (mark.repeat(2), 400),
        (b"\xef\xbb".to_vec(), 400),
        (b" \xef\xbb\xbf".to_vec(), 400),
        (b"\xfe\xff".to_vec(), 400),
    ] {
        for pieces in [1, 2, 60] {
            let body = [&*prefix, SYNC].concat();
            let body = Pieces::new(body.chunks(pieces).map(|piece| (AT_ONCE, bytes(piece))));
            assert_eq!(send(&limits(), None, body).await.status(), status, "{prefix:?}");
        }
    }
    let alone = Pieces::new([(AT_ONCE, bytes(mark))]);
    assert_eq!(code(&send(&limits(), None, alone).await), failure(400, "invalid_json"));
}

/// How much memory this process uses, in MiB.
#[cfg(target_os = "linux")]
fn held() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<usize>().unwrap() / 1024
}

#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn an_answer_that_waits_for_room_is_not_held() {
    let database = MemoryDatabase::new().model("tasks", ["name"]);
    let endpoint = Endpoint::new(Mobync::new(database), async |credentials| {
        Ok(Owner::new(credentials.token()?)?)
    });
    let endpoint = endpoint.limits(Limits::new().answer_bytes_at_once(1024 * 1024));
    let serve = |diffs: Value| {
        let body = serde_json::json!({"logical_clock": 0, "diffs": diffs}).to_string();
        let request = Request::post("/")
            .header("content-type", "application/json")
            .header("authorization", "Bearer ada")
            .body(http_body_util::Full::<Bytes>::from(body))
            .unwrap();
        let endpoint = endpoint.clone();
        async move { endpoint.serve(request).await }
    };
    let data = serde_json::json!({"id": "t1", "name": "x".repeat(8 * 1024 * 1024)}).to_string();
    let create = serde_json::json!([{
        "id": "c1", "owner": "", "logical_clock": 0, "utc_timestamp": 1, "type": "create",
        "model": "tasks", "json_data": data,
    }]);
    assert_eq!(serve(create).await.status(), 200);
    let unread = serve(Value::Array(Vec::new())).await;
    let before = held();
    let waiting: Vec<_> = (0..40).map(|_| tokio::spawn(serve(Value::Array(Vec::new())))).collect();
    // This clock advances when all of them wait.
    sleep(Duration::from_secs(1)).await;
    assert!(held() < before + 100, "{} and {before} MiB", held());
    drop(unread);
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().status(), 200);
    }
}
