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
        "the name {name} is too long for the database, or for the names of its indexes and tables: it may have \
         {most} bytes"
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
    /// Two names of one model are tables: a name was used again, or the old table was kept.
    #[error(
        "the tables {newer} and {older} both exist, but the schema says that they are one model: give a new table \
         a name that no model has had; or, if {newer} has all rows, drop the other one: {drop}"
    )]
    TwoTables {
        /// The table with the newer name.
        newer: String,
        /// The table with the older name.
        older: String,
        /// The statement that drops the older one.
        drop: String,
    },
    /// Two names of one field are columns: a name was used again, or the old column was kept.
    #[error(
        "the table {table} has the columns {newer} and {older}, but the schema says that they are one field: give \
         a new column a name that no field has had; or, if {newer} has all values, drop the other one \
         ({drop}), or hide it with Table::new({table:?}).hidden([{older:?}])"
    )]
    TwoColumns {
        /// The table.
        table: String,
        /// The column with the newer name.
        newer: String,
        /// The column with the older name.
        older: String,
        /// The statement that drops the older one.
        drop: String,
    },
    /// The schema has a field, and the table has a column of none of its names.
    #[error(
        "the schema has the field {field}, and the table {table} has no such column: add it, for example: {add}"
    )]
    NoField {
        /// The table.
        table: String,
        /// The newest name of the field.
        field: String,
        /// A statement that adds the column.
        add: String,
    },
    /// A field was removed from the schema, and devices would see its column.
    #[error(
        "the schema has removed the field {column}, and the table {table} still has the column: drop it ({drop}), \
         or hide it with Table::new({table:?}).hidden([{column:?}])"
    )]
    RemovedField {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The statement that drops the column.
        drop: String,
    },
    /// A model was removed from the schema, and is still synced.
    #[error(
        "the schema has removed the model {model}: take its table out of the builder; or, if it is another model, \
         give it a name that no model has had"
    )]
    RemovedModel {
        /// The model.
        model: String,
    },
    /// The default of an added field is not that of its column, so rows that are older than the column would
    /// have the one, and devices the other.
    #[error(
        "the column {column} of {table} has the default {held}, and the step that adds it says {step}: write {held} \
         in the step, or {mend}"
    )]
    OtherDefault {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The default of the step, as JSON.
        step: String,
        /// The default in the database, as JSON.
        held: String,
        /// How to change it in the database: a statement, if there is one.
        mend: String,
    },
    /// A step names the column of the id or of the owner.
    #[error(
        "a step of the schema names {column} of {table}, but that is its id or owner, which no step can add, rename \
         or remove: take the step out, and name the column with `id_column` or `owner_column`"
    )]
    KeyStep {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
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
