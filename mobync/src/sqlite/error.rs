//! What an error of SQLite means.

use crate::{DatabaseError, sql::Model};

/// What an error says of the change that the statement made, by its extended result code.
/// <https://www.sqlite.org/rescode.html>
pub(super) fn explain(model: &Model, error: sqlx::Error) -> DatabaseError {
    let database = match error {
        sqlx::Error::Database(database) => database,
        sqlx::Error::PoolTimedOut => return DatabaseError::busy(error),
        _ => return DatabaseError::failed(error),
    };
    let code: i32 = database.code().and_then(|code| code.parse().ok()).unwrap_or_default();
    let message = database.message().to_owned();
    let what = message.split_once(": ").map_or(&*message, |(_, what)| what);
    // The low byte is the primary code, the high one says more.
    match (code & 0xff, code >> 8) {
        // SQLITE_BUSY, SQLITE_LOCKED
        (5 | 6, _) => DatabaseError::busy(database),
        // SQLITE_CONSTRAINT_DATATYPE, of a STRICT table; SQLITE_MISMATCH, of an integer key
        (19, 12) | (20, _) => DatabaseError::invalid_value("a field", "does not fit its type"),
        // SQLITE_CONSTRAINT_FOREIGNKEY does not say which.
        (19, 3) => DatabaseError::constraint(format!("foreign key of {}", model.name)),
        (19, 5) => DatabaseError::constraint(format!("{what} must not be null")),
        // SQLITE_CONSTRAINT_TRIGGER: what a trigger says is written for who reads it.
        (19, 7) => DatabaseError::constraint(message.clone()),
        (19, 6 | 8 | 10) => DatabaseError::constraint(format!("{what} must be unique")),
        (19, _) => DatabaseError::constraint(what.to_owned()),
        // SQLITE_TOOBIG
        (18, _) => DatabaseError::invalid_value("a field", "is too large"),
        _ if message.contains("no such table") => DatabaseError::failed(format!(
            "{message}; the library's own tables are made by `SqliteDatabase::set_up`"
        )),
        _ => DatabaseError::failed(database),
    }
}
