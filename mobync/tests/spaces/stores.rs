//! What stores keep of spaces.

use mobync::{
    Record,
    client::{Device, LocalStore, MemoryStore, SqliteStore},
    schema::{Schema, Step},
};
use sqlx::{Connection, Row, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    support::Directory,
    town::{Town, add},
};

/// The tables of the version before spaces, with what an application has added to them.
const BEFORE: &str = r#"
CREATE TABLE mobync_objects (
    model TEXT NOT NULL, id TEXT NOT NULL, record TEXT, acknowledged TEXT, changed_at INTEGER NOT NULL,
    beside TEXT, PRIMARY KEY (model, id)
) WITHOUT ROWID;
CREATE TABLE mobync_pending (seq INTEGER PRIMARY KEY, sent INTEGER NOT NULL, diff TEXT NOT NULL);
CREATE TABLE mobync_refused (
    place INTEGER PRIMARY KEY AUTOINCREMENT, diff_id TEXT NOT NULL UNIQUE, refused TEXT NOT NULL
);
CREATE TABLE mobync_overridden (
    place INTEGER PRIMARY KEY AUTOINCREMENT, diff_id TEXT NOT NULL UNIQUE, overridden TEXT NOT NULL
);
CREATE TABLE mobync_state (only INTEGER PRIMARY KEY CHECK (only = 1), state TEXT NOT NULL);
CREATE INDEX by_name ON mobync_objects (model, json_extract(record, '$.name'));
CREATE TABLE seen (id TEXT);
CREATE TRIGGER seeing AFTER INSERT ON mobync_objects BEGIN INSERT INTO seen VALUES (new.id); END;
CREATE VIEW names AS SELECT json_extract(record, '$.name') AS name FROM mobync_objects;
INSERT INTO mobync_objects VALUES ('tasks', 't1', '{"id":"t1","name":"Oat"}', '{"id":"t1","name":"Milk"}', 1, NULL);
INSERT INTO mobync_objects VALUES ('tasks', 't2', '{"id":"t2","name":"Soy"}', '', 1, NULL);
INSERT INTO mobync_pending VALUES (7, 1, '{"id":"p7","owner":"","logical_clock":3,"utc_timestamp":9,
    "type":"update","model":"tasks","json_data":"{\"id\":\"t1\",\"name\":\"Oat\"}"}');
INSERT INTO mobync_refused VALUES (4, 'r1', '{"diff":{"id":"r1","owner":"",
    "logical_clock":0,"utc_timestamp":1,"type":"create","model":"tasks","json_data":"{\"id\":\"r\"}"},
    "code":"forbidden","message":"No."}');
INSERT INTO mobync_overridden VALUES (2, 'o1', '{"diff":{"id":"o1","owner":"",
    "logical_clock":0,"utc_timestamp":1,"type":"update","model":"tasks","json_data":"{\"id\":\"t2\"}"},
    "fields":{}}');
INSERT INTO mobync_state VALUES (1, '{"clock":3,"head":"h","attempt":5,"next_seq":8,"owner":"ada","is_asking":true}');
"#;

#[tokio::test]
async fn a_file_of_the_version_before_spaces_keeps_everything_and_gets_spaces() {
    let directory = Directory::new();
    let file = directory.file();
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut old = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(BEFORE).execute(&mut old).await.unwrap();
    old.close().await.unwrap();
    for _ in 0..2 {
        let device = Device::new(SqliteStore::open(&file).await.unwrap());
        assert_eq!(device.clock().await.unwrap(), 3);
        assert_eq!(device.owner().await.unwrap().as_deref(), Some("ada"));
        let pending = device.pending().await.unwrap();
        assert_eq!((pending[0].seq, pending[0].sent, &*pending[0].diff.id), (7, true, "p7"));
        assert_eq!(device.refused().await.unwrap()[0].diff.id, "r1");
        assert_eq!(device.overridden().await.unwrap()[0].diff.id, "o1");
        let names = device.all("tasks").await.unwrap();
        assert_eq!(names[0].get("name").unwrap(), "Oat");
        assert_eq!(names[1].get("name").unwrap(), "Soy");
    }
    let device = Device::new(SqliteStore::open(&file).await.unwrap());
    device.join("club").await.unwrap();
    add(&device.space("club"), "t1").await;
    assert_eq!(device.get("tasks", "t1").await.unwrap().unwrap().get("name").unwrap(), "Oat");

    // What the application has made works as before.
    let mut now = SqliteConnection::connect_with(&options).await.unwrap();
    let names = sqlx::query("SELECT name FROM names").fetch_all(&mut now).await.unwrap();
    assert_eq!(names.len(), 3);
    let plan = "EXPLAIN QUERY PLAN SELECT id FROM mobync_objects WHERE model = 'tasks' \
                AND json_extract(record, '$.name') = 'Oat'";
    let plan = sqlx::query(plan).fetch_one(&mut now).await.unwrap();
    assert!(plan.get::<String, _>("detail").contains("by_name"));
    let seen = sqlx::query("SELECT id FROM seen").fetch_all(&mut now).await.unwrap();
    assert_eq!(seen.len(), 3, "the upgrade has added nothing");
}

/// Whatever stops it, a file is upgraded as a whole or not at all.
#[tokio::test]
async fn an_upgrade_that_fails_leaves_the_file_as_it_was() {
    let directory = Directory::new();
    let mut failed = 0;
    for pages in [12, 14, 16, 18, 20, 40] {
        let file = directory.file();
        let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
        let mut old = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(BEFORE).execute(&mut old).await.unwrap();
        old.close().await.unwrap();
        let full = options.clone().pragma("max_page_count", pages.to_string());
        failed += u32::from(SqliteStore::open_with(full).await.is_err());
        let device = Device::new(SqliteStore::open(&file).await.unwrap());
        assert_eq!(
            (device.all("tasks").await.unwrap().len(), device.clock().await.unwrap()),
            (2, 3)
        );
        assert_eq!(device.pending().await.unwrap()[0].diff.id, "p7");
    }
    assert!((1..6).contains(&failed), "{failed} of them failed");
}

/// The same ids in all spaces, with each operation.
async fn apart<S: LocalStore>(device: Device<S>) {
    let spaces = ["", "a", "b", "a/b", "ä", "A"];
    for space in &spaces[1..] {
        device.join(space).await.unwrap();
    }
    for (number, space) in spaces.into_iter().enumerate() {
        let device = device.space(space);
        device.create("tasks", Record::new("t1").with("name", number)).await.unwrap();
        device.create("tasks", Record::new("t2")).await.unwrap();
        if number % 2 == 0 {
            device.delete("tasks", "t2").await.unwrap();
        }
    }
    let first = device.pending().await.unwrap()[0].diff.id.clone();
    device.set_aside(&first, "invalid_diff", "No.").await.unwrap();
    for (number, space) in spaces.into_iter().enumerate().skip(1) {
        let of_space = device.space(space);
        let tasks = of_space.all("tasks").await.unwrap();
        assert_eq!(tasks.len(), 1 + number % 2, "{space}");
        assert_eq!(tasks[0].get("name").unwrap(), number, "{space}");
        assert_eq!(of_space.pending().await.unwrap().len(), 3 - number % 2, "{space}");
        assert!(of_space.refused().await.unwrap().is_empty(), "{space}");
    }
    assert!(device.get("tasks", "t1").await.unwrap().is_none());
    device.forget_space("a").await.unwrap();
    let names: Vec<String> = device.spaces().await.unwrap().into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["A", "a/b", "b", "ä"]);
    for name in ["", "x\0", &"x".repeat(1025)] {
        device.join(name).await.unwrap_err();
    }
}

#[tokio::test]
async fn ids_of_different_spaces_never_meet() {
    apart(Device::new(MemoryStore::new())).await;
    let directory = Directory::new();
    apart(Device::new(SqliteStore::open(directory.file()).await.unwrap())).await;
}

/// An update of the app updates the data of all spaces, also of those that were left.
#[tokio::test(start_paused = true)]
async fn when_the_app_is_updated_so_are_the_spaces() {
    let town = Town::new();
    let store = MemoryStore::new();
    let old = Device::new(store.clone());
    for space in ["club", "work"] {
        town.join(space, "ada");
        old.join(space).await.unwrap();
        add(&old.space(space), "t1").await;
    }
    add(&old, "t1").await;
    old.leave("work").await.unwrap();
    let schema = Schema::new([Step::renamed(2, "tasks", "name", "title")]).unwrap();
    let new = Device::new(store).schema(schema).await.unwrap();
    let milk = Record::new("t1").with("title", "Milk");
    for space in ["", "club"] {
        assert_eq!(
            new.space(space).all("tasks").await.unwrap(),
            std::slice::from_ref(&milk),
            "{space}"
        );
    }
    let refused = new.space("work").refused().await.unwrap();
    assert!(refused[0].diff.json_data.contains("title"));
    new.join("work").await.unwrap();
    new.space("work").create("tasks", milk).await.unwrap();
}
