//! How a transaction begins.

use sqlx::{AssertSqlSafe, Executor, PgConnection, PgPool};

use super::{
    Postgres,
    capture::IN_SYNC,
    dialect::{literal, owners_of},
    error::{is_dead, not_in_time},
    writer::Transaction,
};
use crate::{
    DatabaseError, Owner,
    sql::{Model, tries},
};

/// So that a value has one format, whatever the settings of the role, the database or the pool are.
pub(super) const MOODS: &str = "SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'; \
                                SET LOCAL IntervalStyle = 'postgres'; SET LOCAL bytea_output = 'hex'; ";

/// Their names.
const MOOD_NAMES: [&str; 4] = ["TimeZone", "DateStyle", "IntervalStyle", "bytea_output"];

/// Sets [`MOODS`] in a transaction of the application's own, and returns the values that it had.
pub(super) async fn exchange_moods(
    connection: &mut PgConnection,
) -> Result<Vec<String>, sqlx::Error> {
    let settings = MOOD_NAMES.map(|name| format!("current_setting('{name}')")).join(", ");
    let sql = format!("SELECT ARRAY[{settings}]");
    let before = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *connection).await?;
    connection.execute(MOODS).await?;
    Ok(before)
}

/// Sets them to values as [`exchange_moods`] returned them.
pub(super) async fn set_moods(
    connection: &mut PgConnection,
    values: Vec<String>,
) -> Result<(), sqlx::Error> {
    let named = MOOD_NAMES.iter().zip(&values);
    let calls: Vec<String> = named
        .map(|(name, value)| format!("set_config('{name}', {}, true)", literal(value)))
        .collect();
    if calls.is_empty() {
        return Ok(());
    }
    connection.execute(AssertSqlSafe(format!("SELECT {}", calls.join(", ")))).await.map(drop)
}

impl Postgres {
    /// Begins a transaction that writes for the owner. Until it ends, nobody else writes for this owner.
    pub(super) async fn begin_writing(
        &self,
        pool: &PgPool,
        log: &Model,
        owner: &Owner,
    ) -> Result<Transaction, DatabaseError> {
        // One round trip: in all processes, the first one to lock the owner's row goes first. The next
        // statement sees what the earlier ones have committed. Its plan is generic: for an owner that
        // the statistics do not know yet, PostgreSQL would expect no rows, and read all of them.
        let mut sql = format!(
            "BEGIN; SET LOCAL lock_timeout = {}; SET LOCAL plan_cache_mode = force_generic_plan; ",
            self.lock_timeout.as_millis()
        );
        sql += &self.session(Some(owner));
        sql += &format!(
            "INSERT INTO {} AS o (owner) VALUES ({}) \
             ON CONFLICT (owner) DO UPDATE SET owner = excluded.owner",
            owners_of(&log.name),
            literal(owner.as_str())
        );
        if self.captures {
            sql += &give_way();
        }
        self.begin_with(pool, &sql).await.map_err(|error| not_in_time(log, error))
    }

    /// Statements for the owner's session: the settings that the application's policies and triggers
    /// read, the setting that its own writes need no marks, and the formats of values.
    pub(super) fn session(&self, owner: Option<&Owner>) -> String {
        let mut sql = String::new();
        if self.captures {
            sql += &format!("SET LOCAL {IN_SYNC} = 'on'; ");
        }
        sql += self.moods;
        sql + &owner.map(|owner| self.settings.set(owner)).unwrap_or_default()
    }

    /// Runs the statements that begin a transaction.
    pub(super) async fn begin_with(
        &self,
        pool: &PgPool,
        sql: &str,
    ) -> Result<Transaction, sqlx::Error> {
        let mut tries = tries(pool);
        loop {
            match Transaction::begin(pool, sql).await {
                // An idle connection that died when the database was restarted.
                Err(error) if tries > 1 && is_dead(&error) => tries -= 1,
                begun => return begun,
            }
        }
    }
}

/// A statement that limits how long the transaction waits for row locks from now on, to a random short
/// time. Applications lock rows in any order. If a sync and an application each hold a lock that the
/// other needs, the sync must give way before PostgreSQL looks for deadlocks, which it does after one
/// second and which could abort the application.
fn give_way() -> String {
    format!("; SET LOCAL lock_timeout = {}", fastrand::u32(30..100))
}
