//! Reads the rows, marks and log entries of single objects.

use std::{collections::BTreeMap, sync::Arc};

use super::{Arg, Dialect, SqlUnit, window::marked};
use crate::{DatabaseError, Diff, Owner};

impl<D: Dialect> SqlUnit<D> {
    pub(super) async fn has_marks(&mut self, owner: &Owner) -> Result<bool, DatabaseError> {
        let log = &self.schema.log;
        let (sql, args) = (marked::<D>(log), [Arg::Text(owner.as_str())]);
        let rows = Box::pin(self.session.log_rows(&sql, &args)).await;
        rows.map(|rows| !rows.is_empty()).map_err(|error| D::explain(log, error))
    }

    /// Locks those of the rows that exist.
    pub(super) async fn lock(
        &mut self,
        owner: &Owner,
        objects: &[(&str, &str)],
    ) -> Result<(), DatabaseError> {
        let schema = Arc::clone(&self.schema);
        let mut ids_of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (model, id) in objects {
            ids_of.entry(model).or_default().push(id);
        }
        for (model, mut ids) in ids_of {
            let Some(model) = schema.models.get(model) else { continue };
            let Some(sql) = D::lock(model) else { continue };
            ids.retain(|id| model.can_have(id));
            let args = [Arg::Text(owner.as_str()), Arg::Texts(ids)];
            let locked = D::execute(self.session.writing()?, &sql, &args).await;
            locked.map_err(|error| D::explain(model, error))?;
        }
        Ok(())
    }

    /// All entries of these objects in the log.
    pub(super) async fn entries_of_objects(
        &mut self,
        owner: &Owner,
        objects: &[(&str, &str)],
    ) -> Result<Vec<Diff>, DatabaseError> {
        let schema = Arc::clone(&self.schema);
        let (models, ids) = objects.iter().copied().unzip();
        let args = [
            Arg::Text(owner.as_str()),
            Arg::Texts(models),
            Arg::Texts(ids),
            Arg::Integer(i64::MAX),
        ];
        let sql = D::entries_of(&schema.log);
        let rows = Box::pin(self.session.log_rows(&sql, &args)).await;
        let mut entries = Vec::new();
        for row in rows.map_err(|error| D::explain(&schema.log, error))? {
            D::read_entries(owner, row, &mut entries)?;
        }
        Ok(entries)
    }
}
