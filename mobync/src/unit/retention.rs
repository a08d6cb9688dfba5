//! What a compaction needs from the log, using only the reads and writes that every database has.

use std::collections::HashSet;

use serde_json::{Value, value::to_raw_value};

use super::{UnitOfWork, log::next_length};
use crate::{
    diff::{Diff, Operation},
    error::DatabaseError,
    filter::ReadFilter,
    follow::followers_of,
    merge::Write,
    owner::Owner,
    record::Record,
};

/// How a compaction changes an owner's log: entries to remove, then others to change, then new ones.
///
/// Entries that do not exist are skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewrite {
    /// The ids of entries to remove.
    pub removed: Vec<String>,
    /// The ids of other entries, and their new `json_data`.
    pub changed: Vec<(String, String)>,
    /// Entries to add, with ticks that the log already has.
    pub added: Vec<Diff>,
}

impl Rewrite {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.changed.is_empty() && self.added.is_empty()
    }
}

pub(super) async fn read_own<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    log: &str,
) -> Result<Vec<Diff>, DatabaseError> {
    let records = unit.read(owner, log, &[ReadFilter::equal("model", log)]).await?;
    records.into_iter().map(Diff::from_record).collect()
}

pub(super) async fn read_before<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    log: &str,
    end: i64,
    most: usize,
) -> Result<Vec<Diff>, DatabaseError> {
    let (mut entries, mut end, mut length) = (Vec::new(), end, 1_i64);
    while end > 0 && entries.len() < most {
        let start = end.saturating_sub(length).max(0);
        let ticks = [
            ReadFilter::greater_or_equal("logical_clock", start),
            ReadFilter::less("logical_clock", end),
        ];
        for record in unit.read(owner, log, &ticks).await? {
            entries.push(Diff::from_record(record)?);
        }
        (end, length) = (start, next_length(length));
    }
    Ok(entries)
}

pub(super) async fn rewrite<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    log: &str,
    rewrite: &Rewrite,
) -> Result<(), DatabaseError> {
    let Rewrite { removed, changed, added } = rewrite;
    let named = removed.iter().chain(changed.iter().map(|(id, _)| id));
    let named: Vec<&str> = named.map(|id| &**id).collect();
    if !named.is_empty() {
        // Deleting or updating a missing record may be an error.
        let there = unit.read(owner, log, &[ReadFilter::any_of("id", named)]).await?;
        let there: HashSet<&str> = there.iter().map(Record::id).collect();
        let is_there = |id: &str| there.contains(id);
        let texts: Vec<_> = changed
            .iter()
            .map(|(id, json_data)| Ok((id, to_raw_value(json_data)?)))
            .collect::<Result<_, serde_json::Error>>()
            .map_err(DatabaseError::failed)?;
        let removed = removed.iter().filter(|id| is_there(id));
        let removed = removed.map(|id| Write::new(Operation::Delete, log, id, []));
        let changed = texts.iter().filter(|(id, _)| is_there(id));
        let changed = changed.map(|(id, json_data)| {
            Write::new(Operation::Update, log, id, [("json_data", &**json_data)])
        });
        let writes: Vec<Write<'_>> = removed.chain(changed).collect();
        if let Some(rejection) = unit.write(owner, &writes).await?.pop() {
            // No diff caused it.
            return Err(DatabaseError::failed(rejection.error));
        }
    }
    if added.is_empty() { Ok(()) } else { unit.append(owner, log, added.clone()).await }
}

pub(super) async fn read_handled<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    log: &str,
) -> Result<Option<i64>, DatabaseError> {
    let cursors = match unit.read(owner, &followers_of(log), &[]).await {
        Err(DatabaseError::UnknownModel { .. }) => return Ok(None),
        cursors => cursors?,
    };
    let clock = |field: Option<&Value>| field.and_then(Value::as_i64).unwrap_or_default();
    Ok(cursors.iter().map(|cursor| clock(cursor.get("clock"))).min())
}
