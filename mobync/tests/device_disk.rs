//! A disk that is full: what fails is kept nowhere, and once there is room all goes on, without a
//! restart.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::path::Path;

use mobync::{
    Change, Record, SyncResponse,
    client::{Device, DeviceError, SqliteStore, Taken},
    memory::MemoryDatabase,
};
use sqlx::{
    Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode},
};
use support::{Directory, Server, ada};

/// The disk has so many pages of 4 KiB.
const PAGES: u32 = 100;

/// Somebody else who fills the disk, and makes room.
struct Other(SqliteConnection);

impl Other {
    async fn new(file: &Path) -> Self {
        let options =
            SqliteConnectOptions::new().filename(file).journal_mode(SqliteJournalMode::Wal);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        let table = "CREATE TABLE other (number INTEGER PRIMARY KEY, page BLOB)";
        sqlx::query(table).execute(&mut connection).await.unwrap();
        Self(connection)
    }

    async fn pages(&mut self) -> u32 {
        sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut self.0).await.unwrap()
    }

    /// Leaves so many pages.
    async fn fill(&mut self, left: u32) {
        while self.pages().await + left < PAGES {
            let fill = "INSERT INTO other (page) VALUES (zeroblob(3000))";
            sqlx::query(fill).execute(&mut self.0).await.unwrap();
        }
    }

    async fn make_room(&mut self) {
        sqlx::query("DELETE FROM other").execute(&mut self.0).await.unwrap();
        sqlx::query("VACUUM").execute(&mut self.0).await.unwrap();
    }
}

async fn open(file: &Path) -> Device<SqliteStore> {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let options = options.pragma("max_page_count", PAGES.to_string());
    Device::new(SqliteStore::open_with(options).await.unwrap())
}

fn tasks(name: &str, count: usize) -> Vec<Change> {
    let task = |number| Record::new(format!("{name} {number}")).with("name", "x".repeat(700));
    (0..count).map(|number| Change::create("tasks", task(number))).collect()
}

/// The full text of everything that a device has.
async fn all(device: &Device<SqliteStore>) -> String {
    let (objects, pending) = (device.all("tasks").await.unwrap(), device.pending().await.unwrap());
    format!("{objects:?} {pending:?} {}", device.clock().await.unwrap())
}

fn is_store(failure: &DeviceError) -> bool {
    matches!(failure, DeviceError::Store(_))
}

/// The step that meets the full disk, each of which fails at one of its statements or another.
#[derive(Clone, Copy, Debug)]
enum Step {
    Record,
    Take,
}

#[tokio::test]
async fn once_there_is_room_all_goes_on_whatever_step_and_statement_met_the_full_disk() {
    let directory = Directory::new();
    let mut met = 0;
    for step in [Step::Record, Step::Take] {
        for left in 0..6 {
            let file = directory.file();
            let device = open(&file).await;
            let server = Server::new(MemoryDatabase::new());
            device.record(tasks("before", 8)).await.unwrap();
            let mut other = Other::new(&file).await;
            let request = device.request(4).await.unwrap();
            let theirs = tasks("theirs", 50);
            server.mobync.write(&ada(), theirs).await.unwrap();
            let body = request.body().clone();
            let answer: SyncResponse =
                server.mobync.apply(&ada(), body.logical_clock, body.diffs).await.unwrap();

            other.fill(left).await;
            let before = all(&device).await;
            let mut failures = 0;
            for _ in 0..3 {
                let done = match step {
                    Step::Record => device.record(tasks("new", 30)).await,
                    Step::Take => device.take(&request, &answer).await.map(drop),
                };
                let Err(failure) = done else { break };
                assert!(is_store(&failure), "{step:?}, {left} left: {failure:?}");
                failures += 1;
                assert_eq!(all(&device).await, before, "{step:?}, {left} left");
            }
            met += usize::from(failures == 3);

            other.make_room().await;
            // Every step goes well, the first as the others.
            for round in 0..4 {
                let done = device.record(tasks(&format!("round {round}"), 1)).await;
                assert!(done.is_ok(), "{step:?}, {left} left, {round}: {done:?}");
            }
            while device.has_pending().await.unwrap() {
                let request = device.request(100).await.unwrap();
                let body = request.body().clone();
                let answer = server.mobync.apply(&ada(), body.logical_clock, body.diffs).await;
                let taken = device.take(&request, &answer.unwrap()).await.unwrap();
                assert!(matches!(taken, Taken::Applied(_)));
            }
            let rows = server.mobync.database().records(&ada(), "tasks");
            assert_eq!(device.all("tasks").await.unwrap(), rows, "{step:?}, {left} left");
        }
    }
    assert!(met >= 10, "the disk was full for {met} of the steps");
}
