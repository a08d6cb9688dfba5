//! The device of `mobync::client` against the engine: what it keeps, and what a killed process loses.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]
#![allow(clippy::needless_pass_by_value, reason = "`json!` is written where it is needed")]

mod support;

use mobync::{
    Change, Database, Diff, Error, Operation, Record, Rules, SyncResponse,
    client::{Device, DeviceError, LocalStore, MemoryStore, Request, SqliteStore, Taken},
    memory::MemoryDatabase,
};
use serde_json::{Value, json};
use support::{Directory, Hooked, Picky, Server, T0, ada, line};

/// New devices, each on a store of its own.
trait Phones {
    type Store: LocalStore;

    async fn store(&self) -> Self::Store;

    /// A device whose clock stands still, so many milliseconds past [`T0`].
    async fn device(&self, at: i64) -> Device<Self::Store> {
        Device::new(self.store().await).time(move || T0 + at)
    }
}

struct InMemory;

impl Phones for InMemory {
    type Store = MemoryStore;

    async fn store(&self) -> MemoryStore {
        MemoryStore::new()
    }
}

struct InSqlite(Directory);

impl Phones for InSqlite {
    type Store = SqliteStore;

    async fn store(&self) -> SqliteStore {
        SqliteStore::open(self.0.file()).await.unwrap()
    }
}

macro_rules! on_every_store {
    ($($scenario:ident)*) => {
        mod memory {
            $(#[tokio::test] async fn $scenario() { super::$scenario(super::InMemory).await })*
        }
        mod sqlite {
            $(#[tokio::test] async fn $scenario() {
                super::$scenario(super::InSqlite(super::Directory::new())).await
            })*
        }
    };
}

on_every_store! {
    reads_see_writes_at_once_and_two_devices_converge
    only_what_is_there_can_be_changed_and_several_changes_are_made_together_or_not
    a_lost_answer_is_made_good_by_the_next_request_with_newer_changes_behind
    an_answer_to_a_request_given_up_or_answered_before_is_ignored
    what_is_recorded_during_a_request_stays_pending_and_goes_out_next
    a_refused_change_is_undone_and_kept_until_it_is_mended_or_dismissed
    refused_changes_are_kept_in_the_order_sent_whatever_that_of_the_answer_is
    a_change_that_no_server_takes_can_be_withdrawn_with_what_is_built_on_it
    a_change_withdrawn_too_late_comes_back_as_if_another_device_had_made_it
    a_request_that_was_too_large_is_cut_but_never_behind_one_without_an_answer
    a_listener_hears_of_writes_and_of_answers
    an_answer_that_is_none_of_this_protocol_changes_nothing
    a_server_restored_from_a_backup_gets_back_what_it_lost_and_newer_writes_win
}

fn record(id: &str, fields: Value) -> Record {
    fields
        .as_object()
        .unwrap()
        .iter()
        .fold(Record::new(id), |record, (name, value)| record.with(name, value.clone()))
}

async fn answer<D: Database, R: Rules>(
    server: &Server<D, R>,
    request: &Request,
) -> Result<SyncResponse, Error> {
    let body = request.body().clone();
    server.mobync.apply(&ada(), body.logical_clock, body.diffs).await
}

async fn sync<S: LocalStore, D: Database, R: Rules>(
    device: &Device<S>,
    server: &Server<D, R>,
) -> Taken {
    let request = device.request(100).await.unwrap();
    let answer = answer(server, &request).await.unwrap();
    device.take(&request, &answer).await.unwrap()
}

async fn rows<S: LocalStore>(device: &Device<S>) -> Vec<String> {
    let records = device.all("tasks").await.unwrap();
    let line = |record: Record| {
        let (id, fields) = record.into_parts();
        format!("{id} {}", Value::Object(fields))
    };
    records.into_iter().map(line).collect()
}

async fn pending(device: &Device<impl LocalStore>) -> Vec<String> {
    device.pending().await.unwrap().iter().map(|pending| line(&pending.diff)).collect()
}

async fn reads_see_writes_at_once_and_two_devices_converge(phones: impl Phones) {
    let server = Server::new(MemoryDatabase::new());
    let (a, b) = (phones.device(0).await, phones.device(0).await);
    a.create("tasks", record("t1", json!({"name": "Milk"}))).await.unwrap();
    a.update("tasks", record("t1", json!({"done": true}))).await.unwrap();
    assert_eq!(rows(&a).await, [r#"t1 {"done":true,"name":"Milk"}"#]);
    sync(&a, &server).await;
    let Taken::Applied(changes) = sync(&b, &server).await else { panic!() };
    assert_eq!((changes.objects.len(), changes.objects[0].operation), (1, Operation::Create));
    assert_eq!(rows(&b).await, rows(&a).await);
    assert_eq!((a.clock().await.unwrap(), pending(&a).await.len()), (1, 0));
}

async fn only_what_is_there_can_be_changed_and_several_changes_are_made_together_or_not(
    phones: impl Phones,
) {
    let device = phones.device(0).await;
    let milk = || record("t1", json!({"name": "Milk"}));
    device.create("tasks", milk()).await.unwrap();
    let again = device.create("tasks", milk()).await;
    assert!(matches!(again, Err(DeviceError::AlreadyThere { .. })));
    let missing = device.delete("tasks", "t2").await;
    assert!(matches!(missing, Err(DeviceError::NotThere { .. })));
    let huge = device.update("tasks", record("t1", json!({"n": u64::MAX}))).await;
    assert!(matches!(huge, Err(DeviceError::InvalidChange(_))));

    let both = [Change::delete("tasks", "t1"), Change::delete("tasks", "t2")];
    assert!(device.record(both).await.is_err());
    assert_eq!(rows(&device).await, [r#"t1 {"name":"Milk"}"#]);
    assert_eq!(pending(&device).await, [r#"create t1 {"name":"Milk"}"#]);
}

async fn a_lost_answer_is_made_good_by_the_next_request_with_newer_changes_behind(
    phones: impl Phones,
) {
    let server = Server::new(MemoryDatabase::new());
    let device = phones.device(0).await;
    device.create("tasks", record("t1", json!({"a": 1}))).await.unwrap();
    let lost = device.request(100).await.unwrap();
    answer(&server, &lost).await.unwrap();
    device.update("tasks", record("t1", json!({"a": 2}))).await.unwrap();
    // Even with a limit of one: the server may know what was sent.
    let next = device.request(1).await.unwrap();
    assert_eq!(next.body().diffs, lost.body().diffs);
    sync(&device, &server).await;
    assert_eq!(server.rows().await, [r#"t1 {"a":2}"#]);
    assert_eq!(server.log().await.len(), 2);
}

async fn an_answer_to_a_request_given_up_or_answered_before_is_ignored(phones: impl Phones) {
    let server = Server::new(MemoryDatabase::new());
    let device = phones.device(0).await;
    device.create("tasks", record("t1", json!({"a": 1}))).await.unwrap();
    let given_up = device.request(100).await.unwrap();
    let late = answer(&server, &given_up).await.unwrap();
    let request = device.request(100).await.unwrap();
    assert_eq!(device.take(&given_up, &late).await.unwrap(), Taken::Superseded);
    assert_eq!(pending(&device).await.len(), 1);

    let answer = answer(&server, &request).await.unwrap();
    assert!(matches!(device.take(&request, &answer).await.unwrap(), Taken::Applied(_)));
    device.update("tasks", record("t1", json!({"a": 2}))).await.unwrap();
    assert_eq!(device.take(&request, &answer).await.unwrap(), Taken::Superseded);
    assert_eq!((rows(&device).await.len(), pending(&device).await.len()), (1, 1));
}

async fn what_is_recorded_during_a_request_stays_pending_and_goes_out_next(phones: impl Phones) {
    let server = Server::new(MemoryDatabase::new());
    let (a, b) = (phones.device(0).await, phones.device(0).await);
    a.create("tasks", record("t1", json!({"a": 1}))).await.unwrap();
    let request = a.request(100).await.unwrap();
    a.update("tasks", record("t1", json!({"a": 2}))).await.unwrap();
    a.create("tasks", record("t2", json!({}))).await.unwrap();
    let answered = answer(&server, &request).await.unwrap();
    a.take(&request, &answered).await.unwrap();
    assert_eq!(pending(&a).await, [r#"update t1 {"a":2}"#, "create t2"]);
    sync(&a, &server).await;
    sync(&b, &server).await;
    assert_eq!(rows(&b).await, [r#"t1 {"a":2}"#, "t2 {}"]);
}

async fn a_refused_change_is_undone_and_kept_until_it_is_mended_or_dismissed(phones: impl Phones) {
    let server = Server::new(Hooked { inner: MemoryDatabase::new(), hook: Picky });
    let device = phones.device(0).await;
    device.create("tasks", record("t1", json!({"a": "good"}))).await.unwrap();
    device.create("tasks", record("t2", json!({"a": "bad"}))).await.unwrap();
    device.update("tasks", record("t1", json!({"a": "orphan"}))).await.unwrap();
    let Taken::Applied(changes) = sync(&device, &server).await else { panic!() };
    assert_eq!(changes.refused.len(), 2);
    assert_eq!(rows(&device).await, [r#"t1 {"a":"good"}"#]);
    assert_eq!(rows(&device).await, server.rows().await);

    let refused = device.refused().await.unwrap();
    assert_eq!((&*refused[0].code, &*refused[1].code), ("invalid_value", "constraint"));
    let mended = Change::create("tasks", record("t2", json!({"a": "better"})));
    device.resubmit(&refused[0].diff.id, mended).await.unwrap();
    device.dismiss(&refused[1].diff.id).await.unwrap();
    assert!(device.refused().await.unwrap().is_empty());
    assert!(device.dismiss(&refused[1].diff.id).await.is_err());
    sync(&device, &server).await;
    assert_eq!(server.rows().await, [r#"t1 {"a":"good"}"#, r#"t2 {"a":"better"}"#]);
}

async fn refused_changes_are_kept_in_the_order_sent_whatever_that_of_the_answer_is(
    phones: impl Phones,
) {
    let mut rng = fastrand::Rng::with_seed(5);
    for _ in 0..10 {
        let device = phones.device(0).await;
        for task in 0..6 {
            device.create("tasks", record(&format!("t{task}"), json!({}))).await.unwrap();
        }
        let request = device.request(100).await.unwrap();
        let sent: Vec<String> = request.body().diffs.iter().map(|diff| diff.id.clone()).collect();
        let mut said = sent.clone();
        rng.shuffle(&mut said);
        let refused: Vec<Value> = said
            .iter()
            .map(|id| json!({"diff_id": id, "code": "forbidden", "message": "No."}))
            .collect();
        let answer = json!({
            "success": true, "message": "", "logical_clock": 1, "diffs": [], "refused": refused,
        });
        let answer: SyncResponse = serde_json::from_value(answer).unwrap();
        let Taken::Applied(changes) = device.take(&request, &answer).await.unwrap() else {
            panic!("it is an answer");
        };
        let kept = device.refused().await.unwrap();
        assert_eq!(changes.refused, kept);
        let kept: Vec<String> = kept.into_iter().map(|refused| refused.diff.id).collect();
        assert_eq!(kept, sent);
    }
}

async fn a_change_that_no_server_takes_can_be_withdrawn_with_what_is_built_on_it(
    phones: impl Phones,
) {
    let server = Server::new(MemoryDatabase::new().model("tasks", ["a"]));
    let device = phones.device(0).await;
    device.create("tasks", record("t1", json!({"a": 1}))).await.unwrap();
    sync(&device, &server).await;
    device.update("tasks", record("t1", json!({"a": 2}))).await.unwrap();
    device.update("tasks", record("t1", json!({"titel": 3}))).await.unwrap();
    device.delete("tasks", "t1").await.unwrap();
    device.create("tasks", record("t2", json!({"a": 1}))).await.unwrap();

    let request = device.request(100).await.unwrap();
    let failed = answer(&server, &request).await.unwrap_err();
    let diff: &Diff = request.diff(failed.diff_id().unwrap()).unwrap();
    assert_eq!(line(diff), r#"update t1 {"titel":3}"#);
    let withdrawn = device.withdraw(&diff.id).await.unwrap();
    assert_eq!(withdrawn.len(), 2);
    assert_eq!(rows(&device).await, [r#"t1 {"a":2}"#, r#"t2 {"a":1}"#]);
    sync(&device, &server).await;
    assert_eq!(server.rows().await, rows(&device).await);
}

async fn a_change_withdrawn_too_late_comes_back_as_if_another_device_had_made_it(
    phones: impl Phones,
) {
    let server = Server::new(MemoryDatabase::new());
    let device = phones.device(0).await;
    device.create("tasks", record("t1", json!({"a": 1}))).await.unwrap();
    let request = device.request(100).await.unwrap();
    let answered = answer(&server, &request).await.unwrap();
    device.withdraw(&request.body().diffs[0].id).await.unwrap();
    assert_eq!(device.take(&request, &answered).await.unwrap(), Taken::Superseded);
    assert!(rows(&device).await.is_empty());
    sync(&device, &server).await;
    assert_eq!(rows(&device).await, [r#"t1 {"a":1}"#]);
}

async fn a_request_that_was_too_large_is_cut_but_never_behind_one_without_an_answer(
    phones: impl Phones,
) {
    let device = phones.device(0).await;
    for id in ["t1", "t2", "t3", "t4"] {
        device.create("tasks", record(id, json!({}))).await.unwrap();
    }
    device.request(2).await.unwrap();
    let large = device.request(4).await.unwrap();
    device.too_large(&large).await.unwrap();
    assert_eq!(device.request(1).await.unwrap().body().diffs.len(), 2);
    // The two alone are too large as well, so the first answer was lost, and can only have said so.
    let alone = device.request(1).await.unwrap();
    device.too_large(&alone).await.unwrap();
    assert_eq!(device.request(1).await.unwrap().body().diffs.len(), 1);
}

async fn a_listener_hears_of_writes_and_of_answers(phones: impl Phones) {
    let server = Server::new(MemoryDatabase::new());
    let (a, b) = (phones.device(0).await, phones.device(0).await);
    let mut changes = b.changes();
    b.create("tasks", record("t1", json!({}))).await.unwrap();
    assert_eq!(changes.recv().await.unwrap().objects[0].id, "t1");
    a.create("tasks", record("t2", json!({}))).await.unwrap();
    sync(&a, &server).await;
    sync(&b, &server).await;
    assert_eq!(changes.recv().await.unwrap().objects[0].id, "t2");
}

async fn an_answer_that_is_none_of_this_protocol_changes_nothing(phones: impl Phones) {
    let device = phones.device(0).await;
    device.create("tasks", record("t1", json!({}))).await.unwrap();
    let request = device.request(100).await.unwrap();
    let mut broken = SyncResponse::new(1, vec![request.body().diffs[0].clone()]);
    "[]".clone_into(&mut broken.diffs[0].json_data);
    let taken = device.take(&request, &broken).await;
    assert!(matches!(taken, Err(DeviceError::InvalidAnswer(_))));
    assert_eq!(pending(&device).await.len(), 1);
}

async fn a_server_restored_from_a_backup_gets_back_what_it_lost_and_newer_writes_win(
    phones: impl Phones,
) {
    let old = Server::new(MemoryDatabase::new());
    let restored = Server::new(MemoryDatabase::new());
    let a = phones.device(10).await;
    a.create("tasks", record("kept", json!({"a": "old"}))).await.unwrap();
    a.create("tasks", record("doomed", json!({}))).await.unwrap();
    let first = a.request(100).await.unwrap();
    let answered = answer(&old, &first).await.unwrap();
    answer(&restored, &first).await.unwrap();
    a.take(&first, &answered).await.unwrap();

    // The backup lacks all that follows.
    a.create("tasks", record("lost", json!({"a": 1}))).await.unwrap();
    a.update("tasks", record("kept", json!({"a": "newer"}))).await.unwrap();
    sync(&a, &old).await;
    a.delete("tasks", "doomed").await.unwrap();
    a.update("tasks", record("lost", json!({"b": 2}))).await.unwrap();

    // Another device has written to the restored server meanwhile, later.
    let b = phones.device(50).await;
    sync(&b, &restored).await;
    b.update("tasks", record("kept", json!({"b": "theirs"}))).await.unwrap();
    sync(&b, &restored).await;

    let before = rows(&a).await;
    a.resync().await.unwrap();
    assert_eq!((a.clock().await.unwrap(), rows(&a).await), (0, before));
    sync(&a, &restored).await;
    assert_eq!(pending(&a).await, ["delete doomed"]);
    sync(&a, &restored).await;
    sync(&b, &restored).await;
    let all = [r#"kept {"a":"newer","b":"theirs"}"#, r#"lost {"a":1,"b":2}"#];
    assert_eq!(rows(&a).await, all);
    assert_eq!(rows(&b).await, all);
    assert_eq!(restored.rows().await, all);
}

#[tokio::test]
async fn a_copy_of_a_sqlite_store_has_all_that_the_store_has() {
    let directory = Directory::new();
    let store = SqliteStore::open(directory.file()).await.unwrap();
    let device = Device::new(store.clone());
    device.create("tasks", record("t1", json!({"a": 1}))).await.unwrap();
    let file = directory.file();
    store.copy_to(&file).await.unwrap();
    assert!(store.copy_to(&file).await.is_err(), "nothing is overwritten");
    let copy = Device::new(SqliteStore::open(&file).await.unwrap());
    assert_eq!(rows(&copy).await, rows(&device).await);
    assert_eq!(copy.pending().await.unwrap(), device.pending().await.unwrap());
}

#[tokio::test]
async fn a_store_of_an_earlier_version_goes_on_and_learns_whose_it_is() {
    let directory = Directory::new();
    let file = directory.file();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&file).create_if_missing(true);
    let mut old =
        <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    let tables = "CREATE TABLE mobync_objects (model TEXT NOT NULL, id TEXT NOT NULL, record TEXT, \
                  acknowledged TEXT, changed_at INTEGER NOT NULL, PRIMARY KEY (model, id)) WITHOUT ROWID; \
                  CREATE TABLE mobync_state \
                  (only INTEGER PRIMARY KEY CHECK (only = 1), state TEXT NOT NULL)";
    sqlx::query(tables).execute(&mut old).await.unwrap();
    let state = r#"{"clock":1,"attempt":9,"next_seq":3}"#;
    sqlx::query("INSERT INTO mobync_state VALUES (1, ?)")
        .bind(state)
        .execute(&mut old)
        .await
        .unwrap();
    let object = "INSERT INTO mobync_objects VALUES ('tasks', 't1', '{\"id\":\"t1\"}', '', 5)";
    sqlx::query(object).execute(&mut old).await.unwrap();
    drop(old);

    let device = Device::new(SqliteStore::open(&file).await.unwrap());
    assert_eq!((device.clock().await.unwrap(), rows(&device).await), (1, vec!["t1 {}".to_owned()]));
    assert_eq!(device.owner().await.unwrap(), None);
    let server = Server::new(MemoryDatabase::new());
    for task in ["t1", "t2"] {
        server.mobync.write(&ada(), [Change::create("tasks", Record::new(task))]).await.unwrap();
    }
    sync(&device, &server).await;
    assert_eq!(rows(&device).await, ["t1 {}", "t2 {}"]);
    assert_eq!(device.owner().await.unwrap().as_deref(), Some("ada"));
}
