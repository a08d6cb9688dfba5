//! A PostgreSQL server of the tests' own, with a new database for each test.
//!
//! It runs while the test process does, on a free port, in a folder that is removed afterwards.
//! `MOBYNC_TEST_POSTGRES` names another server to use, such as `postgres://postgres@localhost`.
#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot run must fail")]

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// The address of a new, empty database.
pub async fn new_database() -> String {
    static DATABASES: AtomicUsize = AtomicUsize::new(0);
    static SERVER: OnceLock<String> = OnceLock::new();

    let server = SERVER.get_or_init(|| match std::env::var("MOBYNC_TEST_POSTGRES") {
        Ok(server) => server.trim_end_matches('/').to_owned(),
        Err(_) => {
            let cluster = Box::leak(Box::new(Cluster::start()));
            cluster.url()
        }
    });
    let number = DATABASES.fetch_add(1, Ordering::SeqCst);
    create_database(server, &format!("mobync_{}_{number}", std::process::id())).await
}

async fn create_database(server: &str, name: &str) -> String {
    let mut connection = connect(&format!("{server}/postgres")).await;
    let create = format!("CREATE DATABASE {name}");
    sqlx::query(AssertSqlSafe(create)).execute(&mut connection).await.expect("a new database");
    format!("{server}/{name}")
}

/// Waits until the server accepts connections.
async fn connect(url: &str) -> PgConnection {
    let mut failure = None;
    for _ in 0..600 {
        match PgConnection::connect(url).await {
            Ok(connection) => return connection,
            Err(error) => failure = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("PostgreSQL does not answer at {url}: {failure:?}");
}

/// A server, with its data in its own folder.
#[derive(Debug)]
pub struct Cluster {
    bin: PathBuf,
    folder: PathBuf,
    port: u16,
    user: Option<(u32, u32)>,
    /// Further arguments of the server.
    settings: &'static str,
    /// Ends the server when its input ends, which is when this process does.
    guard: Option<Child>,
}

impl Cluster {
    /// Creates a server, and starts it.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// The same with further arguments, as `-c name=value`.
    pub fn start_with(settings: &'static str) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("a free port").port();
        drop(free);
        let folder = std::env::temp_dir().join(format!("mobync-{}-{port}", std::process::id()));
        fs::create_dir(&folder).expect("a new folder");
        let mut cluster =
            Self { bin: find_programs(), folder, port, user: other_user(), settings, guard: None };
        if let Some((user, group)) = cluster.user {
            std::os::unix::fs::chown(&cluster.folder, Some(user), Some(group)).expect("chown");
        }
        let output = cluster
            .command(&cluster.bin.join("initdb"))
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"])
            .arg(cluster.data())
            .output()
            .expect("initdb");
        assert!(output.status.success(), "initdb: {output:?}");
        cluster.resume();
        cluster
    }

    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}", self.port)
    }

    /// The address of a new database on it.
    pub async fn new_database(&self) -> String {
        create_database(&self.url(), "tests").await
    }

    /// Starts the server, on the existing data.
    pub fn resume(&mut self) {
        // "immediate" is like a crash; the guard waits for its input to end.
        let script = "trap '' INT TERM; \
             \"$0/postgres\" -D \"$1/data\" -p \"$2\" -h 127.0.0.1 -k \"$1\" -c max_connections=200 $3 \
             >>\"$1/log\" 2>&1 & pid=$!; \
             cat >/dev/null; kill -QUIT $pid; wait $pid; rm -rf \"$1\"";
        let guard = self
            .command(Path::new("sh"))
            .args(["-c", script])
            .arg(&self.bin)
            .arg(&self.folder)
            .arg(self.port.to_string())
            .arg(self.settings)
            .stdin(Stdio::piped())
            .spawn();
        self.guard = Some(guard.expect("sh"));
    }

    /// Stops the server and keeps its data: `fast`, or `immediate`, which is like a crash.
    pub fn stop(&mut self, mode: &str) {
        let stopped = self
            .command(&self.bin.join("pg_ctl"))
            .args(["stop", "-w", "-m", mode, "-D"])
            .arg(self.data())
            .output()
            .expect("pg_ctl");
        assert!(stopped.status.success(), "pg_ctl: {stopped:?}");
        if let Some(mut guard) = self.guard.take() {
            // Killed, so that it does not remove the folder.
            let _ = guard.kill();
            let _ = guard.wait();
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The program, run as a user that PostgreSQL allows.
    fn command(&self, program: &Path) -> Command {
        use std::os::unix::process::CommandExt;

        let mut command = Command::new(program);
        command.current_dir(&self.folder);
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }
}

/// PostgreSQL does not run as root.
fn other_user() -> Option<(u32, u32)> {
    let root = Command::new("id").arg("-u").output().expect("id").stdout == b"0\n";
    if !root {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let fields = |name: &str| {
        let line = passwd.lines().find(|line| line.starts_with(&format!("{name}:")))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(fields("postgres").or_else(|| fields("nobody")).expect("a user other than root"))
}

/// The folder of PostgreSQL's programs: the newest of Debian's, or the one in the path.
fn find_programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = debian.collect();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&path));
    folders.into_iter().find(|folder| folder.join("initdb").exists()).unwrap_or_else(|| {
        panic!(
            "PostgreSQL is needed for this test: install it (apt-get install postgresql), or name \
             a server in MOBYNC_TEST_POSTGRES"
        )
    })
}
