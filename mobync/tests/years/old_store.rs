//! A store written by an older version is upgraded in place.

use mobync::{
    Record,
    client::{Device, SqliteStore},
};
use sqlx::{Connection, Executor, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{shelf::Shelf, support::Directory};

/// The tables and rows as the first version wrote them: a device at clock 3 with one object that the server
/// knows, and a change of it that was in a request without an answer.
const FIRST_VERSION: &str = r#"
CREATE TABLE mobync_objects (
    model TEXT NOT NULL, id TEXT NOT NULL, record TEXT, acknowledged TEXT, changed_at INTEGER NOT NULL,
    PRIMARY KEY (model, id)
) WITHOUT ROWID;
CREATE TABLE mobync_pending (seq INTEGER PRIMARY KEY, sent INTEGER NOT NULL, diff TEXT NOT NULL);
CREATE TABLE mobync_refused (
    place INTEGER PRIMARY KEY AUTOINCREMENT, diff_id TEXT NOT NULL UNIQUE, refused TEXT NOT NULL
);
CREATE TABLE mobync_state (only INTEGER PRIMARY KEY CHECK (only = 1), state TEXT NOT NULL);
INSERT INTO mobync_objects VALUES
    ('tasks', 'o000000', '{"id":"o000000","name":"Oat"}', '{"id":"o000000","name":"Milk"}', 1);
INSERT INTO mobync_pending VALUES (7, 1, '{"id":"p7","owner":"","logical_clock":3,"utc_timestamp":9,
    "type":"update","model":"tasks","json_data":"{\"id\":\"o000000\",\"name\":\"Oat\"}"}');
INSERT INTO mobync_refused (diff_id, refused) VALUES ('r1', '{"diff":{"id":"r1","owner":"",
    "logical_clock":0,"utc_timestamp":1,"type":"create","model":"tasks","json_data":"{\"id\":\"r\"}"},
    "code":"forbidden","message":"No."}');
INSERT INTO mobync_state VALUES (1, '{"clock":3,"attempt":5,"next_seq":8,"deleted_before_resync":[],
    "owner":"ada","marks":[],"is_asking":true,"doubts":0}');
"#;

#[tokio::test(start_paused = true)]
async fn a_store_of_the_first_version_goes_on_with_everything_that_it_had() {
    let directory = Directory::new();
    let file = directory.file();
    let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut old = SqliteConnection::connect_with(&options).await.unwrap();
    old.execute(FIRST_VERSION).await.unwrap();
    old.close().await.unwrap();

    for _ in 0..2 {
        let device = Device::new(SqliteStore::open(&file).await.unwrap());
        assert_eq!(device.clock().await.unwrap(), 3);
        let oat = Record::new("o000000").with("name", "Oat");
        assert_eq!(device.all("tasks").await.unwrap(), [oat]);
        assert_eq!(device.pending().await.unwrap()[0].diff.id, "p7");
        assert_eq!(device.refused().await.unwrap()[0].diff.id, "r1");
        assert!(device.overridden().await.unwrap().is_empty());
        assert!(!device.has_more().await.unwrap());
    }

    let device = Device::new(SqliteStore::open(&file).await.unwrap());
    let shelf = Shelf::new(3, 10);
    let client = shelf.client(&device);
    client.sync().await.unwrap();
    client.sync().await.unwrap();
    let requests = shelf.requests.lock().unwrap();
    let repeated = &requests[1];
    // Its head is not known, and the unanswered diff is sent unchanged.
    assert_eq!((repeated.logical_clock, repeated.head.as_deref()), (3, Some("")));
    assert_eq!(repeated.diffs.iter().map(|diff| &*diff.id).collect::<Vec<_>>(), ["p7"]);
    assert_eq!(requests.last().unwrap().head.as_deref(), Some("p7"));
}
