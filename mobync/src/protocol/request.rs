//! The body of a request.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    check::{natural, read_diff, string},
    json,
};
use crate::{Diff, Error};

/// The body of a sync request.
///
/// ```
/// use mobync::SyncRequest;
///
/// let body = br#"{"auth_token": "secret", "logical_clock": 3, "diffs": []}"#;
/// let request = SyncRequest::from_slice(body)?;
/// assert_eq!((request.logical_clock, request.diffs.len()), (3, 0));
/// # Ok::<(), mobync::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SyncRequest {
    /// The token, where it is not in an `Authorization` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<String>,
    /// The clock of the device's last successful sync, in ticks; 0 on a new device.
    pub logical_clock: i64,
    /// The device's pending changes, oldest first.
    pub diffs: Vec<Diff>,
}

impl SyncRequest {
    /// The request of a device at that clock, in ticks, with its pending changes.
    pub fn new(logical_clock: i64, diffs: Vec<Diff>) -> Self {
        Self { auth_token: None, logical_clock, diffs }
    }

    /// Reads a body, strictly where the protocol is strict.
    ///
    /// What the diffs' json_data holds is checked by [`Mobync::apply`](crate::Mobync::apply).
    ///
    /// # Errors
    /// [`Error::InvalidJson`], [`Error::InvalidRequest`] or [`Error::InvalidDiff`].
    pub fn from_slice(body: &[u8]) -> Result<Self, Error> {
        Envelope::from_slice(body)?.into_request(usize::MAX)
    }
}

impl std::fmt::Debug for SyncRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SyncRequest")
            .field("auth_token", &self.auth_token.as_ref().map(|_| "…"))
            .field("logical_clock", &self.logical_clock)
            .field("diffs", &self.diffs)
            .finish()
    }
}

/// A body that is sound JSON, with its members not yet looked at: the token comes before them.
#[derive(Default, Deserialize)]
pub(crate) struct Envelope<'a> {
    #[serde(borrow)]
    auth_token: Option<&'a RawValue>,
    #[serde(borrow)]
    logical_clock: Option<&'a RawValue>,
    #[serde(borrow)]
    diffs: Option<&'a RawValue>,
    #[serde(skip)]
    is_object: bool,
}

impl<'a> Envelope<'a> {
    /// # Errors
    /// [`Error::InvalidJson`] if two readers could take the body differently, or none can.
    pub(crate) fn from_slice(body: &'a [u8]) -> Result<Self, Error> {
        let text = std::str::from_utf8(body).map_err(|cause| {
            Error::InvalidJson(format!("it is not UTF-8 at byte {}", cause.valid_up_to()))
        })?;
        json::check(text).map_err(Error::InvalidJson)?;
        if !text.trim_start().starts_with('{') {
            return Ok(Self::default());
        }
        let envelope: Self =
            serde_json::from_str(text).map_err(|cause| Error::InvalidJson(cause.to_string()))?;
        Ok(Self { is_object: true, ..envelope })
    }

    /// The `auth_token`, if it is a string.
    pub(crate) fn auth_token(&self) -> Option<String> {
        self.auth_token.and_then(string)
    }

    /// Looks at the members; of diffs at most that many.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`], [`Error::InvalidDiff`], or [`Error::PayloadTooLarge`] if there are
    /// more diffs.
    pub(crate) fn into_request(self, max_diffs: usize) -> Result<SyncRequest, Error> {
        let invalid = |reason: &str| Error::InvalidRequest(reason.to_owned());
        if !self.is_object {
            return Err(invalid("the body must be a JSON object"));
        }
        let clock = self.logical_clock.ok_or_else(|| invalid("logical_clock is missing"))?;
        let logical_clock = read_clock(clock).ok_or_else(|| {
            invalid(
                "logical_clock must be an integer from 0 to 2^63 − 1, or a string of its digits",
            )
        })?;
        let diffs = self.diffs.ok_or_else(|| invalid("diffs is missing"))?;
        let diffs: Vec<&RawValue> =
            serde_json::from_str(diffs.get()).map_err(|_| invalid("diffs must be an array"))?;
        check_count(diffs.len(), max_diffs)?;
        let diffs = diffs.into_iter().enumerate().map(|(place, diff)| read_diff(place, diff));
        Ok(SyncRequest {
            auth_token: self.auth_token(),
            logical_clock,
            diffs: diffs.collect::<Result<_, _>>()?,
        })
    }
}

/// # Errors
/// [`Error::PayloadTooLarge`] if there are more diffs than that.
pub(crate) fn check_count(diffs: usize, max_diffs: usize) -> Result<(), Error> {
    if diffs <= max_diffs {
        return Ok(());
    }
    Err(Error::PayloadTooLarge(format!(
        "The request has {diffs} diffs, but at most {max_diffs} are taken at once: send them in \
         several requests."
    )))
}

/// An integer, or, as the Python server takes it, a string of decimal digits.
fn read_clock(clock: &RawValue) -> Option<i64> {
    match string(clock) {
        Some(digits) => {
            natural(&digits).filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
        }
        None => natural(clock.get()),
    }
}
