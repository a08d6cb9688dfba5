//! The SQL of PostgreSQL.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use sqlx::{
    Arguments, AssertSqlSafe, PgConnection, PgPool,
    postgres::{PgArguments, PgPoolOptions},
};

use super::{
    capture, catalogue, effects,
    error::{explain, is_dead, lacks},
    isolate::isolate,
    log, marks,
    news::News,
    quoting, record,
    session::{self, MOODS},
    settings::Settings,
    statements::{self, defined, text_of},
    writer::Transaction,
};
use crate::{
    database::Turns,
    diff::Diff,
    error::DatabaseError,
    merge::Snapshot,
    owner::Owner,
    sql::{
        Arg, Batch, Column, Dialect, Effect, Effects, Found, Kind, LogRow, MarkRow, Model, Schema,
        SchemaError, Table, Writer, quote, run_statements,
    },
    unit::{IdleQuery, Mark, Rejection},
};

/// PostgreSQL, as a type parameter of this crate.
#[derive(Clone, Debug)]
pub struct Postgres {
    pub(super) lock_timeout: Duration,
    pub(super) max_connections: u32,
    pub(super) announces: bool,
    pub(super) settings: Settings,
    /// Some tables are captured.
    pub(super) captures: bool,
    /// Statements for the session in which values are read, so that they have one format everywhere.
    pub(super) moods: &'static str,
    /// Some triggers are deferred to the commit.
    defers: bool,
    /// The writes of a sync may set off other writes to captured tables.
    sets_off: Arc<AtomicBool>,
    news: News,
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            lock_timeout: Duration::from_secs(10),
            max_connections: 10,
            announces: false,
            settings: Settings::default(),
            captures: false,
            moods: "",
            defers: false,
            sets_off: Arc::default(),
            news: News::default(),
        }
    }
}

pub(super) fn owners_of(log: &str) -> String {
    quote(&catalogue::owners_of(log))
}

/// A literal for any text, also for the simple query protocol.
pub(super) fn literal(text: &str) -> String {
    use std::fmt::Write;

    let mut hex = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        let _ = write!(hex, "{byte:02x}");
    }
    format!("convert_from(decode('{hex}', 'hex'), 'UTF8')")
}

impl Dialect for Postgres {
    type Db = sqlx::Postgres;
    type Writer = Transaction;
    type AtOnce = ();

    const NOW: &'static str = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)";

    /// A second one would hold a connection of the pool while it waits for the first.
    fn turns(&self) -> Turns {
        Turns::new(1, self.lock_timeout)
    }

    async fn connect(&self, url: &str) -> Result<PgPool, sqlx::Error> {
        PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(self.lock_timeout)
            // It would be a round trip before each sync, and the session detects a lost connection by
            // itself.
            .test_before_acquire(false)
            .connect(url)
            .await
    }

    async fn begin(
        &self,
        pool: &PgPool,
        log: &Model,
        owner: &Owner,
    ) -> Result<Self::Writer, DatabaseError> {
        self.begin_writing(pool, log, owner).await
    }

    async fn know(
        &mut self,
        connection: &mut PgConnection,
        schema: &Schema,
    ) -> Result<(), sqlx::Error> {
        self.captures = schema.captured().next().is_some();
        let mut columns = schema.models().flat_map(|model| model.columns.iter());
        if self.captures || columns.any(|column| column.kind == Kind::Other) {
            self.moods = MOODS;
        }
        if self.captures {
            let effects = Effects::find::<Self>(connection, schema).await?;
            let sets_off = self.defers || schema.captured().any(|model| effects.reach(model));
            self.sets_off = Arc::new(AtomicBool::new(sets_off));
        }
        Ok(())
    }

    fn sets_off(&self) -> bool {
        self.sets_off.load(Ordering::Relaxed)
    }

    fn look_behind(&self) {
        self.sets_off.store(true, Ordering::Relaxed);
    }

    async fn begin_reading(
        &self,
        pool: &PgPool,
        owner: Option<&Owner>,
    ) -> Result<Option<Transaction>, sqlx::Error> {
        let session = self.session(owner);
        if session.is_empty() {
            return Ok(None);
        }
        self.begin_with(pool, &format!("BEGIN READ ONLY; {session}")).await.map(Some)
    }

    async fn news(&self, pool: &PgPool, log: &Model) {
        if self.announces && self.captures {
            self.news.come(pool, log).await;
        } else {
            std::future::pending::<()>().await;
        }
    }

    async fn join(
        &self,
        connection: &mut PgConnection,
        log: &Model,
        owner: &Owner,
    ) -> Result<Vec<String>, DatabaseError> {
        let sql = format!(
            "INSERT INTO {} AS o (owner) VALUES ($1) \
             ON CONFLICT (owner) DO UPDATE SET owner = excluded.owner",
            owners_of(&log.name)
        );
        let owner = [Arg::Text(owner.as_str())];
        let done = Self::execute(connection, &sql, &owner).await;
        done.map_err(|error| explain(log, error))?;
        if self.moods.is_empty() {
            return Ok(Vec::new());
        }
        session::exchange_moods(connection).await.map_err(|error| explain(log, error))
    }

    async fn leave(
        connection: &mut PgConnection,
        settings: Vec<String>,
    ) -> Result<(), DatabaseError> {
        session::set_moods(connection, settings).await.map_err(DatabaseError::failed)
    }

    async fn check(connection: &mut PgConnection, log: &str) -> Result<(), SchemaError> {
        catalogue::check_database(connection).await?;
        catalogue::check_own_tables(connection, log).await
    }

    async fn check_capture(
        connection: &mut PgConnection,
        log: &Model,
        _: &[&Model],
    ) -> Result<(), SchemaError> {
        capture::check(connection, log).await
    }

    async fn learn(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let defers =
            "SELECT EXISTS (SELECT FROM pg_trigger WHERE tgdeferrable AND NOT tgisinternal)";
        self.defers = sqlx::query_scalar(defers).fetch_one(connection).await?;
        Ok(())
    }

    async fn home(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
        sqlx::query_scalar("SELECT current_schema()::text").fetch_one(connection).await
    }

    async fn find(
        connection: &mut PgConnection,
        table: &Table,
    ) -> Result<Option<Found>, sqlx::Error> {
        catalogue::find(connection, table).await
    }

    fn exists(table: &str) -> String {
        format!("to_regclass({}) IS NOT NULL", quoting::literal(&quote(table)))
    }

    async fn free_columns(
        connection: &mut PgConnection,
        _: &str,
        model: &Model,
    ) -> Result<Vec<String>, sqlx::Error> {
        catalogue::free_columns(connection, model).await
    }

    async fn effects(
        connection: &mut PgConnection,
        log: &Model,
        _: &[&Model],
    ) -> Result<Vec<Effect>, sqlx::Error> {
        effects::find(connection, &log.name).await
    }

    /// Takes an advisory lock, because `IF NOT EXISTS` alone fails if two processes run it at the same
    /// time. The wait for other users of the tables is shorter than PostgreSQL's deadlock timeout, so
    /// the set-up is always the one that gives way.
    const BEGIN_SET_UP: &'static str = "BEGIN; SELECT pg_advisory_xact_lock(7886762398462); \
                                        SET LOCAL lock_timeout = '300ms'";

    fn set_up_patience(&self) -> Duration {
        self.lock_timeout
    }

    fn set_up(log: &Model) -> Vec<String> {
        log::make(log)
    }

    fn capture(&self, log: &Model, captured: &[&Model]) -> Vec<String> {
        capture::make(log, captured, self.announces)
    }

    fn release(log: &Model, captured: &[&Model], _: &[&Model]) -> Vec<String> {
        capture::remove(log, captured)
    }

    fn is_marked(log: &Model, owner: &str) -> String {
        marks::is_marked(log, owner)
    }

    async fn take_marks(
        connection: &mut PgConnection,
        log: &Model,
        owner: &Owner,
        most: usize,
    ) -> Result<Vec<MarkRow>, sqlx::Error> {
        marks::take(connection, log, owner, most).await
    }

    async fn set_off(
        &self,
        connection: &mut PgConnection,
        schema: &Schema,
        owner: &Owner,
        named: &[(&str, &str)],
    ) -> Result<(Vec<MarkRow>, bool), sqlx::Error> {
        if self.defers {
            Self::command(connection, "SET CONSTRAINTS ALL IMMEDIATE").await?;
        }
        marks::set_off(connection, &schema.log, owner, named).await
    }

    async fn marked_owners(
        connection: &mut PgConnection,
        log: &Model,
        most: usize,
    ) -> Result<Vec<String>, sqlx::Error> {
        marks::owners(connection, log, most).await
    }

    async fn put_back(
        connection: &mut PgConnection,
        log: &Model,
        owner: &Owner,
        again: &[Mark],
    ) -> Result<(), sqlx::Error> {
        marks::put_back(connection, log, owner, again).await
    }

    fn entries_of(log: &Model) -> String {
        marks::entries_of(log)
    }

    fn lock(model: &Model) -> Option<String> {
        Some(statements::lock(model))
    }

    fn lacks(error: &sqlx::Error) -> bool {
        lacks(error)
    }

    const OBJECT: &'static str = marks::OBJECT;

    fn index_objects(log: &Model, wanted: bool) -> String {
        marks::index_objects(log, wanted)
    }

    fn create_table(table: &Table) -> String {
        table.create("text NOT NULL")
    }

    fn unique_index(schema: Option<&str>, table: &str, columns: &[&str]) -> String {
        statements::unique_index(schema, table, columns)
    }

    fn by_bytes(table: &str, column: &str) -> String {
        format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE text COLLATE \"C\"")
    }

    fn by_default(table: &str, column: &str) -> String {
        format!("ALTER TABLE {table} ALTER COLUMN {column} SET GENERATED BY DEFAULT")
    }

    const MOST_IN_A_NAME: usize = catalogue::LONGEST_NAME;

    fn set_default(table: &str, column: &str, default: &str) -> String {
        statements::set_default(table, column, default)
    }

    fn rows_with_ids(model: &Model, parameter: usize) -> String {
        statements::rows_with_ids(model, parameter)
    }

    fn compare(column: &Column, operator: &str, parameter: usize, value: &Value) -> String {
        statements::compare(column, operator, parameter, value)
    }

    fn equals_one_of(column: &Column, parameter: usize) -> String {
        statements::equals_one_of(column, parameter)
    }

    fn record(model: &Model) -> String {
        record::record(model)
    }

    fn is_name(column: &Column) -> String {
        format!("t.{} IS NOT NULL", column.quoted())
    }

    fn is_sound(model: &Model) -> String {
        record::is_sound(model)
    }

    fn shown(column: &Column) -> String {
        format!("coalesce(CAST(t.{} AS text), 'null')", column.quoted())
    }

    fn insert(model: &Model, columns: &[&Column]) -> String {
        statements::insert(model, columns)
    }

    fn update(model: &Model, columns: &[&Column]) -> String {
        statements::update(model, columns)
    }

    fn delete(model: &Model) -> String {
        statements::delete(model)
    }

    fn payload<'w>(
        model: &Model,
        columns: &[&Column],
        rows: impl Iterator<Item = (&'w str, Vec<&'w str>)>,
    ) -> String {
        statements::payload(model, columns, rows)
    }

    fn as_columns(model: &Model, columns: &[&Column]) -> Option<String> {
        let part = columns.iter().map(|column| (*column).clone()).collect::<Vec<_>>();
        let part = Model { columns: part.into(), ..model.clone() };
        let rows =
            format!("json_to_recordset(CAST($1 AS json)) AS t ({})", defined(model, columns));
        Some(format!("SELECT {} FROM {rows}", record::record(&part)))
    }

    fn entries(log: &Model, ticks: &str) -> String {
        log::entries(log, ticks)
    }

    fn devices<'a>(devices: &[&IdleQuery<'a>]) -> (&'static str, Vec<Arg<'a>>) {
        statements::devices(devices)
    }

    fn read_entries(
        owner: &Owner,
        row: LogRow,
        entries: &mut Vec<Diff>,
    ) -> Result<(), DatabaseError> {
        log::read_entries(owner, row, entries)
    }

    fn append<'a>(
        &self,
        log: &'a Model,
        owner: &'a Owner,
        entries: &'a [Diff],
        named: &'a [(String, String)],
    ) -> (String, Vec<Arg<'a>>) {
        log::append(self.announces, log, owner, entries, named)
    }

    fn literal(text: &str) -> String {
        quoting::literal(text)
    }

    fn arguments(args: &[Arg<'_>]) -> Result<PgArguments, sqlx::Error> {
        let mut arguments = PgArguments::default();
        for arg in args {
            let added = match arg {
                Arg::Integer(number) => arguments.add(*number),
                Arg::Text(text) => arguments.add(*text),
                Arg::Owned(text) => arguments.add(&**text),
                Arg::Texts(texts) => arguments.add(&**texts),
                Arg::Integers(numbers) => arguments.add(&**numbers),
                Arg::Value(value) => arguments.add(text_of(value)),
                Arg::Values(values) => {
                    arguments.add(values.iter().map(|value| text_of(value)).collect::<Vec<_>>())
                }
            };
            added.map_err(sqlx::Error::Encode)?;
        }
        Ok(arguments)
    }

    run_statements!(PgConnection);

    async fn texts(
        connection: &mut PgConnection,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<Vec<String>, sqlx::Error> {
        let arguments = Self::arguments(args)?;
        sqlx::query_scalar_with(AssertSqlSafe(sql), arguments).fetch_all(connection).await
    }

    async fn fold_log(
        connection: &mut PgConnection,
        log: &Model,
        owner: &Owner,
        snapshot: Snapshot,
    ) -> Result<Snapshot, sqlx::Error> {
        log::fold(connection, log, owner, snapshot).await
    }

    fn explain(model: &Model, error: sqlx::Error) -> DatabaseError {
        explain(model, error)
    }

    fn is_dead(error: &sqlx::Error) -> bool {
        is_dead(error)
    }

    async fn check_at_once(connection: &mut PgConnection, _: bool) -> Result<(), sqlx::Error> {
        Self::command(connection, "SET CONSTRAINTS ALL IMMEDIATE").await
    }

    async fn isolate(
        writer: &mut Transaction,
        owner: &Owner,
        batch: &Batch<'_, '_>,
        _: Option<&()>,
    ) -> Result<Vec<Rejection>, DatabaseError> {
        let ended = || DatabaseError::failed("the unit of work has ended");
        isolate(writer.connection().ok_or_else(ended)?, owner, batch).await
    }
}
