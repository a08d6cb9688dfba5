//! The live route, over real sockets and through Rocket's own server.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::time::Duration;

use mobync::{Mobync, memory::MemoryDatabase};
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
        let mobync = mobync();
        let (tell, told) = oneshot::channel();
        // Rocket itself would let the streams go on for long.
        let figment = figment()
            .merge((Config::PORT, 0))
            .merge(("shutdown.ctrlc", false))
            .merge(("shutdown.grace", 3600));
        let live = mobync_rocket::live(mobync.clone(), auth);
        let rocket = rocket::custom(figment)
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
