//! All names that models and fields have had.

use serde_json::Value;

use super::{InvalidSchema, Step, step::What};
use crate::hash::HashMap;

/// Something by all its names.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// The names, each with the version that has it first; oldest first. There is at least one.
    names: Vec<(u64, String)>,
    /// The version that does not have it any more.
    removed: Option<u64>,
    /// Of a field that was added later, its value in older records.
    added: Option<Value>,
    /// The same as JSON text, unless it is null.
    default: Option<String>,
    /// Of a removed field, what older versions get in its place, as JSON text.
    replaced: String,
}

/// A kind of things that have names: models, or the fields of a model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines {
    lines: Vec<Line>,
    by_name: HashMap<String, usize>,
}

/// The models, each with its fields.
#[derive(Clone, Debug)]
pub(super) struct Models {
    /// As they were given.
    pub(super) steps: Vec<Step>,
    names: Lines,
    /// At the place of their model.
    fields: Vec<Lines>,
    /// At the same place: the version that changed the model or a field last.
    changed: Vec<u64>,
    pub(super) version: u64,
}

/// A model, as far as steps have named it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model<'n> {
    pub(crate) line: &'n Line,
    pub(crate) fields: &'n Lines,
    pub(super) changed: u64,
}

impl Line {
    /// The newest name.
    pub(crate) fn now(&self) -> &str {
        self.names.last().map(|(_, name)| &**name).unwrap_or_default()
    }

    /// The default of a field that was added, as JSON text, unless it is null.
    pub(super) fn default(&self) -> Option<&str> {
        self.default.as_deref()
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed.is_some()
    }

    /// The name that a version has for it, if it has it at all.
    pub(super) fn at(&self, version: u64) -> Option<&str> {
        if self.removed.is_some_and(|removed| removed <= version) {
            return None;
        }
        let known = self.names.iter().rev().find(|(since, _)| *since <= version);
        known.map(|(_, name)| &**name)
    }

    /// All names, newest first.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().rev().map(|(_, name)| &**name)
    }

    /// What a version gets in place of it after it was removed, as JSON text.
    pub(super) fn replaced(&self) -> &str {
        &self.replaced
    }

    /// Its value in records that are older than it.
    #[cfg_attr(
        not(any(feature = "postgres", feature = "sqlite")),
        allow(dead_code, reason = "only SQL databases ask")
    )]
    pub(crate) fn added(&self) -> Option<&Value> {
        self.added.as_ref()
    }
}

impl Lines {
    pub(crate) fn get(&self, name: &str) -> Option<&Line> {
        self.lines.get(*self.by_name.get(name)?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter()
    }

    /// The place of what has this name, which is new if no step has named it before.
    fn place(&mut self, name: &str) -> usize {
        match self.by_name.get(name) {
            Some(place) => *place,
            None => self.push(1, name),
        }
    }

    fn push(&mut self, since: u64, name: &str) -> usize {
        let names = vec![(since, name.to_owned())];
        let replaced = String::new();
        self.lines.push(Line { names, removed: None, added: None, default: None, replaced });
        self.by_name.insert(name.to_owned(), self.lines.len() - 1);
        self.lines.len() - 1
    }

    /// Takes a step, and returns the place of what it changes.
    fn take(&mut self, step: &Step) -> Result<usize, InvalidSchema> {
        let (old, new) = match &step.what {
            What::Added { name, .. } => (None, Some(name)),
            What::Renamed { from, to } => (Some(from), Some(to)),
            What::Removed { name, .. } => (Some(name), None),
        };
        if let Some(new) = new.filter(|new| self.by_name.contains_key(*new)) {
            return Err(InvalidSchema::Reused { name: new.clone(), since: step.since });
        }
        let place = match (old, new) {
            (Some(old), _) => self.place(old),
            (None, Some(new)) => self.push(step.since, new),
            (None, None) => self.place(""),
        };
        let Some(line) = self.lines.get_mut(place) else { return Ok(place) };
        if let Some(old) = old.filter(|old| line.is_removed() || line.now() != **old) {
            return Err(InvalidSchema::Gone { name: old.clone(), since: step.since });
        }
        match &step.what {
            What::Added { default, .. } => {
                line.added = Some(default.clone());
                line.default = (!default.is_null()).then(|| default.to_string());
            }
            What::Renamed { to, .. } => {
                line.names.push((step.since, to.clone()));
                self.by_name.insert(to.clone(), place);
            }
            What::Removed { default, .. } => {
                line.removed = Some(step.since);
                line.replaced = default.to_string();
            }
        }
        Ok(place)
    }
}

impl Default for Models {
    fn default() -> Self {
        Self {
            steps: Vec::new(),
            names: Lines::default(),
            fields: Vec::new(),
            changed: Vec::new(),
            version: 1,
        }
    }
}

impl Models {
    pub(super) fn of(steps: Vec<Step>) -> Result<Self, InvalidSchema> {
        let mut ordered: Vec<&Step> = steps.iter().collect();
        ordered.sort_by_key(|step| step.since);
        let mut all = Self::default();
        for step in ordered {
            step.check()?;
            let model = match &step.model {
                Some(model) => all.names.place(model),
                None => all.names.take(step)?,
            };
            let count = all.names.lines.len();
            all.fields.resize_with(count, Lines::default);
            all.changed.resize(count, 1);
            if let (Some(name), Some(line)) = (&step.model, all.names.lines.get(model))
                && line.is_removed()
            {
                return Err(InvalidSchema::Gone { name: name.clone(), since: step.since });
            }
            if let (Some(_), Some(fields)) = (&step.model, all.fields.get_mut(model)) {
                fields.take(step)?;
            }
            if let Some(changed) = all.changed.get_mut(model) {
                *changed = step.since;
            }
            all.version = step.since;
        }
        Ok(Self { steps, ..all })
    }

    /// The model with this name, whichever version has it.
    pub(super) fn get(&self, name: &str) -> Option<Model<'_>> {
        self.at(*self.names.by_name.get(name)?)
    }

    #[cfg_attr(
        not(any(feature = "postgres", feature = "sqlite")),
        allow(dead_code, reason = "only SQL databases ask")
    )]
    pub(super) fn iter(&self) -> impl Iterator<Item = Model<'_>> {
        (0..self.names.lines.len()).filter_map(|place| self.at(place))
    }

    fn at(&self, place: usize) -> Option<Model<'_>> {
        Some(Model {
            line: self.names.lines.get(place)?,
            fields: self.fields.get(place)?,
            changed: *self.changed.get(place)?,
        })
    }
}

impl Step {
    fn check(&self) -> Result<(), InvalidSchema> {
        if self.since < 2 || i64::try_from(self.since).is_err() {
            return Err(InvalidSchema::Version { since: self.since });
        }
        let names = match &self.what {
            What::Added { name, .. } | What::Removed { name, .. } => [name, name],
            What::Renamed { from, to } => [from, to],
        };
        let is_field = self.model.is_some();
        for name in names.into_iter().chain(&self.model) {
            let is_id = is_field && name == "id" && self.model.as_ref() != Some(name);
            if is_id || crate::diff::check_name(name).is_err() {
                return Err(InvalidSchema::Name { name: name.clone(), since: self.since });
            }
        }
        Ok(())
    }
}
