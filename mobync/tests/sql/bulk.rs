//! The cost of marks in a bulk update of 1,000 owners' rows, as a ratio to the same update without
//! capture.
//!
//! `BULK_ROWS` sets the number of rows. The default, 2,000, is too small for a conclusion. The ratio is
//! printed:
//!
//! ```text
//! BULK_ROWS=100000 cargo test -p mobync --all-features --test sql bulk -- --nocapture
//! ```

use std::time::{Duration, Instant};

use mobync::{postgres::PostgresDatabase, sqlite::SqliteDatabase};
use sqlx::AssertSqlSafe;

use super::{postgres_with, sqlite_with};

const OWNERS: usize = 1000;
/// The fastest of this number of updates of each table counts.
const TIMES: usize = 5;

fn rows() -> usize {
    std::env::var("BULK_ROWS").map_or(2000, |rows| rows.parse().unwrap())
}

/// A table of ordinary width, with an index besides its key.
fn tables() -> [String; 4] {
    let table = |name: &str| {
        format!(
            "CREATE TABLE {name} (owner text NOT NULL, id text NOT NULL, title text, notes text, rank int, \
             PRIMARY KEY (owner, id))"
        )
    };
    let index = |name: &str| format!("CREATE INDEX {name}_rank ON {name} (rank)");
    [table("plain"), table("tasks"), index("plain"), index("tasks")]
}

fn fill(name: &str) -> String {
    format!(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {}) \
         INSERT INTO {name} SELECT 'owner' || n % {OWNERS}, 'task' || n, 'Buy milk number ' || n, \
         'Of the kind that has been bought before', n FROM n",
        rows()
    )
}

fn update(name: &str) -> String {
    format!("UPDATE {name} SET rank = rank + 1, title = 'Buy oats'")
}

/// The least time of each table's updates.
struct Fastest([Duration; 2]);

impl Fastest {
    fn tell(&self, database: &str) {
        let [plain, captured] = self.0.map(|time| time.as_secs_f64());
        let rows = rows();
        eprintln!(
            "{database}: an update of {rows} rows takes {plain:.3} s, with capture {captured:.3} s: {:.2} times",
            captured / plain
        );
    }
}

#[tokio::test]
async fn a_bulk_update_marks_each_row_once_on_postgresql() {
    let tables = tables();
    let pool = postgres_with(&tables.each_ref().map(|sql| &**sql)).await;
    let database = PostgresDatabase::builder().table("tasks").capture().pool(pool.clone());
    database.await.unwrap().set_up().await.unwrap();
    let run = async |sql: String| {
        sqlx::query(AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    };
    let mut fastest = Fastest([Duration::MAX; 2]);
    for name in ["plain", "tasks"] {
        run(fill(name)).await;
    }
    for _ in 0..TIMES {
        for (place, name) in ["plain", "tasks"].into_iter().enumerate() {
            run("TRUNCATE diffs_marks".to_owned()).await;
            run(format!("VACUUM ANALYZE {name}")).await;
            run("CHECKPOINT".to_owned()).await;
            let started = Instant::now();
            run(update(name)).await;
            fastest.0[place] = started.elapsed().min(fastest.0[place]);
        }
        let marks: i64 =
            sqlx::query_scalar("SELECT count(*) FROM diffs_marks").fetch_one(&pool).await.unwrap();
        assert_eq!(usize::try_from(marks).unwrap(), rows());
    }
    fastest.tell("PostgreSQL");
}

#[tokio::test]
async fn a_bulk_update_marks_each_row_once_on_sqlite() {
    let tables = tables();
    let (pool, _folder) = sqlite_with(&tables.each_ref().map(|sql| &**sql)).await;
    let database = SqliteDatabase::builder().table("tasks").capture().pool(pool.clone());
    database.await.unwrap().set_up().await.unwrap();
    let run = async |sql: String| {
        sqlx::query(AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    };
    let mut fastest = Fastest([Duration::MAX; 2]);
    for name in ["plain", "tasks"] {
        run(fill(name)).await;
    }
    for _ in 0..TIMES {
        for (place, name) in ["plain", "tasks"].into_iter().enumerate() {
            run("DELETE FROM diffs_marks".to_owned()).await;
            run("PRAGMA wal_checkpoint(TRUNCATE)".to_owned()).await;
            let started = Instant::now();
            run(update(name)).await;
            fastest.0[place] = started.elapsed().min(fastest.0[place]);
        }
        let marks: i64 =
            sqlx::query_scalar("SELECT count(*) FROM diffs_marks").fetch_one(&pool).await.unwrap();
        assert_eq!(usize::try_from(marks).unwrap(), rows());
    }
    fastest.tell("SQLite");
}
