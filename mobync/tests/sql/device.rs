//! A simple device for these tests.

use std::collections::BTreeMap;

use mobync::{Database, Diff, Mobync, Operation, Owner};
use serde_json::{Map, Value, json};

use super::support::{Sent, diffs, line};

/// A device without pending changes between its syncs.
#[derive(Clone, Debug, Default)]
pub(super) struct Device {
    pub(super) clock: i64,
    /// By model and id.
    rows: BTreeMap<(String, String), Map<String, Value>>,
}

impl Device {
    pub(super) fn apply(&mut self, diffs: &[Diff]) {
        for diff in diffs {
            let mut fields: Map<String, Value> = serde_json::from_str(&diff.json_data).unwrap();
            let id = fields.remove("id").unwrap().as_str().unwrap().to_owned();
            let key = (diff.model.clone(), id);
            match diff.operation {
                Operation::Create => drop(self.rows.insert(key, fields)),
                Operation::Update => {
                    if let Some(row) = self.rows.get_mut(&key) {
                        row.extend(fields);
                    }
                }
                Operation::Delete => drop(self.rows.remove(&key)),
            }
        }
    }

    /// Applies changes to its own rows and pushes them. Returns what comes back, one line each.
    pub(super) async fn sync(
        &mut self,
        mobync: &Mobync<impl Database>,
        owner: &Owner,
        sent: impl IntoIterator<Item = Sent>,
    ) -> Vec<String> {
        let sent = diffs(sent);
        self.apply(&sent);
        let answer = mobync.apply(owner, self.clock, sent).await.unwrap();
        assert!(answer.refused.is_empty(), "{:?}", answer.refused);
        self.clock = answer.logical_clock;
        self.apply(&answer.diffs);
        answer.diffs.iter().map(|diff| format!("{} {}", diff.model, line(diff))).collect()
    }

    pub(super) fn has(&self, model: &str, id: &str) -> bool {
        self.rows.contains_key(&(model.to_owned(), id.to_owned()))
    }

    pub(super) fn lines(&self) -> Vec<String> {
        let lines = self.rows.iter().map(|((model, id), fields)| {
            let fields: BTreeMap<_, _> = fields
                .iter()
                .filter(|(_, value)| !value.is_null() && **value != json!(false))
                .collect();
            format!("{model} {id} {}", json!(fields))
        });
        lines.collect()
    }

    /// *Truth*: after a sync, this device, a new one and the rows are equal. *Once*: nothing more is
    /// logged.
    pub(super) async fn is_equal(
        &mut self,
        mobync: &Mobync<impl Database>,
        owner: &Owner,
        rows: impl AsyncFnOnce() -> Vec<String>,
        what: &str,
    ) {
        self.sync(mobync, owner, []).await;
        assert_eq!(self.lines(), rows().await, "{what}");
        let mut new = Self::default();
        new.sync(mobync, owner, []).await;
        assert_eq!(new.lines(), self.lines(), "{what}: a new device");
        assert_eq!(new.clock, self.clock, "{what}");
        let differs = mobync.reconcile(owner).await.unwrap();
        assert_eq!(mobync.clock(owner).await.unwrap(), self.clock, "{what}: {differs:?}");
    }
}
