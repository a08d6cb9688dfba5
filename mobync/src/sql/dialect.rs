//! What is different from one SQL database to the next.

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

/// How statements run on a connection. Written once, but not in generic code: sqlx's traits would have
/// to be named wherever a dialect is.
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

/// A row of the window: its kind, and then the columns of the log but the owner.
pub(crate) type LogRow =
    (i64, Option<String>, i64, i64, Option<String>, Option<String>, Option<String>);

/// A transaction that is written through; dropped without a commit, it undoes what was written.
#[doc(hidden)]
#[allow(missing_docs, reason = "not meant to be used outside")]
pub trait Writer<Db: Database>: Send {
    /// None behind the end.
    fn connection(&mut self) -> Option<&mut Db::Connection>;

    /// Whether the transaction goes on.
    fn is_alive(&self) -> bool;

    /// Goes on in a transaction that no other writer shares. Called before anything is written.
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
    /// What must be known to check at once what would be checked at the commit.
    type AtOnce: Debug + Send + Sync;

    fn turns(&self) -> Turns;

    fn connect(
        &self,
        url: &str,
    ) -> impl Future<Output = Result<Pool<Self::Db>, sqlx::Error>> + Send;

    /// Begins to write for the owner, whom nobody else writes for until the transaction's end.
    fn begin(
        &self,
        pool: &Pool<Self::Db>,
        log: &Model,
        owner: &Owner,
    ) -> impl Future<Output = Result<Self::Writer, DatabaseError>> + Send;

    /// Looks at what concerns the whole database, when it is built.
    fn learn(
        &mut self,
        connection: &mut Connection<Self>,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        let _ = connection;
        async { Ok(()) }
    }

    /// Looks whether the database, and the name of the log, are such that sync can be on it.
    fn check(
        connection: &mut Connection<Self>,
        log: &str,
    ) -> impl Future<Output = Result<(), SchemaError>> + Send;

    /// What the database says of a table, if there is one.
    fn find(
        connection: &mut Connection<Self>,
        table: &Table,
    ) -> impl Future<Output = Result<Option<Found>, sqlx::Error>> + Send;

    /// The columns of a table at which no constraint, index or trigger looks.
    fn free_columns(
        connection: &mut Connection<Self>,
        model: &Model,
    ) -> impl Future<Output = Result<Vec<String>, sqlx::Error>> + Send;

    /// Begins a transaction that makes tables, one process at a time.
    const BEGIN_SET_UP: &'static str;

    /// Statements that make the library's own tables where they are not there.
    fn set_up(log: &str) -> Vec<String>;

    /// A hint for who has to make a table with these columns.
    fn create_table(table: &Table) -> String;

    /// How to have a column compared by its bytes.
    fn by_bytes(table: &str, column: &str) -> String;

    /// What stands behind FROM: the owner's rows whose ids the parameter has, of the table `t`.
    fn rows_with_ids(model: &Model, parameter: usize) -> String;

    /// That the column compares so with a [`Arg::Value`], which it can be compared with.
    fn compare(column: &Column, operator: &str, parameter: usize, value: &Value) -> String;

    /// That the column equals one of [`Arg::Values`].
    fn equals_one_of(column: &Column, parameter: usize) -> String;

    /// A select list for [`texts`](Self::texts): the record as JSON text, of the table `t`.
    fn record(model: &Model) -> String;

    /// That a column, which may name rows, has a value of its type: a name.
    fn is_name(column: &Column) -> String;

    /// That JSON can say all that is in a row of the table `t`.
    fn is_sound(model: &Model) -> String;

    /// A column of the table `t` as text, whatever is in it.
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

    /// Reads the entries of such a row.
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

    /// Folds the whole log of an owner.
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

    /// What an error says of the change that the statement made.
    fn explain(model: &Model, error: sqlx::Error) -> DatabaseError;

    /// Whether the connection is of no more use: nothing was lost by that if nothing was written.
    fn is_dead(error: &sqlx::Error) -> bool;

    /// Makes the rest of the transaction check at once what it would check at the commit; `again` if it
    /// was told so before, and the commit failed all the same.
    fn check_at_once(
        connection: &mut Connection<Self>,
        again: bool,
    ) -> impl Future<Output = Result<Self::AtOnce, sqlx::Error>> + Send;

    /// Does those writes of a batch that the database takes, in their order, and returns the others:
    /// each leaves nothing behind.
    ///
    /// # Errors
    /// If the database is ill, or would not take a batch without a row either; and a rejection, if it
    /// is not known whose it is.
    fn isolate(
        writer: &mut Self::Writer,
        owner: &Owner,
        batch: &Batch<'_, '_>,
        at_once: Option<&Self::AtOnce>,
    ) -> impl Future<Output = Result<Vec<Rejection>, DatabaseError>> + Send;
}
