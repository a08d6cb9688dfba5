//! The body of an answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{diff::Diff, error::Error};

/// The answer to a successful sync.
///
/// ```
/// let answer = mobync::SyncResponse::new(7, Vec::new());
/// assert_eq!(
///     serde_json::to_string(&answer)?,
///     r#"{"success":true,"message":"","logical_clock":7,"diffs":[]}"#,
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SyncResponse {
    /// Always true; a failed sync is answered by an [`Error`].
    pub success: bool,
    /// Empty, or one sentence about diffs that had no effect.
    pub message: String,
    /// The clock that the device stores and sends next time, in ticks.
    pub logical_clock: i64,
    /// What the device has not seen, to be applied in this order.
    pub diffs: Vec<Diff>,
    /// The new diffs that were refused, in the order sent. `diffs` undoes them on the device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// Identifies the server's history up to `logical_clock`: the device sends it with that clock. `None`
    /// leaves the device's value unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// The owner's clock, in ticks, if this answer is a page as of [`logical_clock`](Self::logical_clock):
    /// there is more to fetch from there on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<i64>,
    /// The values of the request's diffs that others have overridden, if the request asked for a report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<Overridden>,
    /// Checksums of the objects that exist at `logical_clock`, by model, if the request asked for a check.
    /// `None` for a model that cannot be compared, because something of it was removed that the device still has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<BTreeMap<String, Option<Checksum>>>,
    /// The owner, if the request asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

impl SyncResponse {
    /// The answer with the owner's clock, in ticks, and what goes back.
    pub fn new(logical_clock: i64, diffs: Vec<Diff>) -> Self {
        Self {
            success: true,
            message: String::new(),
            logical_clock,
            diffs,
            refused: Vec::new(),
            head: None,
            more: None,
            overridden: Vec::new(),
            check: None,
            owner: None,
        }
    }
}

/// A diff that a rule or the database refused, while the request's other diffs remain valid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Refused {
    /// The diff.
    pub diff_id: String,
    /// `forbidden`, `invalid_value` or `constraint`.
    pub code: String,
    /// The sentence for the person.
    pub message: String,
}

/// A diff of the request with values that others have overridden.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Overridden {
    /// The diff.
    pub diff_id: String,
    /// Its fields that now have another value.
    pub fields: BTreeMap<String, OverriddenField>,
}

/// A field whose current value is not the one that a diff has sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OverriddenField {
    /// The value that the diff has.
    pub sent: serde_json::Value,
    /// The current value; `None` if the object was deleted.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub stands: Option<serde_json::Value>,
    /// The id of the diff that wrote that value, or deleted the object.
    pub by: String,
}

/// A value that is there: null is one, too.
fn present<'de, D: Deserializer<'de>>(json: D) -> Result<Option<serde_json::Value>, D::Error> {
    serde_json::Value::deserialize(json).map(Some)
}

/// Checksums of the existing objects of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Checksum {
    /// The number of objects.
    pub count: u64,
    /// The exclusive or of their ids, 16 hexadecimal digits.
    pub ids: String,
    /// The exclusive or of their values, 16 hexadecimal digits.
    pub values: String,
    /// The constant defaults of columns; values equal to them are not compared.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub defaults: BTreeMap<String, serde_json::Value>,
}

/// The body of a failure.
#[derive(Serialize)]
pub(crate) struct Failure<'e> {
    success: bool,
    message: String,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff_id: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forgotten: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_schema: Option<u64>,
}

impl Failure<'_> {
    pub(crate) fn new(code: &'static str, message: &str) -> Self {
        let message = message.to_owned();
        Self { success: false, message, code, diff_id: None, forgotten: None, min_schema: None }
    }
}

impl<'e> From<&'e Error> for Failure<'e> {
    fn from(error: &'e Error) -> Self {
        let (code, diff_id) = (error.code(), error.diff_id());
        let forgotten = matches!(error, Error::TooOld { forgotten: true }).then_some(true);
        let min_schema = match error {
            Error::UpgradeRequired { min_schema, .. } => Some(*min_schema),
            _ => None,
        };
        Self { success: false, message: error.to_string(), code, diff_id, forgotten, min_schema }
    }
}

/// The answer to one of several requests: that to the request alone, its status, and the value that its
/// `Retry-After` would have.
#[derive(Serialize)]
pub(crate) struct OneOfSeveral<'a, A> {
    pub(crate) status: u16,
    #[serde(flatten)]
    pub(crate) answer: &'a A,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_that_stands_is_read_as_null_and_not_as_a_deleted_object() {
        for stands in [None, Some(serde_json::Value::Null), Some(serde_json::json!({"a": null}))] {
            let field = OverriddenField { sent: 7.into(), stands, by: "d1".to_owned() };
            let json = serde_json::to_string(&field).unwrap();
            assert_eq!(serde_json::from_str::<OverriddenField>(&json).unwrap(), field, "{json}");
        }
    }
}
