//! A device that knows nothing about types: it holds JSON.

use std::collections::BTreeMap;

use mobync::{Diff, Operation, SyncResponse};
use serde_json::value::RawValue;

use super::{table::Drawn, types::VALUES};

/// The fields of an object, as JSON text, so that no digit is lost.
pub(super) type Fields = BTreeMap<String, String>;

/// By column, values that were not refused.
pub(super) type Taken = BTreeMap<String, Vec<String>>;

#[derive(Debug, Default)]
pub(super) struct Device {
    pub(super) clock: i64,
    pub(super) rows: BTreeMap<String, Fields>,
}

/// The id and the other fields of a record.
pub(super) fn read(json_data: &str) -> (String, Fields) {
    let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json_data).unwrap();
    let mut fields: Fields =
        fields.into_iter().map(|(name, value)| (name, value.get().to_owned())).collect();
    let id = fields.remove("id").unwrap();
    (serde_json::from_str(&id).unwrap(), fields)
}

impl Device {
    /// A change of an object, which is applied here immediately.
    pub(super) fn change(
        &mut self,
        drawn: &Drawn,
        taken: &Taken,
        at: i64,
        random: &mut fastrand::Rng,
    ) -> Diff {
        let id = random.choice(&drawn.ids).unwrap();
        let operation = match (self.rows.contains_key(id), random.u8(0..10)) {
            (true, 2..) => Operation::Update,
            (true, _) | (false, 0) => Operation::Delete,
            _ => Operation::Create,
        };
        let columns = drawn.columns.iter().map(|column| &**column).chain(["g"]);
        let columns = columns.filter(|column| drawn.hidden.as_deref() != Some(column));
        // Only some tables have a generated column.
        let is_there = |column: &&str| {
            *column != "g" || drawn.statements[0].contains(", g ") && random.u8(0..8) == 0
        };
        let mut fields = String::new();
        for column in columns.filter(is_there).collect::<Vec<_>>() {
            // Only a few columns of unknown behaviour at a time, so that not everything is refused.
            let known = taken.get(column);
            let is_named = random.u8(0..6) < if known.is_some() { 4 } else { 1 };
            if operation != Operation::Delete && is_named {
                let known = known.filter(|_| random.u8(0..6) > 0);
                let value = known.and_then(|values| random.choice(values).map(|value| &**value));
                let value = value.unwrap_or_else(|| random.choice(VALUES).unwrap());
                fields += &format!(",\"{column}\":{value}");
            }
        }
        let diff = Diff {
            id: format!("{operation}-{id}-{at}"),
            owner: String::new(),
            logical_clock: self.clock,
            utc_timestamp: at,
            operation,
            model: drawn.name.clone(),
            json_data: format!("{{\"id\":\"{id}\"{fields}}}"),
        };
        self.apply(&diff);
        diff
    }

    pub(super) fn hear(&mut self, answer: &SyncResponse) {
        for diff in &answer.diffs {
            self.apply(diff);
        }
        self.clock = answer.logical_clock;
    }

    fn apply(&mut self, diff: &Diff) {
        let (id, fields) = read(&diff.json_data);
        match diff.operation {
            Operation::Create => drop(self.rows.insert(id, fields)),
            Operation::Update => {
                if let Some(row) = self.rows.get_mut(&id) {
                    row.extend(fields);
                }
            }
            Operation::Delete => drop(self.rows.remove(&id)),
        }
    }
}
