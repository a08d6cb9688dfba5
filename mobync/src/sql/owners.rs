//! Lists owners, and rows that no diff can represent.

use std::collections::BTreeSet;

use super::{Arg, Dialect, Model, Schema, SqlDatabase};
use crate::{DatabaseError, Owner, SkippedRow};

/// Separates an owner from an id. Neither can contain this character.
const BETWEEN: char = '\u{1f}';

impl<D: Dialect> SqlDatabase<D> {
    /// The owners after this one who have rows or a log, in the order of their bytes.
    pub(super) async fn owners_behind(
        &self,
        schema: &Schema,
        last: Option<&Owner>,
        most: usize,
    ) -> Result<Vec<Owner>, DatabaseError> {
        let mut owners = BTreeSet::new();
        for model in schema.models.values() {
            let names = self.owners_of(model).await?;
            owners.extend(names.iter().filter_map(|name| Owner::new(name).ok()));
        }
        owners.extend(self.logged_behind(None, usize::MAX).await?);
        let behind = owners.into_iter().filter(|owner| last.is_none_or(|last| owner > last));
        Ok(behind.take(most).collect())
    }

    /// The owners after this one who have a log, in the order of the log's index.
    pub(super) async fn logged_behind(
        &self,
        last: Option<&Owner>,
        most: usize,
    ) -> Result<Vec<Owner>, DatabaseError> {
        let sql = format!(
            "WITH RECURSIVE {} SELECT o.owner FROM o WHERE o.owner IS NOT NULL ORDER BY o.place",
            owners_of_log(self.log(), "$1", "$2")
        );
        let mut last = last.map(ToString::to_string).unwrap_or_default();
        loop {
            let args = [Arg::Text(&last), Arg::Integer(i64::try_from(most).unwrap_or(i64::MAX))];
            let names = self.ask(self.log(), &sql, &args).await?;
            let owners: Vec<Owner> = names.iter().flat_map(Owner::new).collect();
            match names.into_iter().next_back() {
                // None of them is a name: fewer would mean the end.
                Some(name) if owners.is_empty() => last = name,
                _ => return Ok(owners),
            }
        }
    }

    /// Counts the rows that no diff can represent, as far as the database itself can find them, and
    /// returns some.
    pub(super) async fn unsound(
        &self,
        owner: Option<&Owner>,
        model: &Model,
        most: usize,
    ) -> Result<(u64, Vec<SkippedRow>), DatabaseError> {
        let (mut rows_in_all, mut skipped) = (0, Vec::new());
        let Some(owner_column) = &model.owner else { return Ok((rows_in_all, skipped)) };
        let (owner_is, id_is) = (D::is_name(owner_column), D::is_name(&model.id));
        let sound = D::is_sound(model);
        let mut unsound = vec![
            (format!("NOT {id_is}"), "its id is null or not of the column's type"),
            (
                format!("{id_is} AND NOT {sound}"),
                "a value is infinite, or no JSON in a column for JSON",
            ),
        ];
        let (of_whom, args) = match owner {
            Some(owner) if model.check_owner(owner).is_err() => return Ok((rows_in_all, skipped)),
            Some(owner) => (format!("{}1 = 1", model.owned()), vec![Arg::Text(owner.as_str())]),
            None => {
                for (condition, _) in &mut unsound {
                    *condition = format!("{owner_is} AND {condition}");
                }
                unsound.push((format!("NOT {owner_is}"), "its owner is not of the column's type"));
                (format!("{} IS NOT NULL", owner_column.exact()), Vec::new())
            }
        };
        for (condition, reason) in unsound {
            let rows = format!("FROM {} AS t WHERE {of_whom} AND ({condition})", model.table);
            let count = self.count(model, &format!("{of_whom} AND ({condition})"), &args).await?;
            rows_in_all += count;
            let room = most.saturating_sub(skipped.len());
            if count == 0 || room == 0 {
                continue;
            }
            let (owner, id) = (D::shown(owner_column), D::shown(&model.id));
            let sql = format!("SELECT {owner} || '{BETWEEN}' || {id} {rows} LIMIT {room}");
            let shown = self.ask(model, &sql, &args).await?;
            let shown = shown.iter().filter_map(|row| row.split_once(BETWEEN));
            skipped.extend(shown.map(|(owner, id)| SkippedRow::new(owner, id, reason)));
        }
        Ok((rows_in_all, skipped))
    }

    /// Counts the rows whose owner is not a valid name, and returns some.
    pub(super) async fn nameless(
        &self,
        model: &Model,
        most: usize,
    ) -> Result<(u64, Vec<SkippedRow>), DatabaseError> {
        let (mut rows_in_all, mut skipped) = (0, Vec::new());
        let Some(owner) = &model.owner else { return Ok((rows_in_all, skipped)) };
        let not_of_type = format!("{} IS NOT NULL AND NOT {}", owner.exact(), D::is_name(owner));
        let rows = self.count(model, &not_of_type, &[]).await?;
        if rows > 0 {
            rows_in_all += rows;
            skipped.push(SkippedRow::new("", "", "its owner is not of the column's type"));
        }
        for name in self.owners_of(model).await? {
            if let Err(reason) = self.owner_of_rows(model, &name) {
                rows_in_all += self.rows_of(model, &name).await?;
                skipped.push(SkippedRow::new(name, "", reason));
            }
        }
        skipped.truncate(most);
        Ok((rows_in_all, skipped))
    }

    /// How many rows an owner with this name has.
    pub(super) async fn rows_of(&self, model: &Model, name: &str) -> Result<u64, DatabaseError> {
        self.count(model, &format!("{}1 = 1", model.owned()), &[Arg::Text(name)]).await
    }

    async fn count(
        &self,
        model: &Model,
        condition: &str,
        args: &[Arg<'_>],
    ) -> Result<u64, DatabaseError> {
        let table = &model.table;
        let sql = format!("SELECT CAST(count(*) AS TEXT) FROM {table} AS t WHERE {condition}");
        let count = self.ask(model, &sql, args).await?;
        Ok(count.first().and_then(|count| count.parse().ok()).unwrap_or_default())
    }

    pub(super) async fn owners_of(&self, model: &Model) -> Result<Vec<String>, DatabaseError> {
        let Some(owner) = &model.owner else { return Ok(Vec::new()) };
        let (owner, is_name) = (owner.exact(), D::is_name(owner));
        let sql = format!(
            "SELECT DISTINCT CAST({owner} AS TEXT) FROM {} AS t WHERE {owner} IS NOT NULL AND {is_name}",
            model.table
        );
        self.ask(model, &sql, &[]).await
    }

    /// # Errors
    /// The reason why the log cannot have entries of that owner.
    pub(super) fn owner_of_rows(&self, model: &Model, name: &str) -> Result<Owner, String> {
        let owner = Owner::new(name).map_err(|error| error.to_string())?;
        let fits = self.log().check_owner(&owner).and_then(|()| model.check_owner(&owner));
        fits.map_err(|_| "the log has no room for the owner".to_owned())?;
        Ok(owner)
    }

    pub(super) async fn ask(
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

/// The owners of the log after a text, at most so many, as the table `o`: a loose index scan, with one
/// probe for each owner, however many entries there are.
pub(super) fn owners_of_log(log: &Model, last: &str, most: &str) -> String {
    let first = |behind: &str| {
        format!("(SELECT min(t.owner) FROM {} AS t WHERE t.owner > {behind})", log.table)
    };
    format!(
        "o (owner, place) AS (SELECT {}, CAST(1 AS BIGINT) UNION ALL SELECT {}, o.place + 1 FROM o \
         WHERE o.owner IS NOT NULL AND o.place < {most})",
        first(&format!("CAST({last} AS TEXT)")),
        first("o.owner")
    )
}
