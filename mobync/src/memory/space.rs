//! What the database keeps of one owner.

use std::collections::BTreeMap;

use crate::{Diff, Record, Window, WindowQuery, hash::HashMap};

/// The records and the log of one owner.
#[derive(Debug, Default)]
pub(super) struct Space {
    models: HashMap<String, BTreeMap<String, Record>>,
    logs: HashMap<String, Log>,
}

/// A log in the order of its ticks.
#[derive(Debug, Default)]
struct Log {
    entries: Vec<Diff>,
    ticks: HashMap<String, i64>,
}

impl Space {
    pub(super) fn record(&self, model: &str, id: &str) -> Option<&Record> {
        self.models.get(model)?.get(id)
    }

    pub(super) fn records(&self, model: &str) -> impl Iterator<Item = &Record> {
        self.models.get(model).into_iter().flat_map(BTreeMap::values)
    }

    /// Replaces records of a model, or removes them.
    pub(super) fn set(&mut self, model: String, changed: BTreeMap<String, Option<Record>>) {
        let records = self.models.entry(model).or_default();
        for (id, record) in changed {
            match record {
                Some(record) => records.insert(id, record),
                None => records.remove(&id),
            };
        }
    }

    pub(super) fn append(&mut self, log: String, entries: Vec<Diff>) {
        let log = self.logs.entry(log).or_default();
        log.ticks.extend(entries.iter().map(|entry| (entry.id.clone(), entry.logical_clock)));
        log.entries.extend(entries);
    }

    pub(super) fn log(&self, log: &str) -> &[Diff] {
        self.logs.get(log).map(|log| &*log.entries).unwrap_or_default()
    }

    pub(super) fn clock(&self, log: &str) -> i64 {
        self.log(log).last().map_or(0, |last| last.logical_clock.saturating_add(1))
    }

    pub(super) fn window(&self, query: WindowQuery<'_>) -> Window {
        let known = self.logs.get(query.log).map(|log| &log.ticks);
        let ticks = query.ids.iter().filter_map(|id| known?.get(*id).copied());
        let start = ticks.min().map_or(query.since, |tick| tick.min(query.since));
        let log = self.log(query.log);
        let first = log.partition_point(|entry| entry.logical_clock < start);
        let exists = |(model, id): &(&str, &str)| self.record(model, id).is_some();
        Window {
            clock: self.clock(query.log),
            start,
            entries: log.get(first..).unwrap_or_default().to_vec(),
            existing: query.objects.iter().map(exists).collect(),
            unknown_models: Vec::new(),
        }
    }
}
