//! One unit of work on a database that speaks SQL.

use std::{collections::HashSet, sync::Arc};

use super::{
    Arg, Dialect, MarkRow, Writer,
    batch::{self, Batch, batches},
    filter::Conditions,
    known::Known,
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
    reconcile::same,
    record::Record,
    schema::OlderNames,
    unit::{Mark, Rejection, Rewrite, SetOff, UnitOfWork, Will, WindowQuery},
};

// The futures of statements are boxed. Otherwise applications that nest them would get types too deep
// for the compiler.

/// One unit of work of an [`SqlDatabase`](super::SqlDatabase): a transaction, or reads outside of one.
#[derive(Debug)]
pub struct SqlUnit<D: Dialect> {
    pub(super) dialect: D,
    pub(super) schema: Arc<Schema>,
    pub(super) session: Session<D>,
    /// Each write is tried by itself, to find out which ones the database rejects.
    isolates: bool,
    /// Constraints of the commit are checked as well.
    at_once: Option<D::AtOnce>,
    /// The models whose tables are known to be unchanged since the start.
    pub(super) readable: HashSet<String>,
    /// The objects that others must not have marked when the log is written.
    named: Vec<(String, String)>,
}

impl<D: Dialect> SqlUnit<D> {
    pub(super) fn new(known: Known<D>, session: Session<D>) -> Self {
        let Known { dialect, schema } = known;
        let readable = HashSet::new();
        Self {
            dialect,
            schema,
            session,
            isolates: false,
            at_once: None,
            readable,
            named: Vec::new(),
        }
    }

    /// Executes a whole batch.
    ///
    /// # Errors
    /// A rejection. The transaction is unusable then, because not all databases undo a failed statement.
    async fn run(&mut self, owner: &Owner, batch: &Batch<'_, '_>) -> Result<(), DatabaseError> {
        let Some(sql) = batch.statement::<D>() else { return Ok(()) };
        let failed = |error| D::explain(batch.model, error);
        let args = batch.args::<D>(owner);
        let connection = self.session.writing()?;
        let done = D::execute(connection, &sql, &args).await.map_err(failed)?;
        if usize::try_from(done).is_ok_and(|done| done == batch.len()) {
            return Ok(());
        }
        // Deleting a row that does not exist succeeds.
        if batch.operation() == Operation::Delete {
            let sql = batch.existing::<D>(2);
            if D::texts(connection, &sql, &args).await.map_err(failed)?.is_empty() {
                return Ok(());
            }
        }
        Err(DatabaseError::left_out(&batch.model.name))
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

        let read = self.select(Some(owner), &sql, &args, may_fail).await;
        let texts = match read.map_err(|error| D::explain(model, error)) {
            // A value that is invalid for the column's type is the value of no record.
            Err(DatabaseError::InvalidValue { .. }) => Vec::new(),
            texts => texts?,
        };
        texts.iter().map(|text| record(text)).collect()
    }

    async fn commit(self) -> Result<(), DatabaseError> {
        match self.session {
            Session::Writing(writer) => Box::pin(writer.commit(&self.schema.log)).await,
            Session::Joined(joined) => {
                joined.give_back();
                Ok(())
            }
            Session::Reading(_) => Ok(()),
        }
    }

    fn check_schema(&self, model: &str, fields: &[&str]) -> Result<(), DatabaseError> {
        self.schema.model(model)?.check_fields(fields)
    }

    fn survives_rejection(&self) -> bool {
        // A rejection without a statement leaves the transaction usable, and so does the rejection of a
        // write that is tried by itself.
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
        if matches!(self.session, Session::Joined(_)) {
            return self.write_one_by_one(owner, writes).await;
        }
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
            self.readable.insert(batch.model.name.clone());
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
        let query = WindowQuery::since("", i64::MAX);
        let schema = Arc::clone(&self.schema);
        Ok(self.look(&schema, owner, query).await?.clock)
    }

    async fn window(
        &mut self,
        owner: &Owner,
        query: WindowQuery<'_>,
    ) -> Result<Window, DatabaseError> {
        let schema = Arc::clone(&self.schema);
        schema.check_log(query.log)?;
        self.look(&schema, owner, query).await
    }

    async fn snapshot(
        &mut self,
        owner: &Owner,
        _: &str,
        empty: Snapshot,
    ) -> Result<Snapshot, DatabaseError> {
        let schema = Arc::clone(&self.schema);
        let folded = Box::pin(self.session.fold_log(&schema.log, owner, &empty)).await;
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
        let named = std::mem::take(&mut self.named);
        let (sql, args) = self.dialect.append(log, owner, &entries, &named);
        // No diff causes this error, whatever it is.
        let failed = |error| match D::explain(log, error) {
            rejection if rejection.is_rejection() => DatabaseError::failed(rejection),
            error => error,
        };
        let connection = self.session.writing()?;
        let appended = Box::pin(D::execute(connection, &sql, &args)).await.map_err(failed)?;
        if appended > 0 || named.is_empty() || entries.is_empty() {
            return Ok(());
        }
        let set_off = Box::pin(self.dialect.set_off(connection, &schema, owner, &[])).await;
        let (own, _) = set_off.map_err(failed)?;
        if !own.is_empty() {
            self.dialect.look_behind();
        }
        Err(DatabaseError::conflict("rows that the request is about were changed meanwhile"))
    }

    fn captures(&self) -> bool {
        self.schema.captured().next().is_some()
    }

    async fn is_marked(&mut self, owner: &Owner) -> Result<bool, DatabaseError> {
        self.has_marks(owner).await
    }

    async fn take_marks(&mut self, owner: &Owner, most: usize) -> Result<Vec<Mark>, DatabaseError> {
        let (connection, log) = self.marking()?;
        let taken = Box::pin(D::take_marks(connection, log, owner, most)).await;
        taken.map(to_marks).map_err(|error| D::explain(log, error))
    }

    async fn put_back(&mut self, owner: &Owner, marks: &[Mark]) -> Result<(), DatabaseError> {
        let (connection, log) = self.marking()?;
        let put_back = Box::pin(D::put_back(connection, log, owner, marks)).await;
        put_back.map_err(|error| D::explain(log, error))
    }

    async fn lock_rows(
        &mut self,
        owner: &Owner,
        objects: &[(&str, &str)],
    ) -> Result<(), DatabaseError> {
        self.lock(owner, objects).await
    }

    async fn set_off(
        &mut self,
        owner: &Owner,
        named: &[(&str, &str)],
    ) -> Result<SetOff, DatabaseError> {
        // A transaction of the application has marks of its own, and cannot be restarted.
        let is_joined = matches!(self.session, Session::Joined(_));
        if !is_joined && !self.dialect.sets_off() {
            self.named = named.iter().map(|(model, id)| ((*model).into(), (*id).into())).collect();
            return Ok(SetOff::default());
        }
        let (connection, schema) = (self.session.writing()?, &self.schema);
        let set_off = Box::pin(self.dialect.set_off(connection, schema, owner, named)).await;
        let (marks, met) = set_off.map_err(|error| D::explain(&schema.log, error))?;
        Ok(SetOff { marks: to_marks(marks), met })
    }

    async fn rows(
        &mut self,
        owner: &Owner,
        model: &str,
        ids: &[&str],
    ) -> Result<Vec<String>, DatabaseError> {
        self.read_rows(owner, model, ids).await
    }

    async fn rows_behind(
        &mut self,
        owner: &Owner,
        model: &str,
        last: Option<&str>,
        many: usize,
    ) -> Result<Vec<String>, DatabaseError> {
        self.read_rows_behind(owner, model, last, many).await
    }

    async fn entries_of(
        &mut self,
        owner: &Owner,
        _: &str,
        objects: &[(&str, &str)],
    ) -> Result<Vec<Diff>, DatabaseError> {
        self.entries_of_objects(owner, objects).await
    }

    async fn own_entries(&mut self, owner: &Owner, _: &str) -> Result<Vec<Diff>, DatabaseError> {
        self.read_own_entries(owner).await
    }

    async fn entries_before(
        &mut self,
        owner: &Owner,
        _: &str,
        end: i64,
        most: usize,
    ) -> Result<Vec<Diff>, DatabaseError> {
        self.read_entries_before(owner, end, most).await
    }

    async fn rewrite(
        &mut self,
        owner: &Owner,
        _: &str,
        rewrite: &Rewrite,
    ) -> Result<(), DatabaseError> {
        self.rewrite_log(owner, rewrite).await
    }

    async fn handled(&mut self, owner: &Owner, _: &str) -> Result<Option<i64>, DatabaseError> {
        self.read_handled(owner).await
    }

    async fn as_columns(
        &mut self,
        model: &str,
        records: Vec<String>,
    ) -> Result<Vec<String>, DatabaseError> {
        self.spell(model, records).await
    }

    fn will(&self, model: &str) -> Will {
        self.schema.models.get(model).map_or(Will::None, Model::will)
    }

    fn keeps(&self, write: &Write<'_>) -> bool {
        self.schema.models.get(write.model()).is_none_or(|model| model.keeps(write))
    }

    fn same(&self, model: &str, field: &str, written: &str, held: &str) -> bool {
        let column = self.schema.models.get(model).and_then(|model| model.column(field));
        same(written, held) || column.is_some_and(|column| column.is_one(written, held))
    }

    fn defaults(&self, model: &str) -> Vec<(&str, &str)> {
        self.schema.models.get(model).map(Model::defaults).unwrap_or_default()
    }

    fn default_of(&self, model: &str, field: &str) -> Option<&str> {
        self.schema.models.get(model)?.default_of(field)
    }

    fn rank(&self, model: &str) -> usize {
        self.schema.models.get(model).map_or(0, |model| model.rank)
    }

    fn parents(&self, model: &str) -> Vec<&str> {
        let parents = self.schema.models.get(model).map(|model| &model.parents);
        parents.into_iter().flatten().map(|column| &**column).collect()
    }

    fn models(&self) -> Vec<String> {
        self.schema.models.keys().cloned().collect()
    }

    fn older_names(&self) -> Option<&OlderNames> {
        self.schema.older.as_ref()
    }

    fn permits(&self, model: &str, operation: Operation, fields: &[&str]) -> Result<(), String> {
        match self.schema.models.get(model) {
            Some(model) if operation != Operation::Delete => model.permits(fields),
            _ => Ok(()),
        }
    }
}

impl<D: Dialect> SqlUnit<D> {
    /// Executes the writes so that the first rejected one is found immediately: the transaction belongs
    /// to the application, and cannot be restarted.
    async fn write_one_by_one(
        &mut self,
        owner: &Owner,
        writes: &[Write<'_>],
    ) -> Result<Vec<Rejection>, DatabaseError> {
        let schema = Arc::clone(&self.schema);
        for (place, write) in writes.iter().enumerate() {
            let model = schema.model(write.model())?;
            model.check_owner(owner)?;
            let mut done = batch::check(model, write);
            for batch in batches(&schema, &[write])? {
                if done.is_ok() {
                    done = Box::pin(self.run(owner, &batch)).await;
                }
            }
            match done {
                Ok(()) => {}
                Err(error) if error.is_rejection() => return Ok(vec![Rejection { place, error }]),
                Err(error) => return Err(error),
            }
        }
        Ok(Vec::new())
    }

    /// The transaction's connection, and the log that the marks belong to.
    fn marking(
        &mut self,
    ) -> Result<(&mut <D::Db as sqlx::Database>::Connection, &Model), DatabaseError> {
        Ok((self.session.writing()?, &self.schema.log))
    }

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

fn to_marks(rows: Vec<MarkRow>) -> Vec<Mark> {
    rows.into_iter().map(|(model, id, at)| Mark::new(model, id, Some(at))).collect()
}
