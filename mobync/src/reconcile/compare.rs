//! What differs between the row of an object and what the log says of it.

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

/// What is known of the tables without a look at their rows.
pub(crate) trait Schema {
    /// Whether the model has a column of that name.
    fn has(&self, model: &str, field: &str) -> bool;
    /// Whether two values, JSON texts, are one to the column.
    fn same(&self, model: &str, field: &str, written: &str, held: &str) -> bool;
    /// The column's constant default, as JSON text.
    fn default_of(&self, model: &str, field: &str) -> Option<&str>;
    /// Less for a model whose rows others refer to.
    fn rank(&self, model: &str) -> usize;
    /// The columns in which a row has the id of another one of its model.
    fn parents(&self, model: &str) -> Vec<&str>;
}

/// The row of an object, as devices are sent it.
#[derive(Debug)]
pub(crate) struct Row<'r> {
    text: &'r str,
    fields: Vec<Field<'r>>,
}

/// What the log says of an object that is alive.
#[derive(Debug)]
pub(crate) struct Said<'s> {
    /// Values by field, as JSON text.
    pub(crate) fields: HashMap<Cow<'s, str>, &'s str>,
    pub(crate) rest: Rest,
}

/// What counts for a column that the log does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// The column's constant default, else null.
    Default,
    /// Nobody knows, as the object is older than the log: any value is another one.
    Unknown,
    /// It is not looked at.
    Unlooked,
}

/// An object whose row differs from what the log says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) model: String,
    pub(crate) id: String,
    /// When its row was changed, in milliseconds since 1970, if that is known.
    pub(crate) at: Option<i64>,
    pub(crate) change: Differs,
    /// The objects of the same model that it refers to.
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
    /// Why the row is no object that a diff can be of, as the end of a sentence.
    pub(crate) fn read(text: &'r str) -> Result<Self, String> {
        json::check(text)?;
        let (id, fields) = read_members(text).map_err(|_| "the id is no text".to_owned())?;
        check_name(&id).map_err(|reason| format!("the id {reason}"))?;
        Ok(Self { text, fields })
    }
}

impl<'s> Said<'s> {
    /// What is said by the JSON text of an object.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn read(text: &'s str, rest: Rest) -> Result<Self, serde_json::Error> {
        let (_, fields) = read_members(text)?;
        let fields = fields.into_iter().map(|(name, value)| (name, value.get())).collect();
        Ok(Self { fields, rest })
    }
}

impl Difference {
    /// What the log lacks of an object, if it lacks anything.
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

    /// Takes out the fields in which the row has what the column makes of the log's value; `written` is
    /// that, as the JSON text of an object. Whether anything is left.
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

    /// The log's values of the fields that differ, but for these, as the JSON text of an object; none if
    /// there are none.
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

/// The fields in which the row has another value than the log, each with the row's.
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
    // A database without columns keeps no nulls; one with columns has dropped this one.
    for (name, stands) in &said.fields {
        let is_null = same(stands, "null");
        if !is_null && row.get(name).is_none() && schema.has(model, name) {
            changed.insert(name.clone().into_owned(), "null".to_owned());
        }
    }
    changed
}
