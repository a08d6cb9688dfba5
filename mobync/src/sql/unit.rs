//! One unit of work on a database that speaks SQL.

use std::sync::Arc;

use super::{
    Arg, Dialect, Writer,
    batch::{self, Batch, batches},
    filter::Conditions,
    schema::{Model, Schema},
    session::Session,
    value::record,
    window::Statement,
};
use crate::{
    diff::{Diff, Operation},
    error::DatabaseError,
    filter::ReadFilter,
    merge::{Snapshot, Window, Write},
    owner::Owner,
    record::Record,
    unit::{Rejection, UnitOfWork, WindowQuery},
};

// The futures of statements are boxed. Otherwise applications that nest them would get types too deep
// for the compiler.

/// One unit of work of an [`SqlDatabase`](super::SqlDatabase): a transaction, or reads outside of one.
#[derive(Debug)]
pub struct SqlUnit<D: Dialect> {
    dialect: D,
    schema: Arc<Schema>,
    session: Session<D>,
    /// Each write is tried by itself, to find those that the database rejects.
    isolates: bool,
    /// Constraints of the commit are checked then, too.
    at_once: Option<D::AtOnce>,
}

impl<D: Dialect> SqlUnit<D> {
    pub(super) fn log_name(&self) -> String {
        self.schema.log.name.clone()
    }

    pub(super) fn new(dialect: D, schema: Arc<Schema>, session: Session<D>) -> Self {
        Self { dialect, schema, session, isolates: false, at_once: None }
    }

    /// Executes a whole batch.
    ///
    /// # Errors
    /// A rejection, after which the transaction must be given up: not all databases undo a failed
    /// statement.
    async fn run(&mut self, owner: &Owner, batch: &Batch<'_, '_>) -> Result<(), DatabaseError> {
        let Some(sql) = batch.statement::<D>() else { return Ok(()) };
        let failed = |error| D::explain(batch.model, error);
        let args = batch.args::<D>(owner);
        let connection = self.session.writing()?;
        let done = D::execute(connection, &sql, &args).await.map_err(failed)?;
        if usize::try_from(done).is_ok_and(|done| done == batch.len()) {
            return Ok(());
        }
        // A row that does not exist does not have to be deleted.
        if batch.operation() == Operation::Delete {
            let sql = batch.existing::<D>(2);
            if D::texts(connection, &sql, &args).await.map_err(failed)?.is_empty() {
                return Ok(());
            }
        }
        Err(DatabaseError::left_out(&batch.model.name))
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

impl<D: Dialect> UnitOfWork for SqlUnit<D> {
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
            // A value that does not have the column's type is in no record.
            Err(DatabaseError::InvalidValue { .. }) => Vec::new(),
            texts => texts?,
        };
        texts.iter().map(|text| record(text)).collect()
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

    fn survives_rejection(&self) -> bool {
        // A rejection without a statement does not harm the transaction, nor does one of a write that
        // is tried by itself.
        self.session.is_alive()
    }

    async fn check_each_change(&mut self) -> Result<(), DatabaseError> {
        self.isolates = true;
        self.session.alone().await
    }

    async fn check_at_once(&mut self) -> Result<(), DatabaseError> {
        let again = self.at_once.is_some();
        let at_once = D::check_at_once(self.session.writing()?, again).await;
        self.at_once = Some(at_once.map_err(|error| D::explain(&self.schema.log, error))?);
        Ok(())
    }

    fn takes(&self, model: &str, field: &str, value: &str) -> bool {
        let column = self.schema.models.get(model).and_then(|model| model.column(field));
        column.is_some_and(|column| column.surely_takes(value))
    }

    async fn write(
        &mut self,
        owner: &Owner,
        writes: &[Write<'_>],
    ) -> Result<Vec<Rejection>, DatabaseError> {
        let schema = Arc::clone(&self.schema);
        let (mut rejections, mut sound, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (place, write) in writes.iter().enumerate() {
            match batch::check(schema.model(write.model())?, write) {
                Ok(()) => {
                    sound.push(write);
                    places.push(place);
                }
                Err(error) if error.is_rejection() => rejections.push(Rejection { place, error }),
                Err(error) => return Err(error),
            }
        }
        for batch in batches(&schema, &sound)? {
            batch.model.check_owner(owner)?;
            if !self.isolates {
                Box::pin(self.run(owner, &batch)).await?;
                continue;
            }
            let Session::Writing(writer) = &mut self.session else { break };
            let rejected = D::isolate(writer, owner, &batch, self.at_once.as_ref());
            rejections.extend(Box::pin(rejected).await?.into_iter().filter_map(|rejection| {
                Some(Rejection { place: *places.get(rejection.place)?, ..rejection })
            }));
            if !self.session.is_alive() {
                break;
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
        // No diff is the cause of such an error.
        appended.map(drop).map_err(|error| match D::explain(log, error) {
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
        let statement = Statement::new::<D>(schema, owner, query)?;
        let rows = Box::pin(self.session.log_rows(&statement.sql, &statement.args)).await;
        let rows = rows.map_err(|error| D::explain(&schema.log, error))?;
        statement.read::<D>(owner, rows)
    }
}
