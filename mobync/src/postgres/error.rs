//! What an error of PostgreSQL means.

use sqlx::postgres::PgDatabaseError;

use crate::{DatabaseError, sql::Model};

/// What an error says of the change that the statement made, by its SQLSTATE.
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(super) fn explain(model: &Model, error: sqlx::Error) -> DatabaseError {
    let database = match error {
        sqlx::Error::Database(database) => database,
        sqlx::Error::PoolTimedOut => return DatabaseError::busy(error),
        _ => return DatabaseError::failed(error),
    };
    let Some(postgres) = database.try_downcast_ref::<PgDatabaseError>() else {
        return DatabaseError::failed(database);
    };
    match postgres.code() {
        "23502" => {
            let column = postgres.column().unwrap_or("a column");
            DatabaseError::constraint(format!("{column} of {} must not be null", model.name))
        }
        // What a trigger says is written for who reads it.
        "P0001" => DatabaseError::constraint(postgres.message().to_owned()),
        "40001" | "40P01" => DatabaseError::conflict(database),
        // Lock, statement and start-up time, and resources that have run out.
        "55P03" | "57014" | "57P03" => DatabaseError::busy(database),
        "42P01" => DatabaseError::failed(format!(
            "{database}; the library's own tables are made by `PostgresDatabase::set_up`"
        )),
        code if code.starts_with("53") => DatabaseError::busy(database),
        code if code.starts_with("22") => {
            DatabaseError::invalid_value("a field", "does not fit its type")
        }
        code if code.starts_with("23") => {
            let name = postgres.constraint().unwrap_or(postgres.message());
            DatabaseError::constraint(name.to_owned())
        }
        _ => DatabaseError::failed(database),
    }
}
