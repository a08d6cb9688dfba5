//! Rows in the form in which devices receive them, for the comparison with the log.

use std::{collections::BTreeMap, sync::Arc};

use super::{Arg, Column, Dialect, Model, SOUND, SqlUnit, Writer, session::Session};
use crate::{
    DatabaseError, Owner, json,
    merge::{encode, read_members},
};

/// The part after FROM: those of the [rows with ids](Dialect::rows_with_ids) that are objects. A row
/// with a value that JSON does not have is not an object.
pub(super) fn sound_rows<D: Dialect>(model: &Model, parameter: usize) -> String {
    let (rows, is_sound) = (D::rows_with_ids(model, parameter), D::is_sound(model));
    if is_sound == SOUND { rows } else { format!("(SELECT t.* FROM {rows}) AS t WHERE {is_sound}") }
}

/// Makes all readers read integers beyond 64 bits, which a JSON column may hold, as doubles.
fn mark_long_integers(rows: &mut [String]) {
    for row in rows.iter_mut().filter(|row| json::has_long_number(row.as_bytes())) {
        let (mut marked, mut rest) = (String::with_capacity(row.len() + 2), &**row);
        while let Some(first) = rest.chars().next() {
            let length = match first {
                '"' => string_length(rest),
                '-' | '0'..='9' => rest.find([',', ']', '}', ' ', '\n', '\t', '\r']),
                _ => Some(first.len_utf8()),
            };
            let (token, behind) =
                rest.split_at_checked(length.unwrap_or(rest.len())).unwrap_or((rest, ""));
            marked.push_str(token);
            let is_integer = token.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit());
            if is_integer && token.parse::<i64>().is_err() {
                marked.push_str("e0");
            }
            rest = behind;
        }
        *row = marked;
    }
}

/// The length of the string at the beginning of a JSON text.
fn string_length(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.map(|end| end + 2)
}

/// A record's id and values.
type Parts = (String, Vec<String>);

impl<D: Dialect> SqlUnit<D> {
    pub(super) async fn read_rows(
        &mut self,
        owner: &Owner,
        model: &str,
        ids: &[&str],
    ) -> Result<Vec<String>, DatabaseError> {
        let schema = Arc::clone(&self.schema);
        let model = schema.model(model)?;
        model.check_owner(owner)?;
        let ids: Vec<&str> = ids.iter().copied().filter(|id| model.can_have(id)).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!("SELECT {} FROM {}", D::record(model), sound_rows::<D>(model, 2));
        let rows = [Arg::Text(owner.as_str()), Arg::Texts(ids)];
        let mut rows = self.look_at(owner, model, &sql, &rows).await?;
        mark_long_integers(&mut rows);
        rows.retain(|row| json::check(row).is_ok());
        Ok(rows)
    }

    pub(super) async fn read_rows_behind(
        &mut self,
        owner: &Owner,
        model: &str,
        last: Option<&str>,
        many: usize,
    ) -> Result<Vec<String>, DatabaseError> {
        let schema = Arc::clone(&self.schema);
        let model = schema.model(model)?;
        model.check_owner(owner)?;
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
        let mut rows = self.look_at(owner, model, &sql, &args).await?;
        mark_long_integers(&mut rows);
        Ok(rows)
    }

    /// The records that would be read if these were written.
    pub(super) async fn spell(
        &mut self,
        model: &str,
        mut records: Vec<String>,
    ) -> Result<Vec<String>, DatabaseError> {
        let schema = Arc::clone(&self.schema);
        let model = schema.model(model)?;
        // Records with the same fields go together: a domain may reject a null for a missing one.
        let mut alike: BTreeMap<Vec<&str>, Vec<(usize, Parts)>> = BTreeMap::new();
        for (place, record) in records.iter().enumerate() {
            let (id, fields) = read_members(record).map_err(DatabaseError::failed)?;
            if model.can_have(&id) {
                let known = fields.iter().filter_map(|(name, value)| {
                    Some((&*model.column(name)?.name, value.get().to_owned()))
                });
                let (names, values) = known.unzip();
                alike.entry(names).or_default().push((place, (id.into_owned(), values)));
            }
        }
        for (names, parts) in alike {
            let columns: Vec<&Column> =
                names.iter().filter_map(|name| model.column(name)).collect();
            let mut waiting = vec![&*parts];
            while let Some(some) = waiting.pop() {
                match self.held(model, &columns, some).await {
                    Ok(held) => {
                        for ((place, _), held) in some.iter().zip(held) {
                            if let Some(record) = records.get_mut(*place) {
                                *record = held;
                            }
                        }
                    }
                    // If a column rejects a value, bisection finds the record that has it.
                    Err(error) if error.is_rejection() && some.len() > 1 => {
                        let (left, right) = some.split_at(some.len() / 2);
                        waiting.extend([left, right]);
                    }
                    Err(error) if error.is_rejection() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(records)
    }

    /// What is read of records of these columns.
    async fn held(
        &mut self,
        model: &Model,
        columns: &[&Column],
        parts: &[(usize, Parts)],
    ) -> Result<Vec<String>, DatabaseError> {
        let rows = parts.iter().map(|(_, (id, values))| {
            (&**id, values.iter().map(|value| &**value).collect::<Vec<_>>())
        });
        let Some(sql) = D::as_columns(model, columns) else {
            let held = rows.map(|(id, values)| {
                let values: Vec<_> = columns
                    .iter()
                    .zip(values)
                    .map(|(column, value)| (&*column.name, column.as_held(value)))
                    .collect();
                encode(id, values.iter().map(|(name, value)| (*name, &**value)))
            });
            return Ok(held.collect());
        };
        let rows = [Arg::Owned(D::payload(model, columns, rows))];
        let held = self.select(None, &sql, &rows, true).await;
        held.map_err(|error| D::explain(model, error))
    }

    /// Reads from a table that may have been altered since the start.
    async fn look_at(
        &mut self,
        owner: &Owner,
        model: &Model,
        sql: &str,
        args: &[Arg<'_>],
    ) -> Result<Vec<String>, DatabaseError> {
        // A table that was just written to can be read.
        let may_fail = !self.readable.contains(&model.name);
        let texts = self.select(Some(owner), sql, args, may_fail).await.map_err(|error| {
            let lacks = D::lacks(&error);
            match D::explain(model, error) {
                again @ DatabaseError::Conflict(_) => again,
                _ if lacks => DatabaseError::unknown_model(&model.name),
                error => error,
            }
        })?;
        self.readable.insert(model.name.clone());
        Ok(texts)
    }

    /// Reads from tables, as in a sync of the owner that writes. It uses a savepoint if the statement
    /// may fail and the unit is to continue.
    pub(super) async fn select(
        &mut self,
        owner: Option<&Owner>,
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
}

#[cfg(test)]
mod tests {
    #[test]
    fn long_integers_become_doubles_and_nothing_else_does() {
        let long = "123456789012345678901";
        let row = format!(
            r#"{{"id":"{long}\\","a":[-{long}, {{"{long}":{long}}}],"b":{long}.5,"c":7,"d":"-"}}"#
        );
        let mut rows = [row.clone()];
        super::mark_long_integers(&mut rows);
        let expected = row.replace(&format!("-{long}"), &format!("-{long}e0"));
        let expected = expected.replace(&format!(":{long}}}"), &format!(":{long}e0}}"));
        assert_eq!(rows, [expected]);
    }
}
