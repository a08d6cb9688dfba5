//! Whether a copy is right: a difference is reported, and never repaired automatically.

use mobync::{
    Access, Mobync, Record,
    client::{Device, LocalStore, LocalUnit, MemoryStore, SqliteStore, SyncFailure},
    memory::MemoryDatabase,
};
use serde_json::json;

use super::{
    line::{Fate, Line},
    shelf::Shelf,
    support::{Directory, ada},
};

fn line() -> Line<MemoryDatabase> {
    Line::to(Mobync::new(MemoryDatabase::new()))
}

/// Two devices that have synced objects with values of all kinds.
async fn synced<S: LocalStore>(line: &Line<MemoryDatabase>, store: S) -> Device<S> {
    let other = Device::new(MemoryStore::new());
    for number in 0..20 {
        let task = Record::new(format!("t{number}"))
            .with("name", format!("\"Käse\" \u{1f9c0} {number}\n"))
            .with("count", number)
            .with("price", f64::from(number) * 0.1)
            .with("tags", json!([{"b": 1, "a": null}, true]))
            .with("none", json!(null));
        other.create("tasks", task).await.unwrap();
    }
    other.create("notes", Record::new("n1").with("text", "x")).await.unwrap();
    line.sync(&other).await;
    let device = Device::new(store);
    device.create("tasks", Record::new("mine").with("count", 1.0)).await.unwrap();
    line.sync(&device).await;
    device
}

async fn break_it(device: &Device<impl LocalStore>, how: usize) {
    let mut unit = device.store().begin(Access::Write).await.unwrap();
    let mut object = unit.object("tasks", "t3").await.unwrap();
    let mut record = object.acknowledged.take().unwrap();
    match how {
        0 => record.insert("count", json!(4)),
        1 => record.insert("extra", json!("x")),
        2 => record = Record::new("t3"),
        _ => {}
    }
    let record = (how < 3).then_some(record);
    object.acknowledged.clone_from(&record);
    object.current = record;
    unit.set_object("tasks", "t3", &object).await.unwrap();
    unit.commit().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_wrong_is_told_and_fetched_again_only_when_asked() {
    let directory = Directory::new();
    for how in 0..4 {
        let line = line();
        let store = SqliteStore::open(directory.file()).await.unwrap();
        let device = synced(&line, store).await;
        let client = line.client(&device);
        assert_eq!(client.check().await.unwrap(), []);
        break_it(&device, how).await;
        let wrong = device.all("tasks").await.unwrap();
        for _ in 0..2 {
            let differences = client.check().await.unwrap();
            assert_eq!(differences.len(), 1, "{how}");
            let told = &differences[0];
            let here = if how == 3 { 20 } else { 21 };
            assert_eq!((&*told.model, told.here, told.there), ("tasks", here, 21), "{how}");
        }
        assert_eq!(device.all("tasks").await.unwrap(), wrong, "it is not mended by itself");
        client.refetch().await.unwrap();
        assert_eq!(client.check().await.unwrap(), []);
        let rows = line.mobync.database().records(&ada(), "tasks");
        assert_eq!(device.all("tasks").await.unwrap().len(), rows.len());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_pending_is_sent_first_and_what_others_write_is_applied_first() {
    let line = line();
    let device = synced(&line, MemoryStore::new()).await;
    let client = line.client(&device);
    let other = Device::new(MemoryStore::new());
    line.sync(&other).await;
    other.update("tasks", Record::new("t1").with("count", 77)).await.unwrap();
    line.sync(&other).await;
    device.delete("tasks", "t2").await.unwrap();
    device.create("others", Record::new("o1")).await.unwrap();
    assert_eq!(client.check().await.unwrap(), []);
    assert!(!device.has_pending().await.unwrap());
    // A model of which only the device has objects.
    let mut unit = device.store().begin(Access::Write).await.unwrap();
    let object = unit.object("others", "o1").await.unwrap();
    unit.set_object("ghosts", "o1", &object).await.unwrap();
    unit.commit().await.unwrap();
    let differences = client.check().await.unwrap();
    assert_eq!((&*differences[0].model, differences[0].there), ("ghosts", 0));
    // If an answer is lost, nothing is reported.
    line.fates.lock().unwrap().extend([Fate::Arrives, Fate::AnswerLost]);
    assert!(client.check().await.unwrap_err().is_temporary());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_say_is_not_taken_for_one_that_is_content() {
    let shelf = Shelf::new(5, 10).of_before();
    let device = Device::new(MemoryStore::new());
    let failure = shelf.client(&device).check().await.unwrap_err();
    assert!(matches!(failure, SyncFailure::NoAnswer { .. }), "{failure}");
    assert_eq!(device.all("tasks").await.unwrap().len(), 5);
}
