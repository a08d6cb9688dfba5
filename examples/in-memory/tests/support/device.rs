//! A device: it changes what it has without a network, and syncs when it has one.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Server;

/// A long time after 1970, in milliseconds.
const T0: i64 = 1_700_000_000_000;

/// A device of one owner, with its tasks and what it has not sent.
pub struct Device {
    name: &'static str,
    owner: &'static str,
    clock: i64,
    made: i64,
    pending: Vec<Value>,
    tasks: BTreeMap<String, Value>,
}

impl Device {
    pub fn new(name: &'static str, owner: &'static str) -> Self {
        Self { name, owner, clock: 0, made: 0, pending: Vec::new(), tasks: BTreeMap::new() }
    }

    pub fn create(&mut self, at: i64, task: Value) {
        self.change("create", at, task);
    }

    pub fn update(&mut self, at: i64, changes: Value) {
        self.change("update", at, changes);
    }

    pub fn delete(&mut self, at: i64, id: &str) {
        self.change("delete", at, json!({"id": id}));
    }

    fn change(&mut self, operation: &str, at: i64, data: Value) {
        self.made += 1;
        self.pending.push(json!({
            "id": format!("{}-{}", self.name, self.made),
            "owner": "",
            "logical_clock": self.clock,
            "utc_timestamp": T0 + at,
            "type": operation,
            "model": "tasks",
            "json_data": data.to_string(),
        }));
        self.apply(operation, data);
    }

    /// What it would send now.
    pub fn request(&self) -> Value {
        json!({"logical_clock": self.clock, "diffs": self.pending})
    }

    /// Sends, and applies what comes back; gives the answer.
    pub fn sync(&mut self, server: &Server) -> Value {
        let (status, answer) = server.sync(self.owner, &self.request());
        assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
        for diff in answer["diffs"].as_array().unwrap() {
            let data = serde_json::from_str(diff["json_data"].as_str().unwrap()).unwrap();
            self.apply(diff["type"].as_str().unwrap(), data);
        }
        self.clock = answer["logical_clock"].as_i64().unwrap();
        self.pending.clear();
        answer
    }

    fn apply(&mut self, operation: &str, data: Value) {
        let id = data["id"].as_str().unwrap().to_owned();
        match (operation, self.tasks.get_mut(&id)) {
            ("create", _) => {
                self.tasks.insert(id, data);
            }
            ("update", Some(task)) => {
                let changes: Map<String, Value> = serde_json::from_value(data).unwrap();
                task.as_object_mut().unwrap().extend(changes);
            }
            ("delete", _) => {
                self.tasks.remove(&id);
            }
            _ => {}
        }
    }

    /// Its tasks, by id.
    pub fn tasks(&self) -> Value {
        self.tasks.values().cloned().collect()
    }
}
