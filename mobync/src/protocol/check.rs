//! The rules that one diff must keep.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json;
use crate::{Diff, Error, Operation, diff::check_name, error::shorten};

/// Checks the ranges and the json_data of a diff.
///
/// # Errors
/// [`Error::InvalidDiff`] that names the diff and what is wrong.
pub(crate) fn check_diff(diff: &Diff) -> Result<(), Error> {
    let diff_id = check_name(&diff.id).is_ok().then(|| diff.id.clone());
    find_fault(diff).map_err(|reason| Error::InvalidDiff { diff_id, reason })
}

fn find_fault(diff: &Diff) -> Result<(), String> {
    check_name(&diff.id).map_err(|reason| format!("id {reason}"))?;
    check_name(&diff.model).map_err(|reason| format!("model {reason}"))?;
    for (name, number) in
        [("logical_clock", diff.logical_clock), ("utc_timestamp", diff.utc_timestamp)]
    {
        if number < 0 {
            return Err(format!("{name} must not be negative"));
        }
    }
    json::check(&diff.json_data).map_err(|reason| format!("json_data is not valid: {reason}"))?;
    let object: Object<'_> = serde_json::from_str(&diff.json_data)
        .map_err(|_| "json_data must be a JSON object, encoded as a string".to_owned())?;
    let id = object.id.ok_or("json_data must have the id of the object")?;
    let id = string(id).ok_or("the id in json_data must be a string")?;
    check_name(&id).map_err(|reason| format!("the id in json_data {reason}"))
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
}

/// The members of a diff, before their types are looked at.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    owner: Option<&'a RawValue>,
    #[serde(borrow)]
    logical_clock: Option<&'a RawValue>,
    #[serde(borrow)]
    utc_timestamp: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    operation: Option<&'a RawValue>,
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    json_data: Option<&'a RawValue>,
}

/// Reads the diff at `place` of a request, whose JSON is sound.
///
/// # Errors
/// [`Error::InvalidDiff`] that names the diff and the member.
pub(super) fn read_diff(place: usize, json: &RawValue) -> Result<Diff, Error> {
    let fault = |diff_id, reason| Error::InvalidDiff { diff_id, reason };
    if !json.get().starts_with('{') {
        return Err(fault(None, format!("diffs[{place}] must be an object")));
    }
    let members: Members<'_> =
        serde_json::from_str(json.get()).map_err(|cause| fault(None, cause.to_string()))?;
    let id = members.id.and_then(string).filter(|id| check_name(id).is_ok());
    members.read().map_err(|reason| fault(id, format!("diffs[{place}]: {reason}")))
}

impl Members<'_> {
    fn read(&self) -> Result<Diff, String> {
        let operation = text("type", self.operation)?;
        Ok(Diff {
            id: text("id", self.id)?,
            owner: text("owner", self.owner)?,
            logical_clock: integer("logical_clock", self.logical_clock)?,
            utc_timestamp: integer("utc_timestamp", self.utc_timestamp)?,
            operation: Operation::parse(&operation).ok_or_else(|| {
                let got = shorten(&operation);
                format!("type must be \"create\", \"update\" or \"delete\", not \"{got}\"")
            })?,
            model: text("model", self.model)?,
            json_data: text("json_data", self.json_data)?,
        })
    }
}

fn text(name: &str, value: Option<&RawValue>) -> Result<String, String> {
    value.and_then(string).ok_or_else(|| match value {
        None => format!("{name} is missing"),
        Some(_) => format!("{name} must be a string"),
    })
}

fn integer(name: &str, value: Option<&RawValue>) -> Result<i64, String> {
    let value = value.ok_or_else(|| format!("{name} is missing"))?;
    natural(value.get()).ok_or_else(|| format!("{name} must be an integer from 0 to 2^63 − 1"))
}

/// The JSON string.
pub(super) fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// The JSON integer, if it is not negative.
pub(super) fn natural(value: &str) -> Option<i64> {
    value.parse().ok().filter(|number| *number >= 0)
}
