//! Cursors stored as records, with operations that every database has.

use std::time::Duration;

use serde_json::{Value, value::to_raw_value};

use super::{Cursors, News, Place};
use crate::{
    Access, Database, DatabaseError, Diff, Operation, Owner, ReadFilter, UnitOfWork, Write,
    engine::Settings, retention::Horizon, unit::TICKS,
};

/// The name of the table, or model, with the cursors of a log.
pub(crate) fn followers_of(log: &str) -> String {
    format!("{log}_followers")
}

/// A cursor as it is read.
#[derive(Debug, Default)]
struct Cursor {
    is_there: bool,
    clock: i64,
    holder: String,
    held_until: i64,
}

pub(super) async fn take<D: Cursors + ?Sized>(
    database: &D,
    place: &Place<'_>,
    hold: Duration,
) -> Result<Option<i64>, DatabaseError> {
    let mut unit = database.open(place.owner, Access::Write).await?;
    let cursor = read(&mut unit, place).await?;
    if cursor.holder != place.holder && cursor.held_until > Settings::default().now() {
        return Ok(None);
    }
    write(&mut unit, place, cursor.is_there, cursor.clock, hold).await?;
    unit.commit().await?;
    Ok(Some(cursor.clock))
}

pub(super) async fn keep<D: Cursors + ?Sized>(
    database: &D,
    place: &Place<'_>,
    clock: i64,
    hold: Duration,
) -> Result<bool, DatabaseError> {
    let mut unit = database.open(place.owner, Access::Write).await?;
    let cursor = read(&mut unit, place).await?;
    if cursor.holder != place.holder || cursor.clock > clock {
        return Ok(false);
    }
    write(&mut unit, place, cursor.is_there, clock, hold).await?;
    unit.commit().await?;
    Ok(true)
}

async fn read<U: UnitOfWork>(unit: &mut U, place: &Place<'_>) -> Result<Cursor, DatabaseError> {
    let by_name = [ReadFilter::equal("id", place.follower)];
    let records = unit.read(place.owner, &followers_of(place.log), &by_name).await?;
    let Some(record) = records.first() else { return Ok(Cursor::default()) };
    let integer = |field| record.get(field).and_then(Value::as_i64).unwrap_or_default();
    let holder = record.get("holder").and_then(Value::as_str).unwrap_or_default();
    Ok(Cursor {
        is_there: true,
        clock: integer("clock"),
        holder: holder.to_owned(),
        held_until: integer("held_until"),
    })
}

async fn write<U: UnitOfWork>(
    unit: &mut U,
    place: &Place<'_>,
    is_there: bool,
    clock: i64,
    hold: Duration,
) -> Result<(), DatabaseError> {
    let hold = i64::try_from(hold.as_millis()).unwrap_or(i64::MAX);
    let held_until = Settings::default().now().saturating_add(hold);
    let raw = |value: Value| to_raw_value(&value).map_err(DatabaseError::failed);
    let (clock, holder, held_until) =
        (raw(clock.into())?, raw(place.holder.into())?, raw(held_until.into())?);
    let fields = [("clock", &*clock), ("holder", &*holder), ("held_until", &*held_until)];
    let operation = if is_there { Operation::Update } else { Operation::Create };
    let model = followers_of(place.log);
    let write = Write::new(operation, &model, place.follower, fields);
    match unit.write(place.owner, &[write]).await?.pop() {
        Some(rejection) => Err(rejection.error),
        None => Ok(()),
    }
}

pub(super) async fn entries<D: Database + ?Sized>(
    database: &D,
    log: &str,
    owner: &Owner,
    since: i64,
    most: usize,
) -> Result<News, DatabaseError> {
    let mut unit = database.open(owner, Access::Read).await?;
    let (mut start, mut length) = (since, TICKS);
    loop {
        let end = start.saturating_add(length);
        let ticks = [
            ReadFilter::greater_or_equal("logical_clock", start),
            ReadFilter::less("logical_clock", end),
        ];
        let records = unit.read(owner, log, &ticks).await?;
        let entries: Result<Vec<_>, _> = records.into_iter().map(Diff::from_record).collect();
        let entries = entries?;
        let mut may_be_more =
            entries.iter().any(|entry| entry.logical_clock == end.saturating_sub(1));
        if !may_be_more {
            // Ticks are left out only below the horizon.
            let own = unit.own_entries(owner, log).await?;
            may_be_more = Horizon::among(&own, log).is_some_and(|horizon| horizon.clock > end);
        }
        if !entries.is_empty() || !may_be_more {
            let mut news = News::of(entries, most, false).unwrap_or_default();
            news.more |= may_be_more;
            return Ok(news);
        }
        (start, length) = (end, length.saturating_mul(2));
    }
}
