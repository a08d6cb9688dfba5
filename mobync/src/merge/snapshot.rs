//! The objects alive at the end of a log, computed entry by entry: everything that a new device gets.

use std::{
    collections::{BTreeMap, hash_map::Entry as Slot},
    mem::take,
};

use super::entry::{Field, broken, encode, read_members};
use crate::{
    diff::{Diff, Operation, object_in},
    error::DatabaseError,
    hash::HashMap,
    owner::Owner,
    schema::Schema,
};

/// The greatest number of changed fields of an object that wait to be written into its JSON together.
const MOST_CHANGES: usize = 1_000;

/// The objects that are alive after the entries of a log, which were added in its order.
///
/// Its size depends on the objects, not on the entries, so a database can pass a long log in parts.
///
/// ```
/// use mobync::{Diff, Operation, Snapshot};
///
/// let entry = Diff {
///     id: "5a0c".to_owned(),
///     owner: "ada".to_owned(),
///     logical_clock: 0,
///     utc_timestamp: 1_583_020_800_000,
///     operation: Operation::Create,
///     model: "tasks".to_owned(),
///     json_data: r#"{"id": "t1", "name": "Milk"}"#.to_owned(),
/// };
/// let mut snapshot = Snapshot::default();
/// snapshot.add(&entry)?;
/// # Ok::<(), mobync::DatabaseError>(())
/// ```
#[derive(Debug, Default)]
pub struct Snapshot {
    clock: i64,
    models: HashMap<Box<str>, Model>,
    /// Whether an object existed before the log did, so that the log does not have all of it.
    has_older: bool,
    /// By whose newest names the entries are read.
    schema: Option<Schema>,
}

#[derive(Debug, Default)]
struct Model {
    /// The lives that are alive, by the ids of their objects.
    lives: HashMap<Box<str>, Life>,
    /// Tick, time and id of the last entry.
    last: (i64, i64, String),
}

#[derive(Debug)]
struct Life {
    /// From the entry that began it, as are `tick` and `at`.
    id: Box<str>,
    tick: i64,
    at: i64,
    json_data: Box<str>,
    /// Fields to write into `json_data`, each once, ordered by name.
    changes: Vec<(Box<str>, String)>,
    /// Whether the next entries belong to a life apart, until it ends.
    is_apart: bool,
    /// Whether it began before the log did: the log has only later changes.
    is_older: bool,
}

/// What a log has of an object that is alive at its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Alive<'s> {
    /// The fields that were written, with the id: the JSON text of an object.
    pub(crate) json_data: &'s str,
    /// Whether it also has other fields, because it began before the log did.
    pub(crate) is_older: bool,
}

/// An entry of a log, borrowed from the buffer that it was read into.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogEntry<'a> {
    pub(crate) id: &'a str,
    pub(crate) logical_clock: i64,
    pub(crate) utc_timestamp: i64,
    pub(crate) operation: Operation,
    pub(crate) model: &'a str,
    pub(crate) json_data: &'a str,
}

impl<'a> From<&'a Diff> for LogEntry<'a> {
    fn from(diff: &'a Diff) -> Self {
        let Diff { id, owner: _, logical_clock, utc_timestamp, operation, model, json_data } = diff;
        Self {
            id,
            logical_clock: *logical_clock,
            utc_timestamp: *utc_timestamp,
            operation: *operation,
            model,
            json_data,
        }
    }
}

impl LogEntry<'_> {
    /// As [`Diff::order`].
    fn order(&self) -> (i64, i64, &str) {
        (self.logical_clock, self.utc_timestamp, self.id)
    }
}

impl Snapshot {
    /// Adds the next entry, in [the log's order](Diff::order).
    ///
    /// # Errors
    /// [`DatabaseError::Failed`] if the entry cannot be read.
    pub fn add(&mut self, entry: &Diff) -> Result<(), DatabaseError> {
        self.follow(entry.into())
    }

    /// Reads the entries by the newest names of this schema.
    pub(crate) fn by_newest_names(self, schema: Schema) -> Self {
        Self { schema: Some(schema), ..self }
    }

    /// An empty one that reads entries in the same way.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn another(&self) -> Self {
        Self { schema: self.schema.clone(), ..Self::default() }
    }

    pub(crate) fn follow(&mut self, entry: LogEntry<'_>) -> Result<(), DatabaseError> {
        self.clock = entry.logical_clock.saturating_add(1);
        let schema = self.schema.take();
        let folded = match &schema {
            None => self.fold(entry),
            Some(schema) => schema.with_read(entry, |entry| self.fold(entry)),
        };
        self.schema = schema;
        folded.map_err(|cause| broken(entry.id, &cause))
    }

    /// Adds the next entries, in any order.
    pub(crate) fn follow_all<'e>(
        &mut self,
        entries: impl Iterator<Item = LogEntry<'e>>,
    ) -> Result<(), DatabaseError> {
        let mut entries: Vec<_> = entries.collect();
        entries.sort_unstable_by(|left, right| left.order().cmp(&right.order()));
        entries.into_iter().try_for_each(|entry| self.follow(entry))
    }

    fn fold(&mut self, entry: LogEntry<'_>) -> Result<(), serde_json::Error> {
        let model = match self.models.get_mut(entry.model) {
            Some(model) => model,
            None => self.models.entry(entry.model.into()).or_default(),
        };
        let Model { lives, last: (tick, at, id) } = model;
        (*tick, *at) = (entry.logical_clock, entry.utc_timestamp);
        entry.id.clone_into(id);
        match entry.operation {
            Operation::Create => match lives.entry(object_in(entry.json_data)?.into()) {
                Slot::Occupied(mut life) => life.get_mut().is_apart = true,
                Slot::Vacant(slot) => drop(slot.insert(Life::begin(entry))),
            },
            Operation::Update => {
                let (object, fields) = read_members(entry.json_data)?;
                match lives.get_mut(&*object) {
                    Some(life) if !life.is_apart => life.write(&fields)?,
                    Some(_) => {}
                    None if fields.is_empty() => {}
                    None => {
                        self.has_older = true;
                        let life = Life { is_older: true, ..Life::begin(entry) };
                        lives.insert((*object).into(), life);
                    }
                }
            }
            Operation::Delete => {
                let object = object_in(entry.json_data)?;
                match lives.get_mut(&*object) {
                    Some(life) if life.is_apart => life.is_apart = false,
                    _ => drop(lives.remove(&*object)),
                }
            }
        }
        Ok(())
    }

    /// The clock, in ticks, and what a new device gets, in the order in which to apply it. `None` if an
    /// object existed before the log did, so that the log alone is not enough.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`] if an entry cannot be read.
    pub fn finish(mut self, owner: &Owner) -> Result<Option<(i64, Vec<Diff>)>, DatabaseError> {
        if self.has_older {
            return Ok(None);
        }
        let mut alive: Vec<(&str, &mut Life)> = Vec::new();
        for (name, model) in &mut self.models {
            alive.extend(model.lives.values_mut().map(|life| (&**name, life)));
        }
        // In the order in which they began, they are also adjacent in memory.
        alive.sort_unstable_by(|(_, left), (_, right)| left.order().cmp(&right.order()));
        let creates = alive.into_iter().map(|(model, life)| {
            life.settle(&[]).map_err(|cause| broken(&life.id, &cause))?;
            Ok(Diff {
                id: take(&mut life.id).into(),
                owner: owner.as_str().to_owned(),
                logical_clock: life.tick,
                utc_timestamp: life.at,
                operation: Operation::Create,
                model: model.to_owned(),
                json_data: take(&mut life.json_data).into(),
            })
        });
        Ok(Some((self.clock, creates.collect::<Result<_, _>>()?)))
    }
}

impl Snapshot {
    /// The clock after the entries, in ticks.
    pub(crate) fn clock(&self) -> i64 {
        self.clock
    }

    /// What the log has of an object, if it is alive.
    ///
    /// # Errors
    /// [`DatabaseError::Failed`] if an entry cannot be read.
    pub(crate) fn alive(
        &mut self,
        model: &str,
        id: &str,
    ) -> Result<Option<Alive<'_>>, DatabaseError> {
        let life = self.models.get_mut(model).and_then(|model| model.lives.get_mut(id));
        let Some(life) = life else { return Ok(None) };
        life.settle(&[]).map_err(|cause| broken(&life.id, &cause))?;
        Ok(Some(Alive { json_data: &life.json_data, is_older: life.is_older }))
    }

    /// What the log has of each of the model's objects that is alive.
    pub(crate) fn all(
        &mut self,
        model: &str,
    ) -> impl Iterator<Item = Result<(&str, Alive<'_>), DatabaseError>> {
        let lives = self.models.get_mut(model).map(|model| &mut model.lives);
        lives.into_iter().flatten().map(|(id, life)| {
            life.settle(&[]).map_err(|cause| broken(&life.id, &cause))?;
            Ok((&**id, Alive { json_data: &life.json_data, is_older: life.is_older }))
        })
    }

    /// The ids of the model's objects that are alive.
    pub(crate) fn ids(&self, model: &str) -> impl Iterator<Item = &str> {
        self.models.get(model).into_iter().flat_map(|model| model.lives.keys()).map(|id| &**id)
    }

    /// The models that have an entry in the log.
    pub(crate) fn models(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(|model| &**model)
    }

    /// The id of the last entry, ignoring those of the log's own model, if it has the last tick.
    pub(crate) fn head(&self, log: &str) -> Option<&str> {
        let others = self.models.iter().filter(|(name, _)| &***name != log);
        let last = others.map(|(_, model)| &model.last).max()?;
        (last.0.checked_add(1) == Some(self.clock)).then_some(&*last.2)
    }
}

impl Life {
    /// As [`Diff::order`], of the entry that began it.
    fn order(&self) -> (i64, i64, &str) {
        (self.tick, self.at, &self.id)
    }

    fn begin(create: LogEntry<'_>) -> Self {
        Self {
            id: create.id.into(),
            tick: create.logical_clock,
            at: create.utc_timestamp,
            json_data: create.json_data.into(),
            changes: Vec::new(),
            is_apart: false,
            is_older: false,
        }
    }

    fn write(&mut self, fields: &[Field<'_>]) -> Result<(), serde_json::Error> {
        if self.changes.len() + fields.len() > MOST_CHANGES {
            return self.settle(fields);
        }
        if self.changes.is_empty() {
            // Most lives are changed in few fields, and in the same ones.
            self.changes.reserve_exact(fields.len());
        }
        for (name, value) in fields {
            let place = self.changes.binary_search_by(|(other, _)| (**other).cmp(name));
            match place.map(|place| self.changes.get_mut(place)) {
                Ok(change) => change.into_iter().for_each(|(_, json)| value.get().clone_into(json)),
                Err(place) => {
                    self.changes.insert(place, ((**name).into(), value.get().into()));
                }
            }
        }
        Ok(())
    }

    /// Writes the pending changes into the JSON, and then these fields.
    fn settle(&mut self, fields: &[Field<'_>]) -> Result<(), serde_json::Error> {
        if self.changes.is_empty() && fields.is_empty() {
            return Ok(());
        }
        let (object, created) = read_members(&self.json_data)?;
        let mut all: BTreeMap<&str, &str> =
            created.iter().map(|(name, value)| (&**name, value.get())).collect();
        all.extend(self.changes.iter().map(|(name, value)| (&**name, &**value)));
        all.extend(fields.iter().map(|(name, value)| (&**name, value.get())));
        self.json_data = encode(&object, all.iter().map(|(name, value)| (*name, *value))).into();
        self.changes = Vec::new();
        Ok(())
    }
}
