//! Which owners there are, and which rows no diff can bring.

use super::{Arg, Dialect, Model, SqlDatabase};
use crate::{DatabaseError, Owner, SkippedRow};

/// Stands between an owner and an id, which have no such character.
const BETWEEN: char = '\u{1f}';

impl<D: Dialect> SqlDatabase<D> {
    pub(super) async fn owners_with_marks(&self, most: usize) -> Result<Vec<Owner>, DatabaseError> {
        let log = &self.schema.log;
        if self.schema.captured().next().is_none() {
            return Ok(Vec::new());
        }
        let failed = |error| D::explain(log, error);
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        let names = D::marked_owners(&mut connection, log, most).await.map_err(failed)?;
        // No other names are marked.
        Ok(names.into_iter().filter_map(|name| Owner::new(name).ok()).collect())
    }

    /// The owners behind that one who have rows or a log, in the order of their bytes.
    pub(super) async fn owners_behind(
        &self,
        last: Option<&Owner>,
        most: usize,
    ) -> Result<Vec<Owner>, DatabaseError> {
        let log = &self.schema.log;
        let owners = self.schema.models.values().chain([log]).filter_map(|model| {
            let owner = model.owner.as_ref()?;
            let (name, table, is_name) = (owner.exact(), &model.table, D::is_name(owner));
            Some(format!("SELECT CAST({name} AS TEXT) AS owner FROM {table} AS t WHERE {is_name}"))
        });
        let owners: Vec<String> = owners.collect();
        // Names are counted in bytes, of which a character has up to four.
        let sql = format!(
            "SELECT o.owner FROM ({}) AS o WHERE length(o.owner) BETWEEN 1 AND 1024 \
             AND o.owner{bytes} > $1 ORDER BY o.owner{bytes} LIMIT $2",
            owners.join(" UNION "),
            bytes = D::BY_BYTES
        );
        let (mut found, mut last) = (Vec::new(), last.map_or("", Owner::as_str).to_owned());
        while found.len() < most {
            let missing = i64::try_from(most - found.len()).unwrap_or(i64::MAX);
            let names = self.ask(log, &sql, &[Arg::Text(&last), Arg::Integer(missing)]).await?;
            let Some(name) = names.last() else { break };
            last.clone_from(name);
            found.extend(names.into_iter().filter_map(|name| Owner::new(name).ok()));
        }
        Ok(found)
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
