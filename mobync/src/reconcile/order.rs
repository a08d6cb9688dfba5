//! The order of entries that are logged together, so that references hold between any two of them.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use super::compare::{Difference, Differs, Schema};
use crate::{
    Diff, Operation, Owner,
    merge::{Now, encode},
};

/// The greatest number of entries with one tick.
pub(crate) const MOST_IN_A_TICK: usize = 10_000;

/// The entries that make the log equal to the rows. The first ones get the tick `clock`.
///
/// Creates come first, parents before children; then updates; then deletes, children before parents.
/// Within a tick the log is read in the order of times and ids. So a create's time is at most that of
/// all entries after it, a delete's is at least that of all entries before it, and ids grow.
pub(crate) fn entries(
    differences: Vec<Difference>,
    schema: &impl Schema,
    owner: &Owner,
    clock: i64,
    now: Now,
    mut mint: impl FnMut() -> String,
) -> Vec<Diff> {
    let differences = in_order(differences, schema);
    let mut times: Vec<i64> = differences.iter().map(|it| time(it.at, now)).collect();
    let mut least = i64::MAX;
    for (time, difference) in times.iter_mut().zip(&differences).rev() {
        least = least.min(*time);
        if matches!(difference.change, Differs::Create(_)) {
            *time = least;
        }
    }
    let mut greatest = 0;
    for (time, difference) in times.iter_mut().zip(&differences) {
        greatest = greatest.max(*time);
        if difference.change == Differs::Delete {
            *time = greatest;
        }
    }
    let mut tick = clock;
    let mut left = MOST_IN_A_TICK;
    let entry = |(difference, at): (Difference, i64)| {
        if left == 0 {
            (tick, left) = (tick.saturating_add(1), MOST_IN_A_TICK);
        }
        left -= 1;
        let Difference { model, id, change, .. } = difference;
        let (operation, json_data) = match change {
            Differs::Create(row) => (Operation::Create, row),
            Differs::Update(fields) => {
                let fields = fields.iter().map(|(name, value)| (&**name, &**value));
                (Operation::Update, encode(&id, fields))
            }
            Differs::Delete => (Operation::Delete, encode(&id, std::iter::empty())),
        };
        Diff {
            id: mint(),
            owner: owner.as_str().to_owned(),
            logical_clock: tick,
            utc_timestamp: at,
            operation,
            model,
            json_data,
        }
    };
    differences.into_iter().zip(times).map(entry).collect()
}

/// A mark's time may be wrong, as a device's may.
fn time(at: Option<i64>, now: Now) -> i64 {
    let at = at.filter(|at| *at <= now.utc.saturating_add(now.drift));
    at.unwrap_or(now.utc).max(0)
}

fn in_order(differences: Vec<Difference>, schema: &impl Schema) -> Vec<Difference> {
    let depths = depths(&differences);
    let mut placed: Vec<_> = differences.into_iter().zip(depths).collect();
    placed.sort_by_cached_key(|(difference, depth)| {
        let rank = schema.rank(&difference.model);
        match difference.change {
            Differs::Create(_) => (0, rank, *depth, Reverse((0, 0))),
            Differs::Update(_) => (1, rank, 0, Reverse((0, 0))),
            Differs::Delete => (2, 0, 0, Reverse((rank, *depth))),
        }
    });
    placed.into_iter().map(|(difference, _)| difference).collect()
}

/// The number of these objects of its model above each one. A cycle is cut somewhere.
fn depths(differences: &[Difference]) -> Vec<usize> {
    let key = |difference: &Difference| (difference.model.clone(), difference.id.clone());
    if differences.iter().all(|difference| difference.parents.is_empty()) {
        return vec![0; differences.len()];
    }
    let places: HashMap<_, usize> =
        differences.iter().enumerate().map(|(place, it)| (key(it), place)).collect();
    let parents: Vec<Vec<usize>> = differences
        .iter()
        .map(|it| {
            let parents = it.parents.iter();
            parents.filter_map(|id| places.get(&(it.model.clone(), id.clone())).copied()).collect()
        })
        .collect();

    let mut depths: Vec<Option<usize>> = vec![None; differences.len()];
    let mut entered = HashSet::new();
    for place in 0..differences.len() {
        let mut path = vec![place];
        while let Some(&top) = path.last() {
            entered.insert(top);
            let above = parents.get(top).map(Vec::as_slice).unwrap_or_default();
            if let Some(next) = above.iter().find(|place| !entered.contains(*place)) {
                path.push(*next);
                continue;
            }
            let known = above.iter().filter_map(|place| depths.get(*place).copied().flatten());
            let depth = known.max().map_or(0, |depth| depth + 1);
            if let Some(slot) = depths.get_mut(top) {
                slot.get_or_insert(depth);
            }
            path.pop();
        }
    }
    depths.into_iter().map(Option::unwrap_or_default).collect()
}
