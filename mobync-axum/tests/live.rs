//! The live route, through axum's own server.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::sync::{Arc, Mutex};

use axum::{Router, http::Request};
use mobync::{
    Grant, Mobync, Owner,
    http::{Auth, AuthError, Credentials},
    memory::MemoryDatabase,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};

use self::support::{auth, mobync, one_task, post, send};

/// A running server, and what stops it.
struct Server {
    app: Router,
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start() -> Self {
        Self::with(mobync(), auth).await
    }

    async fn with(mobync: Mobync<MemoryDatabase>, auth: impl Auth + Clone) -> Self {
        let app: Router = mobync_axum::router(mobync.clone(), auth.clone())
            .merge(mobync_axum::live(mobync.clone(), auth));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serve = axum::serve(listener, app.clone()).with_graceful_shutdown(async move {
            stopped.await.unwrap();
            mobync.live().close();
        });
        Self { app, address, stop, running: tokio::spawn(serve.into_future()) }
    }

    /// The lines of a stream, as they come.
    async fn listen(&self, token: &str) -> Lines<BufReader<TcpStream>> {
        self.listen_to("", token).await
    }

    async fn listen_to(&self, query: &str, token: &str) -> Lines<BufReader<TcpStream>> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "GET /sync/live{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nx-app: 7\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        BufReader::new(stream).lines()
    }
}

/// Reads until a line is that one; none if the stream ends before.
async fn read_to(lines: &mut Lines<BufReader<TcpStream>>, wanted: &str) -> Option<()> {
    while let Some(line) = lines.next_line().await.unwrap() {
        if line == wanted {
            return Some(());
        }
    }
    None
}

#[tokio::test]
async fn a_device_that_listens_hears_of_a_sync_at_once() {
    let server = Server::start().await;
    let mut lines = server.listen("ada").await;
    read_to(&mut lines, "content-type: text/event-stream").await.unwrap();
    read_to(&mut lines, "data: 0").await.unwrap();
    assert_eq!(send(&server.app, post("/sync", one_task())).await.status, 200);
    read_to(&mut lines, "data: 1").await.unwrap();
}

#[tokio::test]
async fn a_graceful_shutdown_does_not_wait_for_those_who_listen() {
    let server = Server::start().await;
    let mut lines = server.listen("ada").await;
    read_to(&mut lines, "data: 0").await.unwrap();
    server.stop.send(()).unwrap();
    assert_eq!(read_to(&mut lines, "data: 1").await, None);
    server.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_device_that_hangs_up_gives_its_place_back() {
    let mobync = mobync();
    let app: Router = mobync_axum::live(mobync.clone(), auth);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app).into_future());
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /sync/live HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ada\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    read_to(&mut lines, "data: 0").await.unwrap();
    assert_eq!(mobync.live().listeners(), 1);
    drop(lines);
    while mobync.live().listeners() > 0 {
        tokio::task::yield_now().await;
    }
}

/// Those of these spaces are members, with a header that is there whenever they are asked about.
fn of_spaces(spaces: &Arc<Mutex<Vec<&'static str>>>) -> impl Auth + Clone + use<> {
    let spaces = Arc::clone(spaces);
    move |credentials: Credentials| {
        let spaces = Arc::clone(&spaces);
        async move {
            assert_eq!(credentials.headers["x-app"], "7");
            match credentials.space() {
                None => Ok(Grant::new(Owner::new(credentials.token()?)?)),
                Some(space) if spaces.lock().unwrap().contains(&space) => {
                    Ok(Grant::new(Owner::new(format!("space {space}"))?))
                }
                Some(_) => Err(AuthError::no_member("You are not a member.")),
            }
        }
    }
}

#[tokio::test]
async fn a_stream_over_spaces_tells_of_those_that_the_person_is_a_member_of() {
    let (mobync, spaces) = (mobync(), Arc::new(Mutex::new(vec!["club", "a b"])));
    let server = Server::with(mobync.clone(), of_spaces(&spaces)).await;
    let mut lines = server.listen_to("?space=club&space=a%20b", "ada").await;
    read_to(&mut lines, r#"data: {"space":"club","logical_clock":0}"#).await.unwrap();
    read_to(&mut lines, r#"data: {"space":"a b","logical_clock":0}"#).await.unwrap();
    mobync.live().announce(&Owner::new("space club").unwrap(), 1);
    read_to(&mut lines, r#"data: {"space":"club","logical_clock":1}"#).await.unwrap();
    spaces.lock().unwrap().remove(0);
    mobync.live().announce(&Owner::new("space club").unwrap(), 2);
    let gone = r#"data: {"space":"club","message":"You are not a member."}"#;
    read_to(&mut lines, gone).await.unwrap();
    mobync.live().announce(&Owner::new("space a b").unwrap(), 1);
    read_to(&mut lines, r#"data: {"space":"a b","logical_clock":1}"#).await.unwrap();
    server.stop.send(()).unwrap();
    assert_eq!(read_to(&mut lines, "data: x").await, None);
    server.running.await.unwrap().unwrap();
}

#[tokio::test]
async fn it_is_not_there_unless_mounted() {
    let app: Router = mobync_axum::router(mobync(), auth);
    let request = Request::get("/sync/live").body("".into()).unwrap();
    assert_eq!(send(&app, request).await.status, 404);
}

#[tokio::test]
async fn its_failures_are_those_of_a_sync() {
    let app: Router = mobync_axum::live(mobync(), auth);
    let refused = send(&app, Request::get("/sync/live").body("".into()).unwrap()).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (401, "unauthenticated"));
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
    let refused = send(&app, post("/sync/live", "{}")).await;
    assert_eq!((refused.status.as_u16(), &*refused.code()), (405, "method_not_allowed"));
}
