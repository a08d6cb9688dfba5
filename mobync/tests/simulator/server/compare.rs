//! Comparing answers and logs with those of the text.

use std::collections::{BTreeMap, BTreeSet};

use mobync::SyncResponse;

use crate::{
    convert,
    oracle::{Answer, Entry, Key, Kind},
    ours::same,
    world::Failure,
};

/// An answer, except for objects that others have changed in the meantime. `bears`: whether its updates have the
/// id, tick and time that the text says.
pub(super) fn check_answer(
    answer: &SyncResponse,
    told: &Answer,
    marked: &BTreeSet<Key>,
    bears: bool,
) -> Result<(), Failure> {
    same("the clock of an answer", &answer.logical_clock, &told.clock)?;
    let refused: Vec<(String, &str)> =
        answer.refused.iter().map(|refused| (refused.diff_id.clone(), &*refused.code)).collect();
    same("what is refused", &refused, &told.refused)?;
    let idle: usize = match answer.message.split(' ').next() {
        Some(number) if !number.is_empty() => number.parse().unwrap_or(usize::MAX),
        _ => 0,
    };
    same("the number of changes without effect", &idle, &told.idle)?;
    let is_sorted = answer.diffs.is_sorted_by(|left, right| left.order() <= right.order());
    same("that the answer is sorted", &is_sorted, &true)?;
    // For objects that others have changed in the meantime, the answer may be newer than the log.
    let but_marked = |mut entries: Vec<Entry>| -> Vec<Entry> {
        entries.retain(|entry| !marked.contains(&entry.key()));
        for entry in entries.iter_mut().filter(|entry| !bears && entry.kind == Kind::Update) {
            (entry.id, entry.tick, entry.at) = (None, 0, 0);
        }
        entries
    };
    let entries = but_marked(answer.diffs.iter().map(convert::entry).collect());
    let told = but_marked(told.entries.clone());
    same_entries("an answer", &without_columns(entries, &told), &told)
}

/// Without the nulls of columns that no diff has written: a table row has them, and they are included when it
/// goes back.
fn without_columns(mut is: Vec<Entry>, told: &[Entry]) -> Vec<Entry> {
    is.retain_mut(|entry| {
        let of_text = |told: &&Entry| (told.key(), told.kind) == (entry.key(), entry.kind);
        let told = told.iter().find(of_text);
        let had_fields = !entry.fields.is_empty();
        entry.fields.retain(|name, value| {
            !value.is_null() || told.is_some_and(|told| told.fields.contains_key(name))
        });
        told.is_some() || !had_fields || !entry.fields.is_empty()
    });
    is
}

/// The entries of each object are the same; if the text has an id of the server's own, any id matches.
pub(super) fn same_entries(what: &str, is: &[Entry], said: &[Entry]) -> Result<(), Failure> {
    let by_object = |entries: &[Entry]| {
        let mut objects: BTreeMap<Key, Vec<Entry>> = BTreeMap::new();
        for entry in entries {
            objects.entry(entry.key()).or_default().push(entry.clone());
        }
        objects
    };
    let mut is = by_object(is);
    let said = by_object(said);
    for (key, entries) in &mut is {
        for (entry, said) in entries.iter_mut().zip(said.get(key).into_iter().flatten()) {
            if said.id.is_none() {
                entry.id = None;
            }
        }
    }
    same(what, &is, &said)
}
