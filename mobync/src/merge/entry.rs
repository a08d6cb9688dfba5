//! A diff with the JSON of its json_data laid open, borrowed from its text.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    DatabaseError, Diff, Operation,
    diff::check_name,
    json::{self, Text},
};

/// Fields by name, each with its JSON text. What shares them is cheap to clone.
pub(crate) type Fields<'a> = Arc<[(Cow<'a, str>, &'a RawValue)]>;

/// A diff, its object's id, and the fields it has but the id (none of a delete).
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) diff: &'a Diff,
    pub(crate) object: Cow<'a, str>,
    pub(crate) fields: Fields<'a>,
}

impl<'a> Entry<'a> {
    /// Lays open a diff from the network, if its JSON is sound.
    ///
    /// # Errors
    /// What is wrong, as one sentence.
    pub(crate) fn check(diff: &'a Diff) -> Result<Self, String> {
        let text = &*diff.json_data;
        let members = serde_json::from_str::<Members<'_>>(text);
        if !members.as_ref().is_ok_and(Members::are_plain) {
            json::check(text).map_err(|reason| format!("json_data is not valid: {reason}"))?;
        }
        let members =
            members.map_err(|_| "json_data must be a JSON object, encoded as a string")?;
        let id = members.id.filter(|id| id.get() != "null");
        let id = id.ok_or("json_data must have the id of the object")?;
        let Text(object) =
            serde_json::from_str(id.get()).map_err(|_| "the id in json_data must be a string")?;
        check_name(&object).map_err(|reason| format!("the id in json_data {reason}"))?;
        Ok(Self { diff, object, fields: members.fields_of(diff.operation) })
    }

    /// Reads a diff whose JSON is known to be sound.
    ///
    /// # Errors
    /// If json_data is no JSON object with a string `id`.
    pub(crate) fn read(diff: &'a Diff) -> Result<Self, serde_json::Error> {
        let members: Members<'_> = serde_json::from_str(&diff.json_data)?;
        let id = members.id.ok_or_else(|| de::Error::missing_field("id"))?;
        let Text(object) = serde_json::from_str(id.get())?;
        Ok(Self { diff, object, fields: members.fields_of(diff.operation) })
    }

    /// Reads an entry of the log, which this library wrote.
    pub(crate) fn of_log(diff: &'a Diff) -> Result<Self, DatabaseError> {
        Self::read(diff).map_err(|cause| {
            DatabaseError::failed(format!("log entry {}: json_data is broken: {cause}", diff.id))
        })
    }
}

/// The id of the object that a log entry is of.
pub(crate) fn object_of(entry: &Diff) -> Result<String, DatabaseError> {
    Entry::of_log(entry).map(|entry| entry.object.into_owned())
}

/// The JSON text of an object with that id and those fields.
pub(crate) fn encode<'f>(
    id: &str,
    fields: impl Iterator<Item = (&'f str, &'f str)> + Clone,
) -> String {
    let length: usize = fields.clone().map(|(name, value)| name.len() + value.len() + 4).sum();
    let mut json = String::with_capacity(id.len() + length + 9);
    json.push_str("{\"id\":");
    push_string(&mut json, id);
    for (name, value) in fields {
        json.push(',');
        push_string(&mut json, name);
        json.push(':');
        json.push_str(value);
    }
    json.push('}');
    json
}

pub(crate) fn push_string(json: &mut String, text: &str) {
    if text.bytes().any(|byte| matches!(byte, b'"' | b'\\' | ..b' ')) {
        json.push_str(&serde_json::Value::from(text).to_string());
    } else {
        json.push('"');
        json.push_str(text);
        json.push('"');
    }
}

/// The members of a JSON object.
struct Members<'a> {
    id: Option<&'a RawValue>,
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Members<'a> {
    /// Whether there is nothing in them that readers could take differently, told at a glance.
    fn are_plain(&self) -> bool {
        let fields = &self.fields;
        let comes_twice = |(place, name): (usize, &Cow<'a, str>)| {
            fields.iter().take(place).any(|(other, _)| other == name)
        };
        self.id.is_none_or(|id| json::is_plain(id.get()))
            && fields.iter().all(|(_, value)| json::is_plain(value.get()))
            && fields.len() <= json::FEW
            && !fields.iter().map(|(name, _)| name).enumerate().any(comes_twice)
    }

    fn fields_of(self, operation: Operation) -> Fields<'a> {
        if operation == Operation::Delete { Fields::default() } else { self.fields.into() }
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Members { id: None, fields: Vec::with_capacity(8) };
                while let Some((Text(name), value)) = map.next_entry()? {
                    if name != "id" {
                        members.fields.push((name, value));
                    } else if members.id.replace(value).is_some() {
                        return Err(de::Error::duplicate_field("id"));
                    }
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}
