//! The transport over HTTP, against servers that do what they like.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use mobync::client::{Client, HttpTransport, MemoryStore, SyncFailure};

use super::{
    scripted::{Act, Scripted, answer},
    way::device,
};

const DONE: &str = r#"{"success":true,"message":"","logical_clock":1,"diffs":[]}"#;
/// The answer to what a new device asks first.
const NOTHING: &str = r#"{"success":true,"message":"","logical_clock":0,"diffs":[]}"#;

fn transport(server: &Scripted) -> HttpTransport {
    HttpTransport::new(&server.url()).unwrap().token("secret").silence(Duration::from_millis(300))
}

async fn client(transport: HttpTransport) -> Client<MemoryStore, HttpTransport> {
    Client::new(device(&["a"]).await, transport)
}

/// What a failure without an answer says.
fn reason(failure: &SyncFailure) -> String {
    let SyncFailure::NoAnswer { reason, .. } = failure else { panic!("{failure:?}") };
    reason.clone()
}

#[tokio::test]
async fn nobody_gets_changes_or_token_by_a_redirect() {
    let stranger = Scripted::new(vec![Act::Say(answer(200, "", DONE))]).await;
    let elsewhere = [
        stranger.url(),
        stranger.url().replace("127.0.0.1", "localhost"),
        stranger.origin.replace("http:", ""),
        stranger.url().replace("http", "https"),
        "/elsewhere".to_owned(),
        "?again".to_owned(),
        String::new(),
        "not a place".to_owned(),
    ];
    for (number, status) in [307, 308, 301, 302, 303, 300, 305].into_iter().enumerate() {
        // Each status with some of the places, each place with some of the statuses.
        for place in elsewhere.iter().skip(number % 2).step_by(2) {
            let location = format!("location: {place}\r\n");
            let server = Scripted::new(vec![Act::Say(answer(status, &location, ""))]).await;
            let mut transport = transport(&server);
            if number == 0 {
                // A client of one's own, which would follow if it were let.
                let follow = reqwest::redirect::Policy::limited(10);
                transport = transport.client(reqwest::Client::builder().redirect(follow)).unwrap();
            }
            let client = client(transport).await;
            let failure = client.sync_now().await.unwrap_err();
            assert!(reason(&failure).contains("redirects"), "{status} {place}: {failure}");
            assert!(failure.is_temporary() && client.device().has_pending().await.unwrap());
            assert_eq!(server.heads().len(), 1, "{status} {place}: it is asked once");
        }
    }
    assert_eq!(stranger.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn what_moves_ends_well_however_long_it_takes() {
    let rest = Duration::from_millis(100);
    let said = answer(200, "", DONE);
    // Several times as long as nothing may move, in all.
    for act in [Act::Trickle(said.clone(), 3, rest), Act::Trickle(said.clone(), 1, rest / 2)] {
        let server = Scripted::new(vec![Act::Say(answer(200, "", NOTHING)), act]).await;
        let client = client(transport(&server)).await;
        let before = Instant::now();
        client.sync_now().await.unwrap();
        assert!(before.elapsed() > Duration::from_millis(1500), "{:?}", before.elapsed());
        assert!(!client.device().has_pending().await.unwrap());
    }
}

/// More than the buffers on the way take goes up slowly, and then the answer comes slowly.
#[tokio::test]
async fn what_goes_up_slowly_arrives_however_long_it_takes() {
    let (rest, piece) = (Duration::from_millis(50), 256 * 1024);
    let nothing = answer(200, "", NOTHING);
    let sip = Act::Sip(answer(200, "", DONE), piece, rest);
    let server = Scripted::new(vec![Act::Say(nothing), sip]).await;
    let device = device(&[]).await;
    let text = "x".repeat(12 * 1024 * 1024);
    device.create("tasks", mobync::Record::new("a").with("name", text)).await.unwrap();
    let client = Client::new(device, transport(&server));
    let before = Instant::now();
    client.sync_now().await.unwrap();
    assert!(before.elapsed() > Duration::from_secs(3), "{:?}", before.elapsed());
    assert!(!client.device().has_pending().await.unwrap());
}

#[tokio::test]
async fn what_does_not_move_is_given_up() {
    let said = answer(200, "", DONE);
    for end in [0, 5, said.len() / 2, said.len() - 1] {
        let server = Scripted::new(vec![Act::Stall(said[..end].to_vec())]).await;
        let client = client(transport(&server)).await;
        let before = Instant::now();
        let failure = client.sync_now().await.unwrap_err();
        assert!(reason(&failure).contains("nothing has moved"), "{end}: {failure}");
        assert!(before.elapsed() < Duration::from_secs(3), "{end}: {:?}", before.elapsed());
        assert!(client.device().has_pending().await.unwrap());
    }
}

#[tokio::test]
async fn no_answer_is_read_without_an_end() {
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let long = b"HTTP/1.1 200 OK\r\ncontent-length: 4400000000\r\n\r\n".to_vec();
    let endless = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let spaces = " ".repeat(4096).into_bytes();
    let chunk = [b"1000\r\n", &*spaces, b"\r\n"].concat();
    for (head, more) in [(chunked, chunk), (long, spaces.clone()), (endless, spaces.clone())] {
        let server = Scripted::new(vec![Act::Forever(head, more)]).await;
        let client = client(transport(&server).most_answer_bytes(1_000_000)).await;
        let failure = client.sync().await.unwrap_err();
        let SyncFailure::AnswerTooLarge { most_bytes: 1_000_000 } = failure else {
            panic!("{failure:?}")
        };
        assert!(failure.to_string().contains("most_answer_bytes"), "{failure}");
        assert!(client.device().has_pending().await.unwrap());
    }
    // The same of a failure says only that it is none of this protocol.
    let head = b"HTTP/1.1 502 Bad\r\n\r\n".to_vec();
    let server = Scripted::new(vec![Act::Forever(head, spaces)]).await;
    let failure = client(transport(&server)).await.sync_now().await.unwrap_err();
    assert!(reason(&failure).contains("502"), "{failure}");
}

#[tokio::test]
async fn an_answer_as_large_as_it_may_be_is_taken() {
    for (most, taken) in [(DONE.len(), true), (DONE.len() - 1, false)] {
        let acts = [NOTHING, DONE].map(|body| Act::Say(answer(200, "", body)));
        let server = Scripted::new(acts.to_vec()).await;
        let client = client(transport(&server).most_answer_bytes(most)).await;
        assert_eq!(client.sync().await.is_ok(), taken);
    }
}

#[tokio::test]
async fn a_retry_after_that_is_none_is_not_believed() {
    for (value, seconds) in [
        ("7", Some(7)),
        (" 7 ", Some(7)),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("99999999999999999999999", None),
        ("Wed, 21 Oct 2099 07:28:00 GMT", None),
        ("\u{fc}", None),
    ] {
        let header = format!("retry-after: {value}\r\n");
        let server = Scripted::new(vec![Act::Say(answer(503, &header, ""))]).await;
        let failure = client(transport(&server)).await.sync_now().await.unwrap_err();
        let SyncFailure::NoAnswer { retry_after, .. } = failure else { panic!("{failure:?}") };
        assert_eq!(retry_after, seconds.map(Duration::from_secs), "{value}");
    }
}

#[tokio::test]
async fn a_failure_says_what_it_is_caused_by() {
    let server = Scripted::new(vec![Act::HangUp]).await;
    let hung_up = client(transport(&server)).await.sync_now().await.unwrap_err();
    assert!(reason(&hung_up).contains("connection closed"), "{hung_up}");

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://user:password@{nobody}/sync?key=secret");
    let transport = HttpTransport::new(&url).unwrap();
    let refused = client(transport).await.sync_now().await.unwrap_err();
    let said = format!("{refused} {}", reason(&refused));
    assert!(said.contains("refused"), "{said}");
    assert!(!said.contains("secret") && !said.contains("password"), "{said}");
    let mut cause: Option<&(dyn Error + 'static)> = Some(&refused);
    while !cause.is_none_or(is_refusal) {
        cause = cause.and_then(Error::source);
    }
    assert!(cause.is_some(), "the system's error is among the causes");
}

fn is_refusal(cause: &(dyn Error + 'static)) -> bool {
    let io = cause.downcast_ref::<std::io::Error>();
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused)
}

#[tokio::test]
async fn several_spaces_go_in_one_body_with_one_token() {
    let own = r#"{"success":true,"message":"","logical_clock":1,"diffs":[],"owner":"ada"}"#;
    let club =
        r#"{"status":200,"success":true,"message":"","logical_clock":1,"diffs":[],"owner":"c"}"#;
    let busy = r#"{"status":503,"success":false,"message":"No.","code":"busy","retry_after":7}"#;
    let both = format!(r#"{{"success":true,"syncs":[{club},{busy}]}}"#);
    // Each has fetched what there is before it sends.
    let sent = club.replace(r#""logical_clock":1"#, r#""logical_clock":2"#);
    let sent = format!(r#"{{"success":true,"syncs":[{sent}]}}"#);
    let acts = [own, &*both, &*sent].map(|body| Act::Say(answer(200, "", body)));
    let server = Scripted::new(acts.into()).await;
    let client = Client::new(device(&[]).await, transport(&server));
    for space in ["club", "work"] {
        client.join(space).await.unwrap();
    }
    let failed = client.sync_now().await.unwrap_err();
    let SyncFailure::Space { space, failure } = failed else { panic!("{failed}") };
    let SyncFailure::NoAnswer { retry_after, .. } = *failure else { panic!("{failure}") };
    assert_eq!((&*space, retry_after), ("work", Some(Duration::from_secs(7))));
    assert_eq!(client.space("club").clock().await.unwrap(), 1);
    assert!(server.heads().iter().all(|head| head.contains("authorization: bearer secret")));
    let (_, body) = server.heard.lock().unwrap()[1].clone();
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let spaces: Vec<_> = body["syncs"].as_array().unwrap().iter().map(|it| &it["space"]).collect();
    assert_eq!(spaces, ["club", "work"]);
}
