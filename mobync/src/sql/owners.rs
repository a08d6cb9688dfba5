//! Which owners there are, and which rows no diff can bring.

use std::collections::BTreeSet;

use super::{Arg, Dialect, Model, SqlDatabase};
use crate::{DatabaseError, Owner, SkippedRow};

/// Stands between an owner and an id, which have no such character.
const BETWEEN: char = '\u{1f}';

impl<D: Dialect> SqlDatabase<D> {
    /// The owners behind that one who have rows or a log, in the order of their bytes.
    pub(super) async fn owners_behind(
        &self,
        last: Option<&Owner>,
        most: usize,
    ) -> Result<Vec<Owner>, DatabaseError> {
        let mut owners = BTreeSet::new();
        for model in self.schema.models.values().chain([&self.schema.log]) {
            let names = self.owners_of(model).await?;
            owners.extend(names.iter().filter_map(|name| Owner::new(name).ok()));
        }
        let behind = owners.into_iter().filter(|owner| last.is_none_or(|last| owner > last));
        Ok(behind.take(most).collect())
    }

    /// Counts the rows of which the database itself can say that no diff can bring them, and shows some.
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
            let sql = format!("SELECT CAST(count(*) AS TEXT) {rows}");
            let count = self.ask(model, &sql, &args).await?;
            let count: u64 = count.first().and_then(|text| text.parse().ok()).unwrap_or_default();
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
