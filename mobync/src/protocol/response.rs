//! The body of an answer.

use serde::{Deserialize, Serialize};

use crate::{diff::Diff, error::Error};

/// The answer to a sync that went well.
///
/// ```
/// let answer = mobync::SyncResponse::new(7, Vec::new());
/// assert_eq!(
///     serde_json::to_string(&answer)?,
///     r#"{"success":true,"message":"","logical_clock":7,"diffs":[]}"#,
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SyncResponse {
    /// Always true; a failed sync is answered by an [`Error`].
    pub success: bool,
    /// Empty, or one sentence on diffs that had no effect.
    pub message: String,
    /// The clock that the device stores and sends next time, in ticks.
    pub logical_clock: i64,
    /// What the device has not seen, to be applied in this order.
    pub diffs: Vec<Diff>,
    /// The new diffs that were refused, in the order sent. `diffs` undoes them on the device.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
}

impl SyncResponse {
    /// The answer with the owner's clock, in ticks, and what goes back.
    pub fn new(logical_clock: i64, diffs: Vec<Diff>) -> Self {
        Self { success: true, message: String::new(), logical_clock, diffs, refused: Vec::new() }
    }
}

/// A diff that a rule or the database refused, while the request's other diffs stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Refused {
    /// The diff.
    pub diff_id: String,
    /// `forbidden`, `invalid_value` or `constraint`.
    pub code: String,
    /// The sentence that the person reads.
    pub message: String,
}

/// The body of a failure.
#[derive(Serialize)]
pub(crate) struct Failure<'e> {
    success: bool,
    message: String,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff_id: Option<&'e str>,
}

impl Failure<'_> {
    pub(crate) fn new(code: &'static str, message: &str) -> Self {
        Self { success: false, message: message.to_owned(), code, diff_id: None }
    }
}

impl<'e> From<&'e Error> for Failure<'e> {
    fn from(error: &'e Error) -> Self {
        let (code, diff_id) = (error.code(), error.diff_id());
        Self { success: false, message: error.to_string(), code, diff_id }
    }
}
