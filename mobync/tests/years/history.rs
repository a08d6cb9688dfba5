//! The drill: a backup of the server's database is restored, and used until its clock has passed the
//! devices'. Every device learns of it, and nothing that any device has is lost.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use mobync::{
    Database, Mobync, Record,
    client::{Device, MemoryStore, SyncFailure},
    postgres::PostgresDatabase,
    sqlite::SqliteDatabase,
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, SqlitePool};

use super::{
    line::Line,
    support::{Directory, T0, postgres},
};

/// The database of a server, of which a copy can be saved and restored.
trait Operator {
    type Database: Database + Clone;

    async fn open(&self) -> Self::Database;
    async fn back_up(&mut self, database: Self::Database);
    async fn put_back(&mut self, database: Self::Database);
}

struct OnSqlite {
    directory: Directory,
    file: PathBuf,
    copy: Option<PathBuf>,
}

impl Operator for OnSqlite {
    type Database = SqliteDatabase;

    async fn open(&self) -> SqliteDatabase {
        let url = format!("sqlite://{}?mode=rwc", self.file.display());
        let pool = SqlitePool::connect(&url).await.unwrap();
        let create = "CREATE TABLE IF NOT EXISTS tasks (owner TEXT NOT NULL, id TEXT NOT NULL, \
                      name TEXT, note TEXT, PRIMARY KEY (owner, id))";
        sqlx::query(create).execute(&pool).await.unwrap();
        pool.close().await;
        let database = SqliteDatabase::builder().table("tasks").connect(&url).await.unwrap();
        database.set_up().await.unwrap();
        database
    }

    async fn back_up(&mut self, _: SqliteDatabase) {
        let copy = self.directory.file();
        let pool = SqlitePool::connect(&format!("sqlite://{}", self.file.display())).await.unwrap();
        let vacuum = format!("VACUUM INTO '{}'", copy.display());
        sqlx::query(AssertSqlSafe(vacuum)).execute(&pool).await.unwrap();
        pool.close().await;
        self.copy = Some(copy);
    }

    async fn put_back(&mut self, _: SqliteDatabase) {
        self.file = self.copy.take().unwrap();
    }
}

struct OnPostgres {
    url: String,
    copy: Option<String>,
}

impl OnPostgres {
    /// Copies the database to a new one, once nobody is connected any more.
    async fn copy_to(&self, name: &str) -> String {
        let (server, from) = self.url.rsplit_once('/').unwrap();
        let mut connection = PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
        let leave = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{from}'"
        );
        sqlx::query(AssertSqlSafe(leave)).execute(&mut connection).await.unwrap();
        let create = format!("CREATE DATABASE {name} TEMPLATE {from}");
        sqlx::query(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
        format!("{server}/{name}")
    }
}

impl Operator for OnPostgres {
    type Database = PostgresDatabase;

    async fn open(&self) -> PostgresDatabase {
        let pool = PgPool::connect(&self.url).await.unwrap();
        let create = "CREATE TABLE IF NOT EXISTS tasks (owner text NOT NULL, id text NOT NULL, \
                      name text, note text, PRIMARY KEY (owner, id))";
        sqlx::query(create).execute(&pool).await.unwrap();
        let database = PostgresDatabase::builder().table("tasks").pool(pool).await.unwrap();
        database.set_up().await.unwrap();
        database
    }

    async fn back_up(&mut self, database: PostgresDatabase) {
        drop(database);
        let name = format!("{}_backup", self.url.rsplit_once('/').unwrap().1);
        self.copy = Some(self.copy_to(&name).await);
    }

    async fn put_back(&mut self, _: PostgresDatabase) {
        self.url = self.copy.take().unwrap();
    }
}

type Rows = BTreeMap<String, Value>;

struct Phones {
    devices: Vec<Device<MemoryStore>>,
    made: usize,
}

impl Phones {
    fn new() -> Self {
        let time = Arc::new(AtomicI64::new(T0));
        let device = |_| {
            let time = Arc::clone(&time);
            Device::new(MemoryStore::new()).time(move || time.fetch_add(1, Ordering::Relaxed))
        };
        Self { devices: (0..3).map(device).collect(), made: 0 }
    }

    /// Each device creates something, and changes an existing object.
    async fn work(&mut self) {
        for device in &self.devices {
            self.made += 1;
            let task =
                Record::new(format!("t{:03}", self.made)).with("name", self.made.to_string());
            let all = device.all("tasks").await.unwrap();
            device.create("tasks", task).await.unwrap();
            if let Some(task) = all.get(self.made % all.len().max(1)) {
                let note = Record::new(task.id()).with("note", self.made.to_string());
                device.update("tasks", note).await.unwrap();
            }
        }
    }

    async fn sync<D: Database + Clone>(&self, line: &Line<D>) {
        for device in self.devices.iter().chain(&self.devices) {
            line.sync(device).await;
        }
    }
}

async fn rows(device: &Device<MemoryStore>) -> Rows {
    let tasks = device.all("tasks").await.unwrap();
    tasks.into_iter().map(|task| (task.id().to_owned(), Value::from(task))).collect()
}

async fn drill(mut operator: impl Operator) {
    let mut phones = Phones::new();
    let database = operator.open().await;
    let line = Line::to(Mobync::new(database.clone()).time(|| T0 + 1_000_000));
    for _ in 0..2 {
        phones.work().await;
        phones.sync(&line).await;
    }
    drop(line);
    operator.back_up(database).await;

    let database = operator.open().await;
    let line = Line::to(Mobync::new(database.clone()).time(|| T0 + 1_000_000));
    for _ in 0..2 {
        phones.work().await;
        phones.sync(&line).await;
    }
    // And something that has never left its device before.
    phones.work().await;
    let mut had = Rows::new();
    for device in &phones.devices {
        had.extend(rows(device).await);
    }
    assert!(had.len() == 15, "{}", had.len());
    drop(line);
    operator.put_back(database).await;

    let line = Line::to(Mobync::new(operator.open().await).time(|| T0 + 1_000_000));
    let [first, second, third] = &phones.devices[..] else { panic!("three devices") };
    let told = line.client(first).sync_now().await.unwrap_err();
    assert!(matches!(told, SyncFailure::ClockAhead { .. }), "{told}");
    first.resync().await.unwrap();
    line.client(first).most_diffs(1).sync_now().await.unwrap();
    let passed = first.clock().await.unwrap();
    for (place, device) in [second, third].into_iter().enumerate() {
        assert!(device.clock().await.unwrap() < passed, "the clock has passed theirs");
        let before = rows(device).await;
        for _ in 0..2 {
            let told = line.client(device).sync_now().await.unwrap_err();
            assert!(matches!(told, SyncFailure::OtherHistory { .. }), "{told}");
            assert!(told.needs_resync() && !told.is_temporary());
            assert_eq!(rows(device).await, before);
        }
        // One person is asked; for the other the operator has answered.
        if place == 0 {
            device.resync().await.unwrap();
            line.sync(device).await;
        } else {
            line.client(device).recover(true).sync_now().await.unwrap();
        }
    }
    phones.sync(&line).await;
    for device in &phones.devices {
        let rows = rows(device).await;
        assert!(!device.has_pending().await.unwrap());
        for id in had.keys() {
            assert!(rows.contains_key(id), "{id} is lost");
            assert_eq!(rows[id]["name"], had[id]["name"], "{id}");
            assert!(had[id]["note"].is_null() || !rows[id]["note"].is_null(), "{id}: {}", rows[id]);
        }
    }
    // And it continues as before.
    phones.work().await;
    phones.sync(&line).await;
    let all = rows(&phones.devices[0]).await;
    assert_eq!(all.len(), 18);
    for device in &phones.devices[1..] {
        assert_eq!(rows(device).await, all);
    }
}

#[tokio::test]
async fn the_drill_on_sqlite() {
    let directory = Directory::new();
    let file = directory.file();
    drill(OnSqlite { directory, file, copy: None }).await;
}

#[tokio::test]
async fn the_drill_on_postgres() {
    drill(OnPostgres { url: postgres::new_database().await, copy: None }).await;
}
