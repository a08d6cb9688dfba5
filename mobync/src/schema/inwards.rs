//! What names mean now: older names become the newest ones, and what was removed is left out.

use std::{borrow::Cow, mem::take};

use super::{Schema, names::Model};
use crate::{
    diff::{Diff, Operation, object_in},
    error::Error,
    hash::HashMap,
    merge::{Field, LogEntry, encode, read_members},
};

/// What becomes of removed models and fields.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Removed {
    LeftOut,
    /// They are in the log, and other servers may still have them.
    Kept,
}

/// What a diff says by the newest names, where that differs from what it says by its own.
struct Meaning<'s> {
    operation: Operation,
    model: Option<&'s str>,
    json_data: Option<String>,
    /// Two names of one field.
    twice: Option<(String, String)>,
}

impl Schema {
    /// A device's diffs by the newest names.
    ///
    /// # Errors
    /// [`Error::InvalidDiff`] if one names a field by two of its names.
    pub(crate) fn inwards<'d>(&self, diffs: &'d [Diff]) -> Result<Cow<'d, [Diff]>, Error> {
        let mut read = Cow::Borrowed(diffs);
        for (place, diff) in diffs.iter().enumerate() {
            let Some(meaning) = self.meaning(diff.operation, &diff.model, &diff.json_data) else {
                continue;
            };
            if let Some((one, other)) = meaning.twice {
                let reason = format!("\"{one}\" and \"{other}\" are names of the same field");
                return Err(Error::invalid_diff(&diff.id, reason));
            }
            if let Some(diff) = read.to_mut().get_mut(place) {
                meaning.write(diff);
            }
        }
        Ok(read)
    }

    /// An entry of the log by the newest names.
    pub(crate) fn read(&self, entry: &mut Diff) {
        if let Some(meaning) = self.meaning(entry.operation, &entry.model, &entry.json_data) {
            meaning.write(entry);
        }
    }

    /// Gives an entry of the log the newest names, and leaves nothing out.
    pub(crate) fn rename(&self, entry: &mut Diff) {
        let meaning = self.mean(entry.operation, &entry.model, &entry.json_data, Removed::Kept);
        if let Some(meaning) = meaning {
            meaning.write(entry);
        }
    }

    /// Passes an entry of the log on by the newest names.
    pub(crate) fn with_read<T>(
        &self,
        entry: LogEntry<'_>,
        pass: impl FnOnce(LogEntry<'_>) -> T,
    ) -> T {
        let Some(meaning) = self.meaning(entry.operation, entry.model, entry.json_data) else {
            return pass(entry);
        };
        let json_data = meaning.json_data.as_deref().unwrap_or(entry.json_data);
        let model = meaning.model.unwrap_or(entry.model);
        pass(LogEntry { operation: meaning.operation, model, json_data, ..entry })
    }

    /// The defaults of the fields that were added to a model, by the newest names, as JSON text.
    pub(crate) fn defaults(&self, model: &str) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.models.get(model).map(|known| known.fields.iter());
        let fields = fields.into_iter().flatten().filter(|line| !line.is_removed());
        fields.filter_map(|line| Some((line.now(), line.default()?)))
    }

    /// The default of a field that was added, as JSON text.
    pub(crate) fn default_of(&self, model: &str, field: &str) -> Option<&str> {
        self.models.get(model)?.fields.get(field)?.default()
    }

    /// Whether the model was removed.
    pub(crate) fn is_removed(&self, model: &str) -> bool {
        self.models.get(model).is_some_and(|model| model.line.is_removed())
    }

    /// The newest name of a model.
    pub(crate) fn model_now<'n>(&'n self, model: &'n str) -> &'n str {
        self.models.get(model).map_or(model, |model| model.line.now())
    }

    /// All names of a model, if it has more than one.
    pub(crate) fn names_of(&self, model: &str) -> Option<impl Iterator<Item = &str>> {
        let model = self.models.get(model)?;
        (model.line.names().count() > 1).then(|| model.line.names())
    }

    fn meaning(&self, operation: Operation, model: &str, json_data: &str) -> Option<Meaning<'_>> {
        self.mean(operation, model, json_data, Removed::LeftOut)
    }

    /// `None` if the diff says the same by its own names. What cannot be read is left as it is, for the checks
    /// behind this.
    fn mean(
        &self,
        operation: Operation,
        model: &str,
        json_data: &str,
        removed: Removed,
    ) -> Option<Meaning<'_>> {
        let known = self.models.get(model)?;
        let now = known.line.now();
        let name = (now != model).then_some(now);
        if known.line.is_removed() && removed == Removed::LeftOut {
            // A receipt.
            let id = object_in(json_data).ok()?;
            let json_data = Some(encode(&id, [].into_iter()));
            let operation = Operation::Update;
            return Some(Meaning { operation, model: name, json_data, twice: None });
        }
        let renamed = Meaning { operation, model: name, json_data: None, twice: None };
        if operation == Operation::Delete || !known.may_name_old_fields(json_data) {
            return name.is_some().then_some(renamed);
        }
        let (id, mut fields) = read_members(json_data).ok()?;
        let twice = known.translate(&mut fields, removed);
        let fields = fields.iter().map(|(name, value)| (&**name, value.get()));
        Some(Meaning { json_data: Some(encode(&id, fields)), twice, ..renamed })
    }
}

impl Meaning<'_> {
    fn write(self, diff: &mut Diff) {
        diff.operation = self.operation;
        if let Some(model) = self.model {
            model.clone_into(&mut diff.model);
        }
        if let Some(json_data) = self.json_data {
            diff.json_data = json_data;
        }
    }
}

impl<'s> Model<'s> {
    /// Whether the text may have a name that is not a field's newest. A name may also be written with escapes.
    fn may_name_old_fields(&self, json_data: &str) -> bool {
        let mut old = self.fields.iter().flat_map(|line| {
            let newest = usize::from(!line.is_removed());
            line.names().skip(newest)
        });
        let first = old.next();
        first.is_some_and(|first| {
            json_data.contains('\\')
                || [first].into_iter().chain(old).any(|name| json_data.contains(name))
        })
    }

    /// Gives fields their newest names. Returns two names of one field, of which the newer one stays.
    fn translate(&self, fields: &mut Vec<Field<'s>>, removed: Removed) -> Option<(String, String)> {
        let mut twice = None;
        let mut places: HashMap<&str, (usize, usize)> = HashMap::default();
        let mut kept: Vec<Field<'s>> = Vec::with_capacity(fields.len());
        for (name, value) in take(fields) {
            let Some(line) = self.fields.get(&name) else {
                kept.push((name, value));
                continue;
            };
            if line.is_removed() && removed == Removed::LeftOut {
                continue;
            }
            let age = line.names().position(|other| other == name).unwrap_or_default();
            match places.get_mut(line.now()) {
                None => {
                    places.insert(line.now(), (kept.len(), age));
                    kept.push((Cow::Borrowed(line.now()), value));
                }
                Some((place, other)) => {
                    let names = |age| line.names().nth(age).unwrap_or_default().to_owned();
                    twice = Some((names(*other), names(age)));
                    if let Some(field) = kept.get_mut(*place).filter(|_| age < *other) {
                        field.1 = value;
                        *other = age;
                    }
                }
            }
        }
        *fields = kept;
        twice
    }
}
