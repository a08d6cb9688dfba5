//! A server that is restored from a backup.

use mobync::{Access, Diff, Operation, Record, UnitOfWork, WindowQuery, Write};
use serde_json::value::{RawValue, to_raw_value};

use super::{MODELS, Oracle, Server, start};
use crate::{hand::Place, support::hooked::Hooked, world::Failure};

/// The saved data of one owner.
pub(super) struct Kept {
    log: Vec<Diff>,
    rows: Vec<(&'static str, Record)>,
    oracle: Oracle,
}

impl<D: Place> Server<D> {
    /// Saves a copy of all data.
    pub async fn back_up(&mut self) -> Result<(), Failure> {
        let mut backup = Vec::new();
        for (owner, oracle) in &self.owners {
            let unit = self.database.inner.open(owner, Access::Read).await;
            let mut unit = unit.map_err(Failure::of)?;
            let window = unit.window(owner, WindowQuery::since("diffs", 0)).await;
            let mut rows = Vec::new();
            for model in MODELS {
                let records = unit.read(owner, model, &[]).await.unwrap_or_default();
                rows.extend(records.into_iter().map(|record| (model, record)));
            }
            let log = window.map_err(Failure::of)?.entries;
            backup.push(Kept { log, rows, oracle: oracle.clone() });
        }
        self.backup = backup;
        Ok(())
    }

    /// Restores all data from the copy, if there is one.
    pub async fn restore(&mut self) -> Result<(), Failure> {
        if self.backup.is_empty() {
            return Ok(());
        }
        let Some(inner) = self.database.inner.emptied().await else { return Ok(()) };
        for (kept, (owner, oracle)) in self.backup.iter().zip(&mut self.owners) {
            let mut unit = inner.open(owner, Access::Write).await.map_err(Failure::of)?;
            for (model, record) in &kept.rows {
                let (id, fields) = record.clone().into_parts();
                let fields: Vec<(String, Box<RawValue>)> = fields
                    .iter()
                    .map(|(name, it)| (name.clone(), to_raw_value(it).unwrap()))
                    .collect();
                // A row has its owner in a column.
                let fields = fields.iter().filter(|(name, _)| name != "owner");
                let fields = fields.map(|(name, value)| (&**name, &**value));
                let write = Write::new(Operation::Create, model, &id, fields);
                unit.write(owner, &[write]).await.map_err(Failure::of)?;
            }
            unit.append(owner, "diffs", kept.log.clone()).await.map_err(Failure::of)?;
            unit.commit().await.map_err(Failure::of)?;
            *oracle = kept.oracle.clone();
        }
        self.database = Hooked { inner, hook: self.database.hook.clone() };
        self.mobync = start(self.database.clone(), &self.settings, &self.time);
        Ok(())
    }
}
