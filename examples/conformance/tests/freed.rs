//! Clients that go away leave nothing open. Alone in its program, where all open files are counted.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use conformance::{Database, Framework, Server};

use self::support::{all, connect, create, eventually, request};

/// How many files and sockets this process, and so the server, has open.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// How many connections of clients the server holds. Of those that nobody holds any more Linux says the
/// inode 0.
fn served(server: &Server) -> usize {
    let port = format!(":{:04X}", server.address.port());
    let sockets = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let sockets = sockets.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    sockets
        .filter(|socket| {
            let [_, local, _, state, _, _, _, _, _, inode, ..] = &**socket else { return false };
            local.ends_with(&port) && *state != "0A" && *inode != "0"
        })
        .count()
}

/// A database's pool may open more connections meanwhile, and keep them.
const POOL: usize = 10;

/// Clients that go away at every stage of a request, twice as many at each as a pool has connections.
fn go_away(server: &Server) {
    let sent = request("sockets", 0, &[create("t1")]).to_bytes();
    for cut in [0, 10, sent.len() - 20, sent.len()] {
        for _ in 0..2 * POOL {
            connect(server).write(sent.get(..cut).unwrap()).unwrap();
        }
    }
}

#[test]
fn who_goes_away_leaves_no_socket_behind() {
    for (framework, database) in
        Framework::ALL.into_iter().flat_map(|of| Database::ALL.map(|database| (of, database)))
    {
        let server = Server::start(framework, database).unwrap();
        // The first syncs open what stays open, such as connections to a database.
        go_away(&server);
        all(&server, "sockets");
        // Databases close connections whose clients went away a little later.
        let (mut before, mut quiet) = (0, 0);
        eventually("it is never quiet", || {
            let is_same = std::mem::replace(&mut before, open_files()) == before;
            quiet = if is_same { quiet + 1 } else { 0 };
            quiet > 100
        });

        let held: Vec<_> = (0..2 * POOL).map(|_| connect(&server)).collect();
        eventually("nothing is counted", || {
            served(&server) == held.len() && open_files() >= before + 2 * held.len()
        });
        drop(held);
        go_away(&server);
        eventually(&format!("{framework:?}, {database:?}: sockets stay open"), || {
            served(&server) == 0 && open_files() <= before + POOL
        });
    }
}
