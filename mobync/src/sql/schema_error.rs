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
    #[error("the database cannot be asked for its tables")]
    Database(#[from] sqlx::Error),
    /// A statement of [`run_first`](super::Builder::run_first) failed. All of them were undone.
    #[error("the SQL of `run_first` failed, and was undone")]
    RunFirst(#[source] sqlx::Error),
    /// The database cannot store every text.
    #[error(
        "the database keeps texts in {encoding}, which does not have every character; make one that \
         does: {create}"
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
    #[error("{table} is {what}: only tables can be synced; name the one with the rows")]
    NotTable {
        /// The name.
        table: String,
        /// What it is: "a view".
        what: &'static str,
    },
    /// The name is longer than the database allows.
    #[error("the name {name} is too long for its indexes and tables: it may have {most} bytes")]
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
    /// The database itself counts the ids, or the owners, and takes none from outside.
    #[error(
        "the column {column} of {table} is GENERATED ALWAYS AS IDENTITY, and ids and owners come from \
         outside: {mend}"
    )]
    Identity {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What to do: a statement.
        mend: String,
    },
    /// To the database, different owners, ids or entries of the log are one: it ignores case, accents
    /// or blanks.
    #[error(
        "the column {column} of {table} takes texts for equal that differ (in case, accents or \
         blanks), so that one owner or id could be taken for another: {mend}"
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
        "the {key} of {table} forgets the owner, so that one owner's rows could refer to those of \
         another: {mend}; or say that it is meant by `allow_foreign_keys_across_owners`"
    )]
    ForeignKey {
        /// The table with the foreign key.
        table: String,
        /// The foreign key.
        key: String,
        /// What to do.
        mend: String,
    },
    /// A table whose rows are everybody's is to be captured.
    #[error(
        "the table {table} is shared, so nobody can tell whose devices are to hear of a change: give it an owner \
         column, or `capture` the other tables only, one by one"
    )]
    SharedCapture {
        /// The table.
        table: String,
    },
    /// A table of another database file than the log's is to be captured.
    #[error(
        "the table {table} cannot be captured in the attached database {schema}, for a commit to two files may \
         keep its marks and lose what the log {log} made of them: move it to the main database, or `capture` the \
         other tables only, one by one"
    )]
    ElsewhereCapture {
        /// The table.
        table: String,
        /// The database that it is in.
        schema: String,
        /// The log.
        log: String,
    },
    /// What a sync writes sets off a change of synced rows, of which no device would hear.
    #[error(
        "{by} changes rows of {table} behind what a sync writes, and no device would hear of it: let it be marked, \
         by Table::new(\"{table}\").capture(), or say that devices need not hear of it by `allow_unheard_changes`"
    )]
    Unheard {
        /// The table that is changed.
        table: String,
        /// The foreign key or the trigger that changes it.
        by: String,
    },
    /// The library's own tables or triggers cannot be made.
    #[error("the library's own tables and triggers cannot be made")]
    SetUp(#[from] crate::DatabaseError),
    /// Two of the tables are the same.
    #[error("the table {table} is named twice, or is the one that keeps the log")]
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
