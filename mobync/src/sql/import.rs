//! Bringing rows that were there before the log into it.

use std::collections::BTreeSet;

use super::{Arg, Dialect, Model, SkippedRow, SqlDatabase};
use crate::{DatabaseError, Error, Mobync, Owner, Reconciled};

/// How many rows that were left out are told of.
const SHOWN: usize = 10;

/// Stands between an owner and an id, which have no such character.
const BETWEEN: char = '\u{1f}';

/// How far an import came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    /// How many of these had other values, which were brought into the log.
    pub changed_rows: u64,
    /// How many objects of the log had no row any more, which was brought into the log.
    pub lost_rows: u64,
    /// How many rows were left out, because no diff can say what is in them.
    pub skipped_rows: u64,
    /// The first few of these.
    pub skipped: Vec<SkippedRow>,
}

impl<D: Dialect> SqlDatabase<D> {
    /// Brings every row of the model's table into the log, so that devices receive what was there before
    /// sync was, and whatever the log has missed since: [`Mobync::reconcile`] for the owners who have rows
    /// in that table.
    ///
    /// It goes on owner by owner, in pages, and tells `progress` behind each one. It may be stopped at
    /// any time and begun again, while devices sync: what the log says already is passed over. Rows
    /// without an owner (null) are left out; so are rows that no diff can bring, and these are counted and
    /// told of: an owner or id that is empty, longer than 1,024 bytes or no text, and values that JSON
    /// does not have.
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
        if model.owner.is_none() {
            let name = &model.name;
            return Err(DatabaseError::failed(format!("{name} is shared: its rows are nobody's")));
        }
        let (skipped_rows, skipped) = self.unsound(model, None).await?;
        let names = self.owners_of(model).await?;
        let mut imported = Imported {
            owners_in_all: names.len() as u64,
            skipped_rows,
            skipped,
            ..Imported::default()
        };
        let mobync = Mobync::new(self.clone());
        for name in names {
            if let Ok(owner) = self.owner_of_rows(model, &name) {
                let before = imported.clone();
                let mut tell = |so_far: &Reconciled| progress(before.with(&model.name, so_far));
                let brought = mobync.bring_in(&owner, &model.name, &mut tell).await;
                imported = before.with(&model.name, &brought.map_err(reason)?);
            }
            imported.owners += 1;
            progress(imported.clone());
        }
        Ok(imported)
    }

    /// Rows of the model that the database itself can say of that no diff can bring them: how many, and
    /// the first few. Those of the owner, or of all with those whose owner is no name.
    pub(super) async fn unsound(
        &self,
        model: &Model,
        of: Option<&Owner>,
    ) -> Result<(u64, Vec<SkippedRow>), DatabaseError> {
        let (mut count, mut skipped) = (0, Vec::new());
        let Some(owner) = &model.owner else { return Ok((0, skipped)) };
        let (owned, args) = match of {
            Some(name) if model.check_owner(name).is_err() => return Ok((0, skipped)),
            Some(name) => (model.owned(), vec![Arg::Text(name.as_str())]),
            None => (format!("{} IS NOT NULL AND ", owner.exact()), Vec::new()),
        };
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
            let rows = format!("FROM {} AS t WHERE {owned}({condition})", model.table);
            let sql = format!("SELECT CAST(count(*) AS TEXT) {rows}");
            let rows_in_all = self.count(model, &sql, &args).await?;
            if rows_in_all == 0 {
                continue;
            }
            count += rows_in_all;
            let (owner, id) = (D::shown(owner), D::shown(&model.id));
            let sql = format!("SELECT {owner} || '{BETWEEN}' || {id} {rows} LIMIT {SHOWN}");
            let shown = self.ask(model, &sql, &args).await?;
            let shown = shown.iter().filter_map(|row| row.split_once(BETWEEN));
            skipped.extend(shown.map(|(owner, id)| SkippedRow::new(owner, id, reason)));
        }
        if of.is_none() {
            for name in self.owners_of(model).await? {
                let Err(reason) = self.owner_of_rows(model, &name) else { continue };
                let sql = format!(
                    "SELECT CAST(count(*) AS TEXT) FROM {} AS t WHERE {}1 = 1",
                    model.table,
                    model.owned()
                );
                count += self.count(model, &sql, &[Arg::Text(&name)]).await?;
                skipped.push(SkippedRow::new(name, "", reason));
            }
        }
        skipped.truncate(SHOWN);
        Ok((count, skipped))
    }

    /// All who have rows or a log, in the order of their names.
    pub(super) async fn all_owners(&self) -> Result<BTreeSet<Owner>, DatabaseError> {
        let mut owners = BTreeSet::new();
        for model in self.schema.models.values().chain([&self.schema.log]) {
            let names = self.owners_of(model).await?;
            owners.extend(names.iter().filter_map(|name| self.owner_of_rows(model, name).ok()));
        }
        Ok(owners)
    }

    async fn owners_of(&self, model: &Model) -> Result<Vec<String>, DatabaseError> {
        let Some(owner) = &model.owner else { return Ok(Vec::new()) };
        let (owner, is_name) = (owner.exact(), D::is_name(owner));
        let sql = format!(
            "SELECT DISTINCT CAST({owner} AS TEXT) FROM {} AS t WHERE {owner} IS NOT NULL AND {is_name}",
            model.table
        );
        self.ask(model, &sql, &[]).await
    }

    /// # Errors
    /// Why nothing of that owner can be in the log.
    fn owner_of_rows(&self, model: &Model, name: &str) -> Result<Owner, String> {
        let owner = Owner::new(name).map_err(|error| error.to_string())?;
        let fits = self.schema.log.check_owner(&owner).and_then(|()| model.check_owner(&owner));
        fits.map_err(|_| "the log has no room for the owner".to_owned())?;
        Ok(owner)
    }

    async fn count(
        &self,
        model: &Model,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<u64, DatabaseError> {
        let texts = self.ask(model, sql, args).await?;
        Ok(texts.first().and_then(|text| text.parse().ok()).unwrap_or_default())
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
    /// The same with what was brought in of one more owner so far.
    fn with(&self, model: &str, so_far: &Reconciled) -> Self {
        let mut imported = self.clone();
        if let Some(of_model) = so_far.models.get(model) {
            imported.rows += of_model.creates;
            imported.known_rows += of_model.rows.saturating_sub(of_model.creates);
            imported.changed_rows += of_model.updates;
            imported.lost_rows += of_model.deletes;
        }
        imported.skipped_rows += so_far.skipped_rows;
        let room = SHOWN.saturating_sub(imported.skipped.len());
        imported.skipped.extend(so_far.skipped.iter().take(room).cloned());
        imported
    }
}

/// Why the database did not do it.
fn reason(error: Error) -> DatabaseError {
    match error {
        Error::Busy { source, .. } => DatabaseError::Busy(source),
        Error::Internal(source) => DatabaseError::Failed(source),
        other => DatabaseError::failed(other),
    }
}
