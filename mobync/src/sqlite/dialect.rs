//! The SQL of SQLite.

use std::{str::FromStr, time::Duration};

use futures_util::TryStreamExt;
use serde_json::Value;
use sqlx::{
    Arguments, AssertSqlSafe, Row, SqliteConnection, SqlitePool,
    sqlite::{
        SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions,
        SqliteSynchronous,
    },
};

use super::{
    capture, catalogue, doubles, effects,
    error::{explain, lacks},
    group::{Group, Sharing, Turn},
    isolate::isolate,
    keys::ForeignKeys,
    marks,
    set_off::Quiet,
    statements::{self, json_list},
    ticks::{self, Tick},
};
use crate::{
    database::Turns,
    diff::Diff,
    error::DatabaseError,
    merge::Snapshot,
    owner::Owner,
    sql::{
        Arg, Batch, Column, Dialect, Effect, Found, Kind, LogRow, MarkRow, Model, Schema,
        SchemaError, Table, Writer, null_in_log, own, prefix_of, quote, run_statements,
    },
    unit::{IdleQuery, Mark, Rejection},
};

/// SQLite, as a type parameter of this crate.
#[derive(Clone, Debug)]
pub struct Sqlite {
    pub(super) busy_timeout: Duration,
    pub(super) synchronous: SqliteSynchronous,
    /// Writers of this process run in order; those of other processes wait by the busy timeout.
    group: Group,
    sharing: Sharing,
    quiet: Quiet,
}

impl Default for Sqlite {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            synchronous: SqliteSynchronous::Full,
            group: Group::default(),
            sharing: Sharing::default(),
            quiet: Quiet::default(),
        }
    }
}

impl Dialect for Sqlite {
    type Db = sqlx::Sqlite;
    type Writer = Turn;
    type AtOnce = ForeignKeys;

    const NOW: &'static str = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)";

    /// Several syncs of an owner share a commit, but must not fill the whole queue for the database.
    fn turns(&self) -> Turns {
        Turns::new(8, self.busy_timeout)
    }

    async fn connect(&self, url: &str) -> Result<SqlitePool, sqlx::Error> {
        let options = SqliteConnectOptions::from_str(url)?
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(self.synchronous)
            .busy_timeout(self.busy_timeout);
        let pool =
            SqlitePoolOptions::new().acquire_timeout(self.busy_timeout).test_before_acquire(false);
        // Each connection to a database in memory has a database of its own.
        let pool = if url.contains(":memory:") || url.contains("mode=memory") {
            pool.max_connections(1).idle_timeout(None).max_lifetime(None)
        } else {
            pool
        };
        pool.connect_with(options).await
    }

    async fn begin(
        &self,
        pool: &SqlitePool,
        log: &Model,
        _: &Owner,
    ) -> Result<Turn, DatabaseError> {
        self.group.begin(pool, log, self.sharing, self.busy_timeout).await
    }

    /// Waits for its turn among the writers, and shares their commit.
    async fn change(
        &self,
        pool: &SqlitePool,
        log: &Model,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<Vec<String>, DatabaseError> {
        let mut turn = self.group.begin(pool, log, self.sharing, self.busy_timeout).await?;
        let ended = || DatabaseError::failed("the unit of work has ended");
        let connection = turn.connection().ok_or_else(ended)?;
        let done = Self::texts(connection, sql, args).await.map_err(|error| explain(log, error))?;
        turn.commit(log).await?;
        Ok(done)
    }

    async fn learn(&mut self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let deferred = "SELECT count(*) > 0 FROM sqlite_master WHERE sql LIKE '%deferred%'";
        self.sharing.no_commit = sqlx::query_scalar(deferred).fetch_one(&mut *connection).await?;
        let in_memory = "SELECT file = '' FROM pragma_database_list WHERE name = 'main'";
        self.sharing.in_memory = sqlx::query_scalar(in_memory).fetch_one(&mut *connection).await?;
        let ending: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' \
             AND replace(upper(sql), ' ', '') LIKE '%RAISE(ROLLBACK,%'",
        )
        .fetch_all(connection)
        .await?;
        for trigger in ending {
            tracing::warn!(
                trigger,
                "RAISE(ROLLBACK) ends the whole transaction, so the sync starts again for each refused diff: \
                 use RAISE(ABORT) in the trigger instead"
            );
        }
        Ok(())
    }

    async fn check(_: &mut SqliteConnection, _: &str) -> Result<(), SchemaError> {
        Ok(())
    }

    async fn check_capture(
        _: &mut SqliteConnection,
        log: &Model,
        captured: &[&Model],
    ) -> Result<(), SchemaError> {
        capture::check(log, captured)
    }

    async fn find(
        connection: &mut SqliteConnection,
        table: &Table,
    ) -> Result<Option<Found>, sqlx::Error> {
        catalogue::find(connection, table).await
    }

    fn exists(table: &str) -> String {
        format!("EXISTS (SELECT 1 FROM pragma_table_info({}))", Self::literal(table))
    }

    async fn free_columns(
        connection: &mut SqliteConnection,
        log: &str,
        model: &Model,
    ) -> Result<Vec<String>, sqlx::Error> {
        // Other attached databases are not checked.
        let main = if model.table == quote(&model.stored) { &*model.stored } else { "" };
        let names: Vec<(String, String)> = sqlx::query_as(
            "SELECT c.name, m.sql FROM sqlite_master AS m, pragma_table_xinfo(m.name) AS c \
             WHERE m.type = 'table' AND m.name = $1 COLLATE NOCASE AND c.pk = 0 AND c.hidden = 0 \
             AND m.sql LIKE 'create table%' \
             AND NOT EXISTS (SELECT 1 FROM sqlite_master AS t WHERE t.type = 'trigger' \
             AND t.tbl_name = m.name COLLATE NOCASE AND substr(t.name, 1, length($2)) <> $2) \
             AND NOT EXISTS (SELECT 1 FROM pragma_index_list(m.name) AS i, pragma_index_xinfo(i.name) AS x \
             WHERE i.partial = 1 OR x.cid = -2 OR x.cid = c.cid) \
             AND NOT EXISTS (SELECT 1 FROM pragma_foreign_key_list(m.name) AS k \
             WHERE k.\"from\" = c.name COLLATE NOCASE)",
        )
        .bind(main.to_owned())
        .bind(prefix_of(log))
        .fetch_all(connection)
        .await?;
        // If a column is mentioned besides its definition, a constraint may use it.
        let is_named_once = |(name, sql): &(String, String)| {
            let words = sql.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            words.filter(|word| word.eq_ignore_ascii_case(name)).count() == 1
        };
        Ok(names.into_iter().filter(is_named_once).map(|(name, _)| name).collect())
    }

    async fn effects(
        connection: &mut SqliteConnection,
        _: &Model,
        models: &[&Model],
    ) -> Result<Vec<Effect>, sqlx::Error> {
        effects::find(connection, models).await
    }

    async fn missing(
        connection: &mut SqliteConnection,
        log: &Model,
        statements: Vec<String>,
    ) -> Result<Vec<String>, sqlx::Error> {
        capture::missing(connection, log, statements).await
    }

    const BEGIN_SET_UP: &'static str = "BEGIN IMMEDIATE";

    fn set_up(log: &Model) -> Vec<String> {
        let (table, is_own, log) = (&log.table, own::<Self>(log), &log.name);
        let index = quote(&format!("{log}_owner_logical_clock"));
        let own = quote(&format!("{log}_own"));
        let creates = quote(&format!("{log}_creates"));
        vec![
            format!(
                "CREATE TABLE IF NOT EXISTS {table} (id TEXT NOT NULL, owner TEXT NOT NULL, \
                 logical_clock INTEGER NOT NULL, utc_timestamp INTEGER NOT NULL, \
                 type TEXT NOT NULL, model TEXT NOT NULL, json_data TEXT NOT NULL, \
                 PRIMARY KEY (owner, id))"
            ),
            format!("CREATE INDEX IF NOT EXISTS {index} ON {table} (owner, logical_clock)"),
            format!(
                "CREATE INDEX IF NOT EXISTS {own} ON {table} (owner, logical_clock) WHERE {is_own}"
            ),
            // Created by earlier versions; no longer used.
            format!("DROP INDEX IF EXISTS {creates}"),
        ]
    }

    fn capture(&self, log: &Model, captured: &[&Model]) -> Vec<String> {
        capture::make(log, captured)
    }

    fn release(log: &Model, captured: &[&Model], others: &[&Model]) -> Vec<String> {
        capture::remove(log, captured, others)
    }

    async fn left_over(
        connection: &mut SqliteConnection,
        log: &Model,
        captured: &[&Model],
    ) -> Result<Vec<String>, sqlx::Error> {
        capture::left_over(connection, log, captured).await
    }

    fn is_marked(log: &Model, owner: &str) -> String {
        marks::is_marked(log, owner)
    }

    async fn take_marks(
        connection: &mut SqliteConnection,
        log: &Model,
        owner: &Owner,
        most: usize,
    ) -> Result<Vec<MarkRow>, sqlx::Error> {
        marks::take(connection, log, owner, most).await
    }

    async fn set_off(
        &self,
        connection: &mut SqliteConnection,
        schema: &Schema,
        owner: &Owner,
        _: &[(&str, &str)],
    ) -> Result<(Vec<MarkRow>, bool), sqlx::Error> {
        // Nobody else writes meanwhile.
        Ok((self.quiet.take(connection, schema, owner).await?, false))
    }

    async fn marked_owners(
        connection: &mut SqliteConnection,
        log: &Model,
        most: usize,
    ) -> Result<Vec<String>, sqlx::Error> {
        marks::owners(connection, log, most).await
    }

    async fn put_back(
        connection: &mut SqliteConnection,
        log: &Model,
        owner: &Owner,
        again: &[Mark],
    ) -> Result<(), sqlx::Error> {
        marks::put_back(connection, log, owner, again).await
    }

    fn entries_of(log: &Model) -> String {
        marks::entries_of(log)
    }

    fn lacks(error: &sqlx::Error) -> bool {
        lacks(error)
    }

    const OBJECT: &'static str = marks::OBJECT;

    fn index_objects(log: &Model, wanted: bool) -> String {
        marks::index_objects(log, wanted)
    }

    fn create_table(table: &Table) -> String {
        table.create("TEXT NOT NULL")
    }

    fn unique_index(schema: Option<&str>, table: &str, columns: &[&str]) -> String {
        statements::unique_index(schema, table, columns)
    }

    fn by_bytes(table: &str, column: &str) -> String {
        format!(
            "declare {column} without a COLLATE, or with COLLATE BINARY, also in the unique indexes of {table} \
             (there is no ALTER TABLE for that: create another table, copy the rows, and rename it)"
        )
    }

    fn by_default(_: &str, column: &str) -> String {
        format!("declare {column} without GENERATED ALWAYS")
    }

    fn set_default(table: &str, column: &str, default: &str) -> String {
        statements::set_default(table, column, default)
    }

    fn rows_with_ids(model: &Model, parameter: usize) -> String {
        statements::rows_with_ids(model, parameter)
    }

    fn compare(column: &Column, operator: &str, parameter: usize, _: &Value) -> String {
        statements::compare(column, operator, parameter)
    }

    fn equals_one_of(column: &Column, parameter: usize) -> String {
        statements::equals_one_of(column, parameter)
    }

    fn record(model: &Model) -> String {
        doubles::record(model)
    }

    fn is_name(column: &Column) -> String {
        let storage = if column.kind == Kind::Text { "text" } else { "integer" };
        format!("typeof(t.{}) = '{storage}'", column.quoted())
    }

    fn is_sound(model: &Model) -> String {
        doubles::are_sound(model)
    }

    fn shown(column: &Column) -> String {
        let name = format!("t.{}", column.quoted());
        format!("CASE typeof({name}) WHEN 'text' THEN {name} ELSE quote({name}) END")
    }

    fn insert(model: &Model, columns: &[&Column]) -> String {
        statements::insert(model, columns)
    }

    fn update(model: &Model, columns: &[&Column]) -> String {
        statements::update(model, columns)
    }

    fn delete(model: &Model) -> String {
        format!("DELETE FROM {}", Self::rows_with_ids(model, 2))
    }

    fn payload<'w>(
        _: &Model,
        columns: &[&Column],
        rows: impl Iterator<Item = (&'w str, Vec<&'w str>)>,
    ) -> String {
        statements::payload(columns, rows)
    }

    fn as_columns(_: &Model, _: &[&Column]) -> Option<String> {
        None
    }

    fn entries(log: &Model, ticks: &str) -> String {
        ticks::select(log, ticks)
    }

    fn devices<'a>(devices: &[&IdleQuery<'a>]) -> (&'static str, Vec<Arg<'a>>) {
        statements::devices(devices)
    }

    fn read_entries(
        owner: &Owner,
        row: LogRow,
        entries: &mut Vec<Diff>,
    ) -> Result<(), DatabaseError> {
        let (_, Some(heads), clock, .., Some(jsons)) = row else { return Err(null_in_log()) };
        entries.extend(Tick::read(&heads, clock, &jsons)?.into_diffs(owner));
        Ok(())
    }

    fn append<'a>(
        &self,
        log: &'a Model,
        owner: &'a Owner,
        entries: &'a [Diff],
        _: &'a [(String, String)],
    ) -> (String, Vec<Arg<'a>>) {
        let values: Vec<String> =
            (0..6).map(|place| format!("json_extract(r.value, '$[{place}]')")).collect();
        let sql = format!(
            "INSERT INTO {} (owner, id, logical_clock, utc_timestamp, type, model, json_data) \
             SELECT $1, {} FROM json_each($2) AS r",
            log.table,
            values.join(", ")
        );
        let rows: Vec<_> = entries
            .iter()
            .map(
                |Diff { id, logical_clock, utc_timestamp, operation, model, json_data, .. }| {
                    (id, logical_clock, utc_timestamp, operation.as_str(), model, json_data)
                },
            )
            .collect();
        (sql, vec![Arg::Text(owner.as_str()), Arg::Owned(json_list(&rows))])
    }

    fn literal(text: &str) -> String {
        format!("'{}'", text.replace('\'', "''"))
    }

    fn arguments(args: &[Arg<'_>]) -> Result<SqliteArguments, sqlx::Error> {
        let mut arguments = SqliteArguments::default();
        for arg in args {
            let added = match arg {
                Arg::Integer(number) => arguments.add(*number),
                Arg::Text(text) => arguments.add(*text),
                Arg::Owned(text) => arguments.add(&**text),
                Arg::Texts(texts) => arguments.add(json_list(texts)),
                Arg::Integers(numbers) => arguments.add(json_list(numbers)),
                Arg::Value(value) => arguments.add(value.to_string()),
                Arg::Values(values) => arguments.add(json_list(values)),
            };
            added.map_err(sqlx::Error::Encode)?;
        }
        Ok(arguments)
    }

    run_statements!(SqliteConnection);

    async fn texts(
        connection: &mut SqliteConnection,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<Vec<String>, sqlx::Error> {
        let arguments = Self::arguments(args)?;
        let rows = sqlx::query_with(AssertSqlSafe(sql), arguments).fetch_all(connection).await?;
        rows.iter().map(doubles::read).collect()
    }

    async fn fold_log(
        connection: &mut SqliteConnection,
        log: &Model,
        owner: &Owner,
        mut snapshot: Snapshot,
    ) -> Result<Snapshot, sqlx::Error> {
        let sql = AssertSqlSafe(ticks::select(log, "t.logical_clock >= 0"));
        let mut ticks = sqlx::query(sql).bind(owner.as_str().to_owned()).fetch(connection);
        while let Some(row) = ticks.try_next().await? {
            let tick = Tick::read(
                row.try_get("id")?,
                row.try_get("logical_clock")?,
                row.try_get("json_data")?,
            );
            let tick = tick.map_err(sqlx::Error::decode)?;
            snapshot.follow_all(tick.entries()).map_err(sqlx::Error::decode)?;
        }
        Ok(snapshot)
    }

    fn explain(model: &Model, error: sqlx::Error) -> DatabaseError {
        explain(model, error)
    }

    fn is_dead(_: &sqlx::Error) -> bool {
        false
    }

    async fn check_at_once(
        connection: &mut SqliteConnection,
        again: bool,
    ) -> Result<ForeignKeys, sqlx::Error> {
        ForeignKeys::learn(connection, again).await
    }

    async fn isolate(
        writer: &mut Turn,
        owner: &Owner,
        batch: &Batch<'_, '_>,
        at_once: Option<&ForeignKeys>,
    ) -> Result<Vec<Rejection>, DatabaseError> {
        isolate(writer, owner, batch, at_once).await
    }
}
