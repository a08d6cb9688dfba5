//! The rules for a single diff.

use std::borrow::Cow;

use serde::de::MapAccess;

use crate::{
    diff::{Diff, Operation, check_name},
    error::{Error, shorten},
    json::{self, FromJson, Json, Names, Text, Value},
    merge::Entry,
};

/// Checks the ranges and the json_data of a diff, and parses it.
///
/// # Errors
/// [`Error::InvalidDiff`] that names the diff and what is wrong.
pub(crate) fn check_diff(diff: &Diff) -> Result<Entry<'_>, Error> {
    check_ranges(diff).and_then(|()| Entry::check(diff)).map_err(|reason| {
        let diff_id = check_name(&diff.id).is_ok().then(|| diff.id.clone());
        Error::InvalidDiff { diff_id, reason }
    })
}

fn check_ranges(diff: &Diff) -> Result<(), String> {
    check_name(&diff.id).map_err(|reason| format!("id {reason}"))?;
    check_name(&diff.model).map_err(|reason| format!("model {reason}"))?;
    for (name, number) in
        [("logical_clock", diff.logical_clock), ("utc_timestamp", diff.utc_timestamp)]
    {
        if number < 0 {
            return Err(format!("{name} must not be negative"));
        }
    }
    Ok(())
}

/// The members of a diff, before their types are checked.
#[derive(Default)]
pub(super) struct Members<'a> {
    id: Option<Value<'a>>,
    owner: Option<Value<'a>>,
    logical_clock: Option<Value<'a>>,
    utc_timestamp: Option<Value<'a>>,
    operation: Option<Value<'a>>,
    model: Option<Value<'a>>,
    json_data: Option<Value<'a>>,
    is_object: bool,
}

impl<'a> FromJson<'a> for Members<'a> {
    fn of_value(_: Value<'a>) -> Self {
        Self::default()
    }

    fn of_object<A: MapAccess<'a>>(mut object: A) -> Result<Self, A::Error> {
        let mut members = Self { is_object: true, ..Self::default() };
        let mut names = Names::default();
        while let Some(Text(name)) = object.next_key()? {
            let member = match &*name {
                "id" => Some(&mut members.id),
                "owner" => Some(&mut members.owner),
                "logical_clock" => Some(&mut members.logical_clock),
                "utc_timestamp" => Some(&mut members.utc_timestamp),
                "type" => Some(&mut members.operation),
                "model" => Some(&mut members.model),
                "json_data" => Some(&mut members.json_data),
                _ => None,
            };
            match member {
                None => {
                    names.insert(name)?;
                    object.next_value::<Json<Value<'_>>>()?;
                }
                Some(Some(_)) => return Err(json::twice(&name)),
                Some(member) => *member = Some(object.next_value::<Json<_>>()?.0),
            }
        }
        Ok(members)
    }
}

impl Members<'_> {
    /// The diff at `place` of a request.
    ///
    /// # Errors
    /// [`Error::InvalidDiff`] that names the diff and the member.
    pub(super) fn into_diff(mut self, place: usize) -> Result<Diff, Error> {
        if !self.is_object {
            let reason = format!("it must be an object (diffs[{place}])");
            return Err(Error::InvalidDiff { diff_id: None, reason });
        }
        self.read().map_err(|reason| Error::InvalidDiff {
            diff_id: string("id", &mut self.id).ok().filter(|id| check_name(id).is_ok()),
            reason: format!("{reason} (diffs[{place}])"),
        })
    }

    fn read(&mut self) -> Result<Diff, String> {
        let operation = text("type", &mut self.operation)?;
        Ok(Diff {
            owner: string("owner", &mut self.owner)?,
            logical_clock: natural("logical_clock", self.logical_clock.as_ref())?,
            utc_timestamp: natural("utc_timestamp", self.utc_timestamp.as_ref())?,
            operation: Operation::parse(&operation).ok_or_else(|| {
                let got = shorten(&operation);
                format!("type must be \"create\", \"update\" or \"delete\", not \"{got}\"")
            })?,
            model: string("model", &mut self.model)?,
            json_data: string("json_data", &mut self.json_data)?,
            // Last, so that errors of other members can name it.
            id: string("id", &mut self.id)?,
        })
    }
}

fn string(name: &str, member: &mut Option<Value<'_>>) -> Result<String, String> {
    text(name, member).map(Cow::into_owned)
}

/// Takes a string out of its member.
fn text<'a>(name: &str, member: &mut Option<Value<'a>>) -> Result<Cow<'a, str>, String> {
    match member {
        Some(Value::Text(text)) => Ok(std::mem::take(text)),
        None | Some(Value::Null) => Err(format!("{name} is missing")),
        Some(_) => Err(format!("{name} must be a string")),
    }
}

fn natural(name: &str, member: Option<&Value<'_>>) -> Result<i64, String> {
    match member {
        Some(Value::Integer(number @ 0..)) => Ok(*number),
        None | Some(Value::Null) => Err(format!("{name} is missing")),
        Some(_) => Err(format!("{name} must be an integer from 0 to 2^63 − 1")),
    }
}
