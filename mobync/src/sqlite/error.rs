//! What an error of SQLite means: a failure of the database, or the rejection of a change.

use crate::{
    error::DatabaseError,
    sql::{Model, Reading},
};

/// The meaning of an error, by its extended result code.
///
/// There are few codes for failures of the database, and they are listed. Every other error of a
/// statement counts as a rejection of what it writes; [`isolate`](super::isolate) checks whether it is
/// one. <https://www.sqlite.org/rescode.html>
pub(super) fn explain(model: &Model, error: sqlx::Error) -> DatabaseError {
    if lacks(&error) && model.reading.doubt() {
        return Reading::conflict();
    }
    let database = match error {
        sqlx::Error::Database(database) => database,
        sqlx::Error::PoolTimedOut => return DatabaseError::busy(error),
        _ => return DatabaseError::failed(error),
    };
    let message = database.message().to_owned();
    let what = by_fields(model, message.split_once(": ").map_or(&*message, |(_, what)| what));
    // The low byte is the primary code, the high byte the extension.
    let code = code(&*database);
    match (code & 0xff, code >> 8) {
        // SQLITE_ABORT, BUSY, LOCKED, NOMEM, INTERRUPT, FULL
        (4 | 5 | 6 | 7 | 9 | 13, _) => DatabaseError::busy(database),
        // SQLITE_INTERNAL, PERM, READONLY, IOERR, CORRUPT, CANTOPEN, PROTOCOL, SCHEMA, MISUSE, NOLFS,
        // FORMAT, NOTADB
        (2 | 3 | 8 | 10 | 11 | 14 | 15 | 17 | 21 | 22 | 24 | 26, _) => {
            DatabaseError::failed(database)
        }
        // SQLITE_CONSTRAINT_DATATYPE, of a STRICT table; SQLITE_MISMATCH, of an integer key
        (19, 12) | (20, _) => DatabaseError::invalid_value("a field", "does not fit its type"),
        // SQLITE_CONSTRAINT_FOREIGNKEY does not name the key.
        (19, 3) => foreign_key(model),
        (19, 5) => DatabaseError::constraint(format!("{what} must not be null")),
        // SQLITE_CONSTRAINT_TRIGGER: the text of a trigger is written for people.
        (19, 7) => DatabaseError::constraint(message.clone()),
        (19, 6 | 8 | 10) => DatabaseError::constraint(format!("{what} must be unique")),
        (19, _) => DatabaseError::constraint(what),
        // SQLITE_TOOBIG
        (18, _) => DatabaseError::invalid_value("a field", "is too large"),
        _ if message.contains("no such table") => DatabaseError::failed(format!(
            "{message}; the library's own tables are made by `SqliteDatabase::set_up`"
        )),
        _ => DatabaseError::constraint(message.clone()),
    }
}

/// What a message names as `table.column, table.column`, by the names of the model and its fields.
fn by_fields(model: &Model, what: &str) -> String {
    let before = format!("{}.", model.stored);
    let named = |name: &str| {
        let column = name.strip_prefix(&before)?;
        Some(format!("{}.{}", model.name, model.field_of(column)))
    };
    let names: Option<Vec<String>> = what.split(", ").map(named).collect();
    names.map_or_else(|| what.to_owned(), |names| names.join(", "))
}

/// Whether the table, or a column of it, does not exist. The text of a trigger has another code.
pub(super) fn lacks(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|database| {
        let message = database.message();
        code(database) & 0xff == 1
            // A view of the old name stands in the place of a table that was renamed.
            && (message.starts_with("no such ")
                || message.contains(" has no column named ")
                || message.ends_with(" because it is a view"))
    })
}

pub(super) fn foreign_key(model: &Model) -> DatabaseError {
    DatabaseError::constraint(format!("foreign key of {}", model.name))
}

/// Whether the error is certainly about a row, and not about the statement: `SQLITE_TOOBIG`,
/// `CONSTRAINT` or `MISMATCH`.
pub(super) fn is_of_a_row(error: &sqlx::Error) -> bool {
    let database = error.as_database_error();
    database.is_some_and(|database| matches!(code(database) & 0xff, 18..=20))
}

fn code(error: &dyn sqlx::error::DatabaseError) -> i32 {
    error.code().and_then(|code| code.parse().ok()).unwrap_or_default()
}
