//! What an error of PostgreSQL means: a failure of the server, or the rejection of a change.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::{
    error::DatabaseError,
    sql::{Model, OnLocks, Reading},
};

/// The meaning of an error, by its SQLSTATE.
///
/// There are few classes for failures of the server, and they are listed. Every other error of a
/// statement counts as a rejection of what it writes; [`isolate`](super::isolate) checks whether it is
/// one. <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(super) fn explain(model: &Model, error: sqlx::Error) -> DatabaseError {
    if (lacks(&error) || is_old_plan(&error)) && model.reading.doubt() {
        return Reading::conflict();
    }
    let database = match error {
        sqlx::Error::Database(database) => database,
        sqlx::Error::PoolTimedOut => return DatabaseError::busy(error),
        // The connection is lost; another one may work.
        sqlx::Error::Io(_) => return DatabaseError::conflict(error),
        _ => return DatabaseError::failed(error),
    };
    let Some(postgres) = database.try_downcast_ref::<PgDatabaseError>() else {
        return DatabaseError::failed(database);
    };
    let code = postgres.code();
    // Errors that end or prevent a connection do not belong to a statement.
    let is_fatal = !matches!(postgres.severity(), PgSeverity::Error);
    match illness(code).or(is_fatal.then_some(Illness::Failure)) {
        // Another transaction has locked the rows, and may wait for rows of this one.
        Some(_) if code == LOCK_TIMEOUT && model.on_locks == OnLocks::GivesWay => {
            DatabaseError::conflict(Cause::new(postgres))
        }
        Some(Illness::Collision) => DatabaseError::conflict(Cause::new(postgres)),
        Some(Illness::Exhaustion) => DatabaseError::busy(Cause::new(postgres)),
        Some(Illness::Failure) => DatabaseError::failed(Cause::new(postgres)),
        None if code == "42P01" && postgres.message().contains(&model.stored) => {
            let cause = Cause::new(postgres);
            let advice = "the library's own tables are made by `PostgresDatabase::set_up`";
            DatabaseError::failed(format!("{cause}; {advice}"))
        }
        None => Report {
            code,
            message: postgres.message(),
            constraint: postgres.constraint(),
            column: postgres.column(),
        }
        .rejection(model),
    }
}

/// The meaning of an error while the sync waits for the owner's turn.
pub(super) fn not_in_time(log: &Model, error: sqlx::Error) -> DatabaseError {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    if code.is_some_and(|code| code == LOCK_TIMEOUT) {
        return DatabaseError::busy(error);
    }
    explain(log, error)
}

const LOCK_TIMEOUT: &str = "55P03";

/// Whether the connection is unusable now.
pub(super) fn is_dead(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| ends(&code)),
        _ => false,
    }
}

/// Whether the table, or a column of it, does not exist.
pub(super) fn lacks(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| matches!(&*code, "42P01" | "42703" | "3F000"))
}

/// Whether the statement was prepared when the tables had other columns.
fn is_old_plan(error: &sqlx::Error) -> bool {
    let database = error.as_database_error();
    database.is_some_and(|database| {
        database.code().as_deref() == Some("0A000") && database.message().contains("cached plan")
    })
}

/// The server ends the connection with these errors: it shuts down, or a timeout ran out.
fn ends(code: &str) -> bool {
    matches!(code, "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "25P04")
        || code.starts_with("08")
}

/// The kinds of server failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Illness {
    /// The same may succeed immediately with another connection.
    Collision,
    /// The same may succeed later.
    Exhaustion,
    /// It needs an administrator.
    Failure,
}

/// Whether a SQLSTATE is a failure of the server.
fn illness(code: &str) -> Option<Illness> {
    let class = code.get(..2).unwrap_or_default();
    Some(match (class, code) {
        // Deadlocks and serialization failures; connections that have ended.
        ("40", _) => Illness::Collision,
        _ if ends(code) => Illness::Collision,
        // Resources, locks, cancelled statements; a server that is a standby.
        ("53" | "57", _) | (_, "55P03" | "25006" | "72000") => Illness::Exhaustion,
        // The operating system, corrupted data, settings, foreign servers; a transaction that is in the
        // wrong state.
        ("25" | "58" | "F0" | "HV", _) | (_, "XX001" | "XX002") => Illness::Failure,
        _ => return None,
    })
}

/// Whether a SQLSTATE is a failure of the server, and not the fault of a change.
pub(super) const ILL: &str = "mobync_code ~ '^(40|08|53|57|25|58|F0|HV)' \
                              OR mobync_code IN ('55P03', '72000', 'XX001', 'XX002')";

/// Whether a SQLSTATE is about the change itself: constraints, values and `RAISE EXCEPTION`.
pub(super) const MEANT: &str = "mobync_code ~ '^(22|23|P0)'";

/// The server's message for a rejection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report<'r> {
    pub(super) code: &'r str,
    pub(super) message: &'r str,
    pub(super) constraint: Option<&'r str>,
    pub(super) column: Option<&'r str>,
}

impl Report<'_> {
    pub(super) fn rejection(self, model: &Model) -> DatabaseError {
        let Self { code, message, constraint, column } = self;
        match code {
            "23502" => {
                let column = column.map_or("a column", |column| model.field_of(column));
                DatabaseError::constraint(format!("{column} of {} must not be null", model.name))
            }
            LEFT_OUT => DatabaseError::left_out(&model.name),
            _ if code.starts_with("22") => {
                DatabaseError::invalid_value("a field", "does not fit its type")
            }
            _ if code.starts_with("23") => DatabaseError::constraint(constraint.unwrap_or(message)),
            // The text of a trigger is written for people; other messages are usually readable, too.
            _ => DatabaseError::constraint(message),
        }
    }
}

/// The SQLSTATE by which [`isolate`](super::isolate) says that a row was not written.
pub(super) const LEFT_OUT: &str = "MB001";

/// An error of the server for the log, in one line and without the contents of rows, which many
/// messages quote.
#[derive(Debug, thiserror::Error)]
#[error("PostgreSQL {code}{}{}", part(" in ", routine), part(": ", message))]
struct Cause {
    code: String,
    routine: String,
    /// For errors about the server itself.
    message: String,
}

impl Cause {
    fn new(error: &PgDatabaseError) -> Self {
        let message = if illness(error.code()).is_some() { error.message() } else { "" };
        Self {
            code: error.code().to_owned(),
            routine: error.routine().unwrap_or_default().to_owned(),
            message: message.escape_debug().to_string(),
        }
    }
}

fn part(before: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{before}{text}") }
}
