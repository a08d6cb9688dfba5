//! Adding rows that are older than the log to it.

use std::collections::HashSet;

use super::{Arg, Column, Dialect, Model, SkippedRow, SqlDatabase, SqlUnit};
use crate::{
    database::{Access, Database},
    diff::{Diff, Operation, check_name, object_in},
    engine::{Settings, mint},
    error::DatabaseError,
    json,
    merge::object_of,
    owner::Owner,
    unit::{UnitOfWork, WindowQuery},
};

/// How many rows are added with one tick of their owner's clock.
const BATCH: i64 = 500;

/// How many of the skipped rows are returned.
const SHOWN: usize = 10;

/// Separates an owner and an id, which do not contain this character.
const BETWEEN: char = '\u{1f}';

/// The progress of an import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// How many owners have been processed.
    pub owners: u64,
    /// How many owners there are.
    pub owners_in_all: u64,
    /// How many rows were added to the log.
    pub rows: u64,
    /// How many rows were already in the log.
    pub known_rows: u64,
    /// How many rows were skipped, because no diff can represent them.
    pub skipped_rows: u64,
    /// The first few of these.
    pub skipped: Vec<SkippedRow>,
}

/// What has been read of an owner's log: the objects in it, up to a tick.
#[derive(Debug, Default)]
struct Seen {
    objects: HashSet<String>,
    clock: i64,
}

impl<D: Dialect> SqlDatabase<D> {
    /// Writes a create into the log for every row of the model's table that the log does not have, so
    /// that devices receive rows that are older than the log.
    ///
    /// It proceeds owner by owner, in batches, and calls `progress` after each one. You can stop it at
    /// any time and start it again, while devices sync: rows that the log has are skipped. Rows without
    /// an owner (null) are skipped. Rows that no diff can represent are skipped, counted and returned:
    /// an owner or id that is empty, longer than 1,024 bytes or no text, and values that JSON does not
    /// have.
    ///
    /// # Errors
    /// [`DatabaseError::UnknownModel`]; [`DatabaseError::Failed`] or [`DatabaseError::Busy`] from the
    /// database; or [`DatabaseError::Failed`] if the table is shared.
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
        let mut imported = self.skip_unsound(model, owner).await?;
        let (owner, is_name) = (owner.exact(), D::is_name(owner));
        let sql = format!(
            "SELECT DISTINCT CAST({owner} AS TEXT) FROM {} AS t WHERE {owner} IS NOT NULL AND {is_name}",
            model.table
        );
        let owners = self.ask(model, &sql, &[]).await?;
        imported.owners_in_all = owners.len() as u64;
        for name in owners {
            match self.owner_to_import(model, &name) {
                Ok(owner) => self.import_owner(model, &owner, &mut imported, &mut progress).await?,
                Err(reason) => {
                    let sql = format!(
                        "SELECT CAST(count(*) AS TEXT) FROM {} AS t WHERE {}1 = 1",
                        model.table,
                        model.owned()
                    );
                    let rows = count(&self.ask(model, &sql, &[Arg::Text(&name)]).await?);
                    imported.skip(rows, [SkippedRow::new(name, "", reason)]);
                }
            }
            imported.owners += 1;
            progress(imported.clone());
        }
        Ok(imported)
    }

    /// Counts the skipped rows that the database can find by a condition.
    async fn skip_unsound(&self, model: &Model, owner: &Column) -> Result<Imported, DatabaseError> {
        let mut imported = Imported::default();
        let table = &model.table;
        let is_owned = format!("{} IS NOT NULL", owner.exact());
        let (owner_is, id_is) = (D::is_name(owner), D::is_name(&model.id));
        let unsound = [
            (format!("NOT {owner_is}"), "its owner is not of the column's type"),
            (format!("{owner_is} AND NOT {id_is}"), "its id is null or not of the column's type"),
            (
                format!("{owner_is} AND {id_is} AND NOT {}", D::is_sound(model)),
                "a value is infinite, or no JSON in a column for JSON",
            ),
        ];
        for (condition, reason) in unsound {
            let rows = format!("FROM {table} AS t WHERE {is_owned} AND ({condition})");
            let sql = format!("SELECT CAST(count(*) AS TEXT) {rows}");
            let rows_in_all = count(&self.ask(model, &sql, &[]).await?);
            if rows_in_all == 0 {
                continue;
            }
            let (owner, id) = (D::shown(owner), D::shown(&model.id));
            let sql = format!("SELECT {owner} || '{BETWEEN}' || {id} {rows} LIMIT {SHOWN}");
            let shown = self.ask(model, &sql, &[]).await?;
            let shown = shown.iter().filter_map(|row| row.split_once(BETWEEN));
            imported.skip(rows_in_all, shown.map(|(owner, id)| SkippedRow::new(owner, id, reason)));
        }
        Ok(imported)
    }

    /// # Errors
    /// If nothing of that owner can be in the log.
    fn owner_to_import(&self, model: &Model, name: &str) -> Result<Owner, String> {
        let owner = Owner::new(name).map_err(|error| error.to_string())?;
        let fits = self.schema.log.check_owner(&owner).and_then(|()| model.check_owner(&owner));
        fits.map_err(|_| "the log has no room for the owner".to_owned())?;
        Ok(owner)
    }

    async fn import_owner(
        &self,
        model: &Model,
        owner: &Owner,
        imported: &mut Imported,
        progress: &mut (impl FnMut(Imported) + Send),
    ) -> Result<(), DatabaseError> {
        let (mut seen, mut last) = (Seen::default(), None);
        while let Some(id) =
            self.import_batch(model, owner, last.as_deref(), &mut seen, imported).await?
        {
            progress(imported.clone());
            last = Some(id);
        }
        Ok(())
    }

    /// Adds the rows after `last`, and returns the last of them.
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
            let id = object_in(&json_data).map_err(DatabaseError::failed)?.into_owned();
            last = Some(id.clone());
            let flaw = check_name(&id).map_err(|reason| format!("the id {reason}"));
            if let Err(reason) = flaw.and_then(|()| json::check(&json_data)) {
                imported.skip(1, [SkippedRow::new(owner.as_str(), id, reason)]);
                continue;
            }
            if !seen.objects.insert(id) {
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

    async fn ask(
        &self,
        model: &Model,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<Vec<String>, DatabaseError> {
        let failed = |error| D::explain(model, error);
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        D::texts(&mut connection, sql, args).await.map_err(failed)
    }
}

impl Imported {
    fn skip(&mut self, rows: u64, shown: impl IntoIterator<Item = SkippedRow>) {
        self.skipped_rows += rows;
        let room = SHOWN.saturating_sub(self.skipped.len());
        self.skipped.extend(shown.into_iter().take(room));
    }
}

fn count(texts: &[String]) -> u64 {
    texts.first().and_then(|text| text.parse().ok()).unwrap_or_default()
}

impl Seen {
    /// Reads what has been added to the log since the last time.
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
        let id = model.id.exact();
        let mut args = vec![Arg::Text(owner.as_str()), Arg::Integer(most)];
        let behind = match last {
            Some(last) => {
                args.push(Arg::Text(last));
                format!(" AND {id} > {}", model.id.cast("$3"))
            }
            None => String::new(),
        };
        let sql = format!(
            "SELECT {} FROM {} AS t WHERE {}{} AND {}{behind} ORDER BY {id} LIMIT $2",
            D::record(model),
            model.table,
            model.owned(),
            D::is_name(&model.id),
            D::is_sound(model)
        );
        self.read_texts(model, &sql, &args).await
    }
}
