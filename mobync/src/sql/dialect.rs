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
    unit::{IdleQuery, Mark, Rejection},
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

/// The result of [`Dialect::is_sound`] for a table that contains nothing else.
pub(crate) const SOUND: &str = "(1 = 1)";

/// A row of the window: its kind, and then the columns of the log except the owner.
pub(crate) type LogRow =
    (i64, Option<String>, i64, i64, Option<String>, Option<String>, Option<String>);

/// A mark: model and id of an object, and the time in milliseconds.
pub(crate) type MarkRow = (String, String, i64);

/// A transaction that writes. If it is dropped without a commit, its writes are undone.
#[doc(hidden)]
#[allow(missing_docs, reason = "not meant to be used outside")]
pub trait Writer<Db: Database>: Send {
    /// `None` after the end.
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

    /// Takes the owner's turn in a transaction of the application's own, and gives its session the settings
    /// of a sync. Returns the session's own settings, for [`leave`](Self::leave).
    fn join(
        &self,
        connection: &mut Connection<Self>,
        log: &Model,
        owner: &Owner,
    ) -> impl Future<Output = Result<Vec<String>, DatabaseError>> + Send {
        let _ = (connection, log, owner);
        async { Ok(Vec::new()) }
    }

    /// Gives the application's session the settings back that it had.
    fn leave(
        connection: &mut Connection<Self>,
        settings: Vec<String>,
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send {
        let _ = (connection, settings);
        async { Ok(()) }
    }

    /// Runs a statement that writes, outside of a unit of work, and returns its texts. It may run twice.
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

    /// Checks the settings of the whole database when it is built.
    fn learn(
        &mut self,
        connection: &mut Connection<Self>,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        let _ = connection;
        async { Ok(()) }
    }

    /// Stores what it needs to know of the tables, as the last step of building the database.
    fn know(
        &mut self,
        connection: &mut Connection<Self>,
        schema: &Schema,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        let _ = (connection, schema);
        async { Ok(()) }
    }

    /// Whether a sync's own writes may set something off, as far as is known. If not, the sync does not
    /// look at its effects. [`append`](Self::append) detects effects that occur nevertheless, and marks
    /// by others on what the request names.
    fn sets_off(&self) -> bool {
        true
    }

    /// Records that they may, from now on.
    fn look_behind(&self) {}

    /// Begins a transaction to read the owner's rows, or values, if they must be read with the session
    /// settings of a sync that writes.
    fn begin_reading(
        &self,
        pool: &Pool<Self::Db>,
        owner: Option<&Owner>,
    ) -> impl Future<Output = Result<Option<Self::Writer>, sqlx::Error>> + Send {
        let _ = (pool, owner);
        async { Ok(None) }
    }

    /// Checks that sync can use this database and this name of the log.
    fn check(
        connection: &mut Connection<Self>,
        log: &str,
    ) -> impl Future<Output = Result<(), SchemaError>> + Send;

    /// The schema in which tables are created, if it has a name.
    fn home(
        connection: &mut Connection<Self>,
    ) -> impl Future<Output = Result<Option<String>, sqlx::Error>> + Send {
        let _ = connection;
        async { Ok(None) }
    }

    /// The database's description of a table, if it exists.
    fn find(
        connection: &mut Connection<Self>,
        table: &Table,
    ) -> impl Future<Output = Result<Option<Found>, sqlx::Error>> + Send;

    /// The condition that there is a table with this name. It never fails.
    fn exists(table: &str) -> String;

    /// Checks that marks of these tables can be kept beside the log.
    ///
    /// # Errors
    /// If a name is too long, or already in use.
    fn check_capture(
        connection: &mut Connection<Self>,
        log: &Model,
        captured: &[&Model],
    ) -> impl Future<Output = Result<(), SchemaError>> + Send {
        let _ = (connection, log, captured);
        async { Ok(()) }
    }

    /// The columns of a table that no constraint, index or trigger uses, apart from the triggers that
    /// mark changes for the log.
    fn free_columns(
        connection: &mut Connection<Self>,
        log: &str,
        model: &Model,
    ) -> impl Future<Output = Result<Vec<String>, sqlx::Error>> + Send;

    /// Removes from the statements of a set-up those that would create existing things again.
    fn missing(
        connection: &mut Connection<Self>,
        log: &Model,
        statements: Vec<String>,
    ) -> impl Future<Output = Result<Vec<String>, sqlx::Error>> + Send {
        let _ = (connection, log);
        async { Ok(statements) }
    }

    /// Begins a transaction that creates tables, one process at a time.
    const BEGIN_SET_UP: &'static str;

    /// How long a set-up is retried that has given way to other users of the tables.
    fn set_up_patience(&self) -> Duration {
        Duration::ZERO
    }

    /// The cascades and triggers in the databases of the tables, except for the log's own.
    fn effects(
        connection: &mut Connection<Self>,
        log: &Model,
        models: &[&Model],
    ) -> impl Future<Output = Result<Vec<Effect>, sqlx::Error>> + Send;

    /// Statements that create the library's own tables if they do not exist.
    fn set_up(log: &Model) -> Vec<String>;

    /// Statements that create the marks and the triggers that capture these tables, of which there is at
    /// least one. They run after [`set_up`](Self::set_up).
    fn capture(&self, log: &Model, captured: &[&Model]) -> Vec<String>;

    /// Statements that drop the triggers of `others`, and, if nothing is captured, everything that
    /// belongs to the marks. They do nothing if nothing exists.
    fn release(log: &Model, captured: &[&Model], others: &[&Model]) -> Vec<String>;

    /// The same for tables that are no longer synced, found in the catalogue.
    fn left_over(
        connection: &mut Connection<Self>,
        log: &Model,
        captured: &[&Model],
    ) -> impl Future<Output = Result<Vec<String>, sqlx::Error>> + Send {
        let _ = (connection, log, captured);
        async { Ok(Vec::new()) }
    }

    /// The condition that the owner, as text, has marks. It may also hold if marks of any owner are not
    /// sorted yet.
    fn is_marked(log: &Model, owner: &str) -> String;

    /// Removes the owner's marks of a limited number of objects. Returns each object once, with the time
    /// of its newest mark.
    fn take_marks(
        connection: &mut Connection<Self>,
        log: &Model,
        owner: &Owner,
        most: usize,
    ) -> impl Future<Output = Result<Vec<MarkRow>, sqlx::Error>> + Send;

    /// Runs what the database has deferred to the commit, and removes the owner's marks that this
    /// transaction has made itself. Also returns whether others have marked one of the named objects
    /// (model, id).
    fn set_off(
        &self,
        connection: &mut Connection<Self>,
        schema: &Schema,
        owner: &Owner,
        named: &[(&str, &str)],
    ) -> impl Future<Output = Result<(Vec<MarkRow>, bool), sqlx::Error>> + Send;

    /// A limited number of owners who have marks.
    fn marked_owners(
        connection: &mut Connection<Self>,
        log: &Model,
        most: usize,
    ) -> impl Future<Output = Result<Vec<String>, sqlx::Error>> + Send;

    /// Marks objects of the owner again, as if by another transaction.
    fn put_back(
        connection: &mut Connection<Self>,
        log: &Model,
        owner: &Owner,
        marks: &[Mark],
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Returns when somebody may have been marked, if the database notifies of that.
    fn news(&self, pool: &Pool<Self::Db>, log: &Model) -> impl Future<Output = ()> + Send {
        let _ = (pool, log);
        std::future::pending()
    }

    /// A statement that locks the owner's rows whose ids are `$2`; `None` if nobody else can write in
    /// the meantime.
    fn lock(model: &Model) -> Option<String> {
        let _ = model;
        None
    }

    /// Whether the statement failed because the table, or a column of it, no longer exists.
    fn lacks(error: &sqlx::Error) -> bool;

    /// A select of entries in the form of [`entries`](Self::entries): the entries of the owner `$1`
    /// about the objects whose models are `$2` and whose ids are `$3`, at the same places. `$4` is not a
    /// limit.
    fn entries_of(log: &Model) -> String;

    /// The id of the object of a log entry, in the form of the log's index by objects.
    const OBJECT: &'static str;

    /// The statement that creates the log's index by objects, or drops it.
    fn index_objects(log: &Model, wanted: bool) -> String;

    /// A statement that creates a table with these columns, as a hint.
    fn create_table(table: &Table) -> String;

    /// The statement that creates a unique index on these columns, as a hint.
    fn unique_index(schema: Option<&str>, table: &str, columns: &[&str]) -> String;

    /// How to make a column compare by its bytes, as a hint.
    fn by_bytes(table: &str, column: &str) -> String;

    /// How to let a column that counts accept numbers of the application.
    fn by_default(table: &str, column: &str) -> String;

    /// The greatest number of bytes of a name in SQL. Longer ones are truncated.
    const MOST_IN_A_NAME: usize = usize::MAX;

    /// How to change the default of a column.
    fn set_default(table: &str, column: &str, default: &str) -> String;

    /// The part after FROM: the owner's rows whose ids the parameter has, of the table `t`.
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

    /// A select of the records that would be read from rows of these columns, in the order of the
    /// [`payload`](Self::payload) `$1`; none if [`Column::as_held`] is enough.
    fn as_columns(model: &Model, columns: &[&Column]) -> Option<String>;

    /// A select of the entries of the owner `$1` from a tick on, at most `$3`, which is no limit: rows of
    /// the window.
    fn entries(log: &Model, ticks: &str) -> String;

    /// The devices as a table of the columns `place` (from 1 on), `owner`, `since` and `head`, which is empty
    /// for a device without one; and its parameters.
    fn devices<'a>(devices: &[&IdleQuery<'a>]) -> (&'static str, Vec<Arg<'a>>);

    /// Reads the entries of a row of the window.
    ///
    /// # Errors
    /// If the log is broken.
    fn read_entries(
        owner: &Owner,
        row: LogRow,
        entries: &mut Vec<Diff>,
    ) -> Result<(), DatabaseError>;

    /// A statement that adds entries to the log, and its parameters. If objects are named (model, id),
    /// it adds them only if nobody else has marked one of these, and this transaction has marked none at
    /// all.
    fn append<'a>(
        &self,
        log: &'a Model,
        owner: &'a Owner,
        entries: &'a [Diff],
        named: &'a [(String, String)],
    ) -> (String, Vec<Arg<'a>>);

    /// A text in SQL, whatever is in it.
    fn literal(text: &str) -> String;

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

    /// Reads the whole log of an owner and folds it into the snapshot.
    fn fold_log(
        connection: &mut Connection<Self>,
        log: &Model,
        owner: &Owner,
        snapshot: Snapshot,
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

    /// Makes the rest of the transaction check immediately what it would check at the commit. `again`
    /// means that this was done before, and the commit failed nevertheless.
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
