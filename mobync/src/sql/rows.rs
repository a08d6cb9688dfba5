//! Rows and entries of the log, as reconciling reads them.

use std::{collections::BTreeMap, sync::Arc};

use super::{Arg, Dialect, Model, SqlUnit, Writer, session::Session, window::marked};
use crate::{DatabaseError, Diff, Owner};

impl<D: Dialect> SqlUnit<D> {
    /// Reads rows of a table; behind a savepoint, if the statement may fail and the unit is to go on.
    pub(super) async fn read_rows(
        &mut self,
        owner: &Owner,
        sql: &str,
        args: &[Arg<'_>],
        may_fail: bool,
    ) -> Result<Vec<String>, sqlx::Error> {
        if let Session::Reading(pool) = &self.session
            && let Some(mut reader) = Box::pin(self.dialect.begin_reading(pool, owner)).await?
        {
            let connection = reader.connection().ok_or(sqlx::Error::WorkerCrashed)?;
            return Box::pin(D::texts(connection, sql, args)).await;
        }
        if may_fail {
            Box::pin(self.session.attempt_texts(sql, args)).await
        } else {
            Box::pin(self.session.texts(sql, args)).await
        }
    }

    pub(super) async fn has_marks(&mut self, owner: &Owner) -> Result<bool, DatabaseError> {
        let log = &self.schema.log;
        let (sql, args) = (marked::<D>(log), [Arg::Text(owner.as_str())]);
        let rows = Box::pin(self.session.log_rows(&sql, &args)).await;
        rows.map(|rows| !rows.is_empty()).map_err(|error| D::explain(log, error))
    }

    /// The records of those ids that are there, and that diffs can bring.
    pub(super) async fn rows_of_ids(
        &mut self,
        owner: &Owner,
        model: &str,
        ids: &[&str],
    ) -> Result<Vec<String>, DatabaseError> {
        let schema = Arc::clone(&self.schema);
        let model = schema.model(model)?;
        let ids = ids.iter().copied().filter(|id| model.can_have(id)).collect();
        let sql = format!(
            "SELECT {} FROM {} AND {}",
            D::record(model),
            D::rows_with_ids(model, 2),
            D::is_sound(model)
        );
        let args = [Arg::Text(owner.as_str()), Arg::Texts(ids)];
        self.read_records(owner, model, &sql, &args).await
    }

    /// So many of the records behind that id, in an order of ids of the database's own.
    pub(super) async fn rows_behind_id(
        &mut self,
        owner: &Owner,
        model: &str,
        last: Option<&str>,
        many: usize,
    ) -> Result<Vec<String>, DatabaseError> {
        let schema = Arc::clone(&self.schema);
        let model = schema.model(model)?;
        let id = model.id.exact();
        let many = i64::try_from(many).unwrap_or(i64::MAX);
        let mut args = vec![Arg::Text(owner.as_str()), Arg::Integer(many)];
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
        self.read_records(owner, model, &sql, &args).await
    }

    /// # Errors
    /// [`DatabaseError::UnknownModel`], behind which the unit goes on, if the table was altered.
    async fn read_records(
        &mut self,
        owner: &Owner,
        model: &Model,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<Vec<String>, DatabaseError> {
        if model.check_owner(owner).is_err() {
            return Ok(Vec::new());
        }
        // What this unit has written to is there.
        let may_fail = !self.written.contains(&model.name);
        let read = self.read_rows(owner, sql, args, may_fail).await;
        read.map_err(|error| {
            if D::lacks(&error) {
                return DatabaseError::unknown_model(&model.name);
            }
            D::explain(model, error)
        })
    }

    /// Locks those of the rows that are there.
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
