//! The table of cursors.

use mobync::{postgres::PostgresDatabase, sql::Dialect, sql::SqlDatabase, sqlite::SqliteDatabase};
use sqlx::PgPool;

use super::*;
use support::{ada, postgres::new_database};

/// Characters that are difficult in SQL.
const LOG: &str = "The \"log\" of Ada's";
const NAME: &str = "it's \"the\" mailer \\ $1 ü";
const TASKS: &str = "CREATE TABLE tasks (owner text NOT NULL, id text NOT NULL, a jsonb, \
                     PRIMARY KEY (owner, id))";

async fn postgres() -> (SqlDatabase<mobync::postgres::Postgres>, PgPool) {
    let pool = PgPool::connect(&new_database().await).await.unwrap();
    sqlx::query(TASKS).execute(&pool).await.unwrap();
    let builder = PostgresDatabase::builder().table("tasks").diffs_table(LOG);
    let database = builder.pool(pool.clone()).await.unwrap();
    database.set_up().await.unwrap();
    (database, pool)
}

/// A follower receives entries, is killed, and continues.
async fn follows<D: Dialect>(mobync: &Mobync<SqlDatabase<D>>) {
    for (owner, round) in [("ada", 1), ("it's \"$1\"", 2), ("ada", 3)] {
        let heard = Heard::default();
        // A process that was killed before the cursor was written keeps the owner for a lease.
        let follower = mobync.follow(NAME, heard.handler()).batch(round).lease(LEASE);
        let process = Process::running(follower.sweep_each(SOON)).await;
        let ids = sync(mobync, &support::owner(owner), round).await;
        until(|| heard.ids(&support::owner(owner)).ends_with(&ids)).await;
        process.kill().await;
    }
}

#[tokio::test]
async fn the_first_follower_makes_the_table_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("test.sqlite").display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(TASKS.replace("jsonb", "JSON"))).execute(&pool).await.unwrap();
    let builder = SqliteDatabase::builder().table("tasks").diffs_table(LOG);
    let database = builder.connect(&url).await.unwrap();
    database.set_up().await.unwrap();
    let mobync = Mobync::new(database);
    let tables = || async {
        let sql = "SELECT count(*) FROM sqlite_master WHERE name LIKE '%followers'";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool).await.unwrap()
    };
    sync(&mobync, &ada(), 1).await;
    assert_eq!(tables().await, 0, "what is not used costs nothing");
    follows(&mobync).await;
    assert_eq!(tables().await, 1);
}

#[tokio::test]
async fn the_first_follower_makes_the_table_on_postgres() {
    let (database, pool) = postgres().await;
    let mobync = Mobync::new(database);
    let tables = || async {
        let sql = "SELECT count(*) FROM pg_class WHERE relname LIKE '%followers'";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool).await.unwrap()
    };
    sync(&mobync, &ada(), 1).await;
    assert_eq!(tables().await, 0, "what is not used costs nothing");
    follows(&mobync).await;
    assert_eq!(tables().await, 1);
}

#[tokio::test]
async fn many_processes_may_begin_at_once() {
    let (database, _pool) = postgres().await;
    let mobync = Mobync::new(database.clone());
    for number in 0..20 {
        sync(&mobync, &support::owner(&format!("owner{number:02}")), 1).await;
    }
    let heard = Heard::default();
    let mut processes = Vec::new();
    for _ in 0..6 {
        let mobync = Mobync::new(database.clone());
        processes.push(Process::running(mobync.follow("f", heard.handler())).await);
    }
    heard.has(20).await;
    sleep(SOON).await;
    let mut heard = heard.lines();
    heard.sort();
    assert_eq!(heard.len(), 20, "{heard:?}");
}

#[tokio::test]
async fn who_may_make_no_table_follows_by_one_that_is_there() {
    let (database, pool) = postgres().await;
    let heard = Heard::default();
    let mobync = Mobync::new(database);
    let process = Process::running(mobync.follow("f", heard.handler()).lease(LEASE)).await;
    sync(&mobync, &ada(), 1).await;
    heard.has(1).await;
    process.kill().await;
    let role = format!("app_{}", uuid::Uuid::now_v7().simple());
    let grant = format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(grant)).execute(&pool).await.unwrap();
    let options = (*pool.connect_options()).clone().username(&role);
    let pool = PgPool::connect_with(options).await.unwrap();
    let made = sqlx::query("CREATE TABLE more (a integer)").execute(&pool).await;
    made.expect_err("it may make none");
    let builder = PostgresDatabase::builder().table("tasks").diffs_table(LOG);
    let mobync = Mobync::new(builder.pool(pool).await.unwrap());
    let follower = mobync.follow("f", heard.handler()).lease(LEASE).sweep_each(SOON);
    let _process = Process::running(follower).await;
    let ids = sync(&mobync, &ada(), 1).await;
    until(|| heard.ids(&ada()).ends_with(&ids)).await;
}

/// A page of owners has the requested size, whatever their names are and whichever have unhandled
/// entries.
#[tokio::test]
async fn a_sweep_comes_to_each_owner_that_is_behind() {
    use mobync::follow::Start;

    let (database, pool) = postgres().await;
    let mobync = Mobync::new(database.clone());
    database.prepare(LOG, "f", Start::Beginning).await.unwrap();
    let names = ["B", "a", "Ä", "ä", "z", "b", "-", "+", "é", "Z", " "];
    for name in names {
        sync(&mobync, &support::owner(name), 2).await;
    }
    for name in ["B", "z", "+"] {
        let sql = "INSERT INTO \"The \"\"log\"\" of Ada's_followers\" VALUES ('f', $1, 1, '', 0)";
        sqlx::query(sql).bind(name).execute(&pool).await.unwrap();
    }
    let mut all: Vec<_> =
        names.into_iter().filter(|name| !["B", "z", "+"].contains(name)).collect();
    all.sort_unstable();
    for most in [1, 2, 3, 20] {
        let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
        loop {
            let page = database.behind(LOG, "f", after.as_ref(), most).await.unwrap();
            found.extend(page.behind.iter().map(ToString::to_string));
            pages += 1;
            after = page.last;
            if after.is_none() {
                break;
            }
        }
        found.sort_unstable();
        assert_eq!(found, all, "{most}");
        assert_eq!(pages, names.len() / most + 1);
    }
}
