//! The cursors of followers, in a table beside the log.

use std::time::Duration;

use super::{
    Arg, Dialect, LogRow, Model, SqlDatabase, Table, null_in_log, owners::owners_of_log, quote,
    session::Session,
};
use crate::{
    DatabaseError, Diff, Operation, Owner,
    follow::{Cursors, News, Page, Place, Start, followers_of},
};

/// Prefixes of the owners of a page: with unhandled entries, and without.
const BEHIND: char = '+';
const UP_TO_DATE: char = '-';

impl<D: Dialect> Cursors for SqlDatabase<D> {
    async fn prepare(&self, _: &str, follower: &str, start: Start) -> Result<(), DatabaseError> {
        self.make_followers().await?;
        let (cursors, owners) = (self.cursors(), owners_of_log(self.log(), "$2", "$3"));
        let log = &self.log().table;
        // The row without an owner says that the follower exists. One statement, so all or nothing.
        let here = match start {
            Start::Beginning => String::new(),
            Start::Now => format!(
                "SELECT CAST($1 AS TEXT), o.owner, (SELECT max(t.logical_clock) + 1 FROM {log} AS t \
                 WHERE t.owner = o.owner), '', 0 FROM o WHERE o.owner IS NOT NULL \
                 AND NOT EXISTS (SELECT 1 FROM {cursors} AS f WHERE f.name = $1) UNION ALL "
            ),
        };
        let sql = format!(
            "WITH RECURSIVE {owners} \
             INSERT INTO {cursors} (name, owner, clock, holder, held_until) \
             {here}SELECT CAST($1 AS TEXT), '', 0, '', 0 WHERE CAST($2 AS TEXT) = '' AND $3 > 0 \
             ON CONFLICT (name, owner) DO NOTHING RETURNING name"
        );
        let args = [Arg::Text(follower), Arg::Text(""), Arg::Integer(i64::MAX)];
        self.change(&sql, &args).await.map(drop)
    }

    async fn take(&self, place: &Place<'_>, hold: Duration) -> Result<Option<i64>, DatabaseError> {
        let sql = format!(
            "INSERT INTO {cursors} AS f (name, owner, clock, holder, held_until) \
             VALUES ($1, $2, 0, $3, {now} + $4) ON CONFLICT (name, owner) DO UPDATE \
             SET holder = excluded.holder, held_until = excluded.held_until \
             WHERE f.held_until <= {now} OR f.holder = excluded.holder \
             RETURNING CAST(clock AS TEXT)",
            cursors = self.cursors(),
            now = D::NOW
        );
        let taken = self.change(&sql, &with_place(place, [millis(hold)])).await?;
        let clock = taken.first().map(|clock| clock.parse());
        clock.transpose().map_err(DatabaseError::failed)
    }

    async fn keep(
        &self,
        place: &Place<'_>,
        clock: i64,
        hold: Duration,
    ) -> Result<bool, DatabaseError> {
        let sql = format!(
            "UPDATE {cursors} SET clock = $5, held_until = {now} + $4 \
             WHERE name = $1 AND owner = $2 AND holder = $3 AND clock <= $5 RETURNING name",
            cursors = self.cursors(),
            now = D::NOW
        );
        let args = with_place(place, [millis(hold), Arg::Integer(clock)]);
        Ok(!self.change(&sql, &args).await?.is_empty())
    }

    async fn forget(&self, _: &str, follower: &str) -> Result<(), DatabaseError> {
        let log = self.log();
        let exists = D::exists(&followers_of(&log.name));
        let sql = format!("SELECT CAST(1 AS TEXT) WHERE {exists}");
        if self.ask(log, &sql, &[]).await?.is_empty() {
            return Ok(());
        }
        let sql = format!("DELETE FROM {} WHERE name = $1 RETURNING name", self.cursors());
        self.change(&sql, &[Arg::Text(follower)]).await.map(drop)
    }

    async fn behind(
        &self,
        _: &str,
        follower: &str,
        after: Option<&Owner>,
        most: usize,
    ) -> Result<Page, DatabaseError> {
        // Scalar subqueries are index probes, even with wrong statistics.
        let sql = format!(
            "WITH RECURSIVE {owners} SELECT CASE WHEN coalesce((SELECT max(t.logical_clock) \
             FROM {log} AS t WHERE t.owner = o.owner) >= coalesce((SELECT CASE \
             WHEN f.held_until > {now} THEN {never} ELSE f.clock END FROM {cursors} AS f \
             WHERE f.name = $1 AND f.owner = o.owner), 0), 1 = 0) \
             THEN '{BEHIND}' ELSE '{UP_TO_DATE}' END || o.owner FROM o \
             WHERE o.owner IS NOT NULL ORDER BY o.place",
            owners = owners_of_log(self.log(), "$2", "$3"),
            log = self.log().table,
            cursors = self.cursors(),
            never = i64::MAX,
            now = D::NOW
        );
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let after = after.map(Owner::as_str).unwrap_or_default();
        let args = [Arg::Text(follower), Arg::Text(after), Arg::Integer(most)];
        let found = Session::<D>::Reading(self.pool.clone()).texts(&sql, &args).await;
        let found = found.map_err(|error| D::explain(self.log(), error))?;
        let is_last = i64::try_from(found.len()).unwrap_or(i64::MAX) < most;
        let named = |text: &String| Owner::new(text.get(1..)?).ok();
        let last = if is_last { None } else { found.last().and_then(named) };
        let behind = found.iter().filter(|text| text.starts_with(BEHIND)).filter_map(named);
        Ok(Page::new(behind.collect(), last))
    }

    async fn entries(
        &self,
        _: &str,
        owner: &Owner,
        since: i64,
        most: usize,
    ) -> Result<News, DatabaseError> {
        let log = self.log();
        let sql = format!(
            "SELECT CAST(0 AS BIGINT), t.id, t.logical_clock, t.utc_timestamp, t.type, t.model, \
             t.json_data FROM {} AS t WHERE {}t.logical_clock >= $2 \
             ORDER BY t.logical_clock LIMIT $3",
            log.table,
            log.owned()
        );
        let mut session = Session::<D>::Reading(self.pool.clone());
        let mut limit = most.saturating_add(1);
        loop {
            let rows = i64::try_from(limit).unwrap_or(i64::MAX);
            let args = [Arg::Text(owner.as_str()), Arg::Integer(since), Arg::Integer(rows)];
            let read = Box::pin(session.log_rows(&sql, &args)).await;
            let read = read.map_err(|error| D::explain(log, error))?;
            let is_cut = read.len() == limit;
            let entries: Result<Vec<_>, _> =
                read.into_iter().map(|row| entry(owner, row)).collect();
            match News::of(entries?, most, is_cut) {
                Some(news) => return Ok(news),
                // A single tick has more entries than that.
                None => limit = limit.saturating_mul(4),
            }
        }
    }
}

impl<D: Dialect> SqlDatabase<D> {
    /// The table of cursors, quoted.
    fn cursors(&self) -> String {
        cursors_of(self.log())
    }

    /// Creates the table of cursors if it does not exist.
    async fn make_followers(&self) -> Result<(), DatabaseError> {
        let failed = |error| D::explain(self.log(), error);
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        let table = Table::new(followers_of(&self.log().name));
        // `IF NOT EXISTS` alone needs the right to create tables, even if this one exists.
        if D::find(&mut connection, &table).await.map_err(failed)?.is_some() {
            return Ok(());
        }
        drop(connection);
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS {} (name text NOT NULL, owner text NOT NULL, \
             clock bigint NOT NULL, holder text NOT NULL, held_until bigint NOT NULL, \
             PRIMARY KEY (name, owner))",
            self.cursors()
        );
        self.change(&sql, &[]).await.map(drop)
    }

    async fn change(&self, sql: &str, args: &[Arg<'_>]) -> Result<Vec<String>, DatabaseError> {
        Box::pin(self.first.dialect.change(&self.pool, self.log(), sql, args)).await
    }
}

/// The table of a log's cursors, quoted.
pub(super) fn cursors_of(log: &Model) -> String {
    quote(&followers_of(&log.name))
}

/// A place as the first three parameters, and others.
fn with_place<'a, const N: usize>(place: &Place<'a>, more: [Arg<'a>; N]) -> Vec<Arg<'a>> {
    let place = [place.follower, place.owner.as_str(), place.holder];
    place.into_iter().map(Arg::Text).chain(more).collect()
}

fn millis(duration: Duration) -> Arg<'static> {
    Arg::Integer(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2))
}

/// Reads a row that is one entry.
pub(super) fn entry(owner: &Owner, row: LogRow) -> Result<Diff, DatabaseError> {
    let (_, Some(id), logical_clock, utc_timestamp, Some(operation), Some(model), Some(json_data)) =
        row
    else {
        return Err(null_in_log());
    };
    let Some(operation) = Operation::parse(&operation) else {
        return Err(DatabaseError::failed(format!("log entry {id}: no type \"{operation}\"")));
    };
    let owner = owner.as_str().to_owned();
    Ok(Diff { id, owner, logical_clock, utc_timestamp, operation, model, json_data })
}
