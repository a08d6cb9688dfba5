//! Entries of the log, a tick to a row: to hand a row over to another thread costs more than what is
//! in it.

use crate::{
    DatabaseError, Operation,
    json::Text,
    merge::LogEntry,
    sql::{LogRow, Model},
};

/// Stands between the JSON texts of a tick, for none has that character in it.
const SEPARATOR: char = '\u{1e}';

/// A select of the owner's entries that a condition holds for: rows of the window of that kind, with an
/// array of what else the tick's entries have in the place of the id.
pub(super) fn select(log: &Model, kind: i64, condition: &str) -> String {
    format!(
        "SELECT {kind} AS kind, \
         json_group_array(json_array(t.id, t.utc_timestamp, t.type, t.model)) AS id, \
         t.logical_clock, 0 AS utc_timestamp, NULL AS type, NULL AS model, \
         group_concat(t.json_data, char({separator})) AS json_data \
         FROM {table} AS t WHERE {owned}{condition} GROUP BY t.logical_clock",
        separator = u32::from(SEPARATOR),
        table = log.table,
        owned = log.owned()
    )
}

/// The entries of one tick.
pub(super) struct Tick<'r> {
    clock: i64,
    heads: Vec<Head<'r>>,
    jsons: Vec<&'r str>,
}

/// What an entry has beside its json_data.
type Head<'r> = (Text<'r>, i64, Operation, Text<'r>);

impl<'r> Tick<'r> {
    /// Reads what was selected as the id, the clock and the json_data.
    pub(super) fn read(heads: &'r str, clock: i64, jsons: &'r str) -> Result<Self, DatabaseError> {
        let heads: Vec<Head<'_>> = serde_json::from_str(heads).map_err(DatabaseError::failed)?;
        let jsons: Vec<&str> = jsons.split(SEPARATOR).collect();
        if heads.len() == jsons.len() {
            Ok(Self { clock, heads, jsons })
        } else {
            Err(DatabaseError::failed(format!("the log has broken json_data at tick {clock}")))
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = LogEntry<'_>> {
        self.heads.iter().zip(&self.jsons).map(|((id, at, operation, model), json_data)| LogEntry {
            id: &id.0,
            logical_clock: self.clock,
            utc_timestamp: *at,
            operation: *operation,
            model: &model.0,
            json_data,
        })
    }
}

/// The rows of a window, with an entry to a row.
pub(super) fn unfold(rows: Vec<LogRow>) -> Result<Vec<LogRow>, DatabaseError> {
    let mut unfolded = Vec::with_capacity(rows.len());
    for row in rows {
        // Rows that are no entries have no JSON.
        let (kind, Some(heads), clock, .., Some(jsons)) = &row else {
            unfolded.push(row);
            continue;
        };
        let tick = Tick::read(heads, *clock, jsons)?;
        unfolded.extend(tick.entries().map(|entry| {
            let LogEntry { id, logical_clock, utc_timestamp, operation, model, json_data } = entry;
            let [id, operation, model, json_data] =
                [id, operation.as_str(), model, json_data].map(|text| Some(text.to_owned()));
            (*kind, id, logical_clock, utc_timestamp, operation, model, json_data)
        }));
    }
    Ok(unfolded)
}
