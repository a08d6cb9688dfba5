//! One `Mobync` under many workers, over real sockets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    thread::{self, ThreadId},
};

use actix_web::{App, HttpServer, rt};
use serde_json::{Value, json};

use self::support::{auth, mobync};

fn sync(address: SocketAddr, diffs: &Value) -> Value {
    let body = json!({"auth_token": "ada", "logical_clock": 0, "diffs": diffs}).to_string();
    let request = format!(
        "POST /sync HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len(),
    );
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
    assert!(response.contains("content-type: application/json\r\n"), "{response}");
    serde_json::from_str(response.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[actix_web::test]
async fn devices_that_sync_at_once_on_many_workers_lose_nothing() {
    let (mobync, workers) = (mobync(), Arc::new(Mutex::new(HashSet::<ThreadId>::new())));
    let seen = Arc::clone(&workers);
    let server = HttpServer::new(move || {
        let seen = Arc::clone(&seen);
        App::new().service(mobync_actix::service(mobync.clone(), move |credentials| {
            seen.lock().unwrap().insert(thread::current().id());
            auth(credentials)
        }))
    });
    let server = server.workers(4).bind(("127.0.0.1", 0)).unwrap();
    let address = server.addrs()[0];
    let server = server.disable_signals().run();
    let handle = server.handle();
    rt::spawn(server);

    let devices = rt::task::spawn_blocking(move || {
        thread::scope(|scope| {
            for device in 0..8 {
                scope.spawn(move || {
                    for n in 0..5 {
                        let id = format!("{device}-{n}");
                        sync(address, &json!([{
                            "id": id, "owner": "", "logical_clock": 0, "utc_timestamp": 1,
                            "type": "create", "model": "tasks", "json_data": json!({"id": id}).to_string(),
                        }]));
                    }
                });
            }
        });
        sync(address, &json!([]))
    });
    let all = devices.await.unwrap();
    assert_eq!((&all["logical_clock"], all["diffs"].as_array().unwrap().len()), (&json!(40), 40));
    assert!(workers.lock().unwrap().len() > 1, "one worker has done it all");
    handle.stop(true).await;
}
