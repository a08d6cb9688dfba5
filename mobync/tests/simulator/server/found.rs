//! What is found in the database after a step: log and rows of each owner, as the text requires.

use std::collections::BTreeSet;

use mobync::{Access, DatabaseError, UnitOfWork, WindowQuery};

use super::{Entry, Objects, Server, compare::same_entries};
use crate::{
    convert, hand::Place, oracle::without_nulls, ours::same, step::MODELS, versions, world::Failure,
};

impl<D: Place> Server<D> {
    /// Log and rows of all owners are as the text requires.
    pub(super) async fn check(&self) -> Result<(), Failure> {
        // Work begun by a failed request may still be under way.
        self.settle().await;
        for number in 0..self.owners.len() {
            self.check_owner(number).await?;
        }
        Ok(())
    }

    /// The same of one owner.
    pub async fn check_owner(&self, number: usize) -> Result<(), Failure> {
        let oracle = &self.owners[number].1;
        let log = self.log(number).await?;
        let ids: BTreeSet<_> = log.iter().map(|entry| entry.id.clone()).collect();
        same("the number of ids in the log", &ids.len(), &log.len())?;
        let horizon = oracle.kept.horizon;
        let ticks = log.iter().map(|entry| entry.tick).filter(|tick| *tick >= horizon - 1);
        let said = (horizon - 1).max(0)..oracle.clock();
        same("the ticks", &ticks.collect::<BTreeSet<i64>>(), &said.collect())?;
        same_entries("the log", &log, &oracle.thinned())?;
        let milestones = self.own(number, "milestone").await?;
        same("the milestones", &milestones, &oracle.kept.milestones)?;
        let said = (horizon > 0).then_some((horizon - 1, oracle.kept.forgotten));
        same("the horizon", &self.own(number, "horizon").await?, &Vec::from_iter(said))?;
        let is_thinning = !self.own(number, "thinning").await?.is_empty();
        same("whether a log is being thinned", &is_thinning, &oracle.kept.is_thinning)?;
        let marked = self.marked(number).await;
        let but_marked = |objects: Objects| -> Objects {
            objects.into_iter().filter(|(key, _)| !marked.contains(key)).collect()
        };
        let is = but_marked(self.rows(number).await?);
        let said = but_marked(oracle.objects());
        same("the server's rows", &without_nulls(&is), &without_nulls(&said))?;
        Ok(())
    }

    /// The log, read without any faults, and without its own entries.
    pub(super) async fn log(&self, owner: usize) -> Result<Vec<Entry>, Failure> {
        let mut entries = self.whole_log(owner).await?;
        entries.retain(|entry| entry.model != "diffs");
        Ok(entries)
    }

    /// Tick and time of the log's own entries of that name.
    pub(super) async fn own(&self, owner: usize, name: &str) -> Result<Vec<(i64, i64)>, Failure> {
        let log = self.whole_log(owner).await?;
        let own = log.iter().filter(|entry| entry.model == "diffs" && entry.object == name);
        Ok(own.map(|entry| (entry.tick, entry.at)).collect())
    }

    pub(super) async fn whole_log(&self, owner: usize) -> Result<Vec<Entry>, Failure> {
        let owner = &self.owners[owner].0;
        let query = WindowQuery::since("diffs", 0);
        let mut unit = self.database.inner.open(owner, Access::Read).await.map_err(Failure::of)?;
        let mut entries = unit.window(owner, query).await.map_err(Failure::of)?.entries;
        entries.sort_by(|left, right| left.order().cmp(&right.order()));
        if entries.iter().any(|entry| entry.owner != owner.as_str()) {
            return Err(Failure("the log of one owner has an entry of another".to_owned()));
        }
        Ok(entries.iter().map(convert::entry).map(versions::entry_without_old).collect())
    }

    pub(super) async fn rows(&self, owner: usize) -> Result<Objects, Failure> {
        let owner = &self.owners[owner].0;
        let mut unit = self.database.inner.open(owner, Access::Read).await.map_err(Failure::of)?;
        let mut rows = Objects::new();
        for model in MODELS {
            let records = match unit.read(owner, model, &[]).await {
                Err(DatabaseError::UnknownModel { .. }) => continue,
                records => records.map_err(Failure::of)?,
            };
            for record in records {
                let key = (model.to_owned(), record.id().to_owned());
                rows.insert(key, convert::fields(record));
            }
        }
        Ok(rows)
    }
}
