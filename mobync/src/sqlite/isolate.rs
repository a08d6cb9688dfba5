//! Finds out which writes of a batch SQLite does not take, and does the others.
//!
//! Not every statement that fails undoes what it did: `RAISE(FAIL)` keeps it, and behind
//! `RAISE(ROLLBACK)` or a full disk the whole transaction is gone. So each try has a savepoint, which it
//! goes back to, and which tells whether the transaction is still the one that was begun.

use sqlx::SqliteConnection;

use super::{
    Sqlite,
    error::{explain, foreign_key, is_of_a_row},
    group::Turn,
    keys::ForeignKeys,
};
use crate::{
    DatabaseError, Operation, Owner, Rejection,
    sql::{Batch, Column, Dialect, Writer},
};

/// How many rows a try has at first, and at the most.
const ROWS: (usize, usize) = (32, 256);

pub(super) async fn isolate(
    turn: &mut Turn,
    owner: &Owner,
    batch: &Batch<'_, '_>,
    at_once: Option<&ForeignKeys>,
) -> Result<Vec<Rejection>, DatabaseError> {
    let mut rejections = Vec::new();
    let Some(sql) = batch.statement::<Sqlite>() else { return Ok(rejections) };
    let failed = |error| explain(batch.model, error);
    // One at a time, if that must be known of one for which the transaction ends.
    let (mut rows, most) = if at_once.is_some() { (1, 1) } else { ROWS };
    let mut first = 0;
    let mut is_sound = false;
    let ended = || DatabaseError::failed("the unit of work has ended");
    let mut connection = turn.connection().ok_or_else(ended)?;
    Sqlite::command(connection, "SAVEPOINT mobync_try").await.map_err(failed)?;
    while first < batch.len() {
        let part = batch.part(first..batch.len().min(first + rows));
        match try_part(connection, owner, &part, &sql, at_once).await? {
            Ok(()) => {
                let next = "RELEASE mobync_try; SAVEPOINT mobync_try";
                Sqlite::command(connection, next).await.map_err(failed)?;
                first += part.len();
                rows = most.min(rows * 2);
            }
            Err(NotTaken { error, is_of_a_row }) => {
                let is_alive = Sqlite::command(connection, "ROLLBACK TO mobync_try").await.is_ok();
                if part.len() > 1 && !is_alive {
                    // Not known whose it is.
                    turn.lose();
                    return Err(error);
                }
                if part.len() > 1 {
                    rows = (part.len() / 8).max(1);
                    continue;
                }
                if is_alive && !is_of_a_row && !is_sound {
                    // What fails for no rows at all says nothing of those that there are.
                    let none = batch.part(0..0).args::<Sqlite>(owner);
                    let sound = Sqlite::execute(connection, &sql, &none).await;
                    sound.map_err(|error| match explain(batch.model, error) {
                        rejection if rejection.is_rejection() => DatabaseError::failed(rejection),
                        error => error,
                    })?;
                    is_sound = true;
                }
                rejections.push(Rejection { place: part.first, error: name_field(&part, error) });
                if !is_alive {
                    turn.lose();
                    return Ok(rejections);
                }
                first += 1;
                connection = turn.connection().ok_or_else(ended)?;
            }
        }
    }
    Sqlite::command(connection, "RELEASE mobync_try").await.map_err(failed)?;
    Ok(rejections)
}

/// Why a part of a batch is not taken.
struct NotTaken {
    error: DatabaseError,
    is_of_a_row: bool,
}

async fn try_part(
    connection: &mut SqliteConnection,
    owner: &Owner,
    part: &Batch<'_, '_>,
    sql: &str,
    at_once: Option<&ForeignKeys>,
) -> Result<Result<(), NotTaken>, DatabaseError> {
    let failed = |error| explain(part.model, error);
    let args = part.args::<Sqlite>(owner);
    let ids = [args[0].clone(), crate::sql::Arg::Texts(part.ids())];
    let parents = match at_once {
        Some(keys) => keys.parents(connection, part, &ids).await.map_err(failed)?,
        None => Vec::new(),
    };
    let done = match Sqlite::execute(connection, sql, &args).await {
        Ok(done) => done,
        Err(error) => {
            let is_of_a_row = is_of_a_row(&error);
            return match explain(part.model, error) {
                error if error.is_rejection() => Ok(Err(NotTaken { error, is_of_a_row })),
                error => Err(error),
            };
        }
    };
    let of_a_row = |error| Ok(Err(NotTaken { error, is_of_a_row: true }));
    if usize::try_from(done).is_ok_and(|done| done != part.len()) {
        let is_done = match part.operation() {
            Operation::Update => false,
            Operation::Create | Operation::Delete => {
                let sql = part.existing::<Sqlite>(2);
                let left = Sqlite::texts(connection, &sql, &ids).await.map_err(failed)?.len();
                left == if part.operation() == Operation::Create { part.len() } else { 0 }
            }
        };
        if !is_done {
            return of_a_row(DatabaseError::left_out(&part.model.name));
        }
    }
    match at_once {
        Some(keys)
            if keys.are_broken(connection, part, &ids, &parents).await.map_err(failed)? =>
        {
            of_a_row(foreign_key(part.model))
        }
        _ => Ok(Ok(())),
    }
}

/// Which field of a single write has the value that its column cannot hold.
fn name_field(part: &Batch<'_, '_>, error: DatabaseError) -> DatabaseError {
    let (DatabaseError::InvalidValue { .. }, Some(write)) = (&error, part.writes.first()) else {
        return error;
    };
    let mut fields = write.fields().filter_map(|(field, value)| {
        let column = part.columns.iter().find(|column| column.name == field)?;
        (!holds(column, value)).then(|| column.invalid_value())
    });
    fields.next().unwrap_or(error)
}

/// Only STRICT tables do not take a value that passed the check; they name no type but these.
fn holds(column: &Column, json: &str) -> bool {
    let is_number = !json.starts_with(['"', '[', '{', 'n', 't', 'f']);
    match column.sql_type.to_ascii_uppercase().as_str() {
        "INT" | "INTEGER" | "REAL" => is_number || json.starts_with(['n', 't', 'f']),
        "BLOB" => json == "null",
        _ => true,
    }
}
