//! Bringing rows that were there before the log into it.

use std::collections::HashSet;

use super::{Arg, Dialect, Model, SqlDatabase, SqlUnit};
use crate::{
    Access, Database, DatabaseError, Diff, Operation, Owner, Record, Synchronizer, WindowQuery,
    engine::{Settings, mint},
    merge::object_of,
};

/// How many rows are brought in with one tick of their owner's clock.
const BATCH: i64 = 500;

/// How far an import came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// How many owners have been gone through.
    pub owners: u64,
    /// How many owners there are.
    pub owners_in_all: u64,
    /// How many rows were brought into the log.
    pub rows: u64,
    /// How many rows the log had already.
    pub known_rows: u64,
}

/// What is known of an owner's log: the objects in it, up to a tick.
#[derive(Debug, Default)]
struct Seen {
    objects: HashSet<String>,
    clock: i64,
}

impl<D: Dialect> SqlDatabase<D> {
    /// Writes a create into the log for every row of the model's table that the log does not know, so
    /// that devices receive what was there before sync was.
    ///
    /// It goes on owner by owner, in batches, and tells `progress` after each one. It may be stopped at
    /// any time and begun again, while devices sync: what the log knows is passed over. Rows without an
    /// owner (null) are left out.
    ///
    /// # Errors
    /// [`DatabaseError::UnknownModel`]; [`DatabaseError::Failed`] or [`DatabaseError::Busy`] if the
    /// database is, or if the table is shared.
    pub async fn import(
        &self,
        model: &str,
        mut progress: impl FnMut(Imported) + Send,
    ) -> Result<Imported, DatabaseError> {
        let model = self.schema.model(model)?;
        let Some(owner) = &model.owner else {
            let name = &model.name;
            return Err(DatabaseError::failed(format!("{name} is shared: its rows are nobody's")));
        };
        let owner = owner.quoted();
        let sql = format!(
            "SELECT DISTINCT CAST(t.{owner} AS TEXT) FROM {} AS t WHERE t.{owner} IS NOT NULL",
            model.table
        );
        let mut connection = self.pool.acquire().await.map_err(|error| D::explain(model, error))?;
        let owners = D::texts(&mut connection, &sql, &[]).await;
        let owners = owners.map_err(|error| D::explain(model, error))?;
        drop(connection);

        let mut imported = Imported { owners_in_all: owners.len() as u64, ..Imported::default() };
        for owner in owners {
            let owner = Owner::new(owner).map_err(DatabaseError::failed)?;
            let (mut seen, mut last) = (Seen::default(), None);
            while let Some(id) =
                self.import_batch(model, &owner, last.as_deref(), &mut seen, &mut imported).await?
            {
                progress(imported);
                last = Some(id);
            }
            imported.owners += 1;
            progress(imported);
        }
        Ok(imported)
    }

    /// Brings in the rows behind `last`, and returns the last of them.
    async fn import_batch(
        &self,
        model: &Model,
        owner: &Owner,
        last: Option<&str>,
        seen: &mut Seen,
        imported: &mut Imported,
    ) -> Result<Option<String>, DatabaseError> {
        let mut unit = self.open(owner, Access::Write).await?;
        seen.look(&mut unit, model, owner).await?;
        let rows = unit.rows_behind(model, owner, last, BATCH).await?;
        let mut entries = Vec::new();
        let (mut last, now) = (None, Settings::default().now());
        for json_data in rows {
            let record: Record = serde_json::from_str(&json_data).map_err(DatabaseError::failed)?;
            last = Some(record.id().to_owned());
            if !seen.objects.insert(record.id().to_owned()) {
                imported.known_rows += 1;
                continue;
            }
            entries.push(Diff {
                id: mint(),
                owner: owner.as_str().to_owned(),
                logical_clock: seen.clock,
                utc_timestamp: now,
                operation: Operation::Create,
                model: model.name.clone(),
                json_data,
            });
        }
        if !entries.is_empty() {
            let rows = entries.len() as u64;
            unit.append(owner, self.diffs_model(), entries).await?;
            unit.commit().await?;
            imported.rows += rows;
        }
        Ok(last)
    }
}

impl Seen {
    /// Reads what the log has got since the last look.
    async fn look<D: Dialect>(
        &mut self,
        unit: &mut SqlUnit<D>,
        model: &Model,
        owner: &Owner,
    ) -> Result<(), DatabaseError> {
        let log = unit.log_name();
        let query = WindowQuery { log: &log, since: self.clock, ids: &[], objects: &[] };
        let window = unit.window(owner, query).await?;
        for entry in window.entries.iter().filter(|entry| entry.model == model.name) {
            self.objects.insert(object_of(entry)?);
        }
        self.clock = window.clock;
        Ok(())
    }
}

impl<D: Dialect> SqlUnit<D> {
    async fn rows_behind(
        &mut self,
        model: &Model,
        owner: &Owner,
        last: Option<&str>,
        most: i64,
    ) -> Result<Vec<String>, DatabaseError> {
        let id = model.id.quoted();
        let mut args = vec![Arg::Text(owner.as_str()), Arg::Integer(most)];
        let behind = match last {
            Some(last) => {
                args.push(Arg::Text(last));
                format!(" AND t.{id} > {}", model.id.cast("$3"))
            }
            None => String::new(),
        };
        let sql = format!(
            "SELECT {} FROM {} AS t WHERE {}1 = 1{behind} ORDER BY t.{id} LIMIT $2",
            D::record(model),
            model.table,
            model.owned()
        );
        self.read_texts(model, &sql, &args).await
    }
}
