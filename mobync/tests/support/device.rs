//! A device that applies changes to its objects.

use std::collections::BTreeMap;

use mobync::{Database, Diff, Operation, Rules};
use serde_json::{Map, Value};

use super::Server;

/// The objects of the model `tasks` on one device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Device(BTreeMap<String, Map<String, Value>>);

impl Device {
    /// A device that has synced, and has the same objects as the server.
    pub async fn of<D: Database, R: Rules>(server: &Server<D, R>, clock: i64) -> Self {
        let answer = server.sync(0, []).await;
        assert_eq!(answer.logical_clock, clock);
        let mut device = Self::default();
        device.apply(&answer.diffs);
        device
    }

    pub fn has(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }

    /// Applies changes in order: a create replaces, and a missing object is not changed.
    pub fn apply(&mut self, diffs: &[Diff]) {
        for diff in diffs.iter().filter(|diff| diff.model == "tasks") {
            let mut data: Map<String, Value> = serde_json::from_str(&diff.json_data).unwrap();
            let id = data.remove("id").unwrap().as_str().unwrap().to_owned();
            match diff.operation {
                Operation::Create => {
                    self.0.insert(id, data);
                }
                Operation::Update => {
                    if let Some(object) = self.0.get_mut(&id) {
                        object.extend(data);
                    }
                }
                Operation::Delete => {
                    self.0.remove(&id);
                }
            }
        }
    }

    /// The objects, one per line; a null field counts as missing.
    pub fn rows(&self) -> Vec<String> {
        let rows = self.0.iter().map(|(id, fields)| {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            let fields: Map<_, _> =
                fields.map(|(name, value)| (name.clone(), value.clone())).collect();
            format!("{id} {}", Value::Object(fields))
        });
        rows.collect()
    }
}
