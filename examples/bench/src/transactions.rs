//! The floors of a push: the same rows in as many transactions, without HTTP and without a merge.

use std::{sync::Arc, time::Instant};

use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tokio::sync::Mutex;

use crate::{
    Result, Until,
    body::{self, Ids},
    drive::{Measured, Tally},
    places,
    server::own_cpu,
};

/// How many rows each transaction writes to each of two tables.
const ROWS: usize = 10;

/// A task with its log entry.
struct Row {
    id: String,
    entry: String,
    name: String,
    note: &'static str,
    done: bool,
    position: i32,
    json_data: String,
}

/// What writes a transaction for an owner.
trait Writer: Send + 'static {
    fn write(&mut self, owner: &str, rows: &[Row]) -> impl Future<Output = Result<()>> + Send;
}

/// A number of tasks with a connection each.
pub(crate) async fn postgres(url: &str, tasks: usize, until: Until) -> Result<Measured> {
    let mut writers = Vec::new();
    for _ in 0..tasks {
        writers.push(PgConnection::connect(url).await?);
    }
    measure(writers, until).await
}

/// A number of tasks that share the one connection for writes.
pub(crate) async fn sqlite(path: &str, tasks: usize, until: Until) -> Result<Measured> {
    let mut connection = SqliteConnection::connect_with(&places::sqlite(path)).await?;
    sqlx::raw_sql("PRAGMA foreign_keys = ON").execute(&mut connection).await?;
    let writer =
        SqliteWriter { connection, tasks: insert("tasks", 6), log: insert("floor_log", 7) };
    let writer = Arc::new(Mutex::new(writer));
    measure((0..tasks).map(|_| Arc::clone(&writer)).collect(), until).await
}

async fn measure<W: Writer>(mut writers: Vec<W>, until: Until) -> Result<Measured> {
    let mut measured = Measured::default();
    for until in [until.tenth(), until] {
        let share = until.share(writers.len());
        let mut all = Tally::new()?;
        let (cpu, begun) = (own_cpu()?, all.begun);
        let running: Vec<_> =
            writers.into_iter().map(|writer| tokio::spawn(write(writer, share, begun))).collect();
        writers = Vec::new();
        for running in running {
            let (writer, tally) = running.await??;
            all.add(&tally)?;
            writers.push(writer);
        }
        measured = all.measured(own_cpu()?.saturating_sub(cpu));
    }
    Ok(measured)
}

/// Writes transactions of new owners, one after another.
async fn write<W: Writer>(mut writer: W, until: Until, begun: Instant) -> Result<(W, Tally)> {
    let (mut owners, mut ids) = (Ids::new(), Ids::new());
    let mut tally = Tally::new()?;
    let mut done = 0;
    while until.goes_on(done, begun) {
        let owner = owners.next().to_string();
        let rows: Vec<Row> = (0..ROWS).map(|_| Row::new(&mut ids)).collect();
        let start = Instant::now();
        writer.write(&owner, &rows).await?;
        tally.count(start.elapsed(), 0, 0);
        done += 1;
    }
    Ok((writer, tally))
}

impl Row {
    fn new(ids: &mut Ids) -> Self {
        let (id, name) = (ids.next().to_string(), body::name(0));
        let note = body::NOTE;
        let json_data = format!(
            r#"{{"id":"{id}","name":"{name}","note":"{note}","done":false,"position":1024}}"#
        );
        let entry = ids.next().to_string();
        Self { id, entry, name, note, done: false, position: 1024, json_data }
    }
}

/// Advances the owner's clock.
pub(crate) const TICK: &str = "INSERT INTO floor_clocks AS c (owner, clock) VALUES ($1, 1) \
                    ON CONFLICT (owner) DO UPDATE SET clock = c.clock + 1 RETURNING clock";
const UTC: i64 = 1_700_000_000_000;

impl Writer for PgConnection {
    async fn write(&mut self, owner: &str, rows: &[Row]) -> Result<()> {
        fn all<'r, T>(rows: &'r [Row], of: impl Fn(&'r Row) -> T) -> Vec<T> {
            rows.iter().map(of).collect()
        }
        let mut transaction = self.begin().await?;
        let clock: i64 = sqlx::query_scalar(TICK).bind(owner).fetch_one(&mut *transaction).await?;
        sqlx::query(
            "INSERT INTO tasks (owner, id, name, note, done, position) SELECT $1, r.* FROM \
             UNNEST($2::text[], $3::text[], $4::text[], $5::boolean[], $6::integer[]) AS r",
        )
        .bind(owner)
        .bind(all(rows, |row| &*row.id))
        .bind(all(rows, |row| &*row.name))
        .bind(all(rows, |row| row.note))
        .bind(all(rows, |row| row.done))
        .bind(all(rows, |row| row.position))
        .execute(&mut *transaction)
        .await?;
        sqlx::query(
            "INSERT INTO floor_log (owner, logical_clock, type, model, id, utc_timestamp, json_data) \
             SELECT $1, $2, 'create', 'tasks', r.* \
             FROM UNNEST($3::text[], $4::bigint[], $5::text[]) AS r",
        )
        .bind(owner)
        .bind(clock - 1)
        .bind(all(rows, |row| &*row.entry))
        .bind(all(rows, |_| UTC))
        .bind(all(rows, |row| &*row.json_data))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// A connection with the statements that insert rows by their values.
struct SqliteWriter {
    connection: SqliteConnection,
    tasks: String,
    log: String,
}

impl Writer for Arc<Mutex<SqliteWriter>> {
    async fn write(&mut self, owner: &str, rows: &[Row]) -> Result<()> {
        let mut writer = self.lock().await;
        let SqliteWriter { connection, tasks, log } = &mut *writer;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let clock: i64 = sqlx::query_scalar(TICK).bind(owner).fetch_one(&mut *transaction).await?;
        let mut insert = sqlx::query(AssertSqlSafe(tasks.as_str()));
        for row in rows {
            insert = insert.bind(owner).bind(&*row.id).bind(&*row.name).bind(row.note);
            insert = insert.bind(row.done).bind(row.position);
        }
        insert.execute(&mut *transaction).await?;
        let mut insert = sqlx::query(AssertSqlSafe(log.as_str()));
        for row in rows {
            insert = insert.bind(&*row.entry).bind(owner).bind(clock - 1).bind(UTC);
            insert = insert.bind("create").bind("tasks").bind(&*row.json_data);
        }
        insert.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }
}

fn insert(table: &str, columns: usize) -> String {
    let row = format!("({})", vec!["?"; columns].join(", "));
    format!("INSERT INTO {table} VALUES {}", vec![row; ROWS].join(", "))
}
