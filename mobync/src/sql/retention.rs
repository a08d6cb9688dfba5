//! What a compaction asks of the log.

use std::sync::Arc;

use super::{
    Arg, Column, Dialect, LogRow, SqlUnit,
    cursors::{cursors_of, entry},
    schema::Model,
};
use crate::{DatabaseError, Diff, Owner, follow::followers_of, merge::push_string, unit::Rewrite};

/// The columns of an entry besides owner and id.
const COLUMNS: [&str; 5] = ["logical_clock", "utc_timestamp", "type", "model", "json_data"];

impl<D: Dialect> SqlUnit<D> {
    pub(super) async fn read_own_entries(
        &mut self,
        owner: &Owner,
    ) -> Result<Vec<Diff>, DatabaseError> {
        let log = &Arc::clone(&self.schema).log;
        let sql = format!("{} {}", select(log), own::<D>(log));
        let rows = self.select_entries(log, &sql, &[Arg::Text(owner.as_str())]).await?;
        rows.into_iter().map(|row| entry(owner, row)).collect()
    }

    pub(super) async fn read_entries_before(
        &mut self,
        owner: &Owner,
        end: i64,
        most: usize,
    ) -> Result<Vec<Diff>, DatabaseError> {
        let log = &Arc::clone(&self.schema).log;
        let sql =
            format!("{} t.logical_clock < $2 ORDER BY t.logical_clock DESC LIMIT $3", select(log));
        let mut limit = most.max(1);
        loop {
            let rows = i64::try_from(limit).unwrap_or(i64::MAX);
            let args = [Arg::Text(owner.as_str()), Arg::Integer(end), Arg::Integer(rows)];
            let mut rows = self.select_entries(log, &sql, &args).await?;
            if rows.len() == limit {
                // The first tick may be cut.
                let first = rows.last().map(|row| row.2);
                rows.retain(|row| Some(row.2) != first);
            }
            if !rows.is_empty() || limit == usize::MAX {
                return rows.into_iter().map(|row| entry(owner, row)).collect();
            }
            limit = limit.saturating_mul(4);
        }
    }

    pub(super) async fn rewrite_log(
        &mut self,
        owner: &Owner,
        Rewrite { removed, changed, added }: &Rewrite,
    ) -> Result<(), DatabaseError> {
        let log = &Arc::clone(&self.schema).log;
        if !removed.is_empty() {
            let ids = removed.iter().map(|id| &**id).collect();
            self.change_log(owner, log, &D::delete(log), Arg::Texts(ids)).await?;
        }
        if !changed.is_empty() {
            let columns = columns(log, &["json_data"])?;
            let rows = changed.iter().map(|(id, json_data)| (&**id, vec![text(json_data)]));
            self.write_log(owner, log, &D::update(log, &columns), &columns, rows).await?;
        }
        if !added.is_empty() {
            let columns = columns(log, &COLUMNS)?;
            let rows = added.iter().map(|entry| {
                let integers = [entry.logical_clock, entry.utc_timestamp].map(|it| it.to_string());
                let texts = [entry.operation.as_str(), &entry.model, &entry.json_data].map(text);
                (&*entry.id, integers.into_iter().chain(texts).collect())
            });
            self.write_log(owner, log, &D::insert(log, &columns), &columns, rows).await?;
        }
        Ok(())
    }

    pub(super) async fn read_handled(
        &mut self,
        owner: &Owner,
    ) -> Result<Option<i64>, DatabaseError> {
        let log = &Arc::clone(&self.schema).log;
        // The first follower makes the table. A statement that fails would be an error in the server's log.
        let exists = D::exists(&followers_of(&log.name));
        let sql = format!("SELECT CAST(1 AS TEXT) WHERE {exists}");
        let failed = |error| D::explain(log, error);
        if self.select(None, &sql, &[], false).await.map_err(failed)?.is_empty() {
            return Ok(None);
        }
        let cursors = cursors_of(log);
        // The row without an owner says that the follower exists.
        let sql = format!(
            "SELECT CAST(min(coalesce((SELECT c.clock FROM {cursors} AS c WHERE c.name = f.name \
             AND c.owner = $1), 0)) AS TEXT) FROM {cursors} AS f WHERE f.owner = '' \
             HAVING count(*) > 0"
        );
        let args = [Arg::Text(owner.as_str())];
        let texts = self.select(None, &sql, &args, false).await.map_err(failed)?;
        let clock = texts.first().map(|clock| clock.parse()).transpose();
        clock.map_err(DatabaseError::failed)
    }

    async fn select_entries(
        &mut self,
        log: &Model,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<Vec<LogRow>, DatabaseError> {
        let rows = Box::pin(self.session.log_rows(sql, args)).await;
        rows.map_err(|error| D::explain(log, error))
    }

    /// Writes rows of values, each as text, in the order of the columns.
    async fn write_log<'r>(
        &mut self,
        owner: &Owner,
        log: &Model,
        sql: &str,
        columns: &[&Column],
        rows: impl Iterator<Item = (&'r str, Vec<String>)>,
    ) -> Result<(), DatabaseError> {
        let rows: Vec<_> = rows.collect();
        let rows = rows.iter().map(|(id, values)| (*id, values.iter().map(|it| &**it).collect()));
        let rows = D::payload(log, columns, rows);
        self.change_log(owner, log, sql, Arg::Owned(rows)).await
    }

    async fn change_log(
        &mut self,
        owner: &Owner,
        log: &Model,
        sql: &str,
        rows: Arg<'_>,
    ) -> Result<(), DatabaseError> {
        let args = [Arg::Text(owner.as_str()), rows];
        let done = Box::pin(D::execute(self.session.writing()?, sql, &args)).await;
        match done.map_err(|error| D::explain(log, error)) {
            Ok(_) => Ok(()),
            // No diff is to blame for it.
            Err(error) if error.is_rejection() => Err(DatabaseError::failed(error)),
            Err(error) => Err(error),
        }
    }
}

/// The condition that an entry is one of the log's own, as the index of these has it.
pub(crate) fn own<D: Dialect>(log: &Model) -> String {
    format!("model = {}", D::literal(&log.name))
}

/// A select of entries, up to a condition.
fn select(log: &Model) -> String {
    format!(
        "SELECT CAST(0 AS BIGINT), t.id, t.logical_clock, t.utc_timestamp, t.type, t.model, \
         t.json_data FROM {} AS t WHERE {}",
        log.table,
        log.owned()
    )
}

fn columns<'m>(log: &'m Model, names: &[&str]) -> Result<Vec<&'m Column>, DatabaseError> {
    names.iter().map(|name| log.field(name)).collect()
}

/// A text as JSON.
fn text(text: &str) -> String {
    let mut json = String::new();
    push_string(&mut json, text);
    json
}
