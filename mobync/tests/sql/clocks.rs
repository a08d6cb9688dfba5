//! Live updates across processes on PostgreSQL: each sync is announced to the other processes.

use std::{convert::Infallible, time::Duration};

use http::Request;
use http_body_util::BodyExt;
use mobync::{
    Mobync, Owner,
    http::{LiveBody, LiveEndpoint},
    postgres::PostgresDatabase,
    sql::Builder,
};
use serde_json::json;
use sqlx::PgPool;
use tokio::{task::JoinHandle, time::timeout};

use super::{
    diffs,
    support::{create, owner, postgres::new_database, update},
};

const TASKS: &str = "CREATE TABLE tasks (id text, owner text, name text, PRIMARY KEY (owner, id))";
const PATIENCE: Duration = Duration::from_mins(1);

/// Characters that are difficult in SQL and in channels.
const LOG: &str = "The \"log\" of Ada's";
const NAME: &str = "it's \"ada\" \\ $1 ü";

/// Two processes on one database.
struct Processes {
    here: Mobync<PostgresDatabase>,
    there: Mobync<PostgresDatabase>,
    hearing: JoinHandle<Infallible>,
    url: String,
}

impl Processes {
    async fn start() -> Self {
        let url = new_database().await;
        sqlx::query(TASKS).execute(&PgPool::connect(&url).await.unwrap()).await.unwrap();
        let here = process(PostgresDatabase::builder(), &url).await;
        let there = process(PostgresDatabase::builder().announce_clocks(), &url).await;
        let mut early = Device::of(&here).await;
        let (database, live) = (here.database().clone(), here.live().clone());
        let hearing = tokio::spawn(async move { database.hear_clocks(&live).await });
        // Once it listens, the streams that may have missed something are disconnected.
        early.is_disconnected().await;
        Self { here, there, hearing, url }
    }

    /// How many connections listen. Terminates them on request.
    async fn listening(&self, end: bool) -> i64 {
        let sql = "SELECT count(CASE WHEN $1 THEN pg_terminate_backend(pid) ELSE true END) \
                   FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'";
        sqlx::query_scalar(sql).bind(end).fetch_one(self.there.database().pool()).await.unwrap()
    }
}

async fn process(
    builder: Builder<mobync::postgres::Postgres>,
    url: &str,
) -> Mobync<PostgresDatabase> {
    let builder = builder.table("tasks").diffs_table(LOG).max_connections(1);
    let database = builder.connect(url).await.unwrap();
    database.set_up().await.unwrap();
    Mobync::new(database)
}

async fn sync(mobync: &Mobync<PostgresDatabase>, clock: i64, id: &str) {
    let sent = diffs([create(id, json!({"name": "Milk"}))]);
    let answer = mobync.apply(&owner(NAME), clock, sent).await.unwrap();
    assert_eq!(answer.logical_clock, clock + 1);
}

/// A device that listens.
struct Device(LiveBody);

impl Device {
    async fn of(mobync: &Mobync<PostgresDatabase>) -> Self {
        let endpoint = LiveEndpoint::new(mobync.clone(), |_| async { Ok(Owner::new(NAME)?) });
        let response = endpoint.handle(Request::get("/").body(()).unwrap()).await;
        assert_eq!(response.status(), 200);
        Self(response.into_body())
    }

    async fn next(&mut self) -> Option<String> {
        loop {
            let frame = timeout(PATIENCE, self.0.frame()).await.unwrap()?.unwrap();
            let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
            if text != ":\n\n" {
                return Some(text);
            }
        }
    }

    async fn hears(&mut self, clock: i64) {
        assert_eq!(self.next().await.unwrap(), format!("event: clock\ndata: {clock}\n\n"));
    }

    async fn is_disconnected(&mut self) {
        while self.next().await.is_some() {}
    }
}

#[tokio::test]
async fn a_sync_is_heard_of_in_the_other_process() {
    let processes = Processes::start().await;
    let mut device = Device::of(&processes.here).await;
    device.hears(0).await;
    sync(&processes.there, 0, "t1").await;
    device.hears(1).await;
    let changes = diffs([update("t1", json!({"name": "Bread"})), create("t2", json!({}))]);
    processes.there.apply(&owner(NAME), 1, changes).await.unwrap();
    device.hears(2).await;
}

#[tokio::test]
async fn after_a_lost_connection_all_streams_reconnect_and_receive_again() {
    let processes = Processes::start().await;
    let mut device = Device::of(&processes.here).await;
    device.hears(0).await;
    assert_eq!(processes.listening(true).await, 1);
    sync(&processes.there, 0, "t1").await;
    device.is_disconnected().await;
    let mut device = Device::of(&processes.here).await;
    device.hears(1).await;
    sync(&processes.there, 1, "t2").await;
    device.hears(2).await;
}

#[tokio::test]
async fn only_databases_with_announce_clocks_announce() {
    let processes = Processes::start().await;
    let quiet = process(PostgresDatabase::builder(), &processes.url).await;
    let mut device = Device::of(&processes.here).await;
    device.hears(0).await;
    sync(&quiet, 0, "t1").await;
    sync(&processes.there, 1, "t2").await;
    device.hears(2).await;
}

#[tokio::test]
async fn a_listener_that_is_dropped_leaves_no_connection() {
    let processes = Processes::start().await;
    assert_eq!(processes.listening(false).await, 1);
    processes.hearing.abort();
    while processes.listening(false).await > 0 {
        tokio::task::yield_now().await;
    }
}
