//! Finds out which writes of a batch SQLite rejects, and executes the others.
//!
//! Not every failed statement undoes its changes: `RAISE(FAIL)` keeps them, and after `RAISE(ROLLBACK)`
//! or on a full disk the whole transaction is gone. So each try has a savepoint to roll back to, which
//! also shows whether the transaction is still the same.

use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Either, Executor, SqliteConnection};

use super::{
    Sqlite,
    error::{explain, foreign_key, is_of_a_row},
    group::Turn,
    keys::ForeignKeys,
};
use crate::{
    diff::Operation,
    error::DatabaseError,
    owner::Owner,
    sql::{Arg, Batch, Column, Dialect, Writer, with_parameters},
    unit::Rejection,
};

/// How many rows a try has at first, and at most.
const ROWS: (usize, usize) = (32, 256);
/// How many rows that are tried one by one are sent to the connection's thread together, at most.
const TOGETHER: usize = 8;

const NEXT: &str = "RELEASE mobync_try; SAVEPOINT mobync_try; ";
const UNDO: &str = "ROLLBACK TO mobync_try; ";

/// Tries under way.
struct Tries<'t, 'b, 'w> {
    turn: &'t mut Turn,
    owner: &'b Owner,
    batch: &'t Batch<'b, 'w>,
    sql: String,
    rejections: Vec<Rejection>,
    /// The statement is known to fail because of a row.
    is_sound: bool,
}

pub(super) async fn isolate(
    turn: &mut Turn,
    owner: &Owner,
    batch: &Batch<'_, '_>,
    at_once: Option<&ForeignKeys>,
) -> Result<Vec<Rejection>, DatabaseError> {
    let Some(sql) = batch.statement::<Sqlite>() else { return Ok(Vec::new()) };
    let mut tries = Tries { turn, owner, batch, sql, rejections: Vec::new(), is_sound: false };
    tries.command("SAVEPOINT mobync_try").await?;
    match at_once {
        Some(keys) => tries.try_each(keys).await?,
        None => tries.try_parts().await?,
    }
    if tries.turn.is_alive() {
        tries.command("RELEASE mobync_try").await?;
    }
    Ok(tries.rejections)
}

impl Tries<'_, '_, '_> {
    /// Tries many rows at a time, and tries rows one by one if they are rejected together.
    async fn try_parts(&mut self) -> Result<(), DatabaseError> {
        let (mut first, (least, most)) = (0, ROWS);
        let mut rows = least;
        while first < self.batch.len() && self.turn.is_alive() {
            let part = self.batch.part(first..self.batch.len().min(first + rows));
            let connection = self.turn.connection().ok_or_else(ended)?;
            let taken = try_part(connection, self.owner, &part, &self.sql, None).await?;
            if let Err(NotTaken { error, .. }) = taken {
                if self.command(UNDO).await.is_err() {
                    // It is unknown which row has ended the transaction.
                    self.turn.lose();
                    return Err(error);
                }
                if part.len() <= least {
                    self.try_together(&part).await?;
                    first += part.len();
                }
                rows = least;
            } else {
                self.command(NEXT).await?;
                first += part.len();
                rows = most.min(rows * 2);
            }
        }
        Ok(())
    }

    /// Tries a part's rows one by one. Rows that are likely to be accepted are sent to the connection's
    /// thread together.
    async fn try_together(&mut self, part: &Batch<'_, '_>) -> Result<(), DatabaseError> {
        let (mut first, mut prefix, mut together) = (0, "", 1);
        while first < part.len() {
            let group = part.part(first..part.len().min(first + together));
            let (mut sql, mut args) = (prefix.to_owned(), vec![Arg::Text(self.owner.as_str())]);
            for row in 0..group.len() {
                let [_, rows] = group.part(row..row + 1).args::<Sqlite>(self.owner);
                args.push(rows);
                sql += &with_parameters(&self.sql, "$1", &format!("${}", args.len()));
                sql += "; ";
                sql += NEXT;
            }
            let connection = self.turn.connection().ok_or_else(ended)?;
            let (done, error) = run_all(connection, &sql, &args).await;
            let before = usize::from(!prefix.is_empty());
            let Some(done) = done.get(before..) else {
                // The savepoint is gone: the previous row has ended the transaction.
                self.turn.lose();
                return Ok(());
            };
            let results = 1 + NEXT.matches(';').count();
            for row in 0..done.len().div_ceil(results) {
                let written = done.get(row * results).is_some_and(|written| *written == 1);
                let row = group.part(row..row + 1);
                let connection = self.turn.connection().ok_or_else(ended)?;
                if !written && !is_done(connection, self.owner, &row).await? {
                    // Its partial changes can only be undone if it is tried alone.
                    return Err(DatabaseError::left_out(&self.batch.model.name));
                }
            }
            prefix = "";
            first += group.len().min(done.len().div_ceil(results));
            together = if error.is_some() { 1 } else { TOGETHER.min(together * 2) };
            if let Some(error) = error {
                let is_of_a_row = is_of_a_row(&error);
                let is_of_a_try = done.len() % results == 0;
                let error = match explain(self.batch.model, error) {
                    error if error.is_rejection() && is_of_a_try => error,
                    error => return Err(error),
                };
                self.reject(&part.part(first..first + 1), error);
                first += 1;
                prefix = UNDO;
                if !is_of_a_row && !self.is_sound {
                    if self.command(UNDO).await.is_err() {
                        break;
                    }
                    self.check_statement().await?;
                    prefix = "";
                }
            }
        }
        if !prefix.is_empty() && self.command(UNDO).await.is_err() {
            self.turn.lose();
        }
        Ok(())
    }

    /// Tries each row by itself, with the constraints of the commit.
    async fn try_each(&mut self, keys: &ForeignKeys) -> Result<(), DatabaseError> {
        for row in 0..self.batch.len() {
            let row = self.batch.part(row..row + 1);
            let connection = self.turn.connection().ok_or_else(ended)?;
            let taken = try_part(connection, self.owner, &row, &self.sql, Some(keys)).await?;
            let Err(NotTaken { error, is_of_a_row }) = taken else {
                self.command(NEXT).await?;
                continue;
            };
            self.reject(&row, error);
            if self.command(UNDO).await.is_err() {
                self.turn.lose();
                break;
            }
            if !is_of_a_row && !self.is_sound {
                self.check_statement().await?;
            }
        }
        Ok(())
    }

    fn reject(&mut self, row: &Batch<'_, '_>, error: DatabaseError) {
        self.rejections.push(Rejection { place: row.first, error: name_field(row, error) });
    }

    /// If the statement fails without rows, the error says nothing about the rows.
    async fn check_statement(&mut self) -> Result<(), DatabaseError> {
        let none = self.batch.part(0..0).args::<Sqlite>(self.owner);
        let sound = Sqlite::execute(self.turn.connection().ok_or_else(ended)?, &self.sql, &none);
        sound.await.map_err(|error| match explain(self.batch.model, error) {
            rejection if rejection.is_rejection() => DatabaseError::failed(rejection),
            error => error,
        })?;
        self.is_sound = true;
        Ok(())
    }

    async fn command(&mut self, sql: &'static str) -> Result<(), DatabaseError> {
        let done = Sqlite::command(self.turn.connection().ok_or_else(ended)?, sql).await;
        done.map_err(|error| explain(self.batch.model, error))
    }
}

fn ended() -> DatabaseError {
    DatabaseError::failed("the unit of work has ended")
}

/// Runs statements one after another, and returns how many rows each has written, up to the one that
/// fails.
async fn run_all(
    connection: &mut SqliteConnection,
    sql: &str,
    args: &[Arg<'_>],
) -> (Vec<u64>, Option<sqlx::Error>) {
    let mut done = Vec::new();
    let arguments = match Sqlite::arguments(args) {
        Ok(arguments) => arguments,
        Err(error) => return (done, Some(error)),
    };
    let mut results =
        connection.fetch_many(sqlx::query_with(AssertSqlSafe(sql.to_owned()), arguments));
    loop {
        match results.try_next().await {
            Ok(Some(Either::Left(result))) => done.push(result.rows_affected()),
            Ok(Some(Either::Right(_))) => {}
            Ok(None) => return (done, None),
            Err(error) => return (done, Some(error)),
        }
    }
}

/// Whether a batch is complete although not all rows were written: a row to delete may not exist, and a
/// trigger may have written a created row to another table.
async fn is_done(
    connection: &mut SqliteConnection,
    owner: &Owner,
    batch: &Batch<'_, '_>,
) -> Result<bool, DatabaseError> {
    let expected = match batch.operation() {
        Operation::Update => return Ok(false),
        Operation::Create => batch.len(),
        Operation::Delete => 0,
    };
    let ids = [Arg::Text(owner.as_str()), Arg::Texts(batch.ids())];
    let there = Sqlite::texts(connection, &batch.existing::<Sqlite>(2), &ids).await;
    Ok(there.map_err(|error| explain(batch.model, error))?.len() == expected)
}

/// Why a part of a batch is rejected.
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
    let ids = [Arg::Text(owner.as_str()), Arg::Texts(part.ids())];
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
    let is_all = usize::try_from(done).is_ok_and(|done| done == part.len());
    if !is_all && !is_done(connection, owner, part).await? {
        return of_a_row(DatabaseError::left_out(&part.model.name));
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

/// The field of a single write whose value does not fit its column.
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

/// Only STRICT tables reject a value that passed the check, and they have only these types.
fn holds(column: &Column, json: &str) -> bool {
    let is_number = !json.starts_with(['"', '[', '{', 'n', 't', 'f']);
    match column.sql_type.to_ascii_uppercase().as_str() {
        "INT" | "INTEGER" | "REAL" => is_number || json.starts_with(['n', 't', 'f']),
        "BLOB" => json == "null",
        _ => true,
    }
}
