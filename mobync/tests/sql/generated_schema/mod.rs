//! Random tables with random values. Whatever the database does with them, rows, log and devices end
//! equal (*Truth*), or the table is refused at start, or the diff is refused alone.

#![allow(clippy::panic, reason = "a flaw is reported with its history")]

mod device;
mod table;
mod types;

use mobync::{
    Access, Database, Mobync, UnitOfWork,
    postgres::PostgresDatabase,
    sql::{Builder, Dialect, SqlDatabase},
    sqlite::SqliteDatabase,
};
use sqlx::AssertSqlSafe;

use self::{
    device::{Device, Fields, Taken, read},
    table::Drawn,
    types::POSTGRES_SETUP,
};
use super::{
    postgres_with, sqlite_with,
    support::{T0, ada},
};

/// Which seeds are run: `SCHEMA_SEED` is one, `SCHEMA_SEEDS` is their number, starting with
/// `SCHEMA_FIRST`.
fn seeds(few: u64) -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let first = number("SCHEMA_SEED").or(number("SCHEMA_FIRST")).unwrap_or(0);
    let many = number("SCHEMA_SEED").map(|_| 1).or(number("SCHEMA_SEEDS")).unwrap_or(few);
    first..first + many
}

/// The results of some seeds.
#[derive(Debug, Default)]
struct Played {
    /// Tables that the database itself rejects.
    impossible: u32,
    /// Tables that are refused at start.
    refused: u32,
    synced: u32,
    diffs: u32,
    refused_diffs: u32,
}

impl Played {
    /// Checks that the seeds have tested enough.
    fn check(&self) {
        println!("{self:?}");
        if self.synced > 10 {
            assert!(self.diffs > self.refused_diffs * 2 && self.refused_diffs > 0, "{self:?}");
            assert!(self.synced > self.impossible + self.refused, "{self:?}");
        }
    }

    async fn play<D: Dialect>(
        &mut self,
        builder: Builder<D>,
        pool: sqlx::Pool<D::Db>,
        drawn: Drawn,
        seed: u64,
    ) {
        let log = format!("log{seed}");
        let made = builder.table(drawn.table()).diffs_table(log).pool(pool).await;
        let made = match made {
            Ok(database) => database.set_up().await.map(|()| database),
            Err(error) => Err(error),
        };
        let database = match made {
            Ok(database) => database,
            Err(error) => {
                let sentence = error.to_string();
                assert!(sentence.contains(&drawn.name) && sentence.len() > 30, "{sentence}");
                self.refused += 1;
                return;
            }
        };
        self.synced += 1;
        World {
            mobync: Mobync::new(database).time(|| T0 + 60_000),
            drawn,
            seed,
            taken: Taken::new(),
            played: self,
        }
        .play()
        .await;
    }
}

struct World<'p, D: Dialect> {
    mobync: Mobync<SqlDatabase<D>>,
    drawn: Drawn,
    seed: u64,
    taken: Taken,
    played: &'p mut Played,
}

impl<D: Dialect> World<'_, D> {
    async fn play(mut self) {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut devices = [Device::default(), Device::default()];
        let mut told = Vec::new();
        for step in 0..12 {
            if self.drawn.captured && random.u8(0..3) == 0 {
                let sql = self.drawn.statement(&mut random);
                let pool = self.mobync.database().pool();
                let done = D::execute(&mut *pool.acquire().await.unwrap(), &sql, &[]).await;
                told.push(format!("{sql}: {}", done.is_ok()));
            }
            let device = &mut devices[random.usize(0..2)];
            let sent = (0..random.i64(1..4)).map(|place| {
                let at = T0 + step * 10 + place;
                device.change(&self.drawn, &self.taken, at, &mut random)
            });
            let sent: Vec<_> = sent.collect();
            told.extend(sent.iter().map(|diff| format!("> {} {}", diff.id, diff.json_data)));
            self.sync(device, sent, &mut told).await;
        }
        for _ in 0..2 {
            for device in &mut devices {
                self.sync(device, Vec::new(), &mut told).await;
            }
        }
        assert_eq!(devices[0].clock, devices[1].clock);
    }

    async fn sync(&mut self, device: &mut Device, sent: Vec<mobync::Diff>, told: &mut Vec<String>) {
        let objects = sent.iter().map(|diff| (diff.id.clone(), read(&diff.json_data).1));
        let objects: Vec<_> = objects.collect();
        let (count, seed, drawn) = (sent.len(), self.seed, &self.drawn);
        let answer = self.mobync.apply(&ada(), device.clock, sent).await.unwrap_or_else(|error| {
            panic!("SCHEMA_SEED={seed} {drawn:#?}\n{}\n{error:?}", told.join("\n"))
        });
        let back = answer.diffs.iter();
        told.extend(back.map(|diff| format!("< {} {}", diff.operation, diff.json_data)));
        told.extend(answer.refused.iter().map(|refused| format!("  {refused:?}")));
        self.played.diffs += u32::try_from(count).unwrap();
        self.played.refused_diffs += u32::try_from(answer.refused.len()).unwrap();
        for refused in &answer.refused {
            assert!(refused.message.len() > 10, "{refused:?}");
            assert_eq!(
                refused.code == "forbidden",
                refused.message.contains("not allowed"),
                "{refused:?}"
            );
        }
        if let Some(hidden) = &drawn.hidden {
            let key = format!("\\\"{hidden}\\\"");
            assert!(answer.diffs.iter().all(|diff| !diff.json_data.contains(&key)), "{answer:?}");
        }
        for (id, fields) in objects {
            if answer.refused.iter().all(|refused| refused.diff_id != id) {
                for (column, value) in fields {
                    self.taken.entry(column).or_default().push(value);
                }
            }
        }
        device.hear(&answer);
        let mut new = Device::default();
        new.hear(&self.mobync.apply(&ada(), 0, Vec::new()).await.unwrap());
        let flaw = self.flaw(device, &new).await;
        if let Some(flaw) = flaw {
            panic!("SCHEMA_SEED={seed} {:#?}\n{}\n{flaw}", self.drawn, told.join("\n"));
        }
    }

    /// The differences between the rows, the log (which is what a new device has) and a device.
    async fn flaw(&self, device: &Device, new: &Device) -> Option<String> {
        let mut unit = self.mobync.database().open(&ada(), Access::Read).await.unwrap();
        let model = &self.drawn.name;
        let rows = unit.rows_behind(&ada(), model, None, 1_000).await.unwrap();
        let rows: std::collections::BTreeMap<String, Fields> =
            rows.iter().map(|row| read(row)).collect();
        for (what, device) in [("device", device), ("log", new)] {
            if !rows.keys().eq(device.rows.keys()) {
                return Some(format!("{what}: {:?}, rows: {:?}", device.rows, rows));
            }
            for (id, row) in &rows {
                let has = &device.rows[id];
                for (column, value) in row {
                    let held = has.get(column).map(|value| &**value);
                    let held = held.or(unit.default_of(model, column)).unwrap_or("null");
                    if !unit.same(model, column, held, value) {
                        return Some(format!("{what}: {column} of {id} is {held}, row: {value}"));
                    }
                }
                let unknown = |field: &&String| !row.contains_key(*field);
                if let Some(field) = has.keys().find(unknown) {
                    return Some(format!("{what}: {field} of {id}, row: {row:?}"));
                }
            }
        }
        None
    }
}

#[tokio::test]
async fn rows_log_and_devices_are_equal_whatever_postgresql_makes_of_values() {
    let pool = postgres_with(POSTGRES_SETUP).await;
    let mut played = Played::default();
    for seed in seeds(40) {
        let drawn = table::postgres(seed);
        if let Some(error) =
            make(&drawn, async |sql| sqlx::query(sql).execute(&pool).await.err()).await
        {
            assert!(!error.to_string().contains("syntax error"), "{drawn:#?} {error}");
            played.impossible += 1;
            continue;
        }
        played.play(PostgresDatabase::builder(), pool.clone(), drawn, seed).await;
        let drop = format!("DROP TABLE t{seed}; DROP TABLE IF EXISTS log{seed}, log{seed}_owners");
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&pool).await.unwrap();
    }
    played.check();
}

#[tokio::test]
async fn rows_log_and_devices_are_equal_whatever_sqlite_makes_of_values() {
    let mut played = Played::default();
    for seed in seeds(80) {
        let (pool, _folder) = sqlite_with(&["PRAGMA journal_mode = WAL"]).await;
        let drawn = table::sqlite(seed);
        if let Some(error) =
            make(&drawn, async |sql| sqlx::query(sql).execute(&pool).await.err()).await
        {
            assert!(!error.to_string().contains("syntax error"), "{drawn:#?} {error}");
            played.impossible += 1;
            continue;
        }
        played.play(SqliteDatabase::builder(), pool, drawn, seed).await;
    }
    played.check();
}

/// Creates a table, or returns the reason why it cannot exist.
async fn make(
    drawn: &Drawn,
    mut run: impl AsyncFnMut(AssertSqlSafe<&str>) -> Option<sqlx::Error>,
) -> Option<sqlx::Error> {
    for statement in &drawn.statements {
        if let Some(error) = run(AssertSqlSafe(statement)).await {
            return Some(error);
        }
    }
    None
}
