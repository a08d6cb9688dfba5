//! The data of one owner.

use std::{collections::BTreeMap, hash::BuildHasher};

use super::Document;
use crate::{
    diff::Diff,
    hash::{HashMap, HashSet},
    merge::{Window, next_page},
    owner::Owner,
    record::Record,
    unit::{Rewrite, WindowQuery},
};

/// The documents and the log of one owner.
#[derive(Debug, Default)]
pub(super) struct Space {
    models: HashMap<String, BTreeMap<String, Document>>,
    logs: HashMap<String, Log>,
}

/// A log in the order of its ticks.
#[derive(Debug, Default)]
struct Log {
    /// Without their owner, which is the same for all of them.
    entries: Vec<Diff>,
    /// The tick of each entry by the hash of its id. For two ids with the same hash, the lower tick, so
    /// that a window may be longer than necessary.
    ticks: HashMap<u64, i64>,
}

impl Space {
    pub(super) fn document(&self, model: &str, id: &str) -> Option<&Document> {
        self.models.get(model)?.get(id)
    }

    pub(super) fn documents(&self, model: &str) -> impl Iterator<Item = (&String, &Document)> {
        self.models.get(model).into_iter().flatten()
    }

    /// Replaces documents of a model, or removes them.
    pub(super) fn set(&mut self, model: String, changed: BTreeMap<String, Option<Document>>) {
        let documents = self.models.entry(model).or_default();
        for (id, document) in changed {
            match document {
                Some(document) => documents.insert(id, document),
                None => documents.remove(&id),
            };
        }
    }

    pub(super) fn append(&mut self, log: String, entries: Vec<Diff>) {
        let Log { entries: kept, ticks } = self.logs.entry(log).or_default();
        ticks.reserve(entries.len());
        kept.reserve(entries.len());
        for entry in entries {
            ticks.entry(ticks.hasher().hash_one(&entry.id)).or_insert(entry.logical_clock);
            kept.push(Diff { owner: String::new(), ..entry });
        }
    }

    pub(super) fn rewrite(&mut self, log: String, Rewrite { removed, changed, added }: Rewrite) {
        let Log { entries, ticks } = self.logs.entry(log).or_default();
        let removed: HashSet<String> = removed.into_iter().collect();
        let mut changed: HashMap<String, String> = changed.into_iter().collect();
        entries.retain(|entry| !removed.contains(&entry.id));
        for entry in &mut *entries {
            if let Some(json_data) = changed.remove(&entry.id) {
                entry.json_data = json_data;
            }
        }
        for entry in added {
            let behind = entries.partition_point(|it| it.logical_clock <= entry.logical_clock);
            entries.insert(behind, Diff { owner: String::new(), ..entry });
        }
        ticks.clear();
        for entry in &*entries {
            ticks.entry(ticks.hasher().hash_one(&entry.id)).or_insert(entry.logical_clock);
        }
    }

    /// The last entries before a tick: whole ticks with at least this many entries, if there are as many.
    pub(super) fn before(&self, log: &str, end: i64, most: usize) -> &[Diff] {
        let log = self.log(log);
        let before = log.partition_point(|entry| entry.logical_clock < end);
        let tick = log.get(before.saturating_sub(most.max(1))).map(|entry| entry.logical_clock);
        let first =
            log.partition_point(|entry| tick.is_some_and(|tick| entry.logical_clock < tick));
        log.get(first..before).unwrap_or_default()
    }

    /// A log as records of a model, if there is a log of that name.
    pub(super) fn log_records(
        &self,
        owner: &Owner,
        log: &str,
    ) -> Option<impl Iterator<Item = Record>> {
        let entries = self.logs.get(log)?.entries.iter();
        Some(entries.map(|entry| with_owner(owner, entry).into_record()))
    }

    /// The entries of a log, without their owner.
    pub(super) fn log(&self, log: &str) -> &[Diff] {
        self.logs.get(log).map(|log| &*log.entries).unwrap_or_default()
    }

    pub(super) fn clock(&self, log: &str) -> i64 {
        self.log(log).last().map_or(0, |last| last.logical_clock.saturating_add(1))
    }

    /// Whether a device at that clock, with that head, has missed nothing.
    pub(super) fn is_idle(&self, log: &str, since: i64, head: Option<&str>) -> bool {
        let last = self.log(log).last().map(|last| last.logical_clock);
        last == since.checked_sub(1).filter(|last| *last >= 0)
            && head.is_none_or(|head| self.has_head(log, since, head))
    }

    /// Whether a log has an entry of that id with the tick before `since`.
    fn has_head(&self, log: &str, since: i64, head: &str) -> bool {
        let log = self.log(log);
        let before = log.partition_point(|entry| entry.logical_clock < since);
        let tick = log.get(..before).unwrap_or_default().iter().rev();
        let mut tick = tick.take_while(|entry| entry.logical_clock.checked_add(1) == Some(since));
        tick.any(|entry| entry.id == head)
    }

    pub(super) fn window(&self, owner: &Owner, query: WindowQuery<'_>) -> Window {
        let known = self.logs.get(query.log).map(|log| &log.ticks);
        let tick = |id: &&str| known.and_then(|ticks| ticks.get(&ticks.hasher().hash_one(id)));
        let ticks = query.ids.iter().filter_map(tick).copied();
        let start = ticks.min().map_or(query.since, |tick| tick.min(query.since));
        let log = self.log(query.log);
        let from = |tick| log.get(log.partition_point(|entry| entry.logical_clock < tick)..);
        let clock = self.clock(query.log);
        let entries = from(start).unwrap_or_default();
        let next = query.limit.and_then(|limit| next_page(entries, limit));
        let entries =
            entries.iter().take_while(|entry| next.is_none_or(|n| entry.logical_clock < n));
        let exists = |(model, id): &(&str, &str)| self.document(model, id).is_some();
        Window {
            clock: next.unwrap_or(clock),
            start,
            more: next.map(|_| clock),
            has_head: query.head.is_some_and(|head| self.has_head(query.log, query.since, head)),
            entries: entries.map(|entry| with_owner(owner, entry)).collect(),
            existing: query.objects.iter().map(exists).collect(),
            ..Window::default()
        }
    }
}

fn with_owner(owner: &Owner, entry: &Diff) -> Diff {
    Diff { owner: owner.as_str().to_owned(), ..entry.clone() }
}
