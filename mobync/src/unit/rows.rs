//! What reconciling reads from rows and the log, using only the reads that every database has.

use std::collections::HashSet;

use serde_json::Value;

use super::{UnitOfWork, WindowQuery};
use crate::{
    diff::{Diff, object_in},
    error::DatabaseError,
    filter::ReadFilter,
    owner::Owner,
    record::Record,
};

pub(super) async fn read_rows<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    model: &str,
    ids: &[&str],
) -> Result<Vec<String>, DatabaseError> {
    let records = unit.read(owner, model, &[ReadFilter::any_of("id", ids.iter().copied())]).await?;
    Ok(records.into_iter().map(text).collect())
}

pub(super) async fn read_rows_behind<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    model: &str,
    last: Option<&str>,
) -> Result<Vec<String>, DatabaseError> {
    let behind = last.map(|last| ReadFilter::greater("id", last));
    let mut records = unit.read(owner, model, behind.as_slice()).await?;
    records.sort_by(|left, right| left.id().cmp(right.id()));
    Ok(records.into_iter().map(text).collect())
}

pub(super) async fn read_entries_of<U: UnitOfWork>(
    unit: &mut U,
    owner: &Owner,
    log: &str,
    objects: &[(&str, &str)],
) -> Result<Vec<Diff>, DatabaseError> {
    let mut entries = unit.window(owner, WindowQuery::since(log, 0)).await?.entries;
    let objects: HashSet<(&str, &str)> = objects.iter().copied().collect();
    entries.retain(|entry| {
        let id = object_in(&entry.json_data);
        id.is_ok_and(|id| objects.contains(&(&*entry.model, &*id)))
    });
    Ok(entries)
}

fn text(record: Record) -> String {
    Value::from(record).to_string()
}
