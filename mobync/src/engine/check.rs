//! Checksums of what exists: section "Is the copy right?" of the protocol.

use std::{borrow::Cow, collections::BTreeMap};

use tokio::time::timeout;

use super::{log_failure, look, pending::MOST_AT_ONCE};
use crate::{
    Mobync,
    checksum::{Defaults, Sum},
    database::{Access, Database},
    error::{DatabaseError, Error},
    merge::{Snapshot, read_members},
    owner::Owner,
    protocol::Checksum,
    schema::{Lens, View},
    unit::{UnitOfWork, WindowQuery},
};

/// How often the check is tried, if others write meanwhile.
const MOST_TRIES: u32 = 3;

/// What is known across the attempts at one answer.
#[derive(Debug, Default)]
pub(super) struct Check {
    /// What the log says, as far as it has been read.
    said: Option<Snapshot>,
    tries: u32,
}

impl Check {
    fn again(&mut self) -> Checked {
        self.tries += 1;
        if self.tries < MOST_TRIES { Checked::Again } else { Checked::Unknown }
    }
}

/// The result of a check.
pub(super) enum Checked {
    /// The checksums of each model that the log names.
    Sums(BTreeMap<String, Option<Checksum>>),
    /// Others have written since the answer was made: repeat it.
    Again,
    /// Unknown: others keep writing, or rows cannot be read.
    Unknown,
}

impl<D: Database, R> Mobync<D, R> {
    /// The checksums of what exists at this clock, which is the clock of an answer just made.
    ///
    /// The log is read only once: later attempts read only what was added meanwhile.
    ///
    /// The answer is complete without them, and neither waits nor fails because of them.
    pub(super) async fn check_in_time(
        &self,
        owner: &Owner,
        check: &mut Check,
        clock: i64,
        schema: Option<u64>,
    ) -> Checked {
        let checking = self.check(owner, check, clock, self.settings.view(schema));
        let checked = match self.settings.time_limit.or(self.database.time_limit()) {
            None => checking.await,
            Some(limit) => timeout(limit / 2, checking).await.unwrap_or(Ok(Checked::Unknown)),
        };
        checked.unwrap_or_else(|error| {
            log_failure(&Error::of_database(error));
            Checked::Unknown
        })
    }

    async fn check(
        &self,
        owner: &Owner,
        check: &mut Check,
        clock: i64,
        view: View<'_>,
    ) -> Result<Checked, DatabaseError> {
        let unit = self.open(owner, Access::Read).await?;
        self.check_in(unit, owner, check, clock, view).await
    }

    async fn check_in(
        &self,
        mut unit: Lens<D::Unit>,
        owner: &Owner,
        check: &mut Check,
        clock: i64,
        view: View<'_>,
    ) -> Result<Checked, DatabaseError> {
        let log = &*self.settings.diffs_model;
        let said = match &mut check.said {
            Some(said) => said,
            said => said.insert(unit.snapshot(owner, log, Snapshot::default()).await?),
        };
        if said.clock() < clock {
            let query = WindowQuery::since(log, said.clock());
            let window = unit.window(owner, query).await?;
            let entries = window.entries.iter().filter(|entry| entry.logical_clock < clock);
            said.follow_all(entries.map(Into::into))?;
        }
        if said.clock() != clock {
            return Ok(check.again());
        }

        let models: Vec<String> = said.models().map(str::to_owned).collect();
        let (mut sums, mut reads_rows) = (BTreeMap::new(), false);
        for model in models {
            if model == log {
                continue;
            }
            let Some(name) = view.model(&model) else { continue };
            if view.has_removed(&model) {
                // Devices keep what they have of it.
                sums.insert(name.to_owned(), None);
                continue;
            }
            let defaults = unit.defaults(&model).into_iter();
            let defaults =
                defaults.filter_map(|(name, json)| Some((view.field(&model, name)?, json)));
            let defaults = Defaults::read(defaults).map_err(DatabaseError::failed)?;
            let mut sum = Sum::default();
            let mut older = Vec::new();
            for (place, object) in said.all(&model).enumerate() {
                let (id, alive) = object?;
                if place % MOST_AT_ONCE == MOST_AT_ONCE - 1 {
                    tokio::task::yield_now().await;
                }
                if alive.is_older {
                    older.push((id.to_owned(), alive.json_data.to_owned()));
                } else {
                    add(&mut sum, alive.json_data, None, &defaults, (view, &model))?;
                }
            }
            reads_rows |= !older.is_empty();
            for part in older.chunks(MOST_AT_ONCE) {
                let ids: Vec<&str> = part.iter().map(|(id, _)| &**id).collect();
                let rows = look::rows_of(&mut unit, owner, &model, &ids).await?;
                let Some(rows) = rows else { return Ok(Checked::Unknown) };
                for (id, json_data) in part {
                    add(
                        &mut sum,
                        json_data,
                        rows.get(id).map(|row| &**row),
                        &defaults,
                        (view, &model),
                    )?;
                }
            }
            sums.insert(name.to_owned(), Some(sum.finish(defaults)));
        }
        // Rows may be newer than the log that was read.
        if reads_rows {
            let is_stable = unit.clock(owner, log).await? == clock
                && !(unit.captures() && unit.is_marked(owner).await?);
            if !is_stable {
                return Ok(check.again());
            }
        }
        Ok(Checked::Sums(sums))
    }
}

/// Adds an object of the model as in the log; one that is older than the log, with its row.
fn add(
    sum: &mut Sum,
    json_data: &str,
    row: Option<&str>,
    defaults: &Defaults,
    (view, model): (View<'_>, &str),
) -> Result<(), DatabaseError> {
    let broken = |error| DatabaseError::failed(format!("an object has broken JSON: {error}"));
    let (id, said) = read_members(json_data).map_err(broken)?;
    let (_, row) = row.map(read_members).transpose().map_err(broken)?.unwrap_or_default();
    let mut fields: BTreeMap<Cow<'_, str>, &str> =
        row.iter().map(|(name, value)| (name.clone(), value.get())).collect();
    fields.extend(said.iter().map(|(name, value)| (name.clone(), value.get())));
    let fields = fields.iter().filter_map(|(name, value)| Some((view.field(model, name)?, *value)));
    sum.add(&id, fields, defaults).map_err(broken)
}
