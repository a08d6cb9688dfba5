//! What an error of PostgreSQL means: that the server is ill, or that it does not take a change.

use sqlx::postgres::{PgDatabaseError, PgSeverity};

use crate::{error::DatabaseError, sql::Model};

/// What an error says, by its SQLSTATE.
///
/// The classes that say that the server is ill are few, and known. Whatever else a statement raises is
/// taken for a rejection of what it writes; [`isolate`](super::isolate) finds out whether it is.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(super) fn explain(model: &Model, error: sqlx::Error) -> DatabaseError {
    let database = match error {
        sqlx::Error::Database(database) => database,
        sqlx::Error::PoolTimedOut => return DatabaseError::busy(error),
        // The connection is lost; another one may be had.
        sqlx::Error::Io(_) => return DatabaseError::conflict(error),
        _ => return DatabaseError::failed(error),
    };
    let Some(postgres) = database.try_downcast_ref::<PgDatabaseError>() else {
        return DatabaseError::failed(database);
    };
    let code = postgres.code();
    // What ends a connection, or keeps one from being made, is of no statement.
    let is_fatal = !matches!(postgres.severity(), PgSeverity::Error);
    match illness(code).or(is_fatal.then_some(Illness::Failure)) {
        Some(Illness::Collision) => DatabaseError::conflict(Cause::new(postgres)),
        Some(Illness::Exhaustion) => DatabaseError::busy(Cause::new(postgres)),
        Some(Illness::Failure) => DatabaseError::failed(Cause::new(postgres)),
        None if code == "42P01" && postgres.message().contains(&model.name) => {
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

/// Whether the connection is of no more use.
pub(super) fn is_dead(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(database) => database.code().is_some_and(|code| ends(&code)),
        _ => false,
    }
}

/// The server ends the connection with these: it is stopped, or was kept waiting for too long.
fn ends(code: &str) -> bool {
    matches!(code, "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "25P04")
        || code.starts_with("08")
}

/// How a server is ill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Illness {
    /// The same may go well at once, with another connection.
    Collision,
    /// The same may go well later.
    Exhaustion,
    /// Somebody must see to it.
    Failure,
}

/// Whether a SQLSTATE says that the server is ill.
fn illness(code: &str) -> Option<Illness> {
    let class = code.get(..2).unwrap_or_default();
    Some(match (class, code) {
        // Deadlocks and failures to serialise; connections that have ended.
        ("40", _) => Illness::Collision,
        _ if ends(code) => Illness::Collision,
        // Resources, locks, cancelled statements; a standby that was promoted from or not yet to.
        ("53" | "57", _) | (_, "55P03" | "25006" | "72000") => Illness::Exhaustion,
        // The operating system, corrupted data, settings, foreign servers; a transaction that is in the
        // wrong state.
        ("25" | "58" | "F0" | "HV", _) | (_, "XX001" | "XX002") => Illness::Failure,
        _ => return None,
    })
}

/// Whether a SQLSTATE says that the server is ill, so that no change is to blame.
pub(super) const ILL: &str = "mobync_code ~ '^(40|08|53|57|25|58|F0|HV)' \
                              OR mobync_code IN ('55P03', '72000', 'XX001', 'XX002')";

/// Whether a SQLSTATE is of those that are meant for who made the change: of constraints, values and
/// `RAISE EXCEPTION`.
pub(super) const MEANT: &str = "mobync_code ~ '^(22|23|P0)'";

/// What the server says of a rejection.
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
                let column = column.unwrap_or("a column");
                DatabaseError::constraint(format!("{column} of {} must not be null", model.name))
            }
            LEFT_OUT => DatabaseError::left_out(&model.name),
            _ if code.starts_with("22") => {
                DatabaseError::invalid_value("a field", "does not fit its type")
            }
            _ if code.starts_with("23") => DatabaseError::constraint(constraint.unwrap_or(message)),
            // What a trigger says is written for who reads it; and so, with luck, is all else.
            _ => DatabaseError::constraint(message),
        }
    }
}

/// The SQLSTATE by which [`isolate`](super::isolate) says that a row was not written.
pub(super) const LEFT_OUT: &str = "MB001";

/// An error of the server for the log: without the contents of rows, which many a message quotes, and
/// in one line.
#[derive(Debug, thiserror::Error)]
#[error("PostgreSQL {code}{}{}", part(" in ", routine), part(": ", message))]
struct Cause {
    code: String,
    routine: String,
    /// Of those errors that are about the server itself.
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
