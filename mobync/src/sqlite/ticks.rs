//! Entries of the log, with all entries of a tick in one row, because passing a row to another thread
//! costs more than reading its contents.

use crate::{
    diff::{Diff, Operation},
    error::DatabaseError,
    json::Text,
    merge::LogEntry,
    owner::Owner,
    sql::{ENTRY, Model},
};

/// Separates the JSON texts of a tick, because none contains this character.
const SEPARATOR: char = '\u{1e}';

/// A select of the owner's entries whose ticks meet a condition: rows of the window. In place of the id they
/// have an array with the other columns of a tick's entries.
pub(super) fn select(log: &Model, ticks: &str) -> String {
    format!(
        "SELECT {ENTRY} AS kind, \
         json_group_array(json_array(t.id, t.utc_timestamp, t.type, t.model)) AS id, \
         t.logical_clock, 0 AS utc_timestamp, NULL AS type, NULL AS model, \
         group_concat(t.json_data, char({separator})) AS json_data FROM {table} AS t \
         WHERE {owned}{ticks} GROUP BY t.logical_clock",
        separator = u32::from(SEPARATOR),
        table = log.table,
        owned = log.owned()
    )
}

/// The same of the objects whose models are in the list `$2`, and whose ids in `$3`, at the same places.
pub(super) fn select_of_objects(log: &Model, object: &str) -> String {
    format!(
        "SELECT {ENTRY} AS kind, \
         json_group_array(json_array(t.id, t.utc_timestamp, t.type, t.model)) AS id, \
         t.logical_clock, 0 AS utc_timestamp, NULL AS type, NULL AS model, \
         group_concat(t.json_data, char({separator})) AS json_data \
         FROM json_each($2) AS m CROSS JOIN json_each($3) AS o ON o.key = m.key \
         CROSS JOIN {table} AS t ON {owned}t.model = m.value AND {object} = o.value \
         WHERE $4 > 0 GROUP BY t.logical_clock",
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

/// The columns of an entry besides json_data.
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

    pub(super) fn into_diffs(self, owner: &Owner) -> impl Iterator<Item = Diff> {
        self.heads.into_iter().zip(self.jsons).map(
            move |((id, at, operation, model), json_data)| Diff {
                id: id.0.into_owned(),
                owner: owner.as_str().to_owned(),
                logical_clock: self.clock,
                utc_timestamp: at,
                operation,
                model: model.0.into_owned(),
                json_data: json_data.to_owned(),
            },
        )
    }
}
