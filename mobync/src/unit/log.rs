//! What a sync reads from the log, using only the reads that every database has.

use std::collections::{HashMap, HashSet};

use super::{UnitOfWork, WindowQuery};
use crate::{
    diff::Diff,
    error::DatabaseError,
    filter::ReadFilter,
    merge::{Snapshot, Window},
    owner::Owner,
    retention::Horizon,
};

pub(super) async fn read_window<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    query: WindowQuery<'_>,
) -> Result<Window, DatabaseError> {
    let WindowQuery { log, since, ids, objects, head, limit } = query;
    let mut start = since;
    if !ids.is_empty() {
        let known = [ReadFilter::any_of("id", ids.iter().copied())];
        for entry in read_log(unit, owner, log, &known).await? {
            start = start.min(entry.logical_clock);
        }
    }
    let mut window = match limit {
        Some(limit) => read_page(unit, owner, log, start, limit).await?,
        None => read_all(unit, owner, log, start).await?,
    };
    window.start = start;
    if let Some(head) = head {
        let tick = ReadFilter::equal("logical_clock", since.saturating_sub(1));
        let filters = [ReadFilter::equal("id", head), tick];
        window.has_head = !unit.read(owner, log, &filters).await?.is_empty();
    }
    let mut ids_of: HashMap<&str, Vec<&str>> = HashMap::new();
    for (model, id) in objects {
        ids_of.entry(model).or_default().push(id);
    }
    let mut found: HashMap<&str, HashSet<String>> = HashMap::new();
    for (model, ids) in ids_of {
        match unit.read(owner, model, &[ReadFilter::any_of("id", ids)]).await {
            Ok(records) => {
                found.insert(
                    model,
                    records.into_iter().map(|record| record.into_parts().0).collect(),
                );
            }
            Err(DatabaseError::UnknownModel { .. }) => window.unknown_models.push(model.to_owned()),
            Err(error) => return Err(error),
        }
    }
    let exists = |(model, id): &(&str, &str)| found.get(model).is_some_and(|ids| ids.contains(*id));
    window.existing = objects.iter().map(exists).collect();
    Ok(window)
}

async fn read_all<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    log: &str,
    start: i64,
) -> Result<Window, DatabaseError> {
    let from_start = [ReadFilter::greater_or_equal("logical_clock", start)];
    let entries = read_log(unit, owner, log, &from_start).await?;
    let clock = match entries.iter().map(|entry| entry.logical_clock).max() {
        Some(last) => last.saturating_add(1),
        None if has_tick(unit, owner, log, start.saturating_sub(1)).await? => start,
        None => 0,
    };
    Ok(Window { clock, entries, ..Window::default() })
}

/// How many ticks are read at once: they may have 10,000 entries each.
pub(crate) const TICKS: i64 = 16;

/// The number of ticks to read next, after so many. It does not depend on what was in these: behind a gap, or
/// behind many small ticks, may be large ones.
pub(super) fn next_length(length: i64) -> i64 {
    length.saturating_mul(2).min(TICKS)
}

/// *Bounded*: reads short ranges of ticks, until there are more entries than fit in a page, from more than
/// one tick. So it never has more than the page and the entries of a few ticks, however uneven they are.
async fn read_page<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    log: &str,
    start: i64,
    limit: u64,
) -> Result<Window, DatabaseError> {
    let clock = unit.clock(owner, log).await?;
    let mut window = Window { clock, ..Window::default() };
    let (mut from, mut length) = (start, 1);
    while from < clock && window.more.is_none() {
        let to = from.saturating_add(length).min(clock);
        let ticks = [
            ReadFilter::greater_or_equal("logical_clock", from),
            ReadFilter::less("logical_clock", to),
        ];
        window.entries.extend(read_log(unit, owner, log, &ticks).await?);
        window.cut(limit);
        (from, length) = (to, next_length(length));
    }
    Ok(window)
}

/// No tick from the horizon on is missing, so the clock is the first one without an entry: an exponential
/// search, then a binary search.
pub(super) async fn probe_clock<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    log: &str,
) -> Result<i64, DatabaseError> {
    let own = unit.own_entries(owner, log).await?;
    let horizon = Horizon::among(&own, log).map_or(0, |horizon| horizon.clock);
    let (mut clock_at_least, mut step) = (horizon, 1);
    while has_tick(unit, owner, log, clock_at_least + step - 1).await? {
        clock_at_least += step;
        step *= 2;
    }
    while step > 1 {
        step /= 2;
        if has_tick(unit, owner, log, clock_at_least + step - 1).await? {
            clock_at_least += step;
        }
    }
    Ok(clock_at_least)
}

pub(super) async fn fold_log<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    log: &str,
    mut snapshot: Snapshot,
) -> Result<Snapshot, DatabaseError> {
    let Window { entries, .. } = unit.window(owner, WindowQuery::since(log, 0)).await?;
    snapshot.follow_all(entries.iter().map(Into::into))?;
    Ok(snapshot)
}

async fn has_tick<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    log: &str,
    tick: i64,
) -> Result<bool, DatabaseError> {
    let filters = [ReadFilter::equal("logical_clock", tick)];
    Ok(!unit.read(owner, log, &filters).await?.is_empty())
}

async fn read_log<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    log: &str,
    filters: &[ReadFilter],
) -> Result<Vec<Diff>, DatabaseError> {
    let records = unit.read(owner, log, filters).await?;
    records.into_iter().map(Diff::from_record).collect()
}
