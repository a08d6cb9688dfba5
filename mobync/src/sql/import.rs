//! Adds rows that are older than the log to it.

use super::{Dialect, SkippedRow, SqlDatabase};
use crate::{
    engine::Mobync,
    error::{DatabaseError, Error},
    reconcile::Reconciled,
};

/// How many of the skipped rows are returned.
const SHOWN: usize = 10;

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
    /// How many of these had other values, which were added to the log.
    pub changed_rows: u64,
    /// How many objects of the log no longer had a row. Their deletion was added to the log.
    pub lost_rows: u64,
    /// How many rows were skipped, because no diff can represent them.
    pub skipped_rows: u64,
    /// The first few of these.
    pub skipped: Vec<SkippedRow>,
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
        let known = self.fresh().await?;
        let model = known.schema.model(model)?;
        if model.owner.is_none() {
            let name = &model.name;
            return Err(DatabaseError::failed(format!("{name} is shared: its rows are nobody's")));
        }
        let (skipped_rows, skipped) = self.unsound(None, model, SHOWN).await.map_err(again)?;
        let names = self.owners_of(model).await.map_err(again)?;
        let mut imported = Imported {
            owners_in_all: names.len() as u64,
            skipped_rows,
            skipped,
            ..Imported::default()
        };
        let mobync = Mobync::new(self.clone());
        for name in names {
            let brought = match self.owner_of_rows(model, &name) {
                Ok(owner) => {
                    let mut tell = |so_far: &Reconciled| {
                        progress(imported.with(&model.name, so_far));
                    };
                    let brought = mobync.bring_in(&owner, &model.name, &mut tell).await;
                    brought.map_err(reason)?
                }
                Err(reason) => {
                    let mut reconciled = Reconciled::default();
                    let rows = self.rows_of(model, &name).await.map_err(again)?;
                    reconciled.skip(rows, [SkippedRow::new(name, "", reason)]);
                    reconciled
                }
            };
            imported = imported.with(&model.name, &brought);
            imported.owners += 1;
            progress(imported.clone());
        }
        Ok(imported)
    }
}

impl Imported {
    /// The same, with the progress in one more owner.
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

/// A table that is renamed meanwhile is found at the next start of the import.
fn again(error: DatabaseError) -> DatabaseError {
    match error {
        DatabaseError::Conflict(cause) => DatabaseError::Busy(cause),
        error => error,
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
