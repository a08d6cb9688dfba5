//! *Nobody waits*: while devices sync, no transaction of an application ends in a deadlock or waits for
//! long.
//!
//! Applications lock many rows in any order, and so do syncs. Each application has rows of its own, so
//! that no two applications can deadlock. Devices write to all rows. `DEADLOCK_TRANSACTIONS` sets the
//! number of transactions, 400 by default.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use mobync::{Access, Database, Mobync, UnitOfWork, postgres::PostgresDatabase};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};

use super::{
    device::Device,
    postgres_with,
    support::{Sent, T0, create, delete, owner, update},
};

const APPLICATIONS: usize = 8;
const DEVICES: usize = 8;
/// The rows that an application has of each owner.
const ROWS: usize = 6;
const OWNERS: [&str; 2] = ["ada", "bob"];

/// What applications have observed.
#[derive(Debug, Default)]
struct Seen {
    done: AtomicU64,
    longest: AtomicU64,
}

/// A transaction of some statements on rows of the application's own, in any order.
async fn transact(pool: &PgPool, application: usize, seen: &Seen) {
    let mut transaction = pool.begin().await.unwrap();
    for _ in 0..fastrand::usize(2..6) {
        let (whose, other) = (OWNERS[fastrand::usize(..2)], OWNERS[fastrand::usize(..2)]);
        let (id, n) = (format!("r{application}x{}", fastrand::usize(..ROWS)), fastrand::u16(..));
        let row = format!("owner = '{whose}' AND id = '{id}'");
        let sql = match fastrand::u8(..10) {
            0 => format!("DELETE FROM tasks WHERE {row}"),
            1..3 => format!(
                "INSERT INTO tasks VALUES ('{whose}', '{id}', 'made {n}') \
                 ON CONFLICT (owner, id) DO UPDATE SET name = excluded.name"
            ),
            3 => format!(
                "UPDATE tasks SET owner = '{other}' WHERE {row} AND NOT EXISTS \
                 (SELECT FROM tasks WHERE owner = '{other}' AND id = '{id}')"
            ),
            4 => format!(
                "UPDATE tasks SET name = 'all {n}' WHERE owner = '{whose}' AND id LIKE 'r{application}x%'"
            ),
            _ => format!("UPDATE tasks SET name = 'set {n}' WHERE {row}"),
        };
        let started = Instant::now();
        match sqlx::query(AssertSqlSafe(&*sql)).execute(&mut *transaction).await {
            Ok(_) => {}
            // A device has created the row in the meantime.
            Err(error)
                if error
                    .as_database_error()
                    .is_some_and(sqlx::error::DatabaseError::is_unique_violation) =>
            {
                return transaction.rollback().await.unwrap();
            }
            Err(error) => unreachable!("{sql}: {error}"),
        }
        let waited = u64::try_from(started.elapsed().as_millis()).unwrap();
        seen.longest.fetch_max(waited, Ordering::Relaxed);
        if fastrand::bool() {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(..8))).await;
        }
    }
    if fastrand::u8(..10) == 0 {
        transaction.rollback().await.unwrap();
    } else {
        transaction.commit().await.unwrap();
    }
}

/// Changes of a device to rows of several applications, each once, in any order.
fn changes(device: &Device) -> Vec<Sent> {
    let now =
        i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let mut ids: Vec<String> = (0..APPLICATIONS)
        .flat_map(|application| (0..ROWS).map(move |row| format!("r{application}x{row}")))
        .collect();
    fastrand::shuffle(&mut ids);
    ids.truncate(fastrand::usize(1..8));
    let change = |id: &String| {
        let name = json!({"name": format!("device {}", fastrand::u16(..))});
        let sent = match (device.has("tasks", id), fastrand::u8(..8)) {
            (true, 0) => delete(id),
            (true, _) => update(id, name),
            (false, _) => create(id, name),
        };
        sent.at(now - T0)
    };
    ids.iter().map(change).collect()
}

async fn use_device(mobync: &Mobync<PostgresDatabase>, number: usize, over: &AtomicBool) -> Device {
    let owner = owner(OWNERS[number % OWNERS.len()]);
    let mut device = Device::default();
    while !over.load(Ordering::Relaxed) {
        let sent = if fastrand::u8(..4) == 0 { Vec::new() } else { changes(&device) };
        device.sync(mobync, &owner, sent).await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(..20))).await;
    }
    device
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_application_sees_a_deadlock_and_all_are_equal_in_the_end() {
    let transactions =
        std::env::var("DEADLOCK_TRANSACTIONS").map_or(400, |number| number.parse().unwrap());
    let few = postgres_with(&[
        "CREATE TABLE tasks (owner text, id text, name text, PRIMARY KEY (owner, id))",
    ])
    .await;
    let many = PgPoolOptions::new().max_connections(40).acquire_timeout(Duration::from_mins(1));
    let pool = many.connect_with((*few.connect_options()).clone()).await.unwrap();
    let builder = PostgresDatabase::builder().table("tasks").capture();
    let database = builder.lock_timeout(Duration::from_mins(1)).pool(pool.clone()).await.unwrap();
    database.set_up().await.unwrap();
    let mobync = Mobync::new(database).time_limit(Duration::from_secs(90));

    let (seen, over) = (Arc::new(Seen::default()), Arc::new(AtomicBool::new(false)));
    let mut devices = tokio::task::JoinSet::new();
    for number in 0..DEVICES {
        let (mobync, over) = (mobync.clone(), Arc::clone(&over));
        devices.spawn(async move { (number, use_device(&mobync, number, &over).await) });
    }
    let mut applications = tokio::task::JoinSet::new();
    for application in 0..APPLICATIONS {
        let (few, seen) = (pool.clone(), Arc::clone(&seen));
        applications.spawn(async move {
            while seen.done.fetch_add(1, Ordering::Relaxed) < transactions {
                transact(&few, application, &seen).await;
            }
        });
    }
    while let Some(done) = applications.join_next().await {
        done.unwrap();
    }
    over.store(true, Ordering::Relaxed);
    let devices = devices.join_all().await;
    assert_eq!(devices.len(), DEVICES);
    for (number, mut device) in devices {
        let owner = owner(OWNERS[number % OWNERS.len()]);
        assert!(device.clock > 0);
        device.sync(&mobync, &owner, []).await;
        assert_eq!(device.lines(), rows(&pool, owner.as_str()).await, "device {number}");
    }
    let longest = Duration::from_millis(seen.longest.load(Ordering::Relaxed));
    println!("{transactions} transactions; the longest statement took {longest:?}");
    assert!(longest < Duration::from_secs(10), "{longest:?}");
}

/// Whether a statement of an application waits for a sync that has taken the mark of the same row.
async fn waits_for_a_sync(broken: Option<&str>) -> bool {
    let pool = postgres_with(&[
        "CREATE TABLE tasks (owner text, id text, name text, PRIMARY KEY (owner, id))",
        "INSERT INTO tasks VALUES ('ada', 't1', 'Milk')",
    ])
    .await;
    let builder = PostgresDatabase::builder().table("tasks").capture();
    let database = builder.pool(pool.clone()).await.unwrap();
    database.set_up().await.unwrap();
    if let Some(broken) = broken {
        sqlx::raw_sql(AssertSqlSafe(broken)).execute(&pool).await.unwrap();
    }
    let update = "UPDATE tasks SET name = name || '!' WHERE id = 't1'";
    sqlx::query(update).execute(&pool).await.unwrap();

    let ada = owner("ada");
    let mut sync = database.open(&ada, Access::Write).await.unwrap();
    assert_eq!(sync.take_marks(&ada, 10).await.unwrap().len(), 1);
    let mut application = pool.begin().await.unwrap();
    let patience = "SET LOCAL lock_timeout = '300ms'";
    sqlx::query(patience).execute(&mut *application).await.unwrap();
    let updated = sqlx::query(update).execute(&mut *application).await;
    if updated.is_ok() {
        application.commit().await.unwrap();
        sync.commit().await.unwrap();
        let mut next = database.open(&ada, Access::Write).await.unwrap();
        assert_eq!(next.take_marks(&ada, 10).await.unwrap().len(), 1, "it is marked again");
    }
    updated.is_err()
}

#[tokio::test]
async fn no_application_waits_for_a_mark_as_it_would_if_marks_had_a_key() {
    assert!(!waits_for_a_sync(None).await);
    let key = "CREATE UNIQUE INDEX key ON diffs_marks (owner, model, id);
        DO $$ DECLARE marking text; BEGIN
          FOR marking IN SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname LIKE 'diffs\\_capture%' LOOP
            EXECUTE replace(marking, 'BETWEEN 1 AND 1024;', 'BETWEEN 1 AND 1024 ON CONFLICT DO NOTHING;');
          END LOOP;
        END $$";
    assert!(waits_for_a_sync(Some(key)).await);
}

/// The rows as devices should hold them.
async fn rows(pool: &PgPool, owner: &str) -> Vec<String> {
    let sql = "SELECT concat('tasks ', id, ' ', json_strip_nulls(json_build_object('name', name))) \
               FROM tasks WHERE owner = $1 ORDER BY id";
    let rows: Vec<String> = sqlx::query_scalar(sql).bind(owner).fetch_all(pool).await.unwrap();
    rows.into_iter().map(|row| row.replace("{\"name\" : ", "{\"name\":")).collect()
}
