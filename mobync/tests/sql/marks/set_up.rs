//! What `set_up` creates for the marks, and what it drops.

use std::collections::BTreeMap;

use mobync::{postgres::PostgresDatabase, sql::Table};
use sqlx::{AssertSqlSafe, PgPool};

use super::{super::postgres_with, FAMILY, MODELS, TASKS, all_marks, run, shapes::quote};

/// The existing triggers of the marks, by table.
async fn triggers(pool: &PgPool) -> BTreeMap<String, Vec<String>> {
    let sql = "SELECT CAST(CAST(tgrelid AS regclass) AS text), array_agg(CAST(tgname AS text) ORDER BY tgname) \
               FROM pg_trigger WHERE NOT tgisinternal AND tgname LIKE 'diffs\\_capture%' GROUP BY tgrelid";
    sqlx::query_as(sql).fetch_all(pool).await.unwrap().into_iter().collect()
}

/// What is left of capture in the catalogue.
async fn left(pool: &PgPool) -> Vec<String> {
    let sql = "SELECT CAST(CAST(oid AS regclass) AS text) FROM pg_class WHERE relname ~ '^diffs_marks' \
               UNION ALL SELECT CAST(CAST(oid AS regprocedure) AS text) FROM pg_proc WHERE proname ~ 'diffs_capture' \
               UNION ALL SELECT CAST(tgname AS text) FROM pg_trigger WHERE tgname ~ 'diffs_capture' ORDER BY 1";
    sqlx::query_scalar(sql).fetch_all(pool).await.unwrap()
}

#[tokio::test]
async fn set_up_makes_what_is_captured_and_takes_away_the_rest() {
    let pool = postgres_with(FAMILY).await;
    let database = async |captured: &[&str]| {
        let mut builder = PostgresDatabase::builder().allow_unheard_changes();
        for model in MODELS {
            let table = Table::new(model);
            let table = if captured.contains(&model) { table.capture() } else { table };
            builder = builder.table(table);
        }
        builder.pool(pool.clone()).await.unwrap()
    };
    let set_up = async |captured: &[&str]| database(captured).await.set_up().await.unwrap();
    set_up(&[]).await;
    assert_eq!(left(&pool).await, Vec::<String>::new());
    set_up(&["boxes", "parts"]).await;
    let made = triggers(&pool).await;
    assert_eq!(made.keys().collect::<Vec<_>>(), ["boxes", "parts", "parts_0", "parts_1"]);
    let names = ["delete", "insert", "moved", "truncate", "update"];
    assert_eq!(made["boxes"], names.map(|name| format!("diffs_capture_{name}")));
    assert_eq!((made["parts"].len(), &made["parts_0"]), (4, &made["boxes"]));

    // A table that was created anew, parts that were added and dropped, a trigger that was changed by
    // hand.
    for sql in [
        "DROP TABLE boxes CASCADE",
        FAMILY[0],
        "ALTER TABLE parts DETACH PARTITION parts_1",
        "CREATE TABLE parts_2 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        "DROP TRIGGER diffs_capture_update ON parts_0",
        "CREATE TRIGGER diffs_capture_update AFTER UPDATE ON parts_0 REFERENCING NEW TABLE AS new_rows \
         FOR EACH STATEMENT EXECUTE FUNCTION diffs_capture_parts()",
    ] {
        sqlx::query(sql).execute(&pool).await.unwrap();
    }
    // All at once, and some again.
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let database = database(&["boxes", "parts"]).await;
        tasks.spawn(async move { database.set_up().await });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    let again = triggers(&pool).await;
    assert_eq!(again.keys().collect::<Vec<_>>(), ["boxes", "parts", "parts_0", "parts_2"]);
    assert_eq!(again["boxes"], made["boxes"]);
    let definition = "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname = 'diffs_capture_update' \
                      AND tgrelid = CAST('parts_0' AS regclass)";
    let definition: String = sqlx::query_scalar(definition).fetch_one(&pool).await.unwrap();
    assert!(definition.contains("mobync.sync"), "{definition}");
    sqlx::query("INSERT INTO boxes VALUES ('ada', 'b1', '')").execute(&pool).await.unwrap();
    assert_eq!(all_marks(&pool).await, ["boxes/ada/b1"]);

    // One that is no longer synced, and then none.
    set_up(&["boxes"]).await;
    assert_eq!(triggers(&pool).await.into_keys().collect::<Vec<_>>(), ["boxes"]);
    let others = PostgresDatabase::builder().table("labels").allow_unheard_changes();
    let others = others.pool(pool.clone()).await.unwrap();
    others.set_up().await.unwrap();
    assert_eq!(left(&pool).await, Vec::<String>::new());
    sqlx::query("UPDATE boxes SET a = 'x'").execute(&pool).await.unwrap();

    // The same as text, also when it is run again.
    let mut connection = pool.acquire().await.unwrap();
    for captured in [&["boxes", "parts"][..], &["boxes", "parts"], &[], &[], &["boxes"]] {
        let sql = database(captured).await.schema_sql();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await.unwrap();
        let there = triggers(&pool).await;
        assert_eq!(there.contains_key("boxes"), !captured.is_empty());
        assert_eq!(there.contains_key("parts_2"), captured.contains(&"parts"));
    }
}

#[tokio::test]
async fn two_logs_keep_their_own_marks() {
    let pool = postgres_with(&[TASKS]).await;
    for log in ["diffs", "diffs2", "Log \"%s"] {
        let builder = PostgresDatabase::builder().table("tasks").diffs_table(log).capture();
        builder.pool(pool.clone()).await.unwrap().set_up().await.unwrap();
    }
    let mut connection = pool.acquire().await.unwrap();
    run(&mut connection, "INSERT INTO tasks (owner, id) VALUES ('ada', 't1')".to_owned()).await;
    let off = PostgresDatabase::builder().table("tasks").pool(pool.clone()).await.unwrap();
    off.set_up().await.unwrap();
    run(&mut connection, "UPDATE tasks SET id = 't2'".to_owned()).await;
    for log in ["diffs2", "Log \"%s"] {
        let sql = format!("SELECT count(*) FROM {}", quote(&format!("{log}_marks")));
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&pool).await.unwrap();
        assert_eq!(count, 3, "{log}");
    }
    assert_eq!(left(&pool).await.iter().filter(|name| name.starts_with("diffs_")).count(), 0);
    let indexes = "SELECT array_agg(CAST(relname AS text) ORDER BY relname) FROM pg_class \
                   WHERE relname LIKE '%\\_objects'";
    let indexes: Vec<String> = sqlx::query_scalar(indexes).fetch_one(&pool).await.unwrap();
    assert_eq!(indexes, ["Log \"%s_objects", "diffs2_objects"]);
}

#[tokio::test]
async fn tables_of_the_application_are_not_taken_for_marks() {
    let mine = "CREATE TABLE diffs_marks (grade int)";
    let pool = postgres_with(&[TASKS, mine]).await;
    let builder = PostgresDatabase::builder().table("tasks");
    let error = builder.clone().capture().pool(pool.clone()).await.unwrap_err();
    assert!(error.to_string().contains("diffs_marks has no column owner"), "{error}");
    builder.pool(pool.clone()).await.unwrap().set_up().await.unwrap();
    assert_eq!(left(&pool).await, ["diffs_marks"]);

    let long = PostgresDatabase::builder().table("tasks").diffs_table("d".repeat(45));
    let error = long.clone().capture().pool(pool.clone()).await.unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
    long.pool(pool.clone()).await.unwrap();

    let shared = PostgresDatabase::builder().table(Table::new("tasks").shared()).capture();
    let error = shared.pool(pool).await.unwrap_err();
    assert!(error.to_string().contains("tasks"), "{error}");
}

#[tokio::test]
async fn a_set_up_gives_way_to_who_uses_the_tables() {
    use mobync::{DatabaseError, sql::SchemaError};
    use std::time::{Duration, Instant};

    let pool =
        postgres_with(&[TASKS, "CREATE TABLE zeros (owner text, id text, UNIQUE (owner, id))"])
            .await;
    let database = async |patience| {
        let builder = PostgresDatabase::builder().table("tasks").table("zeros").capture();
        builder.lock_timeout(Duration::from_millis(patience)).pool(pool.clone()).await.unwrap()
    };
    let mut app = pool.begin().await.unwrap();
    let insert = "INSERT INTO zeros VALUES ('ada', 't1')";
    sqlx::query(insert).execute(&mut *app).await.unwrap();
    let error = database(500).await.set_up().await.unwrap_err();
    assert!(matches!(error, SchemaError::SetUp(DatabaseError::Busy(_))), "{error}");
    assert_eq!(left(&pool).await, Vec::<String>::new());

    let patient = database(20_000).await;
    let set_up = tokio::spawn(async move { patient.set_up().await });
    // Both that transaction, in the order of a deadlock, and others continue.
    let mut longest = Duration::ZERO;
    for n in 0..20 {
        tokio::time::sleep(Duration::from_millis(40)).await;
        let started = Instant::now();
        let insert = "INSERT INTO tasks (owner, id) VALUES ('ada', $1)";
        let n = format!("t{n}");
        sqlx::query(insert).bind(&n).execute(&mut *app).await.unwrap();
        sqlx::query(insert).bind(n + "x").execute(&pool).await.unwrap();
        sqlx::query("UPDATE zeros SET id = id").execute(&mut *app).await.unwrap();
        sqlx::query("DELETE FROM zeros WHERE id = 'none'").execute(&pool).await.unwrap();
        longest = longest.max(started.elapsed());
    }
    assert!(longest < Duration::from_millis(900), "{longest:?}");
    assert!(!set_up.is_finished());
    app.commit().await.unwrap();
    set_up.await.unwrap().unwrap();
    assert_eq!(triggers(&pool).await.len(), 2);
}
