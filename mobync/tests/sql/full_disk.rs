//! A full disk fails a sync, at whatever point it is noticed. When there is space again, everything
//! continues.

use mobync::sqlite::SqliteDatabase;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    Server,
    support::{ada, create, diffs},
};

/// A database whose file has space for this number of additional pages, and a connection without that
/// limit.
async fn nearly_full(
    folder: &tempfile::TempDir,
    pages: i64,
) -> (Server<SqliteDatabase>, SqliteConnection) {
    let options =
        SqliteConnectOptions::new().filename(folder.path().join("full.sqlite")).foreign_keys(true);
    let create = options.clone().create_if_missing(true);
    let mut application = SqliteConnection::connect_with(&create).await.unwrap();
    let tables = "PRAGMA journal_mode = WAL; \
        CREATE TABLE tasks (owner text, id text, a text, PRIMARY KEY (owner, id)); \
        CREATE TABLE ballast (b blob); INSERT INTO ballast VALUES (zeroblob(400000))";
    sqlx::raw_sql(tables).execute(&mut application).await.unwrap();
    let pool = sqlx::SqlitePool::connect_with(options.clone()).await.unwrap();
    let database = SqliteDatabase::builder().table("tasks").pool(pool).await.unwrap();
    database.set_up().await.unwrap();
    let used: i64 =
        sqlx::query_scalar("PRAGMA page_count").fetch_one(&mut application).await.unwrap();

    let options = options.pragma("max_page_count", (used + pages).to_string());
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(2).connect_with(options);
    let database = SqliteDatabase::builder().table("tasks").pool(pool.await.unwrap());
    (Server::new(database.await.unwrap()).await, application)
}

#[tokio::test]
async fn a_full_disk_fails_syncs_until_there_is_room_and_not_longer() {
    let (mut failed, mut went_through) = (0, 0);
    // With each additional page, it is noticed later: in a table, in the log, at the commit.
    for pages in 0..12 {
        let folder = tempfile::tempdir().unwrap();
        let (server, mut application) = nearly_full(&folder, pages).await;
        let text = "x".repeat(3000);
        let sent: Vec<_> =
            (0..6).map(|n| create(&format!("t{n}"), json!({"a": text.clone()}))).collect();
        for _ in 0..4 {
            match server.0.apply(&ada(), 0, diffs(sent.clone())).await {
                Ok(_) => went_through += 1,
                Err(error) => {
                    assert_eq!(error.code(), "busy", "{pages}: {error:?}");
                    failed += 1;
                }
            }
        }
        let sql = AssertSqlSafe("DELETE FROM ballast".to_owned());
        sqlx::query(sql).execute(&mut application).await.unwrap();
        let answer = server.sync(0, sent).await;
        assert_eq!((answer.logical_clock, answer.refused.len()), (1, 0), "{pages}");
        assert_eq!(server.rows("tasks").await.len(), 6);
        for clock in 1..6 {
            let more = [create(&format!("more{clock}"), json!({"a": "x"}))];
            assert_eq!(server.sync(clock, more).await.logical_clock, clock + 1, "{pages}");
        }
    }
    assert!(failed > 10, "{failed} failed, {went_through} went through");
}
