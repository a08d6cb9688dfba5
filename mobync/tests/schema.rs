//! Schemas that change: what devices of each version are answered.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::needless_pass_by_value, reason = "so that calls are short")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use mobync::{
    Access, Database, Diff, Mobync, Operation, SyncRequest, UnitOfWork, Write,
    memory::MemoryDatabase,
    schema::{Schema, Step},
};
use serde_json::{Value, json, value::to_raw_value};
use support::ada;

fn schema() -> Schema {
    Schema::new([
        Step::added(2, "tasks", "due", Value::Null),
        Step::renamed(3, "tasks", "name", "title"),
        Step::removed(4, "tasks", "priority", 0),
        Step::added_model(5, "tags"),
        Step::renamed_model(6, "tasks", "todos"),
        Step::removed_model(7, "labels"),
    ])
    .unwrap()
}

fn diff(operation: Operation, id: &str, model: &str, data: Value) -> Diff {
    Diff {
        id: id.to_owned(),
        owner: String::new(),
        logical_clock: 0,
        utc_timestamp: 1,
        operation,
        model: model.to_owned(),
        json_data: data.to_string(),
    }
}

/// What a migration does to the rows: `tasks` become `todos`, with `title` and without `priority`.
async fn migrate(database: &MemoryDatabase) {
    let mut unit = database.open(&ada(), Access::Write).await.unwrap();
    for record in unit.read(&ada(), "tasks", &[]).await.unwrap() {
        let id = record.id().to_owned();
        let mut fields = record.fields().clone();
        fields.remove("priority");
        let title = fields.remove("name").unwrap();
        fields.insert("title".to_owned(), title);
        let fields: Vec<_> =
            fields.into_iter().map(|(name, value)| (name, to_raw_value(&value).unwrap())).collect();
        let fields = fields.iter().map(|(name, value)| (&**name, &**value));
        let writes = [
            Write::new(Operation::Delete, "tasks", &id, []),
            Write::new(Operation::Create, "todos", &id, fields),
        ];
        assert!(unit.write(&ada(), &writes).await.unwrap().is_empty());
    }
    unit.commit().await.unwrap();
}

#[tokio::test]
async fn a_new_device_of_each_version_gets_its_names_and_fields() {
    let database = MemoryDatabase::new();
    let old = Mobync::new(database.clone());
    let milk =
        diff(Operation::Create, "a1", "tasks", json!({"id": "t1", "name": "Milk", "priority": 3}));
    let label = diff(Operation::Create, "a2", "labels", json!({"id": "l1", "name": "Home"}));
    old.apply(&ada(), 0, vec![milk, label]).await.unwrap();
    migrate(&database).await;
    let new = Mobync::new(database).schema(schema());
    let oat = diff(Operation::Update, "a3", "todos", json!({"id": "t1", "title": "Oat milk"}));
    new.apply(&ada(), 1, vec![oat]).await.unwrap();
    for (version, model, data) in [
        (1, "tasks", json!({"id": "t1", "name": "Oat milk", "priority": 0})),
        (2, "tasks", json!({"id": "t1", "name": "Oat milk", "priority": 0})),
        (3, "tasks", json!({"id": "t1", "title": "Oat milk", "priority": 0})),
        (4, "tasks", json!({"id": "t1", "title": "Oat milk"})),
        (5, "tasks", json!({"id": "t1", "title": "Oat milk"})),
        (6, "todos", json!({"id": "t1", "title": "Oat milk"})),
        (9, "todos", json!({"id": "t1", "title": "Oat milk"})),
    ] {
        for limit in [None, Some(1)] {
            let mut request = SyncRequest::new(0, Vec::new());
            (request.schema, request.limit) = (Some(version), limit);
            let mut got = Vec::new();
            loop {
                let answer = new.answer(&ada(), &request).await.unwrap();
                got.extend(answer.diffs);
                request.logical_clock = answer.logical_clock;
                if answer.more.is_none() {
                    break;
                }
            }
            let got: Vec<_> = got
                .iter()
                .map(|diff| (&*diff.model, serde_json::from_str::<Value>(&diff.json_data).unwrap()))
                .collect();
            let first = (model, data.clone());
            if limit.is_none() {
                assert_eq!(got, [first], "version {version}");
            } else {
                assert_eq!(got.len(), 2, "version {version}: {got:?}");
                assert!(got.iter().all(|(name, _)| *name == model), "version {version}: {got:?}");
            }
        }
    }
}

/// A server of this schema on which an app of version 1 has made a task.
async fn server() -> Mobync<MemoryDatabase> {
    let database = MemoryDatabase::new();
    let milk =
        diff(Operation::Create, "a1", "tasks", json!({"id": "t1", "name": "Milk", "priority": 3}));
    let label = diff(Operation::Create, "a2", "labels", json!({"id": "l1", "name": "Home"}));
    Mobync::new(database.clone()).apply(&ada(), 0, vec![milk, label]).await.unwrap();
    migrate(&database).await;
    Mobync::new(database).schema(schema())
}

fn request(clock: i64, version: Option<u64>, diffs: Vec<Diff>) -> SyncRequest {
    let mut request = SyncRequest::new(clock, diffs);
    request.schema = version;
    request
}

/// The diffs of a new device of a version, each as `type model data`.
async fn all(server: &Mobync<MemoryDatabase>, version: u64) -> Vec<String> {
    let answer = server.answer(&ada(), &request(0, Some(version), Vec::new())).await.unwrap();
    let line = |diff: &Diff| format!("{} {} {}", diff.operation, diff.model, diff.json_data);
    answer.diffs.iter().map(line).collect()
}

#[tokio::test]
async fn old_names_inwards_become_the_newest_and_what_was_removed_is_a_receipt() {
    let server = server().await;
    let diffs = vec![
        diff(Operation::Update, "b1", "tasks", json!({"id": "t1", "name": "Oat", "priority": 9})),
        diff(Operation::Update, "b2", "tasks", json!({"id": "t1", "priority": 8})),
        diff(Operation::Create, "b3", "labels", json!({"id": "l2", "name": "Work"})),
        diff(Operation::Delete, "b4", "labels", json!({"id": "l1"})),
    ];
    for clock in [1, 2] {
        let sent = request(1, Some(1), diffs.clone());
        let answer = server.answer(&ada(), &sent).await.unwrap();
        assert_eq!(
            (answer.logical_clock, answer.diffs.len()),
            (2, 0),
            "sent for the {clock}. time"
        );
        assert!(answer.refused.is_empty());
    }
    assert_eq!(all(&server, 7).await, [r#"create todos {"id":"t1","title":"Oat"}"#]);
    let old = all(&server, 1).await;
    assert_eq!(old, [r#"create tasks {"id":"t1","name":"Oat","priority":0}"#]);
    let row = &server.read(&ada(), "todos", &[]).await.unwrap()[0];
    assert_eq!(row.get("title"), Some(&json!("Oat")));
    assert_eq!(row.get("priority"), None);

    // What others have made of it is told by the device's names.
    let late = diff(Operation::Update, "c1", "tasks", json!({"id": "t1", "name": "Soy"}));
    let mut late = request(1, Some(2), vec![Diff { utc_timestamp: 0, ..late }]);
    late.report = true;
    let answer = server.answer(&ada(), &late).await.unwrap();
    let lost = &answer.overridden[0].fields["name"];
    assert_eq!((&lost.sent, lost.stands.as_ref()), (&json!("Soy"), Some(&json!("Oat"))));
    assert_eq!(answer.diffs[0].json_data, r#"{"id":"t1","name":"Oat"}"#);

    let both = json!({"id": "t1", "name": "Oat", "title": "Soy"});
    let both = request(3, None, vec![diff(Operation::Update, "d1", "todos", both)]);
    let error = server.answer(&ada(), &both).await.unwrap_err();
    assert_eq!((error.code(), error.diff_id()), ("invalid_diff", Some("d1")));
}

#[tokio::test]
async fn an_update_with_no_field_of_the_version_does_not_go_back_nor_does_a_model_that_it_lacks() {
    let server = server().await;
    let diffs = vec![
        diff(Operation::Update, "b1", "todos", json!({"id": "t1", "due": "2030-12-31"})),
        diff(Operation::Create, "b2", "tags", json!({"id": "g1", "name": "red"})),
    ];
    server.answer(&ada(), &request(1, Some(7), diffs)).await.unwrap();
    for (version, expected) in [(1, 0), (2, 1), (4, 1), (5, 2), (7, 2)] {
        let answer = server.answer(&ada(), &request(1, Some(version), Vec::new())).await.unwrap();
        assert_eq!((answer.logical_clock, answer.diffs.len()), (2, expected), "version {version}");
    }
}

#[tokio::test]
async fn a_version_below_the_least_is_told_to_upgrade_before_anything_is_read_or_written() {
    let server = server().await.min_schema(3).schema_of_silent_clients(2);
    let sound = diff(Operation::Update, "b1", "todos", json!({"id": "t1", "nothing": 1}));
    let broken = Diff { json_data: String::new(), ..sound.clone() };
    let error = server.answer(&ada(), &request(99, Some(1), vec![broken])).await.unwrap_err();
    assert_eq!(error.code(), "invalid_diff", "what the sender must mend comes first");
    for (version, clock) in [(Some(1), 0), (Some(2), 99), (None, 1)] {
        let sent = request(clock, version, vec![sound.clone()]);
        let error = server.answer(&ada(), &sent).await.unwrap_err();
        assert_eq!((error.code(), error.status().as_u16()), ("upgrade_required", 426));
        assert!(error.to_string().contains("at least 3"), "{error}");
    }
    assert_eq!(server.apply(&ada(), 0, Vec::new()).await.unwrap_err().code(), "upgrade_required");
    server.answer(&ada(), &request(1, Some(3), Vec::new())).await.unwrap();
    let silent = server.clone().schema_of_silent_clients(3);
    silent.answer(&ada(), &request(1, None, Vec::new())).await.unwrap();
    assert_eq!(silent.clock(&ada()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_check_is_of_the_versions_names_and_null_where_something_was_removed() {
    let server = server().await;
    let due = diff(Operation::Update, "b1", "todos", json!({"id": "t1", "due": "2030-12-31"}));
    server.answer(&ada(), &request(1, Some(7), vec![due])).await.unwrap();
    let sums = async |version| {
        let mut request = request(2, Some(version), Vec::new());
        request.check = true;
        server.answer(&ada(), &request).await.unwrap().check.unwrap()
    };
    let (third, fifth, seventh) = (sums(3).await, sums(5).await, sums(7).await);
    assert_eq!((&third["tasks"], &third["labels"]), (&None, &None));
    assert_eq!(fifth["labels"], None);
    let (old, new) = (fifth["tasks"].as_ref().unwrap(), seventh["todos"].as_ref().unwrap());
    assert_eq!(old, new, "the same fields under the same names");
    assert!(!seventh.contains_key("labels"), "version 7 does not have it");
    assert_eq!(new.count, 1);
}

#[tokio::test]
async fn a_compaction_keeps_what_was_removed_for_servers_that_still_have_it() {
    let (database, now) = (MemoryDatabase::new(), Arc::new(AtomicI64::new(1)));
    let clock = |now: &Arc<AtomicI64>| {
        let now = Arc::clone(now);
        move || now.load(Ordering::Relaxed)
    };
    let old = Mobync::new(database.clone()).time(clock(&now));
    let task = json!({"id": "t1", "name": "Milk", "priority": 3});
    let diffs = vec![
        diff(Operation::Create, "a1", "tasks", task),
        diff(Operation::Create, "a2", "labels", json!({"id": "l1", "name": "Home"})),
    ];
    old.apply(&ada(), 0, diffs).await.unwrap();
    let renamed = diff(Operation::Update, "a3", "tasks", json!({"id": "t1", "name": "Oat milk"}));
    old.apply(&ada(), 1, vec![renamed]).await.unwrap();
    let before = old.apply(&ada(), 0, Vec::new()).await.unwrap();

    let steps = [Step::removed(2, "tasks", "priority", 0), Step::removed_model(2, "labels")];
    let new = Mobync::new(database).time(clock(&now)).schema(Schema::new(steps).unwrap());
    for round in 1..5_i64 {
        now.store(round * 1_000_000, Ordering::Relaxed);
        let done = diff(
            Operation::Update,
            &format!("b{round}"),
            "tasks",
            json!({"id": "t1", "done": round}),
        );
        new.apply(&ada(), 1 + round, vec![done]).await.unwrap();
        new.compact(&ada(), Duration::from_mins(1)).await.unwrap();
    }
    let compacted = new.compact(&ada(), Duration::from_mins(1)).await.unwrap();
    assert!(compacted.forgotten > 1, "{compacted:?}");
    let after = old.apply(&ada(), 0, Vec::new()).await.unwrap();
    let fields = |diffs: &[Diff]| -> Vec<Value> {
        let read = |diff: &Diff| serde_json::from_str::<Value>(&diff.json_data).unwrap();
        diffs.iter().map(read).collect()
    };
    let mut expected = fields(&before.diffs);
    expected[0]["done"] = json!(4);
    assert_eq!(fields(&after.diffs), expected);
}
