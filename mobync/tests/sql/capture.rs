//! Changes of captured rows by plain SQL reach every device, on PostgreSQL: *Truth*, *Nobody waits*,
//! *Once*, *Quiet*.

use std::{
    collections::BTreeMap,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use mobync::{
    Access, Database, Diff, Mobync, Owner, Refusal, Rules, UnitOfWork, View,
    postgres::PostgresDatabase, sql::Table,
};
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, PgPool};

use super::{
    costs::through_a_counting_proxy,
    device::Device,
    postgres_with,
    support::{Sent, ada, create, delete, diffs, owner, update},
};

const MODELS: [&str; 3] = ["lists", "tasks", "counts"];

/// Lists whose tasks are deleted with them, and the number of tasks of each list, kept by a trigger.
const TABLES: &[&str] = &[
    "CREATE TABLE lists (owner text, id text, name text, PRIMARY KEY (owner, id))",
    "CREATE TABLE tasks (owner text, id text, list text, name text, done boolean DEFAULT false, \
     PRIMARY KEY (owner, id), \
     FOREIGN KEY (owner, list) REFERENCES lists ON DELETE CASCADE ON UPDATE CASCADE)",
    "CREATE TABLE counts (owner text, id text, n int, PRIMARY KEY (owner, id))",
    "CREATE FUNCTION count_tasks() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
     IF TG_OP <> 'DELETE' THEN INSERT INTO counts SELECT NEW.owner, NEW.list, count(*) FROM tasks \
     WHERE owner = NEW.owner AND list = NEW.list HAVING NEW.list IS NOT NULL \
     ON CONFLICT (owner, id) DO UPDATE SET n = excluded.n; END IF; \
     IF TG_OP <> 'INSERT' THEN UPDATE counts SET n = (SELECT count(*) FROM tasks \
     WHERE owner = OLD.owner AND list = OLD.list) WHERE owner = OLD.owner AND id = OLD.list; END IF; \
     RETURN NULL; END $$",
    "CREATE TRIGGER count_tasks AFTER INSERT OR UPDATE OR DELETE ON tasks \
     FOR EACH ROW EXECUTE FUNCTION count_tasks()",
];

async fn on(pool: &PgPool) -> Mobync<PostgresDatabase> {
    let mut builder = PostgresDatabase::builder().capture();
    for model in MODELS {
        builder = builder.table(model);
    }
    let database = builder.pool(pool.clone()).await.unwrap();
    database.set_up().await.unwrap();
    Mobync::new(database)
}

async fn server() -> (PgPool, Mobync<PostgresDatabase>) {
    let pool = postgres_with(TABLES).await;
    let mobync = on(&pool).await;
    (pool, mobync)
}

async fn run(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await.unwrap();
}

/// The rows as devices should hold them, without null and false, which are the columns' defaults.
async fn rows(pool: &PgPool, owner: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for model in MODELS {
        let sql = format!("SELECT CAST(to_json(r) AS text) FROM {model} AS r WHERE owner = $1");
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(sql)).bind(owner).fetch_all(pool).await.unwrap();
        for row in rows {
            let mut row: Map<String, Value> = serde_json::from_str(&row).unwrap();
            row.remove("owner");
            let id = row.remove("id").unwrap();
            row.retain(|_, value| !value.is_null() && *value != json!(false));
            let fields: BTreeMap<_, _> = row.iter().collect();
            lines.push(format!("{model} {} {}", id.as_str().unwrap(), json!(fields)));
        }
    }
    lines.sort_by_key(|line| {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        (words.next(), words.next())
    });
    lines
}

async fn all_are_equal(
    pool: &PgPool,
    mobync: &Mobync<PostgresDatabase>,
    owner: &Owner,
    device: &mut Device,
    what: &str,
) {
    device.is_equal(mobync, owner, async || rows(pool, owner.as_str()).await, what).await;
}

#[tokio::test]
async fn what_sql_does_reaches_devices() {
    let (pool, mobync) = server().await;
    let (ada, bob) = (ada(), owner("bob"));
    let (mut hers, mut his) = (Device::default(), Device::default());
    for sql in [
        "INSERT INTO lists VALUES ('ada', 'l1', 'Home'), ('ada', 'l2', 'Work'), ('bob', 'l1', 'His')",
        "INSERT INTO tasks (owner, id, list, name) VALUES ('ada', 't1', 'l1', 'Milk'), ('ada', 't2', 'l2', 'Call'), \
         ('ada', 't3', 'l2', 'Write'), ('bob', 't1', 'l1', 'Run')",
        "UPDATE tasks SET done = true WHERE name <> 'Call'",
        "UPDATE tasks SET name = upper(name)",
        "BEGIN; UPDATE tasks SET name = 'never'; ROLLBACK",
        "BEGIN; DELETE FROM tasks; SAVEPOINT s; ROLLBACK TO s; ROLLBACK",
        "UPDATE lists SET id = 'l9' WHERE id = 'l2'",
        "UPDATE tasks SET list = 'l9' WHERE owner = 'ada' AND id = 't1'",
        // To another owner, and back.
        "UPDATE tasks SET owner = 'bob', id = 't7', list = 'l1' WHERE owner = 'ada' AND id = 't3'",
        "UPDATE tasks SET owner = 'ada', list = NULL WHERE owner = 'bob' AND id = 't7'",
        "INSERT INTO tasks (owner, id, name) VALUES ('ada', 't7', 'x') ON CONFLICT (owner, id) DO UPDATE SET name = 'met'",
        "DELETE FROM lists WHERE owner = 'ada' AND id = 'l9'",
        "TRUNCATE lists CASCADE",
        "INSERT INTO lists VALUES ('ada', 'l1', 'Again'); DELETE FROM lists; INSERT INTO lists VALUES ('ada', 'l1', 'Anew')",
    ] {
        run(&pool, sql).await;
        all_are_equal(&pool, &mobync, &ada, &mut hers, sql).await;
        all_are_equal(&pool, &mobync, &bob, &mut his, sql).await;
    }
    let left: i64 =
        sqlx::query_scalar("SELECT count(*) FROM diffs_marks").fetch_one(&pool).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn what_a_sync_sets_off_is_in_its_own_answer() {
    let (pool, mobync) = server().await;
    let ada = ada();
    let (mut one, mut other) = (Device::default(), Device::default());
    let sent = [
        create("l1", json!({"name": "Home"})).model("lists"),
        create("t1", json!({"list": "l1", "name": "Milk"})).at(1),
        create("t2", json!({"list": "l1", "name": "Bread"})).at(1),
    ];
    assert_eq!(one.sync(&mobync, &ada, sent).await, ["counts create l1 {\"n\":2}"]);
    all_are_equal(&pool, &mobync, &ada, &mut one, "creates").await;
    other.sync(&mobync, &ada, []).await;

    let back = one.sync(&mobync, &ada, [delete("t2").at(2)]).await;
    assert_eq!(back, ["counts update l1 {\"n\":1}"]);
    all_are_equal(&pool, &mobync, &ada, &mut one, "a trigger").await;
    let clock = one.clock;
    let back = one.sync(&mobync, &ada, [delete("l1").model("lists").at(3)]).await;
    assert_eq!(back, ["counts update l1 {\"n\":0}", "tasks delete t1"]);
    assert_eq!(one.clock, clock + 1, "one tick");
    all_are_equal(&pool, &mobync, &ada, &mut one, "a cascade").await;
    all_are_equal(&pool, &mobync, &ada, &mut other, "the other").await;
}

#[tokio::test]
async fn a_sync_gives_way_to_an_application_that_holds_the_row() {
    let (pool, mobync) = server().await;
    let ada = ada();
    let mut device = Device::default();
    run(&pool, "INSERT INTO lists VALUES ('ada', 'l1', 'Home'), ('ada', 'l2', 'Work')").await;
    device.sync(&mobync, &ada, []).await;

    let mut app = pool.begin().await.unwrap();
    sqlx::query("UPDATE lists SET name = 'App' WHERE id = 'l1'").execute(&mut *app).await.unwrap();
    let syncing = mobync.clone();
    let owner = ada.clone();
    let mut of_device = device.clone();
    let sync = tokio::spawn(async move {
        let sent = [
            update("l2", json!({"name": "Device"})).model("lists").at(1),
            update("l1", json!({"name": "Device"})).model("lists").at(1),
        ];
        of_device.sync(&syncing, &owner, sent).await;
        of_device
    });
    // The sync has locked the second row, and needs the first. Now the application needs the second.
    let mut longest = Duration::ZERO;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(70)).await;
        let started = Instant::now();
        let done =
            sqlx::query("UPDATE lists SET name = name WHERE id = 'l2'").execute(&mut *app).await;
        done.unwrap();
        longest = longest.max(started.elapsed());
    }
    assert!(longest < Duration::from_millis(900), "{longest:?}");
    assert!(!sync.is_finished());
    app.commit().await.unwrap();
    let mut device = sync.await.unwrap();
    // The application's time is the server's, so it is later.
    assert_eq!(device.lines(), ["lists l1 {\"name\":\"App\"}", "lists l2 {\"name\":\"Device\"}"]);
    all_are_equal(&pool, &mobync, &ada, &mut device, "both").await;

    // If that transaction never ends, the sync ends.
    let impatient = PostgresDatabase::builder().table("lists").capture();
    let impatient =
        impatient.lock_timeout(Duration::from_millis(700)).pool(pool.clone()).await.unwrap();
    let impatient = Mobync::new(impatient);
    let mut app = pool.begin().await.unwrap();
    sqlx::query("DELETE FROM lists WHERE id = 'l1'").execute(&mut *app).await.unwrap();
    let sent = diffs([update("l1", json!({"name": "x"})).model("lists").at(9)]);
    let started = Instant::now();
    let error = impatient.apply(&ada, device.clock, sent).await.unwrap_err();
    assert_eq!(error.code(), "busy", "{error}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    app.commit().await.unwrap();
    all_are_equal(&pool, &mobync, &ada, &mut device, "after it").await;
}

#[tokio::test]
async fn marks_of_what_is_not_there_any_more_block_nobody() {
    let (pool, mobync) = server().await;
    let ada = ada();
    let mut device = Device::default();
    run(&pool, "INSERT INTO lists VALUES ('ada', 'l1', 'Home'); INSERT INTO counts VALUES ('ada', 'c1', 1); \
         INSERT INTO tasks (owner, id) VALUES ('ada', 't1')").await;
    // A row that was deleted, one of an unknown model, a dropped table, one without a column.
    for sql in [
        "DELETE FROM lists",
        "INSERT INTO lists VALUES ('ada', 'l2', 'Work')",
        "INSERT INTO diffs_marks VALUES ('ada', 'unknown', 'x', 1, '1'), ('ada', 'diffs', 'x', 1, '1')",
        "DROP TABLE tasks CASCADE",
        "ALTER TABLE counts RENAME n TO m",
    ] {
        run(&pool, sql).await;
    }
    assert_eq!(device.sync(&mobync, &ada, []).await, ["lists create l2 {\"name\":\"Work\"}"]);
    let sent = [update("l2", json!({"name": "x"})).model("lists").at(1)];
    assert_eq!(device.sync(&mobync, &ada, sent).await, Vec::<String>::new());
    let left = "SELECT array_agg(DISTINCT model ORDER BY model) FROM diffs_marks";
    let left: Vec<String> = sqlx::query_scalar(left).fetch_one(&pool).await.unwrap();
    assert_eq!(left, ["counts", "tasks"], "they wait for the next start");

    // After it, they are gone. The new table has its own triggers.
    run(&pool, "ALTER TABLE counts RENAME m TO n").await;
    run(&pool, TABLES[1]).await;
    let mobync = on(&pool).await;
    assert_eq!(device.sync(&mobync, &ada, []).await, ["counts create c1 {\"n\":1}"]);
    run(&pool, "INSERT INTO tasks (owner, id) VALUES ('ada', 't2')").await;
    all_are_equal(&pool, &mobync, &ada, &mut device, "the new table").await;
}

#[tokio::test]
async fn capture_costs_an_idle_sync_no_round_trip() {
    let direct = postgres_with(&TABLES[..1]).await;
    let (url, trips) = through_a_counting_proxy(&direct).await;
    let mut counted = Vec::new();
    for captures in [false, true] {
        let table = Table::new("lists");
        let table = if captures { table.capture() } else { table };
        let builder = PostgresDatabase::builder().table(table);
        let database = builder.max_connections(1).connect(&url).await.unwrap();
        database.set_up().await.unwrap();
        let mobync = Mobync::new(database);
        let owner = owner(if captures { "captured" } else { "plain" });
        let mut device = Device::default();
        let mut of = [0; 3];
        for round in 0..8 {
            let id = format!("l{round}");
            let push = [create(&id, json!({"name": "x"})).model("lists")];
            for (place, sent) in [push.to_vec(), vec![], vec![]].into_iter().enumerate() {
                // A pool pings a connection that is returned.
                tokio::time::sleep(Duration::from_millis(100)).await;
                let before = trips.load(Ordering::SeqCst);
                let mut new = Device::default();
                let of_whom = if place == 2 { &mut new } else { &mut device };
                of_whom.sync(&mobync, &owner, sent).await;
                of[place] = trips.load(Ordering::SeqCst) - before;
            }
        }
        counted.push(of);
    }
    let [off, on] = [counted[0], counted[1]];
    assert_eq!((off[1], on[1]), (1, 1), "{off:?} {on:?}");
    // Nothing can be set off. A new device needs one more query, after which the pool pings the
    // connection.
    assert_eq!((on[0], on[2]), (off[0], off[2] + 2), "{off:?} {on:?}");
}

#[tokio::test]
async fn policies_and_triggers_read_the_settings_of_a_syncs_session() {
    let role = format!("synced_{}", std::process::id());
    let pool = postgres_with(&[
        "CREATE TABLE tasks (owner text, id text, name text, PRIMARY KEY (owner, id))",
        "CREATE TABLE audit (who text, what text)",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN \
         INSERT INTO audit VALUES (current_setting('app.user_id'), NEW.id); RETURN NEW; END $$",
        "CREATE TRIGGER note BEFORE INSERT ON tasks FOR EACH ROW EXECUTE FUNCTION note()",
        "ALTER TABLE tasks ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY own ON tasks USING (owner = current_setting('app.user_id'))",
    ])
    .await;
    let builder = || {
        let settings = |owner: &Owner| vec![("app.user_id".to_owned(), owner.as_str().to_owned())];
        PostgresDatabase::builder().table("tasks").capture().session(settings)
    };
    builder().pool(pool.clone()).await.unwrap().set_up().await.unwrap();
    run(
        &pool,
        &format!(
            "DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN; \
         GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"
        ),
    )
    .await;
    let options = (*pool.connect_options()).clone().username(&role);
    let theirs = sqlx::PgPool::connect_with(options).await.unwrap();
    let mobync = Mobync::new(builder().pool(theirs.clone()).await.unwrap());

    let strange = owner("o'hara \\ \"$1\" 🎉");
    for who in [&ada(), &strange] {
        let mut device = Device::default();
        device.sync(&mobync, who, [create("t1", json!({"name": "x"}))]).await;
        run(&pool, "UPDATE tasks SET name = 'by SQL'").await;
        assert_eq!(device.sync(&mobync, who, []).await, ["tasks update t1 {\"name\":\"by SQL\"}"]);
        let audit = "SELECT count(*) FROM audit WHERE who = $1";
        let audit: i64 =
            sqlx::query_scalar(audit).bind(who.as_str()).fetch_one(&pool).await.unwrap();
        assert_eq!(audit, 1);
        // Reads outside of a sync see them, too.
        let mut unit = mobync.database().open(who, Access::Read).await.unwrap();
        assert_eq!(unit.read(who, "tasks", &[]).await.unwrap().len(), 1);
    }
    // They end with the transaction.
    let left = "SELECT coalesce(current_setting('app.user_id', true), '')";
    for _ in 0..5 {
        let left: String = sqlx::query_scalar(left).fetch_one(&theirs).await.unwrap();
        assert_eq!(left, "");
    }
    theirs.close().await;
    run(&pool, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn a_watcher_wakes_listeners_at_once_where_clocks_are_announced() {
    let pool = postgres_with(TABLES).await;
    let mut builder = PostgresDatabase::builder().capture().announce_clocks();
    for model in MODELS {
        builder = builder.table(model);
    }
    let database = builder.pool(pool.clone()).await.unwrap();
    database.set_up().await.unwrap();
    let mobync = Mobync::new(database).watch_every(Duration::from_hours(1));
    let watching = mobync.clone();
    let watcher = tokio::spawn(async move { watching.watch().await });
    let watched = async |sql: &str, clock: i64| {
        run(&pool, sql).await;
        let drained = async {
            while mobync.clock(&ada()).await.unwrap() < clock {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), drained)
            .await
            .unwrap_or_else(|_| panic!("{sql}"));
    };
    watched("INSERT INTO lists VALUES ('ada', 'l1', 'Home')", 1).await;
    watched("UPDATE lists SET name = 'Work'", 2).await;
    // Its connection is lost.
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE query LIKE 'LISTEN%' AND datname = current_database()";
    watched(end, 2).await;
    watched("UPDATE lists SET name = 'Again'", 3).await;
    watcher.abort();
}

/// A write by others in the middle of a sync, once: after the drain, before the sync's own writes.
struct Meanwhile(PgPool, std::sync::Mutex<Option<&'static str>>);

impl Rules for Meanwhile {
    async fn create(&self, _: &Owner, _: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        self.happen().await
    }

    async fn update(&self, _: &Owner, _: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        self.happen().await
    }

    async fn delete(&self, _: &Owner, _: &Diff, _: &mut View<'_>) -> Result<(), Refusal> {
        self.happen().await
    }
}

impl Meanwhile {
    async fn happen(&self) -> Result<(), Refusal> {
        let sql = self.1.lock().unwrap().take();
        if let Some(sql) = sql {
            run(&self.0, sql).await;
        }
        Ok(())
    }
}

#[tokio::test]
async fn what_others_commit_between_the_drain_and_the_writes_is_met() {
    // Only lists, whose writes need no look at their effects; and all tables, which need one.
    for loud in [false, true] {
        let cases: [(&str, Sent, &str); 5] = [
            ("UPDATE lists SET name = 'App'", update("l1", json!({"name": "Device"})), "App"),
            ("DELETE FROM lists", update("l1", json!({"name": "Device"})), ""),
            ("UPDATE lists SET name = 'App'", delete("l1"), ""),
            (
                "DELETE FROM lists; INSERT INTO lists VALUES ('ada', 'l1', 'Anew')",
                update("l1", json!({"name": "x"})),
                "Anew",
            ),
            (
                "INSERT INTO lists VALUES ('ada', 'l2', 'App')",
                create("l2", json!({"name": "Device"})),
                "App",
            ),
        ];
        for (sql, sent, name) in cases {
            let pool = postgres_with(if loud { TABLES } else { &TABLES[..1] }).await;
            let mut builder = PostgresDatabase::builder().capture();
            for model in if loud { &MODELS[..] } else { &MODELS[..1] } {
                builder = builder.table(*model);
            }
            let database = builder.pool(pool.clone()).await.unwrap();
            database.set_up().await.unwrap();
            let meanwhile = Meanwhile(pool.clone(), Some(sql).into());
            let mobync = Mobync::new(database);
            let mut device = Device::default();
            run(&pool, "INSERT INTO lists VALUES ('ada', 'l1', 'Home')").await;
            device.sync(&mobync, &ada(), []).await;
            let clock = device.clock;
            let with_rules = mobync.clone().rules(meanwhile);
            let id = sent.0.json_data.clone();
            // A device's time is before the time of the application's next change.
            let sent = diffs([sent.model("lists").at(1)]);
            device.apply(&sent);
            let answer = with_rules.apply(&ada(), device.clock, sent).await.unwrap();
            assert!(answer.refused.is_empty(), "{sql}: {:?}", answer.refused);
            assert_eq!(answer.logical_clock, clock + 2, "{sql}: what others did comes first");
            device.clock = answer.logical_clock;
            device.apply(&answer.diffs);
            let id = if id.contains("l2") { "l2" } else { "l1" };
            let row = "SELECT coalesce(max(name), '') FROM lists WHERE id = $1";
            let row: String = sqlx::query_scalar(row).bind(id).fetch_one(&pool).await.unwrap();
            assert_eq!(row, name, "{sql}, loud: {loud}");
            let sql =
                "SELECT concat('lists ', id, ' {\"name\":\"', name, '\"}') FROM lists ORDER BY id";
            let rows: Vec<String> = sqlx::query_scalar(sql).fetch_all(&pool).await.unwrap();
            device.sync(&mobync, &ada(), []).await;
            assert_eq!(device.lines(), rows, "{sql}");
        }
    }
}

#[tokio::test]
async fn a_trigger_that_is_made_later_is_noticed_the_first_time_it_runs() {
    let pool = postgres_with(&[TABLES[0], TABLES[2]]).await;
    let builder = PostgresDatabase::builder().table("lists").table("counts").capture();
    let database = builder.pool(pool.clone()).await.unwrap();
    database.set_up().await.unwrap();
    let mobync = Mobync::new(database);
    let mut device = Device::default();
    device.sync(&mobync, &ada(), [create("l1", json!({"name": "x"})).model("lists")]).await;
    run(
        &pool,
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         INSERT INTO counts VALUES (NEW.owner, NEW.id, 7); RETURN NULL; END $$; \
         CREATE TRIGGER note AFTER INSERT ON lists FOR EACH ROW EXECUTE FUNCTION note()",
    )
    .await;
    for id in ["l2", "l3"] {
        let back = device.sync(&mobync, &ada(), [create(id, json!({})).model("lists")]).await;
        assert_eq!(back, [format!("counts create {id} {{\"n\":7}}")]);
    }
}
