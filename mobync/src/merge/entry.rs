//! A diff with its json_data parsed, borrowed from its text.

use std::{borrow::Cow, fmt, marker::PhantomData, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::time::{Millis, Tick};
use crate::{
    diff::{Diff, Operation, check_name, object_in},
    error::DatabaseError,
    json::{self, Text},
};

/// A field's name, and the JSON text of its value.
pub(crate) type Field<'a> = (Cow<'a, str>, &'a RawValue);

/// Fields by name. Cheap to clone, because clones share them.
pub(crate) type Fields<'a> = Arc<[Field<'a>]>;

/// A diff, its object's id, and its other fields (none for a delete).
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) diff: &'a Diff,
    pub(crate) object: Cow<'a, str>,
    pub(crate) fields: Fields<'a>,
}

impl<'a> Entry<'a> {
    /// Parses a diff from the network, if its JSON is valid.
    ///
    /// # Errors
    /// What is wrong, as one sentence.
    pub(crate) fn check(diff: &'a Diff) -> Result<Self, String> {
        let text = &*diff.json_data;
        let members = serde_json::from_str::<Members<'_, &RawValue>>(text);
        if !members.as_ref().is_ok_and(Members::are_plain) {
            json::check(text).map_err(|reason| format!("json_data cannot be read: {reason}"))?;
        }
        let members =
            members.map_err(|_| "json_data must be a JSON object, encoded as a string")?;
        let id = members.id.filter(|id| id.get() != "null");
        let id = id.ok_or("json_data must have the id of the object")?;
        let Text(object) =
            serde_json::from_str(id.get()).map_err(|_| "the id in json_data must be a string")?;
        check_name(&object).map_err(|reason| format!("the id in json_data {reason}"))?;
        Ok(Self { diff, object, fields: fields_of(diff.operation, members.fields) })
    }

    /// Reads a diff whose JSON is known to be valid.
    ///
    /// # Errors
    /// If json_data is not a JSON object with a string `id`.
    pub(crate) fn read(diff: &'a Diff) -> Result<Self, serde_json::Error> {
        let (object, fields) = read_members(&diff.json_data)?;
        Ok(Self { diff, object, fields: fields_of(diff.operation, fields) })
    }

    pub(super) fn tick(&self) -> Tick {
        Tick(self.diff.logical_clock)
    }

    pub(super) fn at(&self) -> Millis {
        Millis(self.diff.utc_timestamp)
    }

    /// Reads an entry of the log, which this library wrote.
    pub(crate) fn of_log(diff: &'a Diff) -> Result<Self, DatabaseError> {
        Self::read(diff).map_err(|cause| broken(&diff.id, &cause))
    }
}

/// Whether a reader finds this object and these fields in json_data, each once.
pub(super) fn reads_as<'f>(
    json_data: &str,
    object: &str,
    fields: impl Iterator<Item = (&'f str, &'f str)>,
) -> bool {
    let Ok((found, mut found_fields)) = read_members(json_data) else { return false };
    let mut fields: Vec<_> = fields.collect();
    fields.sort_unstable();
    found_fields.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    let once = found_fields.is_sorted_by(|(left, _), (right, _)| left < right);
    let found_fields = found_fields.iter().map(|(name, value)| (&**name, value.get()));
    once && found == object && found_fields.eq(fields)
}

/// The id of the object of a log entry.
pub(crate) fn object_of(entry: &Diff) -> Result<String, DatabaseError> {
    let object = object_in(&entry.json_data).map_err(|cause| broken(&entry.id, &cause))?;
    Ok(object.into_owned())
}

pub(super) fn broken(entry: &str, cause: &serde_json::Error) -> DatabaseError {
    DatabaseError::failed(format!("log entry {entry}: json_data is broken: {cause}"))
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

/// The id and the fields of an object whose JSON is known to be valid.
pub(crate) fn read_members(
    json_data: &str,
) -> Result<(Cow<'_, str>, Vec<Field<'_>>), serde_json::Error> {
    let Members { id, fields } = serde_json::from_str(json_data)?;
    let Text(object) = id.ok_or_else(|| de::Error::missing_field("id"))?;
    Ok((object, fields))
}

fn fields_of(operation: Operation, fields: Vec<Field<'_>>) -> Fields<'_> {
    if operation == Operation::Delete { Fields::default() } else { fields.into() }
}

/// The members of a JSON object.
struct Members<'a, Id> {
    id: Option<Id>,
    fields: Vec<Field<'a>>,
}

impl<'a> Members<'a, &'a RawValue> {
    /// Whether a quick check shows that readers cannot interpret them differently.
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
}

impl<'de, Id: Deserialize<'de>> Deserialize<'de> for Members<'de, Id> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor<Id>(PhantomData<Id>);

        impl<'de, Id: Deserialize<'de>> Visitor<'de> for MembersVisitor<Id> {
            type Value = Members<'de, Id>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members { id: None, fields: Vec::with_capacity(8) };
                while let Some(Text(name)) = map.next_key()? {
                    if name != "id" {
                        members.fields.push((name, map.next_value()?));
                    } else if members.id.replace(map.next_value()?).is_some() {
                        return Err(de::Error::duplicate_field("id"));
                    }
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}
