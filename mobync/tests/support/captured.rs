//! A database in memory whose rows others also write: an application by SQL, cascades, triggers, and columns
//! that change values. It behaves as PostgreSQL does with `READ COMMITTED`: a statement sees what others have
//! committed, and waits for a row that another transaction has written.

mod unit;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use mobync::{Access, Database, DatabaseError, Diff, Owner, SkippedRow};
use serde_json::{Map, Value, json};

pub use self::unit::CapturedUnit;

/// Owner, model and id.
pub type Key = (String, String, String);
pub type Row = Map<String, Value>;

/// What the tables do automatically.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a thing of its own")]
pub struct Features {
    /// The column `a` holds texts in upper case.
    pub upper: bool,
    /// The column `n` is a serial number.
    pub serial: bool,
    /// The column `touched` counts the writes of its row.
    pub touched: bool,
    /// Deleting a row of `tasks` also deletes those of `notes` whose column `b` or id is its id.
    pub cascade: bool,
    /// The row `all` of `counts` has the number of the owner's `tasks`.
    pub counts: bool,
}

/// A deliberate defect of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// The values captured by the first mark are used in place of the row.
    CapturedValue,
    /// All marks are removed after a sync, not only those that it has seen.
    MarksForgotten,
    /// Side effects are logged with the time at which they happened.
    SetOffNow,
    /// Side effects are ignored.
    NothingSetOff,
}

/// One statement of an application's transaction.
#[derive(Clone, Debug)]
pub enum Statement {
    /// An `INSERT … ON CONFLICT DO UPDATE`.
    Put {
        owner: String,
        model: String,
        id: String,
        fields: Row,
    },
    /// An `UPDATE` of all of the owner's rows of the model.
    Bulk {
        owner: String,
        model: String,
        fields: Row,
    },
    Delete {
        owner: String,
        model: String,
        id: String,
    },
    /// An `UPDATE` of the owner, unless the other has a row of that id.
    Give {
        owner: String,
        model: String,
        id: String,
        to: String,
    },
    /// An `UPDATE` of the id, unless there is a row of that one.
    Rename {
        owner: String,
        model: String,
        id: String,
        to: String,
    },
    /// An `INSERT` that removes the rows that it conflicts with.
    Replace {
        owner: String,
        model: String,
        id: String,
        fields: Row,
    },
    /// A `DELETE` of all rows of all owners.
    Empty {
        model: String,
    },
    /// Rolled back to a savepoint.
    Undone(Vec<Statement>),
}

#[derive(Clone, Debug)]
pub struct Captured {
    state: Arc<Mutex<State>>,
    features: Features,
    mutant: Option<Mutant>,
    captures: bool,
}

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<Key, Row>,
    log: BTreeMap<String, Vec<Diff>>,
    marks: BTreeMap<u64, Marked>,
    now: i64,
    serial: i64,
    units: u64,
    /// The rows written by units that have not ended, with their units.
    locked: BTreeMap<Key, u64>,
    /// Transactions that wait for these rows.
    waiting: Vec<Vec<Statement>>,
    /// What others do after this many calls.
    injected: Vec<(usize, Vec<Statement>)>,
    calls: Vec<&'static str>,
    /// Models whose tables cannot be read.
    broken: BTreeSet<String>,
    /// Models whose tables were dropped.
    dropped: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Marked {
    key: Key,
    at: i64,
    /// The row that a trigger that captures values would have seen.
    row: Option<Row>,
}

/// What a transaction has written.
#[derive(Debug, Default)]
struct Pending {
    rows: BTreeMap<Key, Option<Row>>,
    marks: Vec<Marked>,
}

pub const MODELS: [&str; 3] = ["tasks", "notes", "counts"];

impl Captured {
    pub fn new(features: Features) -> Self {
        let state = State { now: super::T0, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), features, mutant: None, captures: true }
    }

    pub fn mutant(self, mutant: Mutant) -> Self {
        Self { mutant: Some(mutant), ..self }
    }

    /// The same, without triggers that mark.
    pub fn without_capture(self) -> Self {
        Self { captures: false, ..self }
    }

    pub fn set_time(&self, now: i64) {
        self.state().now = now;
    }

    /// An application's transaction. It waits for the rows that a sync has written.
    pub fn run(&self, statements: &[Statement]) {
        self.run_in(&mut self.state(), statements);
    }

    /// The same, after this many calls of units of work.
    pub fn run_in_calls(&self, calls: usize, statements: &[Statement]) {
        self.state().injected.push((calls, statements.to_vec()));
    }

    pub fn forget_injected(&self) {
        self.state().injected.clear();
    }

    /// The calls of units of work since the last query.
    pub fn take_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.state().calls)
    }

    pub fn row(&self, owner: &str, model: &str, id: &str) -> Option<Row> {
        self.state().rows.get(&key(owner, model, id)).cloned()
    }

    /// The owner's rows by model and id.
    pub fn rows_of(&self, owner: &str) -> BTreeMap<(String, String), Row> {
        let state = self.state();
        let rows = state.rows.iter().filter(|(key, _)| key.0 == owner);
        rows.map(|(key, row)| ((key.1.clone(), key.2.clone()), row.clone())).collect()
    }

    /// The owner's marked objects, by model and id.
    pub fn marked_of(&self, owner: &str) -> BTreeSet<(String, String)> {
        let state = self.state();
        let marks = state.marks.values().filter(|mark| mark.key.0 == owner);
        marks.map(|mark| (mark.key.1.clone(), mark.key.2.clone())).collect()
    }

    pub fn marks(&self) -> usize {
        self.state().marks.len()
    }

    pub fn break_table(&self, model: &str, is_broken: bool) {
        let broken = &mut self.state().broken;
        if is_broken {
            broken.insert(model.to_owned())
        } else {
            broken.remove(model)
        };
    }

    pub fn drop_table(&self, model: &str) {
        let mut state = self.state();
        state.rows.retain(|(_, of, _), _| of != model);
        state.dropped.insert(model.to_owned());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn columns(&self) -> Vec<&'static str> {
        let Features { serial, touched, counts, .. } = self.features;
        let more = [("n", serial || counts), ("touched", touched)];
        ["a", "b", "c"]
            .into_iter()
            .chain(more.into_iter().filter(|(_, is)| *is).map(|(name, _)| name))
            .collect()
    }

    fn run_in(&self, state: &mut State, statements: &[Statement]) {
        let mut pending = Pending::default();
        for statement in statements {
            self.execute(state, &mut pending, statement);
        }
        if pending.rows.keys().any(|key| state.locked.contains_key(key)) {
            state.waiting.push(statements.to_vec());
            return;
        }
        state.keep(pending, self.captures);
    }

    fn execute(&self, state: &mut State, pending: &mut Pending, statement: &Statement) {
        match statement {
            Statement::Put { owner, model, id, fields } => {
                let key = key(owner, model, id);
                let is_new = pending.row(state, &key).is_none();
                let mut row = pending.row(state, &key).unwrap_or_default();
                row.extend(fields.clone());
                self.put(state, pending, &key, Some((row, is_new)), true);
            }
            Statement::Bulk { owner, model, fields } => {
                for id in pending.ids(state, owner, model) {
                    let key = key(owner, model, &id);
                    let mut row = pending.row(state, &key).unwrap_or_default();
                    row.extend(fields.clone());
                    self.put(state, pending, &key, Some((row, false)), true);
                }
            }
            Statement::Delete { owner, model, id } => {
                self.put(state, pending, &key(owner, model, id), None, true);
            }
            Statement::Give { owner, model, id, to } => {
                self.move_row(state, pending, &key(owner, model, id), &key(to, model, id));
            }
            Statement::Rename { owner, model, id, to } => {
                self.move_row(state, pending, &key(owner, model, id), &key(owner, model, to));
            }
            Statement::Replace { owner, model, id, fields } => {
                let key = key(owner, model, id);
                self.put(state, pending, &key, None, true);
                self.put(state, pending, &key, Some((fields.clone(), true)), true);
            }
            Statement::Empty { model } => {
                let keys = state.rows.keys().chain(pending.rows.keys());
                let keys: BTreeSet<Key> = keys.filter(|key| key.1 == *model).cloned().collect();
                for key in keys {
                    self.put(state, pending, &key, None, true);
                }
            }
            Statement::Undone(_) => {}
        }
    }

    /// It is no delete, so nothing cascades.
    fn move_row(&self, state: &State, pending: &mut Pending, from: &Key, to: &Key) {
        let row = pending.row(state, from);
        if let Some(row) = row.filter(|_| pending.row(state, to).is_none()) {
            pending.set(state, from, None, true);
            pending.set(state, to, Some(row), true);
            self.count(state, pending, from);
            self.count(state, pending, to);
        }
    }

    /// Writes a row, which may be new, or removes it; and applies the side effects.
    fn put(
        &self,
        state: &mut State,
        pending: &mut Pending,
        key: &Key,
        row: Option<(Row, bool)>,
        marks: bool,
    ) {
        match row {
            Some((mut row, is_new)) => {
                self.make(state, &mut row, is_new);
                pending.set(state, key, Some(row), marks);
            }
            None => {
                if pending.row(state, key).is_none() {
                    return;
                }
                pending.set(state, key, None, marks);
                if self.features.cascade && key.1 == "tasks" {
                    for id in pending.ids(state, &key.0, "notes") {
                        let child = super::captured::key(&key.0, "notes", &id);
                        let row = pending.row(state, &child).unwrap_or_default();
                        if id == key.2 || row.get("b") == Some(&json!(key.2)) {
                            pending.set(state, &child, None, true);
                        }
                    }
                }
            }
        }
        self.count(state, pending, key);
    }

    /// Applies the columns' own changes to a row.
    fn make(&self, state: &mut State, row: &mut Row, is_new: bool) {
        if self.features.upper {
            upper(row);
        }
        if self.features.serial && is_new && !row.contains_key("n") {
            state.serial += 1;
            row.insert("n".to_owned(), json!(state.serial));
        }
        if self.features.touched {
            let times = row.get("touched").and_then(Value::as_i64).unwrap_or(0);
            row.insert("touched".to_owned(), json!(times + 1));
        }
        row.retain(|_, value| !value.is_null());
    }

    fn count(&self, state: &State, pending: &mut Pending, (owner, model, _): &Key) {
        if !self.features.counts || model != "tasks" {
            return;
        }
        let all = key(owner, "counts", "all");
        let count = json!(pending.ids(state, owner, "tasks").len());
        let mut row = pending.row(state, &all).unwrap_or_default();
        if row.insert("n".to_owned(), count.clone()) != Some(count) {
            pending.set(state, &all, Some(row), true);
        }
    }

    fn text(&self, id: &str, row: &Row) -> String {
        let mut record = Map::from_iter([("id".to_owned(), json!(id))]);
        for column in self.columns() {
            record.insert(column.to_owned(), row.get(column).cloned().unwrap_or_default());
        }
        Value::Object(record).to_string()
    }
}

fn upper(row: &mut Row) {
    if let Some(Value::String(text)) = row.get_mut("a") {
        *text = text.to_uppercase();
    }
}

pub fn key(owner: &str, model: &str, id: &str) -> Key {
    (owner.to_owned(), model.to_owned(), id.to_owned())
}

impl State {
    fn keep(&mut self, pending: Pending, captures: bool) {
        for (key, row) in pending.rows {
            match row {
                Some(row) => self.rows.insert(key, row),
                None => self.rows.remove(&key),
            };
        }
        if captures {
            for mark in pending.marks {
                let seq = self.marks.keys().last().map_or(0, |last| last + 1);
                self.marks.insert(seq, mark);
            }
        }
    }
}

impl Pending {
    fn row(&self, state: &State, key: &Key) -> Option<Row> {
        match self.rows.get(key) {
            Some(row) => row.clone(),
            None => state.rows.get(key).cloned(),
        }
    }

    fn ids(&self, state: &State, owner: &str, model: &str) -> Vec<String> {
        let keys: BTreeSet<&Key> = state.rows.keys().chain(self.rows.keys()).collect();
        let of = keys.into_iter().filter(|key| key.0 == owner && key.1 == model);
        of.filter(|key| self.row(state, key).is_some()).map(|key| key.2.clone()).collect()
    }

    fn set(&mut self, state: &State, key: &Key, row: Option<Row>, marks: bool) {
        if marks {
            self.marks.push(Marked { key: key.clone(), at: state.now, row: row.clone() });
        }
        self.rows.insert(key.clone(), row);
    }
}

impl Database for Captured {
    type Unit = CapturedUnit;

    async fn open(&self, owner: &Owner, _: Access) -> Result<CapturedUnit, DatabaseError> {
        let mut state = self.state();
        state.units += 1;
        Ok(CapturedUnit {
            database: self.clone(),
            owner: owner.clone(),
            number: state.units,
            pending: Pending::default(),
            taken: BTreeSet::new(),
            appended: Vec::new(),
            rewritten: Vec::new(),
            first: BTreeMap::new(),
            wrote: false,
        })
    }

    fn serialises(&self) -> bool {
        false
    }

    async fn marked_owners(&self, most: usize) -> Result<Vec<Owner>, DatabaseError> {
        let state = self.state();
        let owners: BTreeSet<&String> = state.marks.values().map(|mark| &mark.key.0).collect();
        Ok(owners.into_iter().take(most).map(|owner| Owner::new(owner).unwrap()).collect())
    }

    async fn owners(
        &self,
        last: Option<&Owner>,
        most: usize,
    ) -> Result<Option<Vec<Owner>>, DatabaseError> {
        let state = self.state();
        let owners = state.rows.keys().map(|key| &key.0).chain(state.log.keys());
        let owners: BTreeSet<Owner> = owners.filter_map(|owner| Owner::new(owner).ok()).collect();
        let behind = owners.into_iter().filter(|owner| last.is_none_or(|last| owner > last));
        Ok(Some(behind.take(most).collect()))
    }

    async fn unsound_rows(
        &self,
        owner: Option<&Owner>,
        model: &str,
        most: usize,
    ) -> Result<(u64, Vec<SkippedRow>), DatabaseError> {
        let state = self.state();
        let nobodys = state.rows.keys().filter(|key| owner.is_none() && key.1 == model);
        let rows = nobodys.filter_map(|key| {
            let error = Owner::new(&key.0).err()?;
            Some(SkippedRow::new(key.0.clone(), key.2.clone(), error.to_string()))
        });
        let rows: Vec<SkippedRow> = rows.collect();
        Ok((rows.len() as u64, rows.into_iter().take(most).collect()))
    }
}
