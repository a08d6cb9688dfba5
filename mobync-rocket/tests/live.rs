//! The live route, over real sockets and through Rocket's own server.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{sync::Mutex, time::Duration};

use mobync::{Grant, Mobync, Owner, http::AuthError, memory::MemoryDatabase};
use mobync_rocket::{Auth, Credentials};
use rocket::{
    Config, Shutdown,
    fairing::AdHoc,
    http::Method,
    tokio::{
        self,
        io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
        net::TcpStream,
        sync::oneshot,
    },
};

use self::support::{auth, client, figment, mobync, one_task, post, request, rocket, send};

/// A running server, and what stops it.
struct Server {
    mobync: Mobync<MemoryDatabase>,
    port: u16,
    stop: Shutdown,
}

impl Server {
    async fn start() -> Self {
        Self::with(auth).await
    }

    async fn with(auth: impl Auth + Clone) -> Self {
        let mobync = mobync();
        let (tell, told) = oneshot::channel();
        // Rocket itself would let the streams go on for long.
        let figment = figment()
            .merge((Config::PORT, 0))
            .merge(("shutdown.ctrlc", false))
            .merge(("shutdown.grace", 3600));
        let live = mobync_rocket::live(mobync.clone(), auth.clone());
        let rocket = rocket::custom(figment)
            .manage(Spaces(Mutex::new(vec!["club", "a b"])))
            .attach(mobync_rocket::fairing(mobync.clone(), auth))
            .attach(live.heartbeat(Duration::from_millis(20)))
            .attach(AdHoc::on_liftoff("port", |rocket| {
                tell.send(rocket.config().port).unwrap();
                Box::pin(async {})
            }))
            .ignite()
            .await
            .unwrap();
        let stop = rocket.shutdown();
        tokio::spawn(rocket.launch());
        Self { mobync, port: told.await.unwrap(), stop }
    }

    async fn ask(&self, route: &str, headers: &str, body: &str) -> Device {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let length = body.len();
        let request = format!(
            "{route} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ada\r\n{headers}\
             content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        Device(BufReader::new(stream).lines())
    }

    /// A device of Ada's that has its first event.
    async fn listen(&self) -> Device {
        let mut device = self.ask("GET /sync/live", "", "").await;
        device.read_to("content-type: text/event-stream").await.unwrap();
        device.read_to("data: 0").await.unwrap();
        device
    }
}

/// The lines of a response, as they come.
struct Device(Lines<BufReader<TcpStream>>);

impl Device {
    /// Reads until a line is that one; none if the response ends before.
    async fn read_to(&mut self, wanted: &str) -> Option<()> {
        while let Some(line) = self.0.next_line().await.unwrap() {
            if line == wanted {
                return Some(());
            }
            if line == "0" {
                break;
            }
        }
        None
    }
}

#[rocket::async_test]
async fn a_device_that_listens_hears_of_a_sync_at_once() {
    let server = Server::start().await;
    let mut device = server.listen().await;
    let json = "content-type: application/json\r\n";
    let mut other = server.ask("POST /sync", json, &one_task()).await;
    other.read_to("HTTP/1.1 200 OK").await.unwrap();
    device.read_to("data: 1").await.unwrap();
}

/// Those of these spaces are members.
struct Spaces(Mutex<Vec<&'static str>>);

/// Asks the state of the request's own server, and its local cache, whenever it is called.
async fn of_spaces(credentials: Credentials<'_, '_>) -> Result<Grant, AuthError> {
    let request = credentials.request;
    let Spaces(spaces) = request.rocket().state().unwrap();
    let asked: &Mutex<u32> = request.local_cache(Mutex::default);
    *asked.lock().unwrap() += 1;
    match credentials.space() {
        None => Ok(Grant::new(Owner::new(credentials.token()?)?)),
        Some("asked") => {
            let asked = *asked.lock().unwrap();
            Err(AuthError::no_member(format!("You have asked {asked} times.")))
        }
        Some(space) if spaces.lock().unwrap().contains(&space) => {
            if space == "club" && *asked.lock().unwrap() > 4 {
                spaces.lock().unwrap().retain(|space| *space != "club");
            }
            Ok(Grant::new(Owner::new(format!("space {space}"))?))
        }
        Some(_) => Err(AuthError::no_member("You are not a member.")),
    }
}

#[rocket::async_test]
async fn a_stream_over_spaces_tells_of_those_that_the_person_is_a_member_of() {
    let server = Server::with(of_spaces).await;
    let announce =
        |owner: &str, clock: i64| server.mobync.live().announce(&Owner::new(owner).unwrap(), clock);
    let mut device = server.ask("GET /sync/live?space=club&space=a%20b&space=asked", "", "").await;
    // The person, and three spaces.
    for data in [
        r#"data: {"space":"club","logical_clock":0}"#,
        r#"data: {"space":"a b","logical_clock":0}"#,
        r#"data: {"space":"asked","message":"You have asked 4 times."}"#,
    ] {
        device.read_to(data).await.unwrap();
    }
    announce("space club", 1);
    device.read_to(r#"data: {"space":"club","logical_clock":1}"#).await.unwrap();
    announce("space club", 2);
    let gone = r#"data: {"space":"club","message":"You are not a member."}"#;
    device.read_to(gone).await.unwrap();
    announce("space a b", 1);
    device.read_to(r#"data: {"space":"a b","logical_clock":1}"#).await.unwrap();
    server.stop.notify();
    assert_eq!(device.read_to("data: x").await, None);
}

#[rocket::async_test]
async fn a_graceful_shutdown_ends_the_streams() {
    let server = Server::start().await;
    let mut device = server.listen().await;
    server.stop.notify();
    assert_eq!(device.read_to("data: 1").await, None);
}

#[rocket::async_test]
async fn a_stream_ends_when_live_is_closed() {
    let server = Server::start().await;
    let mut device = server.listen().await;
    server.mobync.live().close();
    assert_eq!(device.read_to("data: 1").await, None);
}

#[rocket::async_test]
async fn a_device_that_hangs_up_gives_its_place_back() {
    let server = Server::start().await;
    let device = server.listen().await;
    assert_eq!(server.mobync.live().listeners(), 1);
    drop(device);
    while server.mobync.live().listeners() > 0 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn it_is_not_there_unless_attached() {
    let client = client(rocket().attach(support::fairing()));
    assert_eq!(send(client.get("/sync/live")).status, 404);
}

#[test]
fn its_path_can_be_chosen() {
    let live = mobync_rocket::live(mobync(), auth).path("/devices/news");
    let client = client(rocket().attach(live));
    assert_eq!(send(client.get("/sync/live")).status, 404);
    assert_eq!(send(client.get("/devices/news")).status, 401);
}

#[rocket::async_test]
async fn a_path_that_cannot_be_right_fails_the_ignition() {
    let live = mobync_rocket::live(mobync(), auth).path("live");
    let error = rocket().attach(live).ignite().await.unwrap_err();
    assert_eq!(error.to_string(), "launch fairing(s) failed");
}

#[test]
fn its_failures_are_those_of_a_sync() {
    let live = mobync_rocket::live(mobync(), auth).max_listeners(0);
    let client = client(rocket().attach(live));
    let refused = send(client.get("/sync/live"));
    assert_eq!((refused.status, &*refused.code()), (401, "unauthenticated"));
    assert!(refused.has("www-authenticate: Bearer"), "{:?}", refused.headers);
    for refused in [
        send(post(&client, "/sync/live", "{}")),
        send(request(&client, Method::Options, "/sync/live")),
    ] {
        assert_eq!((refused.status, &*refused.code()), (405, "method_not_allowed"));
        assert!(refused.has("allow: GET, HEAD"), "{:?}", refused.headers);
    }
    let ada = rocket::http::Header::new("authorization", "Bearer ada");
    let refused = send(client.get("/sync/live").header(ada));
    assert_eq!((refused.status, &*refused.code()), (429, "too_many_listeners"));
}
