//! The differences between SQL databases.

use std::{fmt::Debug, future::Future, time::Duration};

use serde_json::Value;
use sqlx::{Database, Pool};

use super::{
    Batch, Column, Effect, Found, Model, SchemaError, Table, schema::Schema, session::Session,
};
use crate::{
    database::Turns,
    diff::Diff,
    error::DatabaseError,
    merge::Snapshot,
    owner::Owner,
    unit::{Mark, Rejection},
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

/// What [`Dialect::is_sound`] says of a table in which there is nothing else.
pub(crate) const SOUND: &str = "(1 = 1)";

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

/// A row of the window: its kind, and then the columns of the log except the owner.
pub(crate) type LogRow =
    (i64, Option<String>, i64, i64, Option<String>, Option<String>, Option<String>);

/// A mark: model and id of an object, and the time in milliseconds.
pub(crate) type MarkRow = (String, String, i64);

/// A transaction that is written through; dropped without a commit, it undoes what was written.
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

    /// The database's time in SQL, in milliseconds since 1970.
    const NOW: &'static str;

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

    /// Takes the owner's turn in a transaction that has begun already.
    fn join(
        connection: &mut Connection<Self>,
        log: &Model,
        owner: &Owner,
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send {
        let _ = (connection, log, owner);
        async { Ok(()) }
    }

    /// Runs a statement that writes, outside of a unit of work, and returns its texts. May run it twice.
    fn change(
        &self,
        pool: &Pool<Self::Db>,
        log: &Model,
        sql: &str,
        args: &[Arg<'_>],
    ) -> impl Future<Output = Result<Vec<String>, DatabaseError>> + Send {
        let mut session = Session::<Self>::Reading(pool.clone());
        async move {
            let done = session.texts(sql, args).await;
            done.map_err(|error| Self::explain(log, error))
        }
    }

    /// Looks at what concerns the whole database, when it is built.
    fn learn(
        &mut self,
        connection: &mut Connection<Self>,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        let _ = connection;
        async { Ok(()) }
    }

    /// Takes note of the tables, behind all else when the database is built.
    fn know(
        &mut self,
        connection: &mut Connection<Self>,
        schema: &Schema,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        let _ = (connection, schema);
        async { Ok(()) }
    }

    /// Whether a sync's own writes may set something off, as far as is known. If not, there is no look
    /// behind them: that they do all the same, and that others have marked what the request names, is found
    /// out by [`append`](Self::append).
    fn sets_off(&self) -> bool {
        true
    }

    /// From now on they may.
    fn look_behind(&self) {}

    /// Begins a transaction to read the owner's rows in, or values, if it takes one to read them as a sync
    /// that writes would.
    fn begin_reading(
        &self,
        pool: &Pool<Self::Db>,
        owner: Option<&Owner>,
    ) -> impl Future<Output = Result<Option<Self::Writer>, sqlx::Error>> + Send {
        let _ = (pool, owner);
        async { Ok(None) }
    }

    /// Looks whether the database, and the name of the log, are such that sync can be on it.
    fn check(
        connection: &mut Connection<Self>,
        log: &str,
    ) -> impl Future<Output = Result<(), SchemaError>> + Send;

    /// The schema in which tables are made, if it has a name.
    fn home(
        connection: &mut Connection<Self>,
    ) -> impl Future<Output = Result<Option<String>, sqlx::Error>> + Send {
        let _ = connection;
        async { Ok(None) }
    }

    /// What the database says of a table, if there is one.
    fn find(
        connection: &mut Connection<Self>,
        table: &Table,
    ) -> impl Future<Output = Result<Option<Found>, sqlx::Error>> + Send;

    /// Looks whether marks of these tables can be kept beside the log.
    ///
    /// # Errors
    /// If a name is too long for that, or taken.
    fn check_capture(
        connection: &mut Connection<Self>,
        log: &Model,
        captured: &[&Model],
    ) -> impl Future<Output = Result<(), SchemaError>> + Send {
        let _ = (connection, log, captured);
        async { Ok(()) }
    }

    /// The columns of a table at which no constraint, index or trigger looks; those triggers that mark
    /// changes for the log apart.
    fn free_columns(
        connection: &mut Connection<Self>,
        log: &str,
        model: &Model,
    ) -> impl Future<Output = Result<Vec<String>, sqlx::Error>> + Send;

    /// Takes out of the statements of a set-up those that would make again what is there.
    fn missing(
        connection: &mut Connection<Self>,
        log: &Model,
        statements: Vec<String>,
    ) -> impl Future<Output = Result<Vec<String>, sqlx::Error>> + Send {
        let _ = (connection, log);
        async { Ok(statements) }
    }

    /// Begins a transaction that makes tables, one process at a time.
    const BEGIN_SET_UP: &'static str;

    /// How long a set-up is tried again that gave way to who uses the tables.
    fn set_up_patience(&self) -> Duration {
        Duration::ZERO
    }

    /// The cascades and triggers in the databases of the tables, but for those of the log's marks.
    fn effects(
        connection: &mut Connection<Self>,
        log: &Model,
        models: &[&Model],
    ) -> impl Future<Output = Result<Vec<Effect>, sqlx::Error>> + Send;

    /// Statements that create the library's own tables if they do not exist.
    fn set_up(log: &Model) -> Vec<String>;

    /// Statements that have all changes of these tables marked, of which there is at least one, and that
    /// make what the marks need. Behind [`set_up`](Self::set_up).
    fn capture(&self, log: &Model, captured: &[&Model]) -> Vec<String>;

    /// Statements that take away what marked changes of `others`, and, if nothing is captured, all that
    /// the marks needed. They do nothing where there is nothing of it.
    fn release(log: &Model, captured: &[&Model], others: &[&Model]) -> Vec<String>;

    /// The same for tables that are synced no more, as the catalogue has them.
    fn left_over(
        connection: &mut Connection<Self>,
        log: &Model,
        captured: &[&Model],
    ) -> impl Future<Output = Result<Vec<String>, sqlx::Error>> + Send {
        let _ = (connection, log, captured);
        async { Ok(Vec::new()) }
    }

    /// A condition: that the owner `$1` has marks. It may hold where marks of any owner are yet to be
    /// sorted.
    fn is_marked(log: &Model) -> String;

    /// Removes marks of the owner, those of at most so many objects; each of these once, with the time of
    /// its newest mark.
    fn take_marks(
        connection: &mut Connection<Self>,
        log: &Model,
        owner: &Owner,
        most: usize,
    ) -> impl Future<Output = Result<Vec<MarkRow>, sqlx::Error>> + Send;

    /// Runs what the database has deferred to the commit, and removes the marks of the owner that this
    /// transaction made itself. Also whether others marked one of the named objects (model, id).
    fn set_off(
        &self,
        connection: &mut Connection<Self>,
        schema: &Schema,
        owner: &Owner,
        named: &[(&str, &str)],
    ) -> impl Future<Output = Result<(Vec<MarkRow>, bool), sqlx::Error>> + Send;

    /// Owners who have marks, at most so many.
    fn marked_owners(
        connection: &mut Connection<Self>,
        log: &Model,
        most: usize,
    ) -> impl Future<Output = Result<Vec<String>, sqlx::Error>> + Send;

    /// Marks objects of the owner again, as not marked by this transaction.
    fn put_back(
        connection: &mut Connection<Self>,
        log: &Model,
        owner: &Owner,
        marks: &[Mark],
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Comes to an end when somebody may have been marked, if the database tells of that.
    fn news(&self, pool: &Pool<Self::Db>, log: &Model) -> impl Future<Output = ()> + Send {
        let _ = (pool, log);
        std::future::pending()
    }

    /// A statement that locks the owner's rows whose ids are `$2`; none if nobody else can write
    /// meanwhile.
    fn lock(model: &Model) -> Option<String> {
        let _ = model;
        None
    }

    /// Whether the statement failed because the table, or a column of it, is not there any more.
    fn lacks(error: &sqlx::Error) -> bool;

    /// A select of entries, as [`entries`](Self::entries) gives them: of the owner `$1`, those of the
    /// objects whose models are `$2` and whose ids `$3`, at the same places; `$4` is no limit.
    fn entries_of(log: &Model) -> String;

    /// The id of the object of an entry of the log, as the log's index by objects has it.
    const OBJECT: &'static str;

    /// The statement that makes the log's index by objects, or drops it.
    fn index_objects(log: &Model, wanted: bool) -> String;

    /// A statement that creates a table with these columns, as a hint.
    fn create_table(table: &Table) -> String;

    /// How to make a column compare by its bytes, as a hint.
    fn by_bytes(table: &str, column: &str) -> String;

    /// How to have a column that counts take numbers from outside.
    fn by_default(table: &str, column: &str) -> String;

    /// What stands behind FROM: the owner's rows whose ids the parameter has, of the table `t`.
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

    /// A select of the records that rows of these columns would be read as, in the order of the
    /// [`payload`](Self::payload) `$1`; none where [`Column::as_held`] says it.
    fn as_columns(model: &Model, columns: &[&Column]) -> Option<String>;

    /// A select of the entries of the owner `$1` from a tick on, at most `$3`, which is no limit: rows of
    /// the window.
    fn entries(log: &Model, ticks: &str) -> String;

    /// Reads the entries of a row of the window.
    ///
    /// # Errors
    /// If the log is broken.
    fn read_entries(
        owner: &Owner,
        row: LogRow,
        entries: &mut Vec<Diff>,
    ) -> Result<(), DatabaseError>;

    /// A statement that adds entries to the log, and its parameters; if objects are named (model, id), only
    /// if nobody else has marked one of them, and this transaction none at all.
    fn append<'a>(
        &self,
        log: &'a Model,
        owner: &'a Owner,
        entries: &'a [Diff],
        named: &'a [(String, String)],
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
