//! The servers under test: every framework on every database, with the same users and rules.

mod actix;
pub mod application;
mod axum;
mod gate;
mod rocket;
mod seven_methods;
mod sql;
#[allow(dead_code, unreachable_pub, reason = "shared with tests that use more of it")]
#[path = "../../../../mobync/tests/support/postgres.rs"]
mod throwaway;

use std::{
    io,
    net::SocketAddr,
    sync::mpsc,
    thread::{self, JoinHandle},
};

use mobync::http::Limits;
use tokio::sync::oneshot;

pub use self::gate::Gate;
use self::seven_methods::SevenMethods;

/// A web framework.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs, reason = "their names say it")]
pub enum Framework {
    Axum,
    Actix,
    Rocket,
}

/// A database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Database {
    /// The ready-made one in memory.
    Memory,
    /// One of the seven methods and nothing else.
    SevenMethods,
    /// SQLite, in a file that is removed at the end unless it is named.
    Sqlite,
    /// PostgreSQL: a server of its own that is removed at the end, unless one is named.
    Postgres,
}

impl Framework {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Axum, Self::Actix, Self::Rocket];
}

impl Database {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Memory, Self::SevenMethods, Self::Sqlite, Self::Postgres];

    /// Serves on the database at that address, or else on a new one, until it is told to stop.
    fn serve(self, framework: Framework, at: Option<String>, task: Task) -> io::Result<()> {
        match self {
            Self::Memory => framework.serve(async { Ok(application::memory()) }, task),
            Self::SevenMethods => framework.serve(async { Ok(SevenMethods::default()) }, task),
            Self::Sqlite => {
                let folder = tempfile::tempdir()?;
                let new = format!("sqlite://{}", folder.path().join("new.sqlite").display());
                let url = at.unwrap_or(new);
                framework.serve(async move { sql::sqlite(&url).await }, task)
            }
            Self::Postgres => framework.serve(
                async move {
                    let url = match at {
                        Some(url) => url,
                        None => throwaway::new_database().await,
                    };
                    sql::postgres(&url).await
                },
                task,
            ),
        }
    }
}

impl Framework {
    /// Serves on the database, which is opened where it is used: in the framework's runtime.
    fn serve<D: mobync::Database + Clone>(
        self,
        database: impl Future<Output = io::Result<D>>,
        task: Task,
    ) -> io::Result<()> {
        match self {
            Self::Axum => axum::serve(database, task),
            Self::Actix => actix::serve(database, task),
            Self::Rocket => rocket::serve(database, task),
        }
    }
}

/// What a server is told: where to listen, whom to tell the address, and when to stop.
struct Task {
    port: u16,
    limits: Limits,
    gate: Gate,
    ready: mpsc::Sender<SocketAddr>,
    stopped: oneshot::Receiver<()>,
}

/// A server on this machine; it ends when it is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// What owners named `gated-…` wait for.
    pub gate: Gate,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Server {
    /// Starts a server on a new, empty database, and on a free port.
    ///
    /// # Errors
    /// If it cannot listen, or cannot make the database.
    pub fn start(framework: Framework, database: Database) -> io::Result<Self> {
        Self::start_at(framework, database, None, 0)
    }

    /// Starts a server in memory that has these limits.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn start_within(framework: Framework, limits: Limits) -> io::Result<Self> {
        Self::start_with(framework, Database::Memory, None, 0, limits)
    }

    /// Starts a server on the database at that address, if it is given; port 0 picks a free one.
    ///
    /// # Errors
    /// If it cannot listen, or cannot open the database.
    pub fn start_at(
        framework: Framework,
        database: Database,
        at: Option<String>,
        port: u16,
    ) -> io::Result<Self> {
        Self::start_with(framework, database, at, port, Limits::new())
    }

    fn start_with(
        framework: Framework,
        database: Database,
        at: Option<String>,
        port: u16,
        limits: Limits,
    ) -> io::Result<Self> {
        let gate = Gate::default();
        let (ready, address) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let task = Task { port, limits, gate: gate.clone(), ready, stopped };
        let thread = thread::spawn(move || database.serve(framework, at, task));
        match address.recv() {
            Ok(address) => Ok(Self { address, gate, stop: Some(stop), thread: Some(thread) }),
            Err(_) => Err(ended(thread)),
        }
    }

    /// Waits until the server ends by itself.
    ///
    /// # Errors
    /// With what it ended for.
    pub fn join(mut self) -> io::Result<()> {
        self.thread.take().map_or(Ok(()), |thread| thread.join().unwrap_or(Ok(())))
    }
}

fn ended(thread: JoinHandle<io::Result<()>>) -> io::Error {
    match thread.join() {
        Ok(Err(error)) => error,
        _ => io::Error::other("the server ended before it began"),
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.gate.open();
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
