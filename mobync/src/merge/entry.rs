//! A diff with the JSON of its json_data laid open, borrowed from its text.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{DatabaseError, Diff, Operation};

/// Fields by name, each with its JSON text.
pub(crate) type Fields<'a> = Vec<(Cow<'a, str>, &'a RawValue)>;

/// A diff, its object's id, and the fields it has but the id (none of a delete).
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) diff: &'a Diff,
    pub(crate) object: Cow<'a, str>,
    pub(crate) fields: Fields<'a>,
}

impl<'a> Entry<'a> {
    /// Reads a diff whose JSON is known to be sound.
    ///
    /// # Errors
    /// If json_data is no JSON object with a string `id`.
    pub(crate) fn read(diff: &'a Diff) -> Result<Self, serde_json::Error> {
        let Members(members) = serde_json::from_str(&diff.json_data)?;
        let mut object = None;
        let mut fields = Fields::with_capacity(members.len());
        for (name, value) in members {
            if name == "id" {
                let Text(id) = serde_json::from_str(value.get())?;
                object = Some(id);
            } else if diff.operation != Operation::Delete {
                fields.push((name, value));
            }
        }
        let object = object.ok_or_else(|| de::Error::missing_field("id"))?;
        Ok(Self { diff, object, fields })
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
pub(crate) fn encode<'f>(id: &str, fields: impl IntoIterator<Item = (&'f str, &'f str)>) -> String {
    let mut json = String::from("{\"id\":");
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
    json.push_str(&serde_json::Value::from(text).to_string());
}

/// A JSON string, borrowed where it has no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(TextVisitor)
    }
}

struct Members<'a>(Fields<'a>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Fields::new();
                while let Some((Text(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}
