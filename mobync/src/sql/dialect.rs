//! The differences between SQL databases.

use std::{fmt::Debug, future::Future};

use serde_json::Value;
use sqlx::{Database, Pool};

use super::{Batch, Column, Found, Model, SchemaError, Table};
use crate::{
    database::Turns, diff::Diff, error::DatabaseError, merge::Snapshot, owner::Owner,
    unit::Rejection,
};

type Connection<D> = <<D as Dialect>::Db as Database>::Connection;

/// A value for a parameter of a statement.
#[derive(Clone, Debug)]
pub enum Arg<'a> {
    Integer(i64),
    Text(&'a str),
    Owned(String),
    Texts(Vec<&'a str>),
    Integers(Vec<i64>),
    Value(&'a Value),
    Values(Vec<&'a Value>),
}

/// How statements run on a connection. This is a macro, because generic code would have to repeat
/// sqlx's trait bounds wherever a dialect is used.
macro_rules! run_statements {
    ($connection:ty) => {
        async fn command(
            connection: &mut $connection,
            sql: &'static str,
        ) -> Result<(), sqlx::Error> {
            sqlx::raw_sql(sql).execute(connection).await.map(drop)
        }

        async fn script(connection: &mut $connection, sql: &str) -> Result<(), sqlx::Error> {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
        }

        async fn execute(
            connection: &mut $connection,
            sql: &str,
            args: &[Arg<'_>],
        ) -> Result<u64, sqlx::Error> {
            let arguments = Self::arguments(args)?;
            let done = sqlx::query_with(AssertSqlSafe(sql), arguments).execute(connection).await?;
            Ok(done.rows_affected())
        }

        async fn log_rows(
            connection: &mut $connection,
            sql: &str,
            args: &[Arg<'_>],
        ) -> Result<Vec<LogRow>, sqlx::Error> {
            let arguments = Self::arguments(args)?;
            sqlx::query_as_with(AssertSqlSafe(sql), arguments).fetch_all(connection).await
        }
    };
}
pub(crate) use run_statements;

/// A row of the window: its kind, and then the columns of the log except the owner.
pub(crate) type LogRow =
    (i64, Option<String>, i64, i64, Option<String>, Option<String>, Option<String>);

/// A transaction for writes. Dropping it without a commit undoes them.
#[doc(hidden)]
#[allow(missing_docs, reason = "not meant to be used outside")]
pub trait Writer<Db: Database>: Send {
    /// None behind the end.
    fn connection(&mut self) -> Option<&mut Db::Connection>;

    /// Whether the transaction is still open.
    fn is_alive(&self) -> bool;

    /// Continues in a transaction that no other writer shares. Called before anything is written.
    fn alone(&mut self) -> impl Future<Output = Result<(), DatabaseError>> + Send {
        async { Ok(()) }
    }

    fn commit(self, log: &Model) -> impl Future<Output = Result<(), DatabaseError>> + Send;
}

/// An SQL database that sync can run on. Implemented by [`Postgres`](crate::postgres::Postgres) and
/// [`Sqlite`](crate::sqlite::Sqlite); it is not meant to be implemented outside.
#[doc(hidden)]
#[allow(missing_docs, reason = "not meant to be used outside")]
pub trait Dialect: Clone + Debug + Default + Send + Sync + 'static {
    type Db: Database;
    type Writer: Writer<Self::Db> + Debug;
    /// What the dialect must know to check constraints immediately instead of at the commit.
    type AtOnce: Debug + Send + Sync;

    fn turns(&self) -> Turns;

    fn connect(
        &self,
        url: &str,
    ) -> impl Future<Output = Result<Pool<Self::Db>, sqlx::Error>> + Send;

    /// Begins to write for the owner. Nobody else writes for this owner until the transaction ends.
    fn begin(
        &self,
        pool: &Pool<Self::Db>,
        log: &Model,
        owner: &Owner,
    ) -> impl Future<Output = Result<Self::Writer, DatabaseError>> + Send;

    /// Reads what concerns the whole database, when it is built.
    fn learn(
        &mut self,
        connection: &mut Connection<Self>,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        let _ = connection;
        async { Ok(()) }
    }

    /// Checks that the database and the name of the log can be used for sync.
    fn check(
        connection: &mut Connection<Self>,
        log: &str,
    ) -> impl Future<Output = Result<(), SchemaError>> + Send;

    /// The description of a table in the catalogue, if it exists.
    fn find(
        connection: &mut Connection<Self>,
        table: &Table,
    ) -> impl Future<Output = Result<Option<Found>, sqlx::Error>> + Send;

    /// The columns of a table that no constraint, index or trigger uses.
    fn free_columns(
        connection: &mut Connection<Self>,
        model: &Model,
    ) -> impl Future<Output = Result<Vec<String>, sqlx::Error>> + Send;

    /// Begins a transaction that makes tables, one process at a time.
    const BEGIN_SET_UP: &'static str;

    /// Statements that create the library's own tables if they do not exist.
    fn set_up(log: &str) -> Vec<String>;

    /// A statement that creates a table with these columns, as a hint.
    fn create_table(table: &Table) -> String;

    /// How to make a column compare by its bytes, as a hint.
    fn by_bytes(table: &str, column: &str) -> String;

    /// The text after FROM: the owner's rows with the ids in the parameter, of the table `t`.
    fn rows_with_ids(model: &Model, parameter: usize) -> String;

    /// The condition that the column compares in this way with an [`Arg::Value`] of a comparable type.
    fn compare(column: &Column, operator: &str, parameter: usize, value: &Value) -> String;

    /// The condition that the column equals one of [`Arg::Values`].
    fn equals_one_of(column: &Column, parameter: usize) -> String;

    /// A select list for [`texts`](Self::texts): the record as JSON text, of the table `t`.
    fn record(model: &Model) -> String;

    /// The condition that a column of ids or owners has a valid value of its type.
    fn is_name(column: &Column) -> String;

    /// The condition that JSON can represent every value in a row of the table `t`.
    fn is_sound(model: &Model) -> String;

    /// A column of the table `t` as text, for any value.
    fn shown(column: &Column) -> String;

    /// Statements that write many rows: `$1` is the owner, `$2` what [`payload`](Self::payload) makes of
    /// them, or the ids of those to delete.
    fn insert(model: &Model, columns: &[&Column]) -> String;
    fn update(model: &Model, columns: &[&Column]) -> String;
    fn delete(model: &Model) -> String;
    fn payload<'w>(
        model: &Model,
        columns: &[&Column],
        rows: impl Iterator<Item = (&'w str, Vec<&'w str>)>,
    ) -> String;

    /// A select of the entries of the owner `$1` from a tick on, at most `$3`, which is no limit: rows of
    /// the window.
    fn entries(log: &Model, start: &str) -> String;

    /// Reads the entries of a row of the window.
    ///
    /// # Errors
    /// If the log is broken.
    fn read_entries(
        owner: &Owner,
        row: LogRow,
        entries: &mut Vec<Diff>,
    ) -> Result<(), DatabaseError>;

    /// A statement that adds entries to the log, and its parameters.
    fn append<'a>(
        &self,
        log: &'a Model,
        owner: &'a Owner,
        entries: &'a [Diff],
    ) -> (String, Vec<Arg<'a>>);

    fn arguments(args: &[Arg<'_>]) -> Result<<Self::Db as Database>::Arguments, sqlx::Error>;

    /// Runs statements without parameters, in one round trip.
    fn command(
        connection: &mut Connection<Self>,
        sql: &'static str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Runs the application's own statements, which have no parameters.
    fn script(
        connection: &mut Connection<Self>,
        sql: &str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    fn execute(
        connection: &mut Connection<Self>,
        sql: &str,
        args: &[Arg<'_>],
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    fn log_rows(
        connection: &mut Connection<Self>,
        sql: &str,
        args: &[Arg<'_>],
    ) -> impl Future<Output = Result<Vec<LogRow>, sqlx::Error>> + Send;

    /// Reads the whole log of an owner and folds it into its objects.
    fn fold_log(
        connection: &mut Connection<Self>,
        log: &Model,
        owner: &Owner,
    ) -> impl Future<Output = Result<Snapshot, sqlx::Error>> + Send;

    /// The rows of a select of one text, or of [`record`](Self::record)s.
    fn texts(
        connection: &mut Connection<Self>,
        sql: &str,
        args: &[Arg<'_>],
    ) -> impl Future<Output = Result<Vec<String>, sqlx::Error>> + Send;

    /// What an error means for the change that the statement made.
    fn explain(model: &Model, error: sqlx::Error) -> DatabaseError;

    /// Whether the connection is unusable. If nothing was written, nothing is lost.
    fn is_dead(error: &sqlx::Error) -> bool;

    /// Makes the rest of the transaction check immediately what it would check at the commit; `again`
    /// if this was done before, and the commit failed anyway.
    fn check_at_once(
        connection: &mut Connection<Self>,
        again: bool,
    ) -> impl Future<Output = Result<Self::AtOnce, sqlx::Error>> + Send;

    /// Executes the writes of a batch that the database accepts, in their order, and returns the
    /// others, each of which changes nothing.
    ///
    /// # Errors
    /// If the database fails, or rejects the same statement without rows; and a rejection, if it is not
    /// known which write caused it.
    fn isolate(
        writer: &mut Self::Writer,
        owner: &Owner,
        batch: &Batch<'_, '_>,
        at_once: Option<&Self::AtOnce>,
    ) -> impl Future<Output = Result<Vec<Rejection>, DatabaseError>> + Send;
}
