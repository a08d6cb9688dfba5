//! The live route, over real sockets and through actix-web's own server.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_web::{
    App, HttpServer,
    dev::ServerHandle,
    rt::{self, task::JoinHandle, task::spawn_blocking},
    test::{TestRequest, init_service},
};
use mobync::{Grant, Mobync, Owner, http::AuthError, memory::MemoryDatabase};
use mobync_actix::{Auth, Credentials};

use self::support::{auth, mobync, one_task, post, send};

const PATIENCE: Duration = Duration::from_secs(30);

/// A running server, and what stops it.
struct Server {
    mobync: Mobync<MemoryDatabase>,
    address: SocketAddr,
    handle: ServerHandle,
    running: JoinHandle<std::io::Result<()>>,
}

impl Server {
    fn start() -> Self {
        Self::with(mobync(), auth)
    }

    fn with(mobync: Mobync<MemoryDatabase>, auth: impl Auth + Clone + Send) -> Self {
        let of_workers = mobync.clone();
        let server = HttpServer::new(move || {
            let live = mobync_actix::live(of_workers.clone(), auth.clone());
            App::new()
                .service(mobync_actix::service(of_workers.clone(), auth.clone()))
                .service(live.heartbeat(Duration::from_millis(20)))
        });
        let server = server.workers(1).shutdown_timeout(3600).disable_signals();
        let server = server.bind(("127.0.0.1", 0)).unwrap();
        let address = server.addrs()[0];
        let server = server.run();
        Self { mobync, address, handle: server.handle(), running: rt::spawn(server) }
    }

    /// A device of Ada's that has its first event.
    async fn listen(&self) -> Device {
        let device = Device::ask(self.address, "GET /sync/live", "", "");
        device.read_to("data: 0\n").await.unwrap()
    }
}

/// The response to a request, as it comes.
struct Device(BufReader<TcpStream>);

impl Device {
    fn ask(address: SocketAddr, route: &str, headers: &str, body: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        write!(
            stream,
            "{route} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ada\r\n{headers}\
             content-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        Self(BufReader::new(stream))
    }

    /// Reads until a line is that one; none if the response ends before.
    async fn read_to(mut self, wanted: &'static str) -> Option<Self> {
        let read = spawn_blocking(move || {
            let mut line = String::new();
            while self.0.read_line(&mut line).unwrap() > 0 && line != "0\r\n" {
                if line == wanted {
                    return Some(self);
                }
                line.clear();
            }
            None
        });
        read.await.unwrap()
    }
}

#[actix_web::test]
async fn a_device_that_listens_hears_of_a_sync_at_once() {
    let server = Server::start();
    let device = server.listen().await;
    let json = "content-type: application/json\r\n";
    let other = Device::ask(server.address, "POST /sync", json, &one_task());
    other.read_to("HTTP/1.1 200 OK\r\n").await.unwrap();
    drop(device.read_to("data: 1\n").await.unwrap());
    server.handle.stop(false).await;
}

#[actix_web::test]
async fn a_graceful_shutdown_does_not_wait_for_those_who_listen() {
    let server = Server::start();
    let device = server.listen().await;
    server.mobync.live().close();
    assert!(device.read_to("data: 1\n").await.is_none());
    server.handle.stop(true).await;
    server.running.await.unwrap().unwrap();
}

#[actix_web::test]
async fn a_device_that_hangs_up_gives_its_place_back() {
    let server = Server::start();
    let device = server.listen().await;
    assert_eq!(server.mobync.live().listeners(), 1);
    drop(device);
    while server.mobync.live().listeners() > 0 {
        rt::task::yield_now().await;
    }
    server.handle.stop(false).await;
}

type Spaces = Arc<Mutex<Vec<&'static str>>>;

/// Those of these spaces are members. The person is the user in the request's own header `x-user`.
fn of_spaces(spaces: &Spaces) -> impl Auth + Clone + Send + use<> {
    let spaces = Arc::clone(spaces);
    move |credentials: Credentials| {
        let spaces = Arc::clone(&spaces);
        async move {
            let user = credentials.request.headers().get("x-user").unwrap().to_str().unwrap();
            match credentials.space() {
                None => Ok(Grant::new(Owner::new(user)?)),
                Some(space) if spaces.lock().unwrap().contains(&space) => {
                    Ok(Grant::new(Owner::new(format!("{space} of {user}"))?))
                }
                Some(_) => Err(AuthError::no_member("You are not a member.")),
            }
        }
    }
}

#[actix_web::test]
async fn a_stream_over_spaces_tells_of_those_that_the_person_is_a_member_of() {
    let (mobync, spaces) = (mobync(), Arc::new(Mutex::new(vec!["club", "a b"])));
    let server = Server::with(mobync.clone(), of_spaces(&spaces));
    let ask = |user: &str| {
        let header = format!("x-user: {user}\r\n");
        Device::ask(server.address, "GET /sync/live?space=club&space=a%20b", &header, "")
    };
    let announce =
        |owner: &str, clock: i64| mobync.live().announce(&Owner::new(owner).unwrap(), clock);
    let device = ask("ada");
    let device = device.read_to("data: {\"space\":\"club\",\"logical_clock\":0}\n").await.unwrap();
    let device = device.read_to("data: {\"space\":\"a b\",\"logical_clock\":0}\n").await.unwrap();
    // actix-web reuses its requests. The one of an open stream stays what it is.
    for round in 1..20 {
        let other = ask(&format!("user{round}"));
        let first = "data: {\"space\":\"a b\",\"logical_clock\":0}\n";
        drop(other.read_to(first).await.unwrap());
        while mobync.live().listeners() > 3 {
            rt::task::yield_now().await;
        }
    }
    announce("club of ada", 1);
    let device = device.read_to("data: {\"space\":\"club\",\"logical_clock\":1}\n").await.unwrap();
    spaces.lock().unwrap().remove(0);
    announce("club of ada", 2);
    let gone = "data: {\"space\":\"club\",\"message\":\"You are not a member.\"}\n";
    let device = device.read_to(gone).await.unwrap();
    announce("a b of ada", 1);
    let device = device.read_to("data: {\"space\":\"a b\",\"logical_clock\":1}\n").await.unwrap();
    mobync.live().close();
    assert!(device.read_to("data: x\n").await.is_none());
    server.handle.stop(true).await;
    server.running.await.unwrap().unwrap();
}

#[actix_web::test]
async fn it_is_not_there_unless_mounted() {
    let app = init_service(App::new().service(mobync_actix::service(mobync(), auth))).await;
    assert_eq!(send(&app, TestRequest::get().uri("/sync/live")).await.status, 404);
}

#[actix_web::test]
async fn its_path_can_be_chosen() {
    let live = mobync_actix::live(mobync(), auth).path("/devices/news");
    let app = init_service(App::new().service(live)).await;
    assert_eq!(send(&app, TestRequest::get().uri("/sync/live")).await.status, 404);
    assert_eq!(send(&app, TestRequest::get().uri("/devices/news")).await.status, 401);
}

#[actix_web::test]
async fn its_failures_are_those_of_a_sync() {
    let live = mobync_actix::live(mobync(), auth).max_listeners(0);
    let app = init_service(App::new().service(live)).await;
    let refused = send(&app, TestRequest::get().uri("/sync/live")).await;
    assert_eq!((refused.status, &*refused.code()), (401, "unauthenticated"));
    assert_eq!(refused.header("www-authenticate"), "Bearer");
    let refused = send(&app, post("/sync/live", "{}")).await;
    assert_eq!((refused.status, &*refused.code()), (405, "method_not_allowed"));
    let ada = TestRequest::get().uri("/sync/live").insert_header(("authorization", "Bearer ada"));
    let refused = send(&app, ada).await;
    assert_eq!((refused.status, &*refused.code()), (429, "too_many_listeners"));
}
