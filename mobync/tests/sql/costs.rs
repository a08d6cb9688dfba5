//! What a sync costs: round trips and rows read. They grow with the changes, not with the history.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Duration;

use mobync::{
    Access, Database, Mobync, Retention, UnitOfWork,
    postgres::PostgresDatabase,
    sql::{Dialect, SqlDatabase},
};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    diffs, postgres_with,
    support::{Sent, ada, create, delete, owner, update},
};

pub(super) const TASKS: &str =
    "CREATE TABLE tasks (id text, owner text, name text, done boolean, PRIMARY KEY (owner, id))";

/// Counts how often the client waits for a response of the server. Everything that it sends before it
/// receives something is one round trip.
async fn counting_proxy(server: String) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let trips = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&trips);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            let counter = Arc::clone(&counter);
            tokio::spawn(forward(client, server, counter));
        }
    });
    (port, trips)
}

/// The address of a database through such a proxy, and the number of round trips.
pub(super) async fn through_a_counting_proxy(direct: &PgPool) -> (String, Arc<AtomicUsize>) {
    let options = direct.connect_options();
    let server = format!("{}:{}", options.get_host(), options.get_port());
    let (port, trips) = counting_proxy(server).await;
    let database = options.get_database().unwrap();
    (format!("postgres://postgres@127.0.0.1:{port}/{database}?sslmode=disable"), trips)
}

async fn forward(mut client: TcpStream, mut server: TcpStream, trips: Arc<AtomicUsize>) {
    let (mut up, mut down) = (vec![0; 65536], vec![0; 65536]);
    let mut answered = true;
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(read @ 1..) = read else { return };
                if std::mem::replace(&mut answered, false) {
                    trips.fetch_add(1, Ordering::SeqCst);
                }
                server.write_all(&up[..read]).await.unwrap();
            }
            read = server.read(&mut down) => {
                let Ok(read @ 1..) = read else { return };
                answered = true;
                if client.write_all(&down[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}

pub(super) fn creates(prefix: &str) -> Vec<Sent> {
    (0..10)
        .map(|n| create(&format!("{prefix}{n}"), json!({"name": "Milk", "done": false})))
        .collect()
}

/// 100,000 entries and rows of other owners, and as many of Ada's.
async fn fill(pool: &PgPool) {
    for statement in [
        "INSERT INTO diffs SELECT 'e' || n, 'owner' || n % 100, n / 100, n, 'create', 'tasks', \
         json_build_object('id', 't' || n, 'name', 'Milk')::text FROM generate_series(0, 99999) AS n",
        "INSERT INTO tasks SELECT 't' || n, 'owner' || n % 100, 'Milk', false \
         FROM generate_series(0, 99999) AS n",
        "INSERT INTO diffs SELECT 'e' || n, 'ada', n, n, 'create', 'tasks', \
         json_build_object('id', 't' || n, 'name', 'Milk')::text FROM generate_series(0, 99999) AS n",
        "INSERT INTO tasks SELECT 't' || n, 'ada', 'Milk', false FROM generate_series(0, 99999) AS n",
        "INSERT INTO diffs_owners SELECT 'owner' || n FROM generate_series(0, 199999) AS n",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
}

/// A database with this content, after reading its catalogue.
pub(super) async fn filled() -> PgPool {
    let pool = postgres_with(&[TASKS]).await;
    let database = PostgresDatabase::builder().table("tasks").pool(pool.clone()).await.unwrap();
    database.set_up().await.unwrap();
    fill(&pool).await;
    sqlx::query("ANALYZE").execute(&pool).await.unwrap();
    pool
}

#[tokio::test]
async fn a_sync_takes_few_round_trips_however_long_the_history() {
    let direct = filled().await;
    let (url, trips) = through_a_counting_proxy(&direct).await;
    let database =
        PostgresDatabase::builder().table("tasks").max_connections(1).connect(&url).await.unwrap();
    let mobync = Mobync::new(database);
    let announcing =
        PostgresDatabase::builder().table("tasks").max_connections(1).announce_clocks();
    let announcing = Mobync::new(announcing.connect(&url).await.unwrap());
    let counted_on = async |mobync: &Mobync<_>, clock: i64, sent: Vec<Sent>, name: &str| {
        // A pool pings a connection that is returned.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = trips.load(Ordering::SeqCst);
        let answer = mobync.apply(&owner(name), clock, diffs(sent)).await.unwrap();
        (answer, trips.load(Ordering::SeqCst) - before)
    };
    let counted = async |clock: i64, sent: Vec<Sent>, name: &str| {
        counted_on(&mobync, clock, sent, name).await
    };

    // The first sync on a connection prepares its statements.
    counted(0, creates("warm"), "warm").await;
    counted(1, creates("warmer"), "warm").await;
    counted(2, Vec::new(), "warm").await;
    counted(0, Vec::new(), "warm").await;

    let (pushed, trips_of_push) = counted(0, creates("t"), "new").await;
    assert_eq!((pushed.logical_clock, pushed.refused.len()), (1, 0));
    assert!(trips_of_push <= 5, "a push of 10 creates takes {trips_of_push} round trips");

    let (idle, trips_of_idle) = counted(1, Vec::new(), "new").await;
    assert_eq!((idle.logical_clock, trips_of_idle), (1, 1));

    let (pulled, trips_of_pull) = counted(0, Vec::new(), "new").await;
    assert_eq!((pulled.diffs.len(), trips_of_pull), (10, 1));

    let (pushed, trips_of_push) = counted(100_000, creates("more"), "ada").await;
    assert_eq!(pushed.logical_clock, 100_001);
    assert!(trips_of_push <= 5, "with 100,000 entries of its own: {trips_of_push}");

    counted_on(&announcing, 2, creates("warm again"), "warm").await;
    let (pushed, trips_of_announced) = counted_on(&announcing, 1, creates("a"), "new").await;
    assert_eq!(pushed.logical_clock, 2);
    assert!(trips_of_announced <= 5, "a push that announces takes {trips_of_announced}");
    println!(
        "round trips: push of 10 creates {trips_of_push}, idle {trips_of_idle}, pull {trips_of_pull}"
    );
}

#[tokio::test]
async fn refusals_take_few_round_trips_however_many_there_are() {
    let table = "CREATE TABLE tasks (id text, owner text, n integer CHECK (n < 10), d date, \
                 PRIMARY KEY (owner, id))";
    let direct = postgres_with(&[table]).await;
    let (url, trips) = through_a_counting_proxy(&direct).await;
    let database = PostgresDatabase::builder().table("tasks").max_connections(1).connect(&url);
    let database = database.await.unwrap();
    database.set_up().await.unwrap();
    let mobync = Mobync::new(database);

    let bad = [json!({"n": 10}), json!({"d": "never"}), json!({"n": "x"})];
    for every in [1, 2, 7, 999] {
        for fields in &bad {
            let name = format!("{every}-{fields}");
            let sent = (0..1_000).map(|n| {
                let is_bad = n % every == every - 1;
                let good =
                    json!({fields.as_object().unwrap().keys().next().unwrap().clone(): null});
                create(&format!("t{n}"), if is_bad { fields.clone() } else { good })
            });
            tokio::time::sleep(Duration::from_millis(50)).await;
            let before = trips.load(Ordering::SeqCst);
            let answer = mobync.apply(&owner(&name), 0, diffs(sent)).await.unwrap();
            let counted = trips.load(Ordering::SeqCst) - before;
            assert_eq!(answer.refused.len(), 1_000 / every, "{name}");
            assert!(counted <= 24, "{name}: {counted} round trips");
        }
    }
}

#[tokio::test]
async fn changes_that_cannot_go_together_are_tried_without_a_block_for_each() {
    let table = |name: &str| {
        format!(
            "CREATE TABLE {name} (id text, owner text, a text CHECK (a <> 'bad'), PRIMARY KEY (owner, id)); \
             CREATE TRIGGER heard AFTER INSERT ON {name} FOR EACH ROW EXECUTE FUNCTION heard()"
        )
    };
    let pool = postgres_with(&["CREATE TABLE blocks (id text)"]).await;
    let heard = "CREATE FUNCTION heard() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN \
                 IF current_query() LIKE 'DO %' THEN INSERT INTO blocks VALUES (NEW.id); END IF; \
                 RETURN NULL; END$$";
    for statements in [heard, &table("tasks"), &table("lists")] {
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&pool).await.unwrap();
    }
    let database = PostgresDatabase::builder().table("tasks").table("lists").pool(pool.clone());
    let mobync = Mobync::new(database.await.unwrap());
    mobync.database().set_up().await.unwrap();

    let sent = (0..200).map(|n| {
        let a = if n % 50 == 7 { "bad" } else { "x" };
        create(&format!("t{n}"), json!({"a": a})).model(["tasks", "lists"][n % 2])
    });
    let answer = mobync.apply(&ada(), 0, diffs(sent)).await.unwrap();
    assert_eq!(answer.refused.len(), 4);
    let count = async |sql: &'static str| -> i64 {
        sqlx::query_scalar(sql).fetch_one(&pool).await.unwrap()
    };
    let rows = count("SELECT (SELECT count(*) FROM tasks) + (SELECT count(*) FROM lists)").await;
    assert_eq!((rows, count("SELECT count(*) FROM blocks").await), (196, 0));
}

#[tokio::test]
async fn many_updates_of_one_object_take_few_round_trips() {
    let direct = postgres_with(&[TASKS]).await;
    let (url, trips) = through_a_counting_proxy(&direct).await;
    let database = PostgresDatabase::builder().table("tasks").max_connections(1).connect(&url);
    let mobync = Mobync::new(database.await.unwrap());
    mobync.database().set_up().await.unwrap();

    let mut sent = vec![create("t0", json!({"name": "Milk"})), create("t1", json!({}))];
    sent.extend((0..1_500).map(|n| update(&format!("t{}", n % 2), json!({"name": n.to_string()}))));
    let before = trips.load(Ordering::SeqCst);
    let answer = mobync.apply(&ada(), 0, diffs(sent)).await.unwrap();
    let counted = trips.load(Ordering::SeqCst) - before;
    // Some of them prepare statements.
    assert!(counted <= 20, "{counted} round trips");
    assert_eq!((answer.refused.len(), answer.diffs.len()), (0, 0));
    let names = "SELECT string_agg(name, ' ' ORDER BY id) FROM tasks";
    let names: String = sqlx::query_scalar(names).fetch_one(&direct).await.unwrap();
    assert_eq!(names, "1498 1499");
    let logged = "SELECT count(*) FROM diffs WHERE json_data LIKE '%name%'";
    let logged: i64 = sqlx::query_scalar(logged).fetch_one(&direct).await.unwrap();
    assert_eq!(logged, 1_501, "each leaves its entry");
}

#[tokio::test]
async fn nothing_to_push_takes_no_lock_and_writes_nothing() {
    let pool = postgres_with(&[TASKS]).await;
    let database = PostgresDatabase::builder().table("tasks").pool(pool.clone()).await.unwrap();
    database.set_up().await.unwrap();
    let mobync = Mobync::new(database);
    mobync.apply(&ada(), 0, diffs(creates("t"))).await.unwrap();

    // Another process writes for Ada, and takes a long time.
    let mut other = pool.begin().await.unwrap();
    for statement in
        ["LOCK TABLE diffs_owners IN EXCLUSIVE MODE", "LOCK TABLE diffs IN EXCLUSIVE MODE"]
    {
        sqlx::query(statement).execute(&mut *other).await.unwrap();
    }
    let answer = mobync.apply(&ada(), 0, Vec::new()).await.unwrap();
    assert_eq!((answer.logical_clock, answer.diffs.len()), (1, 10));
}

/// Requests that use every statement of a sync.
async fn all_kinds_of_syncs(mobync: &Mobync<PostgresDatabase>) {
    let clock = 100_000;
    let mut sent = creates("new");
    sent.extend([
        update("t7", json!({"name": "Bread"})),
        update("t8", json!({"name": "Bread"})),
        delete("t9"),
        create("t11", json!({"name": null})), // meets
        update("first", json!({"name": "x"})),
        create("first", json!({"name": "y"})), // a first create
    ]);
    let first = mobync.apply(&ada(), clock, diffs(sent.clone())).await.unwrap();
    assert!(first.refused.is_empty());
    mobync.apply(&ada(), clock, diffs(sent)).await.unwrap(); // a retry
    mobync.apply(&ada(), clock - 100, Vec::new()).await.unwrap();
    mobync.apply(&ada(), clock + 1, Vec::new()).await.unwrap();
}

/// Counters of the tables' statistics. Connections report them when they end, so all are closed first.
pub(super) async fn counts(pool: &PgPool, sql: &'static str) -> (i64, i64) {
    pool.close().await;
    let mut control = PgConnection::connect_with(&pool.connect_options()).await.unwrap();
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()";
    while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut control).await.unwrap() > 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sqlx::query_as(sql).fetch_one(&mut control).await.unwrap()
}

/// The number of sequential scans of sync's tables, and of the rows read by them.
const SCANS: &str = "SELECT sum(seq_scan)::bigint, sum(seq_tup_read)::bigint FROM pg_stat_user_tables \
                     WHERE relname IN ('tasks', 'diffs', 'diffs_owners')";
/// The number of scans of their indexes, and of the entries read by them.
pub(super) const LOOKS: &str = "SELECT sum(idx_scan)::bigint, sum(idx_tup_read)::bigint FROM pg_stat_user_indexes \
                     WHERE relname IN ('tasks', 'diffs', 'diffs_owners')";

/// Syncs on one connection, often enough that prepared statements get their generic plan.
async fn sync_often(filled: &PgPool) -> PgPool {
    let options = (*filled.connect_options()).clone();
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1).connect_with(options);
    let pool = pool.await.unwrap();
    let database = PostgresDatabase::builder().table("tasks").pool(pool.clone()).await.unwrap();
    let mobync = Mobync::new(database);
    all_kinds_of_syncs(&mobync).await;
    for clock in 100_001..100_012 {
        let sent = [
            create(&format!("again{clock}"), json!({"name": "x"})),
            update("t7", json!({"name": format!("{clock}")})),
            delete(&format!("again{}", clock - 1)),
        ];
        mobync.apply(&ada(), clock, diffs(sent)).await.unwrap();
    }
    pool
}

#[tokio::test]
async fn no_statement_of_a_sync_reads_a_whole_table() {
    let filling = filled().await;
    let before = counts(&filling, SCANS).await;
    assert!(before.0 > 0, "it counts");

    let pool = sync_often(&filling).await;
    let after = counts(&pool, SCANS).await;
    assert_eq!(after, before, "sequential scans, and the rows that they read");
}

#[tokio::test]
async fn no_statement_of_a_sync_reads_all_rows_of_an_owner_right_after_a_bulk_load() {
    // An index with the first columns of the key, which must not be used in its place.
    let index = "CREATE INDEX tasks_owner_name ON tasks (owner, name)";
    for analyzed in [false, true] {
        let filling = postgres_with(&[TASKS, index]).await;
        let builder = PostgresDatabase::builder().table("tasks");
        builder.pool(filling.clone()).await.unwrap().set_up().await.unwrap();
        let few = [
            "ALTER TABLE diffs SET (autovacuum_enabled = false)",
            "ALTER TABLE tasks SET (autovacuum_enabled = false)",
            "INSERT INTO diffs SELECT 'f' || n, 'few' || n % 100, n / 100, n, 'create', 'tasks', '{}' \
             FROM generate_series(0, 999) AS n",
            "INSERT INTO tasks SELECT 't' || n, 'few' || n % 100, 'Milk', false \
             FROM generate_series(0, 999) AS n",
            "ANALYZE",
        ];
        for statement in few.iter().filter(|sql| analyzed || sql.starts_with("ALTER")) {
            sqlx::query(*statement).execute(&filling).await.unwrap();
        }
        fill(&filling).await;
        let before = counts(&filling, LOOKS).await;

        let pool = sync_often(&filling).await;
        let after = counts(&pool, LOOKS).await;
        assert!(after.0 > before.0, "it counts");
        let read = after.1 - before.1;
        assert!(read < 10_000, "read {read} entries of indexes; statistics: {analyzed}");
    }
}

/// Lets a retention go through all owners once.
pub(super) async fn retain_each_owner<D: Dialect>(
    mobync: &Mobync<SqlDatabase<D>>,
    log: &'static str,
) {
    let retention = Retention::new(Duration::from_hours(1_000)).owners_an_hour(u32::MAX);
    let keeper = mobync.clone();
    let keeping = tokio::spawn(async move { keeper.retain(retention).await });
    for tries in 0.. {
        assert!(tries < 1_000, "some owner has no milestone");
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut without = 0;
        for owner in mobync.database().logged_owners(None, 1_000).await.unwrap().unwrap() {
            let mut unit = mobync.database().open(&owner, Access::Read).await.unwrap();
            without += usize::from(unit.own_entries(&owner, log).await.unwrap().is_empty());
        }
        if without == 0 {
            break;
        }
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    keeping.abort();
}

#[tokio::test]
async fn owners_are_listed_by_a_probe_for_each_however_many_entries_they_have() {
    let filling = filled().await;
    let before = [counts(&filling, SCANS).await, counts(&filling, LOOKS).await];
    let options = (*filling.connect_options()).clone();
    let pool = sqlx::postgres::PgPoolOptions::new().connect_with(options).await.unwrap();
    let database = PostgresDatabase::builder().table("tasks").pool(pool.clone()).await.unwrap();
    let mut owners = Vec::new();
    loop {
        let some = database.logged_owners(owners.last(), 7).await.unwrap().unwrap();
        assert!(some.len() <= 7);
        if some.is_empty() {
            break;
        }
        owners.extend(some);
    }
    // 100 owners have 1,000 entries each, and one has 100,000.
    let mut sorted = owners.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!((owners.len(), sorted), (101, owners));
    assert_eq!(database.logged_owners(None, 1_000).await.unwrap().unwrap().len(), 101);
    let after = [counts(&pool, SCANS).await, counts(&pool, LOOKS).await];
    assert_eq!(after[0], before[0], "sequential scans");
    let read = after[1].1 - before[1].1;
    assert!((202..=400).contains(&read), "read {read} entries of indexes");
}

#[tokio::test]
async fn a_compaction_without_followers_leaves_no_error_in_the_servers_log() {
    let cluster = super::support::postgres::Cluster::start();
    let pool = PgPool::connect(&cluster.new_database().await).await.unwrap();
    sqlx::query(TASKS).execute(&pool).await.unwrap();
    let database = PostgresDatabase::builder().table("tasks").pool(pool.clone()).await.unwrap();
    database.set_up().await.unwrap();
    let mobync = Mobync::new(database);
    mobync.apply(&ada(), 0, diffs(creates("t"))).await.unwrap();
    let errors = async || -> i64 {
        let log = "SELECT count(*) FROM regexp_matches(pg_read_file(current_setting('data_directory') \
                   || '/../log'), 'ERROR', 'g')";
        sqlx::query_scalar(log).fetch_one(&pool).await.unwrap()
    };
    let before = errors().await;
    for _ in 0..3 {
        // The first one writes a milestone.
        mobync.compact(&ada(), Duration::from_hours(1)).await.unwrap();
        mobync.unfollow("nobody").await.unwrap();
    }
    assert_eq!(errors().await, before);
    assert!(sqlx::query("SELECT * FROM nowhere").execute(&pool).await.is_err());
    assert_eq!(errors().await, before + 1, "it counts");
}
