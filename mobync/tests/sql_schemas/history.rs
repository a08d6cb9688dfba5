//! A log that was written under older names, after the tables were really changed: set-up, import, repair,
//! followers, compaction and checks.

use std::{
    convert::Infallible,
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use mobync::{Change, Record, follow::Cursors};
use tokio::task::JoinHandle;

use super::*;

const DAY: i64 = 24 * 60 * 60 * 1000;

fn schema() -> Schema {
    Schema::new([
        Step::added(2, "tasks", "due", "soon"),
        Step::renamed(3, "tasks", "name", "title"),
        Step::removed(4, "tasks", "priority", 5),
        Step::renamed_model(5, "tasks", "todos"),
        Step::removed_model(6, "labels"),
        Step::added_model(7, "tags"),
    ])
    .unwrap()
}

const OLD: [&str; 2] = [
    "CREATE TABLE tasks (owner text NOT NULL, id text NOT NULL, name text, priority bigint, \
     PRIMARY KEY (owner, id))",
    "CREATE TABLE labels (owner text NOT NULL, id text NOT NULL, name text, PRIMARY KEY (owner, id))",
];
const MIGRATION: [&str; 6] = [
    "ALTER TABLE tasks ADD COLUMN due text DEFAULT 'soon'",
    "ALTER TABLE tasks RENAME COLUMN name TO title",
    "ALTER TABLE tasks DROP COLUMN priority",
    "ALTER TABLE tasks RENAME TO todos",
    "DROP TABLE labels",
    "CREATE TABLE tags (owner text NOT NULL, id text NOT NULL, name text, PRIMARY KEY (owner, id))",
];

/// What a follower heard. It runs on.
async fn heard<D: Cursors>(
    mobync: &Mobync<D>,
    many: usize,
) -> (Vec<String>, JoinHandle<Infallible>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&heard);
    let follower = mobync.follow("f", move |_, diffs: Vec<Diff>| {
        let lines = diffs.iter().map(|diff| format!("{} {}", diff.model, support::line(diff)));
        hears.lock().unwrap().extend(lines);
        async { Ok::<(), std::io::Error>(()) }
    });
    let running = tokio::spawn(async move { follower.run().await });
    for _ in 0..1_000 {
        if heard.lock().unwrap().len() >= many {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let heard = heard.lock().unwrap();
    (heard.clone(), running)
}

/// What there was before the migration.
async fn write_old_log<D: Kind>(place: &Place<D>) {
    for sql in OLD {
        place.run(sql).await;
    }
    place
        .run("INSERT INTO tasks (owner, id, name, priority) VALUES ('ada', 't0', 'Salt', 1)")
        .await;
    let old = place.server(Builder::default().table("tasks").table("labels").capture()).await;
    let old = old.time(|| T0);
    old.database().import("tasks", |_| {}).await.unwrap();
    let sent = vec![
        diff(Operation::Create, "tasks", "t1", json!({"name": "Milk", "priority": 3})),
        diff(Operation::Create, "tasks", "t2", json!({"name": "Bread"})),
        diff(Operation::Create, "labels", "l1", json!({"name": "Home"})),
    ];
    sync(&old, 1, 1, sent).await.unwrap();
    for name in ["Oat milk", "Rice milk"] {
        let clock = old.clock(&ada()).await.unwrap();
        let mut update = diff(Operation::Update, "tasks", "t1", json!({"name": name}));
        update.utc_timestamp += clock;
        sync(&old, 1, clock, vec![update]).await.unwrap();
    }
    // A mark that nobody has read yet.
    place.run("UPDATE tasks SET name = 'Rye' WHERE id = 't2'").await;
}

async fn a_log_of_older_names_is_read_everywhere<D: Kind>() {
    let place = Place::<D>::new().await;
    write_old_log(&place).await;
    for sql in MIGRATION {
        place.run(sql).await;
    }
    let builder = || Builder::<D>::default().schema(schema()).table("todos").table("tags");
    let time = Arc::new(AtomicI64::new(T0 + 60_000));
    let now = Arc::clone(&time);
    let server = async |builder: Builder<D>| {
        let now = Arc::clone(&now);
        place.server(builder).await.time(move || now.load(Ordering::Relaxed))
    };
    let new = server(builder().capture()).await;
    let database = new.database();
    place.run(&database.schema_sql()).await;
    database.set_up().await.unwrap();

    // The mark is read, and the rest is equal.
    let differs = new.differences(&ada()).await.unwrap();
    assert_eq!(differs.differences(), 1, "{differs:?}");
    let answer = sync(&new, 7, new.clock(&ada()).await.unwrap(), Vec::new()).await.unwrap();
    assert_eq!(support::lines(&answer.diffs), [r#"update t2 {"title":"Rye"}"#]);
    assert_eq!(new.differences(&ada()).await.unwrap().differences(), 0);
    let imported = database.import("todos", |_| {}).await.unwrap();
    assert_eq!((imported.rows, imported.known_rows, imported.changed_rows), (0, 3, 0));

    // Without capture, the import and the repair bring changes of the application.
    let bare = server(builder()).await;
    place.run("INSERT INTO todos (owner, id, title) VALUES ('ada', 't3', 'Tea')").await;
    let imported = bare.database().import("todos", |_| {}).await.unwrap();
    assert_eq!((imported.rows, imported.known_rows), (1, 3));
    place.run("UPDATE todos SET title = 'Green tea', due = 'now' WHERE id = 't3'").await;
    assert_eq!(bare.reconcile(&ada()).await.unwrap().differences(), 1);
    let gone = Change::delete("todos", "t0");
    bare.write(&ada(), [gone, Change::create("tags", Record::new("g1"))]).await.unwrap();

    let new = server(builder().capture()).await;
    let of_version = [1, 2, 3, 4, 5, 6, 7];
    let mut views = Vec::new();
    for version in of_version {
        views.push(all(&new, version).await);
    }
    let of = |model: &str, id: &str| (model.to_owned(), id.to_owned());
    let object =
        |fields: Value| -> BTreeMap<String, Value> { serde_json::from_value(fields).unwrap() };
    assert_eq!(views[0][&of("tasks", "t1")], object(json!({"name": "Rice milk", "priority": 5})));
    assert_eq!(
        views[1][&of("tasks", "t3")],
        object(json!({"name": "Green tea", "due": "now", "priority": 5}))
    );
    assert_eq!(views[2][&of("tasks", "t2")], object(json!({"title": "Rye", "priority": 5})));
    assert_eq!(views[6][&of("todos", "t1")], object(json!({"title": "Rice milk"})));
    assert!(views[6].contains_key(&of("tags", "g1")) && !views[5].contains_key(&of("tags", "g1")));
    assert!(views.iter().all(|view| view.keys().all(|(model, _)| model != "labels")));

    let (lines, running) = heard(&new, 8).await;
    assert!(
        lines.iter().all(|line| line.starts_with("todos ") || line.starts_with("tags ")),
        "{lines:?}"
    );
    assert!(lines.contains(&r#"todos create t0 {"title":"Salt"}"#.to_owned()), "{lines:?}");
    assert!(lines.contains(&r#"todos update t1 {"title":"Rice milk"}"#.to_owned()), "{lines:?}");

    // A compaction changes nothing of what devices get, nor of what is compared.
    let check = async |version| {
        let mut request = SyncRequest::new(new.clock(&ada()).await.unwrap(), Vec::new());
        (request.schema, request.check) = (Some(version), true);
        let mut check = new.answer(&ada(), &request).await.unwrap().check.unwrap();
        // A model of which nothing is left may be named or not.
        check.retain(|_, sum| sum.as_ref().is_none_or(|sum| sum.count > 0));
        check
    };
    let (sums, first) = (check(7).await, check(1).await);
    assert!(sums["todos"].is_some() && sums["tags"].is_some(), "{sums:?}");
    assert_eq!(first["tasks"], None, "{first:?}");
    let month = Duration::from_hours(30 * 24);
    // It stops at what the follower has not handled yet.
    let (mut removed, mut day) = (0, 1);
    while removed == 0 {
        time.store(T0 + day * DAY, Ordering::Relaxed);
        removed += new.compact(&ada(), month).await.unwrap().removed;
        let same = Change::update("todos", Record::new("t1").with("title", "Rice milk"));
        new.write(&ada(), [same]).await.unwrap();
        day += 40;
        assert!(day < 40_000);
    }
    running.abort();
    let names =
        place.texts("SELECT DISTINCT model FROM diffs WHERE model <> 'diffs' ORDER BY 1").await;
    assert!(names.len() > 1, "{names:?}");
    for (version, before) in of_version.into_iter().zip(views) {
        assert_eq!(all(&new, version).await, before, "version {version}");
    }
    assert_eq!(check(7).await, sums);
    assert_eq!(new.differences(&ada()).await.unwrap().differences(), 0);
}

#[tokio::test]
async fn a_log_of_older_names_is_read_everywhere_on_sqlite() {
    a_log_of_older_names_is_read_everywhere::<Sqlite>().await;
}

#[tokio::test]
async fn a_log_of_older_names_is_read_everywhere_on_postgres() {
    a_log_of_older_names_is_read_everywhere::<Postgres>().await;
}
