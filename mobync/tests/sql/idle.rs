//! Which devices of several owners have missed nothing, told by one statement: exactly those that have, and at
//! a cost that does not grow with the history.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use http::Request;
use http_body_util::Full;
use mobync::{
    Access, Database, Diff, IdleQuery, Mobync, Owner, SyncRequest, SyncResponse, UnitOfWork,
    WindowQuery,
    http::{AuthError, Credentials, Endpoint},
    memory::MemoryDatabase,
    postgres::PostgresDatabase,
    sqlite::SqliteDatabase,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};

use super::{
    costs::{LOOKS, TASKS, counts, filled, through_a_counting_proxy},
    diffs, postgres_with, sqlite_with,
    support::{Plain, T0, create, delete, owner, update},
};

/// Their names are alike, and difficult to quote.
const OWNERS: [&str; 6] = ["ada", "Ada", "ada ", "a\"'\\d[a]{}", "åda\u{1f}", "7"];
const CAPTURED: &str =
    "CREATE TABLE tasks (owner text, id text, name text, PRIMARY KEY (owner, id))";
/// A log of the application's own, in which not every owner and not every head has room.
const NARROW: &str = "CREATE TABLE diffs (id varchar(60), owner varchar(5), logical_clock bigint NOT NULL, \
                      utc_timestamp bigint NOT NULL, type varchar(9), model varchar(9), json_data text, \
                      PRIMARY KEY (owner, id))";

/// Others than syncs, who change rows by plain SQL.
enum Others {
    Nobody,
    Sqlite(sqlx::SqlitePool),
    Postgres(PgPool),
}

impl Others {
    async fn change(&self, rng: &mut Rng, owner: &str) {
        let (id, name) = (format!("t{}", rng.u8(..4)), format!("{}", rng.u8(..3)));
        let sql = match rng.u8(..3) {
            0 => "DELETE FROM tasks WHERE owner = $1 AND id = $2 AND name <> $3",
            1 => "UPDATE tasks SET name = $3 WHERE owner = $1 AND id = $2",
            _ => "INSERT INTO tasks (owner, id, name) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        };
        match self {
            Self::Nobody => {}
            Self::Sqlite(pool) => {
                let query = sqlx::query(sql).bind(owner.to_owned()).bind(id).bind(name);
                query.execute(pool).await.unwrap();
            }
            Self::Postgres(pool) => {
                let query = sqlx::query(sql).bind(owner.to_owned()).bind(id).bind(name);
                query.execute(pool).await.unwrap();
            }
        }
    }
}

/// How many devices of each kind there were.
#[derive(Debug, Default)]
struct Seen {
    idle: usize,
    idle_with_head: usize,
    idle_at_0: usize,
    behind: usize,
    ahead: usize,
    other_history: usize,
    marked: usize,
    below_a_horizon: usize,
}

/// Owners whose logs grow and are compacted, and whose rows others change.
struct World<D> {
    rng: Rng,
    mobync: Mobync<D>,
    time: Arc<AtomicI64>,
    others: Others,
    seen: Seen,
}

impl<D: Database> World<D> {
    fn new(database: D, others: Others, seed: u64) -> Self {
        let time = Arc::new(AtomicI64::new(T0));
        let now = Arc::clone(&time);
        let mobync = Mobync::new(database).time(move || now.load(Ordering::Relaxed));
        Self { rng: Rng::with_seed(seed), mobync, time, others, seen: Seen::default() }
    }

    fn an_owner(&mut self) -> Owner {
        owner(OWNERS[self.rng.usize(..OWNERS.len())])
    }

    async fn step(&mut self) {
        let (one, id) = (self.an_owner(), format!("t{}", self.rng.u8(..4)));
        self.time.fetch_add(self.rng.i64(0..40), Ordering::Relaxed);
        match self.rng.u8(..10) {
            0 | 1 => {
                let compacted = self.mobync.compact(&one, Duration::from_millis(30)).await;
                assert!(compacted.is_ok() || one.as_str().len() > 5, "{compacted:?}");
            }
            2 | 3 => self.others.change(&mut self.rng, one.as_str()).await,
            _ => {
                let name = json!({"name": self.rng.u8(..3).to_string()});
                let sent = match self.rng.u8(..4) {
                    0 => vec![delete(&id)],
                    1 => vec![update(&id, name)],
                    2 => vec![create(&id, name.clone()), update(&id, name).at(1)],
                    _ => vec![create(&id, name)],
                };
                // A narrow log has no room for some owners.
                let pushed = self.mobync.apply(&one, 0, diffs(sent)).await;
                assert!(pushed.is_ok() || one.as_str().len() > 5, "{pushed:?}");
            }
        }
    }

    /// The log in any order, if it can have the owner, and whether others have changed rows since.
    async fn look(&self, owner: &Owner) -> (Option<Vec<Diff>>, bool) {
        let mut unit = self.mobync.database().open(owner, Access::Read).await.unwrap();
        let window = unit.window(owner, WindowQuery::since("diffs", 0)).await;
        let marked = unit.captures() && unit.is_marked(owner).await.unwrap();
        (window.ok().map(|window| window.entries), marked)
    }

    fn a_device(&mut self, log: &[Diff], clock: i64) -> (i64, Option<String>) {
        let since = match self.rng.u8(..8) {
            0 => 0,
            1 => self.rng.i64(0..=clock),
            2 => clock + 1,
            3 => i64::MAX,
            _ => clock,
        };
        let entries: Vec<&Diff> =
            log.iter().filter(|entry| entry.logical_clock == since - 1).collect();
        let head = match self.rng.u8(..8) {
            0 => self.rng.choice(log).map(|entry| entry.id.clone()),
            1 => Some("none' OR ''='".to_owned()),
            2 => Some("x".repeat(70)),
            3 | 4 => None,
            _ => self.rng.choice(entries).map(|entry| entry.id.clone()),
        };
        (since, head)
    }

    /// Asks about devices of all owners at once, and compares with what the log says, and with the answers.
    async fn ask(&mut self) {
        let mut devices = Vec::new();
        for _ in 0..self.rng.usize(1..20) {
            let owner = self.an_owner();
            let (log, marked) = self.look(&owner).await;
            let has_room = log.is_some();
            let log = log.unwrap_or_default();
            let clock = log.iter().map(|entry| entry.logical_clock + 1).max().unwrap_or(0);
            let (since, head) = self.a_device(&log, clock);
            let knows = head.as_ref().is_none_or(|head| {
                log.iter().any(|entry| entry.id == *head && entry.logical_clock == since - 1)
            });
            let is_idle = has_room && since == clock && !marked && (since == 0 || knows);
            let count = |it: bool| usize::from(it);
            let seen = &mut self.seen;
            seen.idle += count(is_idle);
            seen.idle_with_head += count(is_idle && since > 0 && head.is_some());
            seen.idle_at_0 += count(is_idle && since == 0);
            seen.behind += count(since < clock);
            seen.ahead += count(since > clock);
            seen.other_history += count(since == clock && since > 0 && !knows);
            seen.marked += count(since == clock && marked);
            let horizon = log.iter().find(|entry| entry.json_data.contains("horizon"));
            seen.below_a_horizon += count(horizon.is_some_and(|it| since <= it.logical_clock));
            let may_catch_up = marked && since > clock;
            devices.push(Device { owner, since, head, is_idle, may_catch_up });
        }
        let queries: Vec<IdleQuery<'_>> = devices
            .iter()
            .map(|it| IdleQuery::new(&it.owner, it.since, it.head.as_deref()))
            .collect();
        let told = self.mobync.database().idle("diffs", &queries).await.unwrap();
        let expected: Vec<bool> = devices.iter().map(|device| device.is_idle).collect();
        assert_eq!(told, expected, "{devices:?}");
        // What the others are answered is in the log afterwards, also what had marks.
        let names: Vec<&str> = devices.iter().map(|device| device.owner.as_str()).collect();
        let together = several(&self.mobync, &names, devices.iter().map(Device::request)).await;
        assert_eq!(together.len(), devices.len());
        for (place, (device, together)) in devices.iter().zip(together).enumerate() {
            let alone = several(&self.mobync, &names[place..=place], [device.request()]).await;
            assert!(device.may_catch_up || alone[0] == together, "{device:?} {together} {alone:?}");
            if device.is_idle {
                let mut idle = json!(SyncResponse::new(device.since, Vec::new()));
                idle["status"] = json!(200);
                assert_eq!(together, idle, "{device:?}");
            }
        }
    }
}

/// A device that sends no diffs.
#[derive(Debug)]
struct Device {
    owner: Owner,
    since: i64,
    head: Option<String>,
    is_idle: bool,
    /// Its clock is ahead, until somebody drains the owner's marks.
    may_catch_up: bool,
}

impl Device {
    fn request(&self) -> Value {
        let mut request = SyncRequest::new(self.since, Vec::new());
        request.head.clone_from(&self.head);
        json!(request)
    }
}

/// The answers to the requests of a person for spaces of these owners.
pub(super) async fn several<D: Database>(
    mobync: &Mobync<D>,
    owners: &[&str],
    requests: impl IntoIterator<Item = Value>,
) -> Vec<Value> {
    let members = requests.into_iter().enumerate().map(|(place, mut request)| {
        request["space"] = json!(place.to_string());
        request
    });
    let body = json!({"syncs": members.collect::<Vec<_>>()}).to_string();
    let request = Request::post("/sync").header("content-type", "application/json");
    let request = request.header("authorization", "Bearer me").body(Full::<Bytes>::from(body));
    let owners: Vec<Owner> = owners.iter().map(|name| owner(name)).collect();
    let endpoint = Endpoint::new(mobync.clone(), move |credentials: Credentials| {
        let space =
            credentials.space().map(|place| owners[place.parse::<usize>().unwrap()].clone());
        std::future::ready(Ok::<_, AuthError>(space.unwrap_or_else(|| owner("me"))))
    });
    let answer = endpoint.handle(request.unwrap()).await;
    let answer: Value = serde_json::from_slice(answer.body()).unwrap();
    answer["syncs"].as_array().unwrap().clone()
}

async fn exactly_those_that_have_missed_nothing<D: Database>(
    database: D,
    others: Others,
    seed: u64,
) {
    let captures = !matches!(others, Others::Nobody);
    let mut world = World::new(database, others, seed);
    world.ask().await;
    for _ in 0..60 {
        for _ in 0..world.rng.usize(..4) {
            world.step().await;
        }
        world.ask().await;
    }
    let Seen {
        idle,
        idle_with_head,
        idle_at_0,
        behind,
        ahead,
        other_history,
        marked,
        below_a_horizon,
    } = world.seen;
    assert!(idle > 100 && idle_with_head > 30 && idle_at_0 > 3, "{:?}", world.seen);
    assert!(behind.min(ahead).min(other_history) > 30 && below_a_horizon > 5, "{:?}", world.seen);
    assert!(!captures || marked > 2, "{:?}", world.seen);
}

#[tokio::test]
async fn memory_tells_exactly_those_that_have_missed_nothing() {
    for seed in 0..10 {
        exactly_those_that_have_missed_nothing(MemoryDatabase::new(), Others::Nobody, seed).await;
    }
}

#[tokio::test]
async fn sqlite_tells_exactly_those_that_have_missed_nothing() {
    for (seed, statements) in [&[CAPTURED][..], &[CAPTURED, NARROW]].into_iter().enumerate() {
        let (pool, _folder) = sqlite_with(statements).await;
        let builder = SqliteDatabase::builder().table("tasks").capture();
        let database = builder.pool(pool.clone()).await.unwrap();
        database.set_up().await.unwrap();
        exactly_those_that_have_missed_nothing(database, Others::Sqlite(pool), seed as u64).await;
    }
}

#[tokio::test]
async fn postgresql_tells_exactly_those_that_have_missed_nothing() {
    for (seed, statements) in [&[CAPTURED][..], &[CAPTURED, NARROW]].into_iter().enumerate() {
        let pool = postgres_with(statements).await;
        let builder = PostgresDatabase::builder().table("tasks").capture();
        let database = builder.pool(pool.clone()).await.unwrap();
        database.set_up().await.unwrap();
        exactly_those_that_have_missed_nothing(database, Others::Postgres(pool), seed as u64).await;
    }
}

#[tokio::test]
async fn the_log_of_another_name_is_an_error_and_seven_methods_cannot_tell() {
    let ada = owner("ada");
    let queries = [IdleQuery::new(&ada, 0, None)];
    let (pool, _folder) = sqlite_with(&[CAPTURED]).await;
    let database = SqliteDatabase::builder().table("tasks").pool(pool).await.unwrap();
    database.set_up().await.unwrap();
    assert!(database.idle("changes", &queries).await.is_err());
    assert_eq!(database.idle("diffs", &queries).await.unwrap(), [true]);
    assert!(database.idle("diffs", &[]).await.unwrap().is_empty());
    assert!(Plain::default().idle("diffs", &queries).await.unwrap().is_empty());
}

#[tokio::test]
async fn thirty_idle_spaces_take_one_round_trip_and_one_probe_each_however_long_the_history() {
    let owners: Vec<String> = (70..100).map(|n| format!("owner{n}")).collect();
    let owners: Vec<&str> = owners.iter().map(|owner| &**owner).collect();
    // Each at the end of its log, every third with a head.
    let requests = || {
        (99_970..100_000).map(|head| match head % 3 {
            0 => json!({"logical_clock": 1_000, "diffs": [], "head": format!("e{head}")}),
            _ => json!({"logical_clock": 1_000, "diffs": []}),
        })
    };
    let filling = filled().await;
    let (url, trips) = through_a_counting_proxy(&filling).await;
    let before = counts(&filling, LOOKS).await;
    let pool = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
    let pool = pool.connect(&url).await.unwrap();
    let database = PostgresDatabase::builder().table("tasks").pool(pool.clone()).await.unwrap();
    let mobync = Mobync::new(database);
    let rounds = 12;
    for round in 0..rounds {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let before = trips.load(Ordering::SeqCst);
        let answers = several(&mobync, &owners, requests()).await;
        assert!(answers.iter().all(|answer| answer["logical_clock"] == 1_000), "{answers:?}");
        let counted = trips.load(Ordering::SeqCst) - before;
        // The first one prepares the statement.
        assert!(counted <= if round == 0 { 2 } else { 1 }, "{counted} round trips");
    }
    drop(mobync);
    let after = counts(&pool, LOOKS).await;
    // The last entry is the head.
    assert_eq!(after.1 - before.1, 30 * rounds, "entries of indexes");
}

#[tokio::test]
async fn no_plan_for_idle_owners_reads_more_than_indexes() {
    let direct = postgres_with(&[TASKS]).await;
    let options = (*direct.connect_options()).clone();
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let builder = PostgresDatabase::builder().table("tasks").capture();
    let database = builder.pool(pool.clone()).await.unwrap();
    database.set_up().await.unwrap();
    let ada = owner("ada");
    // An empty table is read by no index.
    let marks = "INSERT INTO diffs_marks SELECT 'bob', 'tasks', 't' || n, n FROM generate_series(1, 3000) AS n";
    sqlx::query(marks).execute(&direct).await.unwrap();
    for maintenance in ["SELECT 1", "FILL", "ANALYZE", "VACUUM ANALYZE"] {
        let fill = "INSERT INTO diffs SELECT 'e' || n, o, n, n, 'create', 'tasks', '{}' \
                    FROM generate_series(0, 9999) AS n, unnest(ARRAY['ada', 'bob']) AS o";
        let maintenance = if maintenance == "FILL" { fill } else { maintenance };
        sqlx::query(maintenance).execute(&direct).await.unwrap();
        database.idle("diffs", &[IdleQuery::new(&ada, 10_000, Some("e9999"))]).await.unwrap();
        let mut connection = pool.acquire().await.unwrap();
        let name =
            "SELECT name FROM pg_prepared_statements WHERE statement LIKE 'SELECT CAST(d.place%'";
        let name: String = sqlx::query_scalar(name).fetch_one(&mut *connection).await.unwrap();
        for mode in ["force_generic_plan", "force_custom_plan"] {
            let set = format!("SET plan_cache_mode = {mode}");
            sqlx::query(AssertSqlSafe(set)).execute(&mut *connection).await.unwrap();
            let explain = format!(
                "EXPLAIN (COSTS OFF) EXECUTE \"{name}\" ('{{ada,bob}}', '{{10000,10000}}', '{{e9999,e7}}')"
            );
            let plan = sqlx::query_scalar(AssertSqlSafe(explain)).fetch_all(&mut *connection);
            let plan: Vec<String> = plan.await.unwrap();
            let reads = |what: &str| plan.iter().filter(|line| line.contains(what)).count();
            let text = plan.join("\n");
            assert_eq!(reads("Scan Backward using diffs_owner_logical_clock"), 1, "{text}");
            assert_eq!(reads("Scan using diffs_pkey"), 1, "{text}");
            assert_eq!(reads("using diffs_marks"), 1, "{maintenance}, {mode}: {text}");
            assert_eq!(reads("Seq Scan") + reads("Bitmap") + reads("Sort"), 0, "{text}");
        }
        sqlx::query("RESET plan_cache_mode").execute(&mut *connection).await.unwrap();
    }
}
