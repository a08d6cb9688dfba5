//! "The database has the last word": what others write to the rows reaches every device.
//!
//! Scenarios of the four laws *Truth*, *Nobody waits*, *Once* and *Quiet*, on a database in memory whose
//! rows others write without the library.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(clippy::needless_pass_by_value, reason = "`json!` is written where it is needed")]

mod drain;
mod repair;
mod set_off;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use mobync::{Diff, Operation};
use serde_json::{Map, Value};

use self::support::{
    Server,
    captured::{Captured, Row, Statement},
    owner,
};

/// A statement of an application that writes a row of Ada's `tasks`.
fn put(id: &str, fields: Value) -> Statement {
    put_in("ada", "tasks", id, fields)
}

fn put_in(owner: &str, model: &str, id: &str, fields: Value) -> Statement {
    let fields = fields.as_object().cloned().unwrap();
    Statement::Put { owner: owner.to_owned(), model: model.to_owned(), id: id.to_owned(), fields }
}

fn remove(id: &str) -> Statement {
    Statement::Delete { owner: "ada".to_owned(), model: "tasks".to_owned(), id: id.to_owned() }
}

/// A device of Ada's, without pending changes.
#[derive(Debug, Default)]
struct Device {
    clock: i64,
    objects: BTreeMap<(String, String), Row>,
}

impl Device {
    async fn sync(&mut self, server: &Server<Captured>, sent: Vec<support::Sent>) -> Vec<String> {
        for sent in &sent {
            self.apply(&sent.0);
        }
        let answer = server.sync(self.clock, sent).await;
        answer.diffs.iter().for_each(|diff| self.apply(diff));
        self.clock = answer.logical_clock;
        support::lines(&answer.diffs)
    }

    fn apply(&mut self, diff: &Diff) {
        let mut data: Map<String, Value> = serde_json::from_str(&diff.json_data).unwrap();
        let id = data.remove("id").unwrap().as_str().unwrap().to_owned();
        let key = (diff.model.clone(), id);
        match diff.operation {
            Operation::Create => drop(self.objects.insert(key, data)),
            Operation::Update => {
                if let Some(row) = self.objects.get_mut(&key) {
                    row.extend(data);
                }
            }
            Operation::Delete => drop(self.objects.remove(&key)),
        }
    }

    /// *Truth*: it holds what the rows say.
    fn check(&self, database: &Captured) {
        let plain = |row: &Row| {
            let fields = row.iter().filter(|(_, value)| !value.is_null());
            fields.map(|(name, value)| (name.clone(), value.clone())).collect::<Row>()
        };
        let held: BTreeMap<_, Row> =
            self.objects.iter().map(|(key, row)| (key.clone(), plain(row))).collect();
        assert_eq!(held, database.rows_of("ada"), "Truth");
    }
}

fn server(database: &Captured) -> Server<Captured> {
    Server::new(database.clone())
}
