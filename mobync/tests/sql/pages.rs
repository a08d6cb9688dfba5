//! What a page costs: its end is found in the index of ticks alone, and a head by its key.

use mobync::{Mobync, SyncRequest, postgres::PostgresDatabase};
use sqlx::{AssertSqlSafe, PgConnection, postgres::PgPoolOptions};

use super::{postgres_with, support::ada};

const TASKS: &str = "CREATE TABLE tasks (id text, owner text, name text, PRIMARY KEY (owner, id))";

/// A page of ten entries for a device at clock 1,000 that has this head.
pub(super) fn page(head: &str) -> SyncRequest {
    let mut request = SyncRequest::new(1_000, Vec::new());
    (request.head, request.limit) = (Some(head.to_owned()), Some(10));
    request
}

async fn plan(connection: &mut PgConnection, statement: &str) -> Vec<String> {
    let explain = format!(
        "EXPLAIN (COSTS OFF) EXECUTE \"{statement}\" ('ada', 1000, 9223372036854775807, 10, 'e999')"
    );
    sqlx::query_scalar(AssertSqlSafe(explain)).fetch_all(connection).await.unwrap()
}

/// The index is what no entry's `json_data` is in. For whichever parameters, and whether there are
/// statistics or not.
#[tokio::test]
async fn the_end_of_a_page_is_found_in_the_index_alone() {
    let direct = postgres_with(&[TASKS]).await;
    let options = (*direct.connect_options()).clone();
    let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    let database = PostgresDatabase::builder().table("tasks").pool(pool.clone()).await.unwrap();
    database.set_up().await.unwrap();
    sqlx::query(
        "INSERT INTO diffs SELECT 'e' || n, o, n, n, 'create', 'tasks', \
         json_build_object('id', 't' || n)::text FROM generate_series(0, 9999) AS n, \
         unnest(ARRAY['ada', 'bob']) AS o",
    )
    .execute(&direct)
    .await
    .unwrap();
    let mobync = Mobync::new(database);

    for maintenance in ["SELECT 1", "ANALYZE", "VACUUM ANALYZE"] {
        sqlx::query(maintenance).execute(&direct).await.unwrap();
        let answer = mobync.answer(&ada(), &page("e999")).await.unwrap();
        assert_eq!(
            (answer.logical_clock, answer.more, answer.diffs.len()),
            (1_010, Some(10_000), 10)
        );
        let mut connection = pool.acquire().await.unwrap();
        let name = "SELECT name FROM pg_prepared_statements WHERE statement LIKE 'WITH page%'";
        let name: String = sqlx::query_scalar(name).fetch_one(&mut *connection).await.unwrap();
        for mode in ["force_generic_plan", "force_custom_plan"] {
            let set = format!("SET plan_cache_mode = {mode}");
            sqlx::query(AssertSqlSafe(set)).execute(&mut *connection).await.unwrap();
            let plan = plan(&mut connection, &name).await;
            let reads = |what: &str| plan.iter().filter(|line| line.contains(what)).count();
            let text = plan.join("\n");
            assert_eq!(reads("Index Only Scan"), 3, "{maintenance}, {mode}: page\n{text}");
            // Entries are read by the same index, and so is the last one, which may be the head. Otherwise the
            // head is read by the key.
            assert_eq!(reads("Index Scan using diffs_owner_logical_clock"), 1, "{text}");
            assert_eq!(reads("Index Scan Backward using diffs_owner_logical_clock"), 1, "{text}");
            assert_eq!(reads("Index Scan using diffs_pkey"), 1, "{text}");
            assert_eq!(reads("Seq Scan") + reads("Bitmap") + reads("Sort"), 0, "{text}");
        }
        sqlx::query("RESET plan_cache_mode").execute(&mut *connection).await.unwrap();
    }
}
