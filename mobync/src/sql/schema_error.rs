//! Why a database cannot be used for sync.

use std::fmt;

use crate::error::with_causes;

/// Why a database cannot be used for sync with this configuration. The message says what to change.
///
/// `Debug` shows the message and its causes, so that a `main` that returns the error prints them.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The database cannot be reached, or a query failed.
    #[error("the tables cannot be read from the database")]
    Database(#[from] sqlx::Error),
    /// A statement of [`run_first`](super::Builder::run_first) failed. All of them were undone.
    #[error("the SQL of `run_first` failed, and was undone")]
    RunFirst(#[source] sqlx::Error),
    /// The database cannot store every text.
    #[error(
        "the database's encoding is {encoding}, which lacks some characters: create a database with {create}"
    )]
    Encoding {
        /// Its encoding.
        encoding: String,
        /// A statement that would create a database.
        create: &'static str,
    },
    /// There is no such table.
    #[error("there is no table {table}; create it first, for example: {create}")]
    NoTable {
        /// The table.
        table: String,
        /// Statements that would create it, without its other columns.
        create: String,
    },
    /// The name does not belong to a table.
    #[error("{table} is {what}, and only tables can be synced: name the table that has the rows")]
    NotTable {
        /// The name.
        table: String,
        /// What it is: "a view".
        what: &'static str,
    },
    /// The name is longer than the database allows.
    #[error(
        "the name {name} is too long for the names of its indexes and tables: it may have {most} bytes"
    )]
    LongName {
        /// The name.
        name: String,
        /// The greatest number of bytes.
        most: usize,
    },
    /// The table has no such column.
    #[error("the table {table} has no column {column}: {advice}")]
    NoColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What to do.
        advice: &'static str,
    },
    /// A column does not meet its requirements.
    #[error("the column {column} of {table} is {sql_type}: {advice}")]
    Column {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type in the database.
        sql_type: String,
        /// What to do.
        advice: &'static str,
    },
    /// The database itself generates the ids, or the owners, and accepts none from outside.
    #[error(
        "the column {column} of {table} is GENERATED ALWAYS AS IDENTITY, but the database must accept ids and \
         owners: {mend}"
    )]
    Identity {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What to do: a statement.
        mend: String,
    },
    /// The database treats different owners, ids or log entries as equal: it ignores case, accents or
    /// blanks.
    #[error(
        "the column {column} of {table} treats different texts as equal (it ignores case, accents or blanks), \
         so one owner or id could be mistaken for another: {mend}"
    )]
    Folds {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What to do, as a statement if there is one.
        mend: String,
    },
    /// No unique index prevents two rows of the table from having the same id.
    #[error(
        "the table {table} has no primary key or unique index on {key}, so two of its rows could have the same \
         id: make them differ if some do not, and then run {mend}"
    )]
    NotUnique {
        /// The table.
        table: String,
        /// The columns that must be unique together.
        key: String,
        /// The statement that creates the index.
        mend: String,
    },
    /// A row of one owner could reference a row of another owner, who could then not delete it.
    #[error(
        "the {key} of {table} does not include the owner, so one owner's rows could reference those of another: \
         {mend}, or allow it with `allow_foreign_keys_across_owners`"
    )]
    ForeignKey {
        /// The table with the foreign key.
        table: String,
        /// The foreign key.
        key: String,
        /// What to do.
        mend: String,
    },
    /// A shared table cannot be captured.
    #[error(
        "the table {table} is shared, so it is unknown which owner's devices should receive a change: give it an \
         owner column, or `capture` only the other tables, one by one"
    )]
    SharedCapture {
        /// The table.
        table: String,
    },
    /// A table in another database file than the log cannot be captured.
    #[error(
        "the table {table} cannot be captured in the attached database {schema}, because a commit to its file and \
         to that of the log {log} is not atomic: move it to the main database, or `capture` only the other tables, \
         one by one"
    )]
    ElsewhereCapture {
        /// The table.
        table: String,
        /// The database that it is in.
        schema: String,
        /// The log.
        log: String,
    },
    /// A write of a sync sets off a change of synced rows that no device would receive.
    #[error(
        "{by} changes rows of {table} when a sync writes, and no device would receive that: capture the table \
         with Table::new(\"{table}\").capture(), or allow it with `allow_unheard_changes`"
    )]
    Unheard {
        /// The table that is changed.
        table: String,
        /// The foreign key or the trigger that changes it.
        by: String,
    },
    /// The library's own tables or triggers cannot be created.
    #[error("the library's own tables and triggers cannot be created")]
    SetUp(#[from] crate::DatabaseError),
    /// Two of the tables are the same.
    #[error("the table {table} is named twice, or it is the log")]
    Twice {
        /// The table.
        table: String,
    },
}

impl fmt::Debug for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_causes(self, f)
    }
}
