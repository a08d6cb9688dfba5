//! One unit of work on a database that speaks SQL.

use std::sync::Arc;

use super::{
    Arg, Dialect, Writer,
    batch::{self, Batch, batches},
    filter::Conditions,
    schema::{Model, Schema},
    session::Session,
    window::Statement,
};
use crate::{
    DatabaseError, Diff, Operation, Owner, ReadFilter, Record, Rejection, Snapshot, Synchronizer,
    Window, WindowQuery, Write,
};

// The futures of statements are boxed: else those of an application that nests them in others would
// be too deep for the compiler.

/// One unit of work of an [`SqlDatabase`](super::SqlDatabase): a transaction, or reads outside of one.
#[derive(Debug)]
pub struct SqlUnit<D: Dialect> {
    dialect: D,
    schema: Arc<Schema>,
    session: Session<D>,
    /// How many violations there were before, if each write is to be checked.
    check_each: Option<i64>,
}

impl<D: Dialect> SqlUnit<D> {
    pub(super) fn log_name(&self) -> String {
        self.schema.log.name.clone()
    }

    pub(super) fn new(dialect: D, schema: Arc<Schema>, session: Session<D>) -> Self {
        Self { dialect, schema, session, check_each: None }
    }

    /// Runs one batch; if it is rejected, whether the unit can go on is for
    /// [`survives_rejection`](Synchronizer::survives_rejection) to say.
    async fn run(&mut self, owner: &Owner, batch: Batch<'_, '_>) -> Result<(), DatabaseError> {
        let (session, check_each) = (&mut self.session, self.check_each);
        batch
            .run::<D>(owner, async |sql, args| {
                if let Some(violations) = check_each {
                    return session.attempt(batch.model, violations, sql, args).await;
                }
                let done = D::execute(session.writing()?, sql, args).await;
                done.map_err(|error| D::explain(batch.model, error))
            })
            .await
    }

    /// Runs a batch, in ever smaller parts where it is rejected, and tells what of it is.
    async fn take_apart(
        &mut self,
        owner: &Owner,
        batch: Batch<'_, '_>,
        rejections: &mut Vec<Rejection>,
    ) -> Result<(), DatabaseError> {
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            match self.run(owner, part).await {
                Ok(()) => {}
                Err(error) if !error.is_rejection() => return Err(error),
                Err(error) => match part.halves() {
                    Some([left, right]) => parts.extend([right, left]),
                    None => {
                        let error = self.name_field(part, error).await?;
                        rejections.push(Rejection { place: part.first, error });
                    }
                },
            }
        }
        Ok(())
    }

    /// Finds out which field of a single write has the value that no column can hold.
    async fn name_field(
        &mut self,
        batch: Batch<'_, '_>,
        error: DatabaseError,
    ) -> Result<DatabaseError, DatabaseError> {
        let DatabaseError::InvalidValue { .. } = &error else { return Ok(error) };
        let Some(write) = batch.writes.first() else { return Ok(error) };
        for (field, value) in write.fields() {
            let Some(column) = batch.model.column(field) else { continue };
            let holds = D::holds(self.session.writing()?, batch.model, column, value).await;
            if !holds.map_err(|error| D::explain(batch.model, error))? {
                return Ok(column.invalid_value());
            }
        }
        Ok(error)
    }

    pub(super) async fn read_texts(
        &mut self,
        model: &Model,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<Vec<String>, DatabaseError> {
        let texts = Box::pin(self.session.texts(sql, args)).await;
        texts.map_err(|error| D::explain(model, error))
    }
}

impl<D: Dialect> Synchronizer for SqlUnit<D> {
    type Error = DatabaseError;

    async fn read(
        &mut self,
        owner: &Owner,
        model: &str,
        filters: &[ReadFilter],
    ) -> Result<Vec<Record>, DatabaseError> {
        let schema = Arc::clone(&self.schema);
        let model = schema.model(model)?;
        model.check_owner(owner)?;
        let Conditions { sql, args: values, never, may_fail } =
            Conditions::new::<D>(model, filters)?;
        if never {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT {} FROM {} AS t WHERE {}1 = 1{sql}",
            D::record(model),
            model.table,
            model.owned()
        );
        let mut args = vec![Arg::Text(owner.as_str())];
        args.extend(values);

        let read = if may_fail {
            Box::pin(self.session.attempt_texts(model, &sql, &args)).await
        } else {
            self.read_texts(model, &sql, &args).await
        };
        let texts = match read {
            // What is no value of the column's type is the value of no record.
            Err(DatabaseError::InvalidValue { .. }) => Vec::new(),
            texts => texts?,
        };
        texts.iter().map(|text| serde_json::from_str(text).map_err(DatabaseError::failed)).collect()
    }

    async fn create(
        &mut self,
        owner: &Owner,
        model: &str,
        record: Record,
    ) -> Result<(), DatabaseError> {
        self.write_one(owner, Operation::Create, model, record).await
    }

    async fn update(
        &mut self,
        owner: &Owner,
        model: &str,
        changes: Record,
    ) -> Result<(), DatabaseError> {
        self.write_one(owner, Operation::Update, model, changes).await
    }

    async fn delete(&mut self, owner: &Owner, model: &str, id: &str) -> Result<(), DatabaseError> {
        self.write_one(owner, Operation::Delete, model, Record::new(id)).await
    }

    async fn validate_create(&mut self, _: &Owner, _: &Diff) -> Result<bool, DatabaseError> {
        Ok(true)
    }

    async fn validate_update(&mut self, _: &Owner, _: &Diff) -> Result<bool, DatabaseError> {
        Ok(true)
    }

    async fn validate_delete(&mut self, _: &Owner, _: &Diff) -> Result<bool, DatabaseError> {
        Ok(true)
    }

    async fn commit(self) -> Result<(), DatabaseError> {
        match self.session {
            Session::Writing(writer) => Box::pin(writer.commit(&self.schema.log)).await,
            Session::Reading(_) => Ok(()),
        }
    }

    fn check_schema(&self, model: &str, fields: &[&str]) -> Result<(), DatabaseError> {
        self.schema.model(model)?.check_fields(fields)
    }

    fn validates(&self) -> bool {
        false
    }

    fn survives_rejection(&self) -> bool {
        D::SURVIVES || self.check_each.is_some()
    }

    async fn check_each_change(&mut self) -> Result<(), DatabaseError> {
        let failed = |error| D::explain(&self.schema.log, error);
        let connection = self.session.writing()?;
        D::check_at_once(connection).await.map_err(failed)?;
        self.check_each = Some(D::violations(connection).await.map_err(failed)?);
        Ok(())
    }

    async fn write(
        &mut self,
        owner: &Owner,
        writes: &[Write<'_>],
    ) -> Result<Vec<Rejection>, DatabaseError> {
        let schema = Arc::clone(&self.schema);
        let (mut rejections, mut sound, mut first) = (Vec::new(), Vec::new(), 0);
        for (place, write) in writes.iter().enumerate() {
            match batch::check(schema.model(write.model())?, write) {
                Ok(()) => {}
                Err(error) if error.is_rejection() => {
                    rejections.push(Rejection { place, error });
                    sound.push(first..place);
                    first = place + 1;
                }
                Err(error) => return Err(error),
            }
        }
        sound.push(first..writes.len());
        if !rejections.is_empty() && !self.survives_rejection() {
            return Ok(rejections);
        }

        for batch in batches(&schema, writes, sound)? {
            batch.model.check_owner(owner)?;
            if self.survives_rejection() {
                Box::pin(self.take_apart(owner, batch, &mut rejections)).await?;
            } else {
                Box::pin(self.run(owner, batch)).await?;
            }
        }
        Ok(rejections)
    }

    async fn clock(&mut self, owner: &Owner, _: &str) -> Result<i64, DatabaseError> {
        let query = WindowQuery { log: "", since: i64::MAX, ids: &[], objects: &[] };
        let schema = Arc::clone(&self.schema);
        Ok(self.look(&schema, owner, query).await?.clock)
    }

    async fn window(
        &mut self,
        owner: &Owner,
        query: WindowQuery<'_>,
    ) -> Result<Window, DatabaseError> {
        let schema = Arc::clone(&self.schema);
        if query.log != schema.log.name {
            return Err(DatabaseError::failed(format!(
                "the log is in {}, not in {}: tell the database by `diffs_table`",
                schema.log.name, query.log
            )));
        }
        self.look(&schema, owner, query).await
    }

    async fn snapshot(&mut self, owner: &Owner, _: &str) -> Result<Snapshot, DatabaseError> {
        let schema = Arc::clone(&self.schema);
        let folded = Box::pin(self.session.fold_log(&schema.log, owner)).await;
        folded.map_err(|error| D::explain(&schema.log, error))
    }

    async fn append(
        &mut self,
        owner: &Owner,
        _: &str,
        entries: Vec<Diff>,
    ) -> Result<(), DatabaseError> {
        let schema = Arc::clone(&self.schema);
        let log = &schema.log;
        let (sql, args) = self.dialect.append(log, owner, &entries);
        let appended = Box::pin(D::execute(self.session.writing()?, &sql, &args)).await;
        // Whatever is wrong, no diff is to blame for it.
        appended.map_err(|error| match D::explain(log, error) {
            rejection if rejection.is_rejection() => DatabaseError::failed(rejection),
            error => error,
        })
    }
}

impl<D: Dialect> SqlUnit<D> {
    async fn look(
        &mut self,
        schema: &Schema,
        owner: &Owner,
        query: WindowQuery<'_>,
    ) -> Result<Window, DatabaseError> {
        let statement = Statement::new::<D>(schema, owner, query);
        let rows = Box::pin(self.session.log_rows(&statement.sql, &statement.args)).await;
        let rows = rows.map_err(|error| D::explain(&schema.log, error))?;
        statement.read::<D>(owner, rows)
    }

    /// Writes outside of a sync's own batches.
    async fn write_one(
        &mut self,
        owner: &Owner,
        operation: Operation,
        model: &str,
        record: Record,
    ) -> Result<(), DatabaseError> {
        let (id, fields) = record.into_parts();
        let values: Result<Vec<_>, _> = fields
            .iter()
            .map(|(name, value)| Ok((name, serde_json::value::to_raw_value(value)?)))
            .collect();
        let values = values.map_err(|error: serde_json::Error| DatabaseError::failed(error))?;
        let fields = values.iter().map(|(name, value)| (name.as_str().into(), &**value)).collect();
        let write = Write { operation, model, id: id.into(), fields, whole: None };
        match self.write(owner, std::slice::from_ref(&write)).await?.pop() {
            Some(rejection) => Err(rejection.error),
            None => Ok(()),
        }
    }
}
