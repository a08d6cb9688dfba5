//! The differences between an object's row and the log.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use super::value::same;
use crate::{
    diff::check_name,
    json,
    merge::{Field, encode, read_members},
};

/// What is known about the tables without reading their rows.
pub(crate) trait Schema {
    /// Whether the model has a column with that name.
    fn has(&self, model: &str, field: &str) -> bool;
    /// Whether two values, JSON texts, are equal in the column.
    fn same(&self, model: &str, field: &str, written: &str, held: &str) -> bool;
    /// The column's constant default, as JSON text.
    fn default_of(&self, model: &str, field: &str) -> Option<&str>;
    /// The rank of a model: less than those of the models that reference it.
    fn rank(&self, model: &str) -> usize;
    /// The columns in which a row has the id of another row of its model.
    fn parents(&self, model: &str) -> Vec<&str>;
}

/// The row of an object, in the form in which devices receive it.
#[derive(Debug)]
pub(crate) struct Row<'r> {
    text: &'r str,
    fields: Vec<Field<'r>>,
}

/// The log's state of an object that is alive.
#[derive(Debug)]
pub(crate) struct Said<'s> {
    /// Values by field, as JSON text.
    pub(crate) fields: HashMap<Cow<'s, str>, &'s str>,
    pub(crate) rest: Rest,
}

/// The value that a column counts as if the log does not name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Its constant default, or else null.
    Default,
    /// Unknown, because the object is older than the log: any value differs.
    Unknown,
    /// The column is ignored.
    Unlooked,
}

/// An object whose row differs from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) model: String,
    pub(crate) id: String,
    /// When its row was changed, in milliseconds since 1970, if that is known.
    pub(crate) at: Option<i64>,
    pub(crate) change: Differs,
    /// The objects of the same model that it references.
    pub(crate) parents: Vec<String>,
}

/// What the log lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Differs {
    /// A create with the whole row, as JSON text.
    Create(String),
    /// An update with these fields, as JSON text.
    Update(BTreeMap<String, String>),
    /// A delete.
    Delete,
}

impl<'r> Row<'r> {
    /// # Errors
    /// The reason why no diff can represent the row, as the end of a sentence.
    pub(crate) fn read(text: &'r str) -> Result<Self, String> {
        json::check(text)?;
        let (id, fields) = read_members(text).map_err(|_| "the id is no text".to_owned())?;
        check_name(&id).map_err(|reason| format!("the id {reason}"))?;
        Ok(Self { text, fields })
    }
}

impl<'s> Said<'s> {
    /// The fields of an object's JSON text.
    ///
    /// # Errors
    /// If it is not an object.
    pub(crate) fn read(text: &'s str, rest: Rest) -> Result<Self, serde_json::Error> {
        let (_, fields) = read_members(text)?;
        let fields = fields.into_iter().map(|(name, value)| (name, value.get())).collect();
        Ok(Self { fields, rest })
    }
}

impl Difference {
    /// What the log lacks for an object, if anything.
    pub(crate) fn of(
        model: &str,
        id: &str,
        said: Option<&Said<'_>>,
        row: Option<&Row<'_>>,
        schema: &impl Schema,
    ) -> Option<Self> {
        let change = match (said, row) {
            (None, None) => return None,
            (None, Some(row)) => Differs::Create(row.text.to_owned()),
            (Some(_), None) => Differs::Delete,
            (Some(said), Some(row)) => {
                let fields = changed(model, said, row, schema);
                if fields.is_empty() {
                    return None;
                }
                Differs::Update(fields)
            }
        };
        let refers = schema.parents(model);
        let value = |field: &&str| match (said, row) {
            (_, Some(row)) => row.get(field),
            (Some(said), None) => said.fields.get(*field).copied(),
            (None, None) => None,
        };
        let parents = refers.iter().filter_map(value);
        let parents = parents.filter_map(|id| serde_json::from_str(id).ok()).collect();
        Some(Self { model: model.to_owned(), id: id.to_owned(), at: None, change, parents })
    }

    /// Removes the fields in which the row has the log's value as the column stores it. `written` has
    /// these values, as the JSON text of an object. Returns whether a difference is left.
    pub(crate) fn is_left(&mut self, written: &str) -> bool {
        let Differs::Update(fields) = &mut self.change else { return true };
        if let Ok((_, written)) = read_members(written) {
            for (name, value) in written {
                if fields.get(&*name).is_some_and(|row| same(row, value.get())) {
                    fields.remove(&*name);
                }
            }
        }
        !fields.is_empty()
    }

    /// The log's values of the differing fields, except for these, as the JSON text of an object; `None`
    /// if there are none.
    pub(crate) fn said(&self, said: &Said<'_>, but: &[&str]) -> Option<String> {
        let Differs::Update(fields) = &self.change else { return None };
        let fields = fields.keys().filter(|name| !but.contains(&&***name));
        let said = fields.filter_map(|name| Some((&**name, *said.fields.get(&**name)?)));
        said.clone().next()?;
        Some(encode(&self.id, said))
    }
}

impl Row<'_> {
    fn get(&self, field: &str) -> Option<&str> {
        self.fields.iter().find(|(name, _)| name == field).map(|(_, value)| value.get())
    }
}

/// The fields in which the row has another value than the log, each with the row's value.
fn changed(
    model: &str,
    said: &Said<'_>,
    row: &Row<'_>,
    schema: &impl Schema,
) -> BTreeMap<String, String> {
    let mut changed = BTreeMap::new();
    for (name, value) in &row.fields {
        let stands = match (said.fields.get(name), said.rest) {
            (Some(stands), _) => schema.same(model, name, stands, value.get()),
            (None, Rest::Default) => {
                let default = schema.default_of(model, name).unwrap_or("null");
                schema.same(model, name, default, value.get())
            }
            (None, Rest::Unknown) => false,
            (None, Rest::Unlooked) => true,
        };
        if !stands {
            changed.insert(name.clone().into_owned(), value.get().to_owned());
        }
    }
    // A database without columns stores no nulls. One with columns has dropped this column.
    for (name, stands) in &said.fields {
        let is_null = same(stands, "null");
        if !is_null && row.get(name).is_none() && schema.has(model, name) {
            changed.insert(name.clone().into_owned(), "null".to_owned());
        }
    }
    changed
}
