//! Others write to the server's rows: what the server may log of that, and what it must.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{OWNERS, Server, same};
use crate::{
    hand::{Place, Transaction, changes},
    oracle::{Entry, Key, Kind, Objects, Oracle, device::apply},
    world::Failure,
};

impl<D: Place> Server<D> {
    /// Others write to the rows.
    pub fn begin(&self, transaction: &Transaction) {
        if let Some(hand) = &self.hand {
            hand.begin(transaction.statements(&self.settings), transaction.rolls_back);
        }
    }

    /// The same, after this many calls of the database.
    pub fn begin_in(&self, calls: usize, transaction: &Transaction) {
        if let Some(hand) = &self.hand {
            let statements = transaction.statements(&self.settings);
            let hook = &self.database.hook;
            hook.write_in(calls, Arc::clone(hand), statements, transaction.rolls_back);
        }
    }

    /// Waits for everything that others do.
    pub async fn settle(&self) {
        if let Some(hand) = &self.hand {
            hand.settle().await;
        }
    }

    /// The objects that others have changed, and that no sync has processed.
    pub(super) async fn marked(&self, owner: usize) -> BTreeSet<Key> {
        match &self.hand {
            Some(hand) => hand.marked(OWNERS[owner]).await,
            None => BTreeSet::new(),
        }
    }

    /// *Truth*, when all is quiet: nothing is marked.
    pub async fn check_rest(&self) -> Result<(), Failure> {
        self.settle().await;
        for owner in 0..self.settings.owners {
            same("what is marked at rest", &self.marked(owner).await, &BTreeSet::new())?;
        }
        self.check().await
    }

    /// Adopts the entries before that tick with changes of others into the oracle, if they keep the laws: one
    /// per object, at a time at which others may have written, and none that repeats what the log already
    /// has. That they match the rows is checked with the rows.
    pub(super) async fn adopt_drained(
        &mut self,
        owner: usize,
        before: i64,
        sent: &BTreeSet<&str>,
    ) -> Result<(), Failure> {
        if self.hand.is_none() {
            return Ok(());
        }
        let log = self.log(owner).await?;
        let clock = self.owners[owner].1.clock();
        let mut objects = self.owners[owner].1.objects();
        let new = log.into_iter().filter(|entry| (clock..before).contains(&entry.tick));
        let new: Vec<Entry> = new.collect();
        let keys: BTreeSet<(i64, Key)> = new.iter().map(|it| (it.tick, it.key())).collect();
        same("the objects of a drain", &keys.len(), &new.len())?;
        for entry in &new {
            if entry.id.as_deref().is_some_and(|id| sent.contains(id)) {
                return Err(Failure(format!("a failed request left {entry:?}")));
            }
            check_server_entry(entry, &mut objects)?;
            if !self.times.contains(&entry.at) {
                return Err(Failure(format!("nobody wrote at the time of {entry:?}")));
            }
        }
        self.owners[owner].1.adopt(new);
        Ok(())
    }

    /// The entries of a request's own tick that are neither its diffs' nor in the text `without` them, if
    /// they keep the laws: a millisecond after the request's own entry of the object, if there is one.
    pub(super) async fn set_off(
        &self,
        owner: usize,
        own: i64,
        without: &Oracle,
    ) -> Result<Vec<Entry>, Failure> {
        let mut said: Vec<Entry> =
            without.log().iter().filter(|entry| entry.tick == own).cloned().collect();
        let mut latest: BTreeMap<Key, i64> = BTreeMap::new();
        for entry in &said {
            let latest = latest.entry(entry.key()).or_insert(entry.at);
            *latest = entry.at.max(*latest);
        }
        let mut set_off = Vec::new();
        let log = self.log(owner).await?;
        for entry in log.into_iter().filter(|entry| entry.tick == own) {
            let is_it = |it: &Entry| match &it.id {
                Some(_) => it.id == entry.id,
                None => (it.key(), it.at, it.kind) == (entry.key(), entry.at, entry.kind),
            };
            match said.iter().position(is_it) {
                Some(place) => drop(said.remove(place)),
                None => set_off.push(entry),
            }
        }
        let mut objects = without.objects();
        let keys: BTreeSet<Key> = set_off.iter().map(Entry::key).collect();
        same("the objects of what is set off", &keys.len(), &set_off.len())?;
        for entry in &set_off {
            check_server_entry(entry, &mut objects)?;
            let is_in_time = match latest.get(&entry.key()) {
                Some(latest) => entry.at == latest + 1,
                None => self.times.contains(&entry.at),
            };
            if !is_in_time {
                return Err(Failure(format!("the time of what was set off: {entry:?}")));
            }
        }
        Ok(set_off)
    }
}

/// *Quiet*: an entry of the server's own changes the state of its object.
fn check_server_entry(entry: &Entry, objects: &mut Objects) -> Result<(), Failure> {
    let before = objects.get(&entry.key());
    let is_needed = match entry.kind {
        Kind::Create => before.is_none(),
        Kind::Update => {
            before.is_some() && !entry.fields.is_empty() && changes(before, &entry.fields)
        }
        Kind::Delete => before.is_some(),
    };
    if !is_needed {
        return Err(Failure(format!("{entry:?} changes nothing of {before:?}")));
    }
    apply(objects, entry.key(), entry.kind, &entry.fields);
    Ok(())
}
