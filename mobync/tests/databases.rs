//! What every database promises: owners apart (*Isolation*), one sync of an owner after another, all or
//! nothing (*Nothing lost*), rules that see what is done, writes by the backend.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{sync::Arc, time::Duration};

use mobync::{
    Access, Change, Database, Diff, Error, Operation, Owner, ReadFilter, Record, Refusal, Rules,
    Snapshot, UnitOfWork, View, WindowQuery, postgres::PostgresDatabase, sqlite::SqliteDatabase,
};
use serde_json::json;
use support::{
    Server, ada, create,
    databases::{self, on_every_database},
    delete, diffs, lines, make, owner, update,
};
use tokio::{sync::Notify, task::JoinSet, time::timeout};

on_every_database! {
    super::Server::new;
    owners_do_not_see_each_other_even_with_equal_ids
    concurrent_syncs_of_one_owner_lose_nothing_and_share_no_tick
    one_request_that_is_delivered_many_times_at_once_counts_once
    a_unit_of_work_that_is_dropped_leaves_nothing_behind
    a_unit_of_work_sees_what_it_wrote
    a_rule_sees_the_owners_rows_with_the_requests_earlier_diffs_done
    a_sync_that_is_cancelled_leaves_nothing_behind_and_blocks_nobody
    the_backend_writes_for_an_owner_and_all_devices_receive_it
    a_thousand_diffs_of_every_kind_go_through_at_once
    what_append_writes_is_what_the_log_gives_back
}

async fn owners_do_not_see_each_other_even_with_equal_ids(server: Server<impl Database>) {
    let bob = owner("bob");
    let made = |a: &str| diffs([create("t1", json!({"a": a})).id("d1")]);
    server.mobync.apply(&ada(), 0, made("ada's")).await.unwrap();
    let bobs = server.mobync.apply(&bob, 0, made("bob's")).await.unwrap();
    assert_eq!((bobs.logical_clock, bobs.diffs.len()), (1, 0));
    let changed = diffs([update("t1", json!({"a": "changed"})).at(1).id("d2")]);
    server.mobync.apply(&bob, 1, changed).await.unwrap();
    server.mobync.apply(&bob, 2, diffs([delete("t1").at(5).id("d3")])).await.unwrap();
    assert_eq!(server.rows().await, [r#"t1 {"a":"ada's"}"#]);
    assert!(server.back(1, []).await.is_empty());
    assert_eq!(server.log().await.len(), 1);
}

async fn concurrent_syncs_of_one_owner_lose_nothing_and_share_no_tick(
    server: Server<impl Database>,
) {
    let server = Arc::new(server);
    let mut devices = JoinSet::new();
    for device in 0..6 {
        let server = Arc::clone(&server);
        devices.spawn(async move {
            let (mut clock, mut ticks) = (0, Vec::new());
            for round in 0..10 {
                let sent = create(&format!("t{device}-{round}"), json!({}));
                clock = server.sync(clock, [sent]).await.logical_clock;
                ticks.push(clock - 1);
            }
            ticks
        });
    }
    let mut ticks: Vec<i64> = devices.join_all().await.concat();
    ticks.sort_unstable();
    assert_eq!(ticks, (0..60).collect::<Vec<_>>(), "each sync has a tick of its own");
    assert_eq!(server.back(0, []).await.len(), 60);
}

async fn one_request_that_is_delivered_many_times_at_once_counts_once(
    server: Server<impl Database>,
) {
    let server = Arc::new(server);
    let sent = [create("t1", json!({"a": "x"})), update("t1", json!({"a": "y"})).at(1)];
    let mut deliveries = JoinSet::new();
    for _ in 0..10 {
        let (server, sent) = (Arc::clone(&server), sent.clone());
        deliveries.spawn(async move { server.sync(0, sent).await.logical_clock });
    }
    assert_eq!(deliveries.join_all().await, [1; 10]);
    assert_eq!(server.log().await.len(), 2);
}

async fn a_unit_of_work_that_is_dropped_leaves_nothing_behind(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 1}))]).await;
    let mut unit = server.mobync.database().open(&ada(), Access::Write).await.unwrap();
    let done = async {
        make(&mut unit, Change::create("tasks", Record::new("t2").with("a", 2))).await?;
        make(&mut unit, Change::update("tasks", Record::new("t1").with("a", 2))).await?;
        make(&mut unit, Change::delete("tasks", "t1")).await
    };
    done.await.unwrap();
    drop(unit);
    assert_eq!(server.rows().await, [r#"t1 {"a":1}"#]);
    server.sync(1, [update("t1", json!({"a": 3})).at(1)]).await;
}

async fn a_unit_of_work_sees_what_it_wrote(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 1})), create("t2", json!({"a": 2}))]).await;
    let mut unit = server.mobync.database().open(&ada(), Access::Write).await.unwrap();
    let read = async {
        make(&mut unit, Change::create("tasks", Record::new("t3").with("a", 3))).await?;
        make(&mut unit, Change::update("tasks", Record::new("t1").with("a", 9))).await?;
        make(&mut unit, Change::delete("tasks", "t2")).await?;
        let some = [ReadFilter::any_of("id", ["t1", "t2", "t3"])];
        unit.read(&ada(), "tasks", &some).await
    };
    let mut read = read.await.unwrap();
    read.sort_by(|left, right| left.id().cmp(right.id()));
    let read: Vec<_> =
        read.iter().map(|record| (record.id(), record.get("a").cloned().unwrap())).collect();
    assert_eq!(read, [("t1", json!(9)), ("t3", json!(3))]);
}

async fn what_append_writes_is_what_the_log_gives_back(server: Server<impl Database>) {
    let long = "l".repeat(1024);
    let names =
        ["x", "\"", "\\", "\u{1}", "\u{7f}", "é", "😀", "';--", "{}", "\u{2028}", " ", &long];
    let values = [
        "null",
        "-0.0",
        "1e308",
        "0.30000000000000004",
        "9223372036854775807",
        r#""a\u0000b""#,
        r#"{"x":[true,{"id":1}]}"#,
        r#"  "blanks"  "#,
    ];
    let mut log: Vec<Diff> = Vec::new();
    for (tick, operation) in
        [Operation::Create, Operation::Update, Operation::Delete].into_iter().enumerate()
    {
        for (place, name) in names.iter().enumerate() {
            let object = json!(name).to_string();
            let field = json!(format!("field {name}")).to_string();
            let json_data = match operation {
                Operation::Delete => format!("{{\"id\":{object}}}"),
                _ => format!("{{\"id\":{object},{field}:{}}}", values[place % values.len()]),
            };
            log.push(Diff {
                id: format!("{tick}{}", name.trim_end_matches("ll")),
                owner: "ada".to_owned(),
                logical_clock: i64::try_from(tick).unwrap(),
                utc_timestamp: [0, i64::MAX, 1_700_000_000_000][place % 3],
                operation,
                model: (*name).to_owned(),
                json_data,
            });
        }
    }
    log.sort_by(|left, right| left.order().cmp(&right.order()));

    let mut unit = server.mobync.database().open(&ada(), Access::Write).await.unwrap();
    for part in log.chunks(5) {
        unit.append(&ada(), "diffs", part.to_vec()).await.unwrap();
    }
    unit.commit().await.unwrap();
    assert_eq!(server.log().await, log);

    let mut unit = server.mobync.database().open(&ada(), Access::Read).await.unwrap();
    let (known, clock) = (&*log.last().unwrap().id, 3);
    let query = WindowQuery { ids: &[known], ..WindowQuery::since("diffs", clock) };
    let window = unit.window(&ada(), query).await.unwrap();
    assert_eq!((window.clock, window.start, window.entries.len()), (clock, 2, names.len()));
    let snapshot = unit.snapshot(&ada(), "diffs", Snapshot::default()).await.unwrap();
    assert_eq!(snapshot.finish(&ada()).unwrap(), Some((clock, Vec::new())), "all are deleted");
}

/// Tasks are for members.
#[derive(Debug)]
struct MembersOnly;

impl Rules for MembersOnly {
    async fn create(&self, _: &Owner, diff: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        if diff.model == "tasks" && view.find("members", "m1").await?.is_none() {
            return Err(Refusal::because("Join first."));
        }
        Ok(())
    }
}

async fn a_rule_sees_the_owners_rows_with_the_requests_earlier_diffs_done(
    server: Server<impl Database>,
) {
    let bobs = diffs([create("m1", json!({})).model("members")]);
    server.mobync.apply(&owner("bob"), 0, bobs).await.unwrap();
    let server = Server { mobync: server.mobync.rules(MembersOnly) };
    let sent = [
        create("t0", json!({})).id("early"),
        create("m1", json!({})).model("members"),
        create("t1", json!({"a": 1})),
        delete("m1").model("members").at(9),
        create("t2", json!({})).id("late"),
    ];
    let answer = server.sync(0, sent).await;
    let refused: Vec<_> = answer.refused.iter().map(|refused| &*refused.diff_id).collect();
    assert_eq!(refused, ["early", "late"]);
    assert_eq!(server.rows().await, [r#"t1 {"a":1}"#]);
}

/// Writes what is pending, and then waits for ever.
#[derive(Debug)]
struct Waits(Arc<Notify>);

impl Rules for Waits {
    async fn delete(&self, _: &Owner, _: &Diff, view: &mut View<'_>) -> Result<(), Refusal> {
        view.read("tasks", &[]).await?;
        self.0.notify_one();
        std::future::pending().await
    }
}

async fn a_sync_that_is_cancelled_leaves_nothing_behind_and_blocks_nobody(
    server: Server<impl Database>,
) {
    let reached = Arc::new(Notify::new());
    let waiting = server.mobync.clone().rules(Waits(Arc::clone(&reached)));
    let sync = tokio::spawn(async move {
        let sent = diffs([create("t1", json!({"a": 1})), delete("t1").at(1)]);
        waiting.apply(&ada(), 0, sent).await
    });
    reached.notified().await;
    sync.abort();
    assert!(sync.await.unwrap_err().is_cancelled());
    assert_eq!(server.sync(0, [create("t2", json!({"a": 2}))]).await.logical_clock, 1);
    assert_eq!(server.rows().await, [r#"t2 {"a":2}"#]);
}

async fn the_backend_writes_for_an_owner_and_all_devices_receive_it(server: Server<impl Database>) {
    server.sync(0, [create("t1", json!({"a": 1})).at(9_999_999)]).await;
    let changes = [
        Change::create("tasks", Record::new("t2").with("a", 2)),
        Change::update("tasks", Record::new("t1").with("a", 3)),
        Change::update("tasks", Record::new("t1").with("b", 4)),
        Change::delete("tasks", "t9"),
    ];
    let answer = server.mobync.write(&ada(), changes).await.unwrap();
    assert_eq!((answer.logical_clock, answer.diffs.len()), (2, 0));
    assert_eq!(answer.message, "1 of 4 changes had no effect, because their object is not there.");
    let mut back = server.back(1, []).await;
    back.sort();
    assert_eq!(back, [r#"create t2 {"a":2}"#, r#"update t1 {"a":3,"b":4}"#]);
    let ids: Vec<_> = server.log().await.into_iter().map(|entry| entry.id).skip(1).collect();
    let versions = ids.iter().map(|id| uuid::Uuid::parse_str(id).unwrap().get_version_num());
    assert!(versions.eq([7; 4]));
}

async fn a_thousand_diffs_of_every_kind_go_through_at_once(server: Server<impl Database>) {
    let made = (0..400).map(|n| create(&format!("t{n:03}"), json!({"a": n, "b": "x"})));
    server.sync(0, made).await;
    let changed = (0..400).flat_map(|n| {
        let id = format!("t{n:03}");
        match n % 4 {
            0 => vec![delete(&id)],
            1 => vec![update(&id, json!({"a": -n})), update(&id, json!({"b": null})).at(1)],
            2 => vec![
                update(&id, json!({"b": "y"})),
                delete(&id).at(1),
                create(&id, json!({"a": 1})).at(2),
            ],
            _ => vec![create(&format!("new{n}"), json!({"a": n}))],
        }
    });
    let answer = server.sync(1, changed).await;
    assert!(answer.refused.is_empty() && answer.diffs.is_empty(), "{answer:?}");
    let rows = server.rows().await;
    assert_eq!(rows.len(), 400);
    for row in [r#"t001 {"a":-1}"#, r#"t002 {"a":1}"#, r#"t003 {"a":3,"b":"x"}"#, r#"new3 {"a":3}"#]
    {
        assert!(rows.iter().any(|one| one == row), "{row}");
    }
    let mut device = support::Device::default();
    device.apply(&server.sync(0, []).await.diffs);
    let mut of_device = device.rows();
    of_device.sort();
    assert_eq!(of_device, rows);
}

/// Holds Ada's turn until it is dropped.
async fn hold<D: Database>(server: &Server<D>) -> tokio::task::JoinHandle<()> {
    let reached = Arc::new(Notify::new());
    let waiting = server.mobync.clone().rules(Waits(Arc::clone(&reached)));
    let held = tokio::spawn(async move {
        let _ = waiting.apply(&ada(), 0, diffs([delete("t1")])).await;
    });
    reached.notified().await;
    held
}

#[tokio::test]
async fn owners_do_not_wait_for_each_other() {
    async fn try_it(server: Server<impl Database>) {
        let held = hold(&server).await;
        let sent = diffs([create("t1", json!({}))]);
        let bob = owner("bob");
        let sync = server.mobync.apply(&bob, 0, sent);
        assert_eq!(timeout(Duration::from_mins(1), sync).await.unwrap().unwrap().logical_clock, 1);
        let idle = server.mobync.apply(&bob, 0, Vec::new());
        assert_eq!(timeout(Duration::from_mins(1), idle).await.unwrap().unwrap().diffs.len(), 1);
        held.abort();
    }
    try_it(Server::new(databases::memory().await.0)).await;
    try_it(Server::new(databases::seven_methods().await.0)).await;
    try_it(Server::new(databases::postgres().await.0)).await;
}

#[tokio::test]
async fn who_waits_too_long_for_its_turn_is_answered_busy() {
    async fn try_it(server: Server<impl Database>) {
        let held = hold(&server).await;
        let error = server.try_sync(0, [create("t1", json!({}))]).await.unwrap_err();
        assert!(matches!(error, Error::Busy { .. }), "{error:?}");
        held.abort();
        let _ = held.await;
        assert_eq!(server.sync(0, [create("t1", json!({}))]).await.logical_clock, 1);
    }
    let (made, folder) = databases::sqlite().await;
    let options = (*made.pool().connect_options()).clone();
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let patience = Duration::from_millis(200);
    let builder = SqliteDatabase::builder().table("tasks").busy_timeout(patience);
    try_it(Server::new(builder.pool(pool).await.unwrap())).await;
    drop(folder);

    let (made, _) = databases::postgres().await;
    let builder = PostgresDatabase::builder().table("tasks").lock_timeout(patience);
    try_it(Server::new(builder.pool(made.pool().clone()).await.unwrap())).await;
}

#[tokio::test]
async fn a_pool_without_a_free_connection_is_answered_busy() {
    let (made, _) = databases::postgres().await;
    let options = (*made.pool().connect_options()).clone();
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_millis(200))
        .connect_with(options)
        .await
        .unwrap();
    let database = PostgresDatabase::builder().table("tasks").pool(pool.clone()).await.unwrap();
    let server = Server::new(database);
    let taken = pool.acquire().await.unwrap();
    for sent in [vec![], vec![create("t1", json!({}))]] {
        let error = server.try_sync(0, sent).await.unwrap_err();
        assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    }
    drop(taken);
    assert_eq!(server.sync(0, [create("t1", json!({}))]).await.logical_clock, 1);
}

#[tokio::test]
async fn a_deadlock_or_a_failure_to_serialise_is_repeated_a_few_times() {
    let (database, _) = databases::postgres().await;
    for statement in [
        "CREATE SEQUENCE attempts",
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN \
         IF NEW.id = 'never' OR nextval('attempts') < 4 THEN \
         RAISE EXCEPTION 'collided' USING ERRCODE = CASE NEW.id WHEN 't1' THEN '40001' ELSE '40P01' END; \
         END IF; RETURN NEW; END$$",
        "CREATE TRIGGER fail BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION fail()",
    ] {
        sqlx::query(statement).execute(database.pool()).await.unwrap();
    }
    let server = Server::new(database);
    assert_eq!(server.sync(0, [create("t1", json!({"a": 1}))]).await.logical_clock, 1);
    assert_eq!(server.rows().await, [r#"t1 {"a":1}"#]);
    let error = server.try_sync(1, [create("never", json!({}))]).await.unwrap_err();
    assert!(matches!(error, Error::Busy { .. }), "{error:?}");
    assert_eq!(lines(&server.log().await), [r#"create t1 {"a":1}"#]);
}
