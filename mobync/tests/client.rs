//! The client of `mobync::client` against the real endpoint, over a transport that loses things.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use mobync::{
    Change, Mobync, Owner, Record, SyncRequest,
    client::{Client, Device, MemoryStore, NoAnswer, Reply, SyncFailure, Transport},
    http::{AuthError, Credentials, Endpoint},
    memory::MemoryDatabase,
};
use support::ada;
use tokio::time::Instant;

/// What happens to one request.
enum Fate {
    RequestLost,
    AnswerLost,
    /// Something in front of the server answers.
    Proxy(u16, Option<u64>, &'static str),
}

/// The way to a server in the same process. Requests beyond its fates go well.
#[derive(Clone)]
struct Wire {
    mobync: Mobync<MemoryDatabase>,
    max_body_bytes: usize,
    token: Arc<Mutex<&'static str>>,
    fates: Arc<Mutex<VecDeque<Fate>>>,
    /// When each request was sent, and how many diffs it had.
    sent: Arc<Mutex<Vec<(Instant, usize)>>>,
    is_busy: Arc<AtomicBool>,
}

impl Wire {
    fn to(mobync: Mobync<MemoryDatabase>) -> Self {
        Self {
            mobync,
            max_body_bytes: 1_000_000,
            token: Arc::new(Mutex::new("ada")),
            fates: Arc::default(),
            sent: Arc::default(),
            is_busy: Arc::default(),
        }
    }

    fn fated(self, fates: impl IntoIterator<Item = Fate>) -> Self {
        self.fates.lock().unwrap().extend(fates);
        self
    }

    fn sizes(&self) -> Vec<usize> {
        self.sent.lock().unwrap().iter().map(|(_, diffs)| *diffs).collect()
    }

    /// The time between each request and the one before.
    fn waits(&self) -> Vec<f64> {
        let sent = self.sent.lock().unwrap();
        sent.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs_f64()).collect()
    }
}

async fn auth(credentials: Credentials) -> Result<Owner, AuthError> {
    match credentials.token()? {
        "expired" => Err(AuthError::unauthenticated("The token has expired.")),
        token => Ok(Owner::new(token)?),
    }
}

impl Transport for Wire {
    async fn send(&self, request: &SyncRequest) -> Result<Reply, NoAnswer> {
        self.sent.lock().unwrap().push((Instant::now(), request.diffs.len()));
        assert!(!self.is_busy.swap(true, Ordering::SeqCst), "one sync at a time");
        tokio::time::sleep(Duration::from_millis(10)).await;
        let fate = self.fates.lock().unwrap().pop_front();
        let reply = match fate {
            Some(Fate::RequestLost) => Err(NoAnswer::new("no network")),
            Some(Fate::Proxy(status, seconds, body)) => {
                let retry_after = seconds.map(Duration::from_secs);
                Ok(Reply { status, retry_after, body: body.into() })
            }
            None => Ok(self.post(request).await),
            Some(Fate::AnswerLost) => {
                self.post(request).await;
                Err(NoAnswer::new("the connection broke off"))
            }
        };
        self.is_busy.store(false, Ordering::SeqCst);
        reply
    }

    async fn renew(&self) -> bool {
        *self.token.lock().unwrap() = "ada";
        true
    }
}

impl Wire {
    async fn post(&self, request: &SyncRequest) -> Reply {
        let token = *self.token.lock().unwrap();
        let body = Bytes::from(serde_json::to_vec(request).unwrap());
        let request = Request::post("/sync")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Full::new(body))
            .unwrap();
        let endpoint = Endpoint::new(self.mobync.clone(), auth).max_body_bytes(self.max_body_bytes);
        let (parts, body) = endpoint.handle(request).await.into_parts();
        let retry_after = parts.headers.get(header::RETRY_AFTER);
        let retry_after = retry_after.map(|seconds| seconds.to_str().unwrap().parse().unwrap());
        let retry_after = retry_after.map(Duration::from_secs);
        Reply { status: parts.status.as_u16(), retry_after, body }
    }
}

fn mobync() -> Mobync<MemoryDatabase> {
    Mobync::new(MemoryDatabase::new().model("tasks", ["name"]))
}

/// A client that has seen everything, whose device has then made so many tasks, and the way to its
/// server.
async fn client(tasks: usize, wire: Wire) -> (Client<MemoryStore, Wire>, Wire) {
    let device = Device::new(MemoryStore::new());
    let fates = std::mem::take(&mut *wire.fates.lock().unwrap());
    let client = Client::new(device.clone(), wire.clone());
    client.sync_now().await.unwrap();
    wire.fates.lock().unwrap().extend(fates);
    wire.sent.lock().unwrap().clear();
    for task in 0..tasks {
        device.create("tasks", Record::new(format!("t{task}")).with("name", "Milk")).await.unwrap();
    }
    (client, wire)
}

fn on_server(wire: &Wire) -> usize {
    wire.mobync.database().records(&ada(), "tasks").len()
}

#[tokio::test(start_paused = true)]
async fn a_sync_goes_on_until_nothing_is_pending_and_says_what_has_changed() {
    let (a, wire) = client(5, Wire::to(mobync())).await;
    let a = a.most_diffs(2);
    assert!(a.sync().await.unwrap().is_empty(), "the device knows its own");
    // The first one asks whose data the account has.
    assert_eq!((wire.sizes(), on_server(&wire)), (vec![0, 2, 2, 1], 5));
    let b = Client::new(Device::new(MemoryStore::new()), wire.clone());
    assert_eq!(b.sync_now().await.unwrap().objects, 5);
}

#[tokio::test(start_paused = true)]
async fn what_has_no_answer_is_sent_again_after_waits_that_double() {
    let fates = [Fate::RequestLost, Fate::AnswerLost, Fate::Proxy(502, None, "<html>")];
    let (client, wire) = client(1, Wire::to(mobync()).fated(fates)).await;
    client.sync().await.unwrap();
    let waits = wire.waits();
    assert_eq!((waits.len(), on_server(&wire)), (3, 1));
    for (wait, expected) in waits.iter().zip([1.0, 2.0, 4.0]) {
        assert!((expected * 0.5..expected * 1.5 + 0.1).contains(wait), "{waits:?}");
    }
    assert_eq!(wire.mobync.apply(&ada(), 0, Vec::new()).await.unwrap().logical_clock, 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_for_time_is_given_it() {
    let busy = r#"{"success":false,"message":"Busy.","code":"busy"}"#;
    let (client, wire) =
        client(1, Wire::to(mobync()).fated([Fate::Proxy(503, Some(42), busy)])).await;
    client.sync().await.unwrap();
    assert!((42.0..43.0).contains(&wire.waits()[0]), "{:?}", wire.waits());
}

#[tokio::test(start_paused = true)]
async fn without_waiting_a_failure_is_told_at_once_and_all_stays_pending() {
    let (client, _) = client(1, Wire::to(mobync()).fated([Fate::RequestLost])).await;
    let failure = client.sync_now().await.unwrap_err();
    assert!(failure.is_temporary(), "{failure}");
    assert!(client.device().has_pending().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_page_of_a_captive_portal_is_no_answer() {
    let portal = Fate::Proxy(200, None, "<html>Welcome to our hotel</html>");
    let (client, wire) = client(1, Wire::to(mobync()).fated([portal])).await;
    client.sync().await.unwrap();
    assert_eq!((wire.sizes(), on_server(&wire)), (vec![1, 1], 1));
}

#[tokio::test(start_paused = true)]
async fn a_new_token_is_got_once_and_then_a_person_must_log_in() {
    let (client, wire) = client(1, Wire::to(mobync())).await;
    *wire.token.lock().unwrap() = "expired";
    client.sync_now().await.unwrap();
    // The one between asks whose data the account of the new token has.
    assert_eq!(wire.sizes(), [1, 0, 1]);

    let refusal = r#"{"success":false,"message":"No.","code":"unauthenticated"}"#;
    let twice = [Fate::Proxy(401, None, refusal), Fate::Proxy(401, None, refusal)];
    wire.fates.lock().unwrap().extend(twice);
    let failure = client.sync().await.unwrap_err();
    assert!(matches!(failure, SyncFailure::Unauthenticated { .. }), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_too_large_is_halved_until_it_passes() {
    let (client, wire) = client(8, Wire::to(mobync().max_diffs(3))).await;
    client.sync().await.unwrap();
    assert_eq!((wire.sizes(), on_server(&wire)), (vec![8, 4, 2, 2, 2, 2], 8));
}

#[tokio::test(start_paused = true)]
async fn one_diff_that_is_too_large_is_set_aside_and_the_others_go_on() {
    let wire = Wire { max_body_bytes: 2000, ..Wire::to(mobync()) };
    let (client, wire) = client(2, wire).await;
    let essay = Record::new("essay").with("name", "word ".repeat(1000));
    client.device().create("tasks", essay).await.unwrap();
    let changes = client.sync().await.unwrap();
    assert_eq!((&*changes.refused[0].code, on_server(&wire)), ("payload_too_large", 2));
    let device = client.device();
    assert_eq!(device.refused().await.unwrap(), changes.refused);
    assert_eq!(device.all("tasks").await.unwrap().len(), 2);
    let shorter = Change::create("tasks", Record::new("essay").with("name", "word"));
    device.resubmit(&changes.refused[0].diff.id, shorter).await.unwrap();
    client.sync().await.unwrap();
    assert_eq!(on_server(&wire), 3);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_names_a_diff_comes_with_it() {
    let (client, wire) = client(1, Wire::to(mobync())).await;
    client.device().create("tasks", Record::new("t9").with("titel", "Milk")).await.unwrap();
    let SyncFailure::Refused { code, diff: Some(diff), .. } = client.sync().await.unwrap_err()
    else {
        panic!("the server has no such field");
    };
    assert_eq!(
        (&*code, support::line(&diff)),
        ("unknown_field", r#"create t9 {"titel":"Milk"}"#.into())
    );
    assert_eq!((wire.sizes(), on_server(&wire)), (vec![2], 0), "it is not tried again");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_is_told_and_nothing_is_lost() {
    let (client, wire) = client(1, Wire::to(mobync())).await;
    client.sync().await.unwrap();
    client.device().create("tasks", Record::new("new")).await.unwrap();

    let restored = Wire::to(mobync());
    let client = Client::new(client.device().clone(), restored.clone());
    let failure = client.sync().await.unwrap_err();
    assert!(matches!(failure, SyncFailure::ClockAhead { .. }), "{failure}");
    assert_eq!(client.device().all("tasks").await.unwrap().len(), 2);

    client.device().resync().await.unwrap();
    client.sync().await.unwrap();
    assert_eq!((on_server(&restored), on_server(&wire)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn two_syncs_at_once_take_turns() {
    let (client, wire) = client(3, Wire::to(mobync())).await;
    let client = client.most_diffs(1);
    let (first, second) = tokio::join!(client.sync(), client.sync());
    assert!(first.is_ok() && second.is_ok());
    assert_eq!((wire.sizes(), on_server(&wire)), (vec![0, 1, 1, 1, 0], 3));
}

#[tokio::test(start_paused = true)]
async fn a_sync_that_is_dropped_loses_nothing() {
    let (client, wire) = client(3, Wire::to(mobync()).fated([Fate::RequestLost])).await;
    let given_up = tokio::time::timeout(Duration::from_millis(200), client.sync()).await;
    assert!(given_up.is_err());
    client.sync().await.unwrap();
    assert_eq!(on_server(&wire), 3);
}
