//! One transaction of a sync.

use std::collections::{BTreeMap, BTreeSet};

use mobync::{
    Change, DatabaseError, Diff, Mark, Owner, ReadFilter, Record, Rejection, Rewrite, SetOff,
    UnitOfWork, Will, Window, WindowQuery, Write,
};
use serde_json::Value;

use super::{Captured, Features, Key, MODELS, Marked, Mutant, Pending, Row, State, key, upper};

#[derive(Debug)]
pub struct CapturedUnit {
    pub(super) database: Captured,
    pub(super) owner: Owner,
    pub(super) number: u64,
    pub(super) pending: Pending,
    /// The marks that are removed with the commit.
    pub(super) taken: BTreeSet<u64>,
    pub(super) appended: Vec<Diff>,
    pub(super) rewritten: Vec<Rewrite>,
    /// The rows as the first of the taken marks had them, for a mutant.
    pub(super) first: BTreeMap<Key, Option<Row>>,
    pub(super) wrote: bool,
}

impl Drop for CapturedUnit {
    fn drop(&mut self) {
        let database = self.database.clone();
        let Ok(mut state) = database.state.lock() else { return };
        state.locked.retain(|_, unit| *unit != self.number);
        for statements in std::mem::take(&mut state.waiting) {
            database.run_in(&mut state, &statements);
        }
    }
}

impl CapturedUnit {
    /// Before each call others may run.
    fn pass(&mut self, name: &'static str) {
        let database = self.database.clone();
        let mut state = database.state();
        state.calls.push(name);
        let (now, later) = std::mem::take(&mut state.injected)
            .into_iter()
            .partition::<Vec<_>, _>(|(calls, _)| *calls == 0);
        state.injected = later.into_iter().map(|(calls, it)| (calls - 1, it)).collect();
        for (_, statements) in now {
            database.run_in(&mut state, &statements);
        }
    }

    fn lock(&self, state: &mut State) {
        state.locked.extend(self.pending.rows.keys().map(|key| (key.clone(), self.number)));
    }

    fn log(&self, state: &State) -> Vec<Diff> {
        let log = state.log.get(self.owner.as_str()).cloned().unwrap_or_default();
        log.into_iter().chain(self.appended.iter().cloned()).collect()
    }

    fn key(&self, model: &str, id: &str) -> Key {
        key(self.owner.as_str(), model, id)
    }

    fn do_write(&mut self, state: &mut State, write: &Write<'_>) -> Result<(), DatabaseError> {
        let database = self.database.clone();
        let before = self.pending.row(state, &self.key(write.model(), write.id()));
        let (row, key) = match (write.to_change()?, before) {
            (Change::Create { model, record }, None) => {
                let key = self.key(&model, record.id());
                (Some((record.into_parts().1, true)), key)
            }
            (Change::Create { .. }, Some(_)) => {
                return Err(DatabaseError::constraint("primary key"));
            }
            (Change::Update { model, changes }, Some(mut row)) => {
                let key = self.key(&model, changes.id());
                row.extend(changes.into_parts().1);
                (Some((row, false)), key)
            }
            (Change::Update { model, .. }, None) => return Err(DatabaseError::left_out(model)),
            (Change::Delete { model, id }, _) => (None, self.key(&model, &id)),
        };
        database.put(state, &mut self.pending, &key, row, false);
        self.lock(state);
        Ok(())
    }
}

fn check(state: &State, model: &str) -> Result<(), DatabaseError> {
    if !MODELS.contains(&model) || state.dropped.contains(model) {
        return Err(DatabaseError::unknown_model(model));
    }
    if state.broken.contains(model) {
        return Err(DatabaseError::unknown_field(model, "a", ["none"]));
    }
    Ok(())
}

impl UnitOfWork for CapturedUnit {
    async fn read(
        &mut self,
        _: &Owner,
        model: &str,
        filters: &[ReadFilter],
    ) -> Result<Vec<Record>, DatabaseError> {
        self.pass("read");
        let state = self.database.state();
        if model == "diffs" {
            let records = self.log(&state).into_iter().map(Diff::into_record);
            return Ok(records.filter(|it| filters.iter().all(|f| f.matches(it))).collect());
        }
        check(&state, model)?;
        let mut records = Vec::new();
        for id in self.pending.ids(&state, self.owner.as_str(), model) {
            let row = self.pending.row(&state, &self.key(model, &id)).unwrap_or_default();
            let record: Record = serde_json::from_str(&self.database.text(&id, &row)).unwrap();
            if filters.iter().all(|filter| filter.matches(&record)) {
                records.push(record);
            }
        }
        Ok(records)
    }

    async fn write(
        &mut self,
        _: &Owner,
        writes: &[Write<'_>],
    ) -> Result<Vec<Rejection>, DatabaseError> {
        self.pass("write");
        let database = self.database.clone();
        let mut state = database.state();
        self.wrote = true;
        let mut rejections = Vec::new();
        for (place, write) in writes.iter().enumerate() {
            if let Err(error) = self.do_write(&mut state, write) {
                rejections.push(Rejection { place, error });
            }
        }
        Ok(rejections)
    }

    async fn append(
        &mut self,
        _: &Owner,
        _: &str,
        mut entries: Vec<Diff>,
    ) -> Result<(), DatabaseError> {
        self.pass("append");
        // Those of a drain come before there is a write.
        if self.database.mutant == Some(Mutant::SetOffNow) && self.wrote {
            let now = self.database.state().now;
            for entry in entries.iter_mut().filter(|entry| uuid::Uuid::parse_str(&entry.id).is_ok())
            {
                entry.utc_timestamp = entry.utc_timestamp.max(now);
            }
        }
        self.appended.extend(entries);
        Ok(())
    }

    async fn commit(mut self) -> Result<(), DatabaseError> {
        self.pass("commit");
        let database = self.database.clone();
        let mut state = database.state();
        let owner = self.owner.as_str().to_owned();
        if database.mutant == Some(Mutant::MarksForgotten) && self.wrote {
            state.marks.retain(|_, mark| mark.key.0 != owner);
        }
        state.marks.retain(|seq, _| !self.taken.contains(seq));
        state.keep(std::mem::take(&mut self.pending), database.captures);
        let log = state.log.entry(owner).or_default();
        log.append(&mut self.appended);
        for Rewrite { removed, changed, added, .. } in std::mem::take(&mut self.rewritten) {
            log.retain(|entry| !removed.contains(&entry.id));
            for (id, json_data) in changed {
                if let Some(entry) = log.iter_mut().find(|entry| entry.id == id) {
                    entry.json_data = json_data;
                }
            }
            log.extend(added);
        }
        Ok(())
    }

    async fn rewrite(
        &mut self,
        _: &Owner,
        _: &str,
        rewrite: &Rewrite,
    ) -> Result<(), DatabaseError> {
        self.pass("rewrite");
        self.rewritten.push(rewrite.clone());
        Ok(())
    }

    fn check_schema(&self, model: &str, fields: &[&str]) -> Result<(), DatabaseError> {
        let state = self.database.state();
        if !MODELS.contains(&model) || state.dropped.contains(model) {
            return Err(DatabaseError::unknown_model(model));
        }
        let columns = self.database.columns();
        match fields.iter().find(|field| !columns.contains(*field)) {
            Some(field) => Err(DatabaseError::unknown_field(model, *field, columns.clone())),
            None => Ok(()),
        }
    }

    fn survives_rejection(&self) -> bool {
        true
    }

    async fn clock(&mut self, _: &Owner, _: &str) -> Result<i64, DatabaseError> {
        self.pass("clock");
        let log = self.log(&self.database.state());
        Ok(log.iter().map(|entry| entry.logical_clock + 1).max().unwrap_or(0))
    }

    async fn window(&mut self, _: &Owner, query: WindowQuery<'_>) -> Result<Window, DatabaseError> {
        self.pass("window");
        let state = self.database.state();
        let mut entries = self.log(&state);
        let clock = entries.iter().map(|entry| entry.logical_clock + 1).max().unwrap_or(0);
        let known = entries.iter().filter(|entry| query.ids.contains(&&*entry.id));
        let start = known.map(|entry| entry.logical_clock).chain([query.since]).min().unwrap();
        entries.retain(|entry| entry.logical_clock >= start);
        let exists =
            |(model, id): &(&str, &str)| self.pending.row(&state, &self.key(model, id)).is_some();
        let is_marked = |(seq, mark): (&u64, &Marked)| {
            mark.key.0 == self.owner.as_str() && !self.taken.contains(seq)
        };
        let mut window = Window { clock, start, entries, ..Window::default() };
        if let Some(limit) = query.limit {
            window.cut(limit);
        }
        let mut log = self.log(&state).into_iter();
        let before = query.since - 1;
        window.has_head =
            log.any(|entry| Some(&*entry.id) == query.head && entry.logical_clock == before);
        window.existing = query.objects.iter().map(exists).collect();
        window.marked = state.marks.iter().any(is_marked);
        let unknown = query.objects.iter().filter(|(model, _)| !MODELS.contains(model));
        window.unknown_models = unknown.map(|(model, _)| (*model).to_owned()).collect();
        Ok(window)
    }

    fn captures(&self) -> bool {
        self.database.captures
    }

    async fn is_marked(&mut self, owner: &Owner) -> Result<bool, DatabaseError> {
        self.pass("is_marked");
        Ok(self.database.state().marks.values().any(|mark| mark.key.0 == owner.as_str()))
    }

    async fn take_marks(&mut self, owner: &Owner, most: usize) -> Result<Vec<Mark>, DatabaseError> {
        self.pass("take_marks");
        let state = self.database.state();
        let mut marks: BTreeMap<(String, String), Mark> = BTreeMap::new();
        for (seq, Marked { key, at, row }) in &state.marks {
            let object = (key.1.clone(), key.2.clone());
            let is_full = marks.len() >= most && !marks.contains_key(&object);
            if key.0 != owner.as_str() || self.taken.contains(seq) || is_full {
                continue;
            }
            self.taken.insert(*seq);
            self.first.entry(key.clone()).or_insert_with(|| row.clone());
            let mark = marks.entry(object).or_insert_with(|| Mark::new(&*key.1, &*key.2, None));
            mark.at = mark.at.max(Some(*at));
        }
        Ok(marks.into_values().collect())
    }

    async fn put_back(&mut self, owner: &Owner, marks: &[Mark]) -> Result<(), DatabaseError> {
        self.pass("put_back");
        for Mark { model, id, at, .. } in marks {
            let key = key(owner.as_str(), model, id);
            self.pending.marks.push(Marked { key, at: at.unwrap_or(0), row: None });
        }
        Ok(())
    }

    async fn lock_rows(
        &mut self,
        _: &Owner,
        objects: &[(&str, &str)],
    ) -> Result<(), DatabaseError> {
        self.pass("lock_rows");
        let mut state = self.database.state();
        for (model, id) in objects {
            let key = self.key(model, id);
            if state.rows.contains_key(&key) {
                state.locked.insert(key, self.number);
            }
        }
        Ok(())
    }

    async fn set_off(
        &mut self,
        owner: &Owner,
        named: &[(&str, &str)],
    ) -> Result<SetOff, DatabaseError> {
        self.pass("set_off");
        let state = self.database.state();
        let (own, others) = std::mem::take(&mut self.pending.marks)
            .into_iter()
            .partition::<Vec<_>, _>(|mark| mark.key.0 == owner.as_str());
        self.pending.marks = others;
        let mut set_off = SetOff::default();
        let own: BTreeMap<_, _> =
            own.into_iter().map(|mark| ((mark.key.1, mark.key.2), mark.at)).collect();
        if self.database.mutant != Some(Mutant::NothingSetOff) {
            let own = own.into_iter();
            set_off.marks = own.map(|((model, id), at)| Mark::new(model, id, Some(at))).collect();
        }
        set_off.met = state.marks.iter().any(|(seq, mark)| {
            let object = (&*mark.key.1, &*mark.key.2);
            mark.key.0 == owner.as_str() && !self.taken.contains(seq) && named.contains(&object)
        });
        Ok(set_off)
    }

    async fn rows(
        &mut self,
        _: &Owner,
        model: &str,
        ids: &[&str],
    ) -> Result<Vec<String>, DatabaseError> {
        self.pass("rows");
        let state = self.database.state();
        check(&state, model)?;
        let mut rows = Vec::new();
        for id in ids {
            let key = self.key(model, id);
            let mut row = self.pending.row(&state, &key);
            if self.database.mutant == Some(Mutant::CapturedValue)
                && let Some(first) = self.first.get(&key)
            {
                row.clone_from(first);
            }
            rows.extend(row.map(|row| self.database.text(id, &row)));
        }
        Ok(rows)
    }

    async fn as_columns(
        &mut self,
        _: &str,
        records: Vec<String>,
    ) -> Result<Vec<String>, DatabaseError> {
        self.pass("as_columns");
        let made = records.into_iter().map(|record| {
            let mut record: Row = serde_json::from_str(&record).unwrap();
            if self.database.features.upper {
                upper(&mut record);
            }
            Value::Object(record).to_string()
        });
        Ok(made.collect())
    }

    async fn entries_of(
        &mut self,
        _: &Owner,
        _: &str,
        objects: &[(&str, &str)],
    ) -> Result<Vec<Diff>, DatabaseError> {
        self.pass("entries_of");
        let mut entries = self.log(&self.database.state());
        entries.retain(|entry| {
            let data: Value = serde_json::from_str(&entry.json_data).unwrap();
            objects.contains(&(&*entry.model, data["id"].as_str().unwrap()))
        });
        Ok(entries)
    }

    fn will(&self, _: &str) -> Will {
        let Features { upper, serial, touched, .. } = self.database.features;
        match (touched, upper || serial) {
            _ if self.database.mutant == Some(Mutant::NothingSetOff) => Will::None,
            (true, _) => Will::Any,
            (false, true) => Will::Named,
            (false, false) => Will::None,
        }
    }

    fn rank(&self, model: &str) -> usize {
        usize::from(model == "notes")
    }

    fn models(&self) -> Vec<String> {
        MODELS.map(str::to_owned).to_vec()
    }
}
