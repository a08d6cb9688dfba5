//! The body of a request.

use std::ops::Not;

use serde::{
    Serialize,
    de::{MapAccess, SeqAccess},
};

use super::{
    batch::{Member, Syncs},
    check::Members,
};
use crate::{
    diff::Diff,
    error::Error,
    grant::{AsWhom, Grant},
    http::Held,
    json::{self, FromJson, Json, Names, Text, Value},
};

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
    /// The token, if it is not in an `Authorization` header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<String>,
    /// The clock of the device's last successful sync, in ticks; 0 on a new device.
    pub logical_clock: i64,
    /// The device's pending changes, oldest first.
    pub diffs: Vec<Diff>,
    /// The `head` of the last answer that had one; empty if none had. An answer only has a head if this is
    /// set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// The greatest number of log entries that one answer covers, at least 1. If there are more, the answer
    /// is a page, as of an earlier clock. Ignored if there are diffs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Whether the answer lists the values that others have overridden.
    #[serde(skip_serializing_if = "Not::not")]
    pub report: bool,
    /// Whether the answer has checksums of the existing objects. Ignored if there are diffs.
    #[serde(skip_serializing_if = "Not::not")]
    pub check: bool,
    /// The version of the schema that the app has, at least 1; see [`schema`](crate::schema).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<u64>,
    /// The owner of the device's database; empty if the device does not know. Another owner's request fails,
    /// and an answer only names the owner if this is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// As whom it writes.
    #[serde(skip)]
    pub(crate) as_whom: AsWhom,
    /// The request's share of the bytes that a server holds at once.
    #[serde(skip)]
    held: Held,
}

impl SyncRequest {
    /// The request of a device at that clock, in ticks, with its pending changes.
    pub fn new(logical_clock: i64, diffs: Vec<Diff>) -> Self {
        Self {
            auth_token: None,
            logical_clock,
            diffs,
            head: None,
            limit: None,
            report: false,
            check: false,
            schema: None,
            owner: None,
            as_whom: AsWhom::default(),
            held: Held::default(),
        }
    }

    /// Reads a body, as strictly as the protocol requires.
    ///
    /// [`Mobync::apply`](crate::Mobync::apply) checks the contents of the diffs' json_data.
    ///
    /// # Errors
    /// [`Error::InvalidJson`], [`Error::InvalidRequest`] or [`Error::InvalidDiff`]. Several requests in one
    /// (`syncs`) are an [`Error::InvalidRequest`]: only the [`Endpoint`](crate::http::Endpoint) takes them.
    pub fn from_slice(body: &[u8]) -> Result<Self, Error> {
        <Envelope<'_>>::from_slice(body)?.into_request(usize::MAX)
    }

    /// The same request, with what the person may do. [`authenticate`](crate::http::authenticate) has done this
    /// already.
    #[must_use]
    pub fn granted(self, grant: &Grant) -> Self {
        Self { as_whom: grant.as_whom.clone(), ..self }
    }

    /// The same request, counted as held until it is dropped.
    pub(crate) fn holding(self, held: impl Into<Held>) -> Self {
        Self { held: held.into(), ..self }
    }
}

impl std::fmt::Debug for SyncRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SyncRequest")
            .field("auth_token", &self.auth_token.as_ref().map(|_| "…"))
            .field("logical_clock", &self.logical_clock)
            .field("diffs", &self.diffs)
            .field("head", &self.head)
            .field("limit", &self.limit)
            .field("report", &self.report)
            .field("check", &self.check)
            .field("schema", &self.schema)
            .field("owner", &self.owner)
            .field("as_whom", &self.as_whom)
            .finish_non_exhaustive()
    }
}

/// What a body asks for.
#[derive(Debug)]
pub(crate) enum Requests {
    One(SyncRequest),
    /// Those of `syncs`, in their order, and the owner of the person's own data, if it is beside them.
    Several(Vec<Member>, Option<String>),
}

/// A request that is valid JSON, with its members not yet checked: the token is checked before them. `S` is
/// what `syncs` is read as.
pub(crate) struct Envelope<'a, S = Syncs<'a>> {
    auth_token: Option<Value<'a>>,
    logical_clock: Option<Value<'a>>,
    diffs: Option<Diffs>,
    head: Option<Value<'a>>,
    limit: Option<Value<'a>>,
    report: Option<Value<'a>>,
    check: Option<Value<'a>>,
    schema: Option<Value<'a>>,
    owner: Option<Value<'a>>,
    syncs: Option<S>,
    /// Only read where the request is one of several.
    pub(super) space: Option<Value<'a>>,
    pub(super) is_object: bool,
}

impl<S> Default for Envelope<'_, S> {
    fn default() -> Self {
        Self {
            auth_token: None,
            logical_clock: None,
            diffs: None,
            head: None,
            limit: None,
            report: None,
            check: None,
            schema: None,
            owner: None,
            syncs: None,
            space: None,
            is_object: false,
        }
    }
}

impl<'a> Envelope<'a> {
    /// # Errors
    /// [`Error::InvalidJson`] if two readers could interpret the body differently, or none can read it.
    pub(crate) fn from_slice(body: &'a [u8]) -> Result<Self, Error> {
        // Some editors and libraries add a byte order mark.
        let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
        let text = std::str::from_utf8(body).map_err(|cause| {
            Error::InvalidJson(format!("it is not UTF-8 at byte {}", cause.valid_up_to()))
        })?;
        json::read(text).map_err(Error::InvalidJson)
    }

    /// Whether it is several requests in one.
    pub(crate) fn is_several(&self) -> bool {
        self.syncs.is_some()
    }

    /// Checks the members; at most that many diffs are accepted, in all requests together.
    ///
    /// # Errors
    /// As [`into_request`](Self::into_request), if it is one request. If it is several, what is wrong with them
    /// as a whole.
    pub(crate) fn into_requests(mut self, max_diffs: usize) -> Result<Requests, Error> {
        let Some(syncs) = self.syncs.take() else {
            return self.into_request(max_diffs).map(Requests::One);
        };
        let is_there = |clock: &Value<'_>| !matches!(clock, Value::Null);
        let has_diffs = self.diffs.as_ref().is_some_and(|diffs| !matches!(diffs, Diffs::Missing));
        if self.logical_clock.as_ref().is_some_and(is_there) || has_diffs {
            let reason = "logical_clock and diffs must be in the elements of syncs, not beside it";
            return Err(Error::InvalidRequest(reason.to_owned()));
        }
        let owner = read_text("owner", self.owner.take())?;
        Ok(Requests::Several(syncs.into_members(max_diffs)?, owner))
    }
}

impl<S> Envelope<'_, S> {
    /// The `auth_token`, if it is a string.
    pub(crate) fn auth_token(&self) -> Option<String> {
        match &self.auth_token {
            Some(Value::Text(token)) => Some(token.clone().into_owned()),
            _ => None,
        }
    }

    /// Checks the members; at most that many diffs are accepted.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`], [`Error::InvalidDiff`], or [`Error::PayloadTooLarge`] if there are
    /// more diffs.
    pub(crate) fn into_request(self, max_diffs: usize) -> Result<SyncRequest, Error> {
        let invalid = |reason: &str| Error::InvalidRequest(reason.to_owned());
        if !self.is_object {
            return Err(invalid("the body must be a JSON object"));
        }
        if self.syncs.is_some() {
            return Err(not_several());
        }
        let auth_token = self.auth_token();
        let logical_clock = match self.logical_clock {
            None | Some(Value::Null) => return Err(invalid("logical_clock is missing")),
            Some(clock) => read_clock(&clock).ok_or_else(|| {
                invalid(
                    "logical_clock must be an integer from 0 to 2^63 − 1, or a string of its digits",
                )
            })?,
        };
        let head = read_text("head", self.head)?;
        let owner = read_text("owner", self.owner)?;
        let limit = read_positive("limit", self.limit.as_ref())?;
        let schema = read_positive("schema", self.schema.as_ref())?;
        let report = read_flag("report", self.report.as_ref())?;
        let check = read_flag("check", self.check.as_ref())?;
        let diffs = match self.diffs {
            None | Some(Diffs::Missing) => return Err(invalid("diffs is missing")),
            Some(Diffs::Other) => return Err(invalid("diffs must be an array")),
            Some(Diffs::Array { read, count }) => {
                check_count(count, max_diffs)?;
                read?
            }
        };
        let asked = SyncRequest::new(logical_clock, diffs);
        Ok(SyncRequest { auth_token, head, limit, report, check, schema, owner, ..asked })
    }

    /// The number of its diffs.
    pub(super) fn count(&self) -> usize {
        if let Some(Diffs::Array { count, .. }) = &self.diffs { *count } else { 0 }
    }
}

impl<'a, S: FromJson<'a>> FromJson<'a> for Envelope<'a, S> {
    fn of_value(_: Value<'a>) -> Self {
        Self::default()
    }

    fn of_object<A: MapAccess<'a>>(mut object: A) -> Result<Self, A::Error> {
        let mut envelope = Self { is_object: true, ..Self::default() };
        let mut names = Names::default();
        while let Some(Text(name)) = object.next_key()? {
            names.insert(name.clone())?;
            match &*name {
                "auth_token" => envelope.auth_token = Some(object.next_value::<Json<_>>()?.0),
                "logical_clock" => envelope.logical_clock = Some(object.next_value::<Json<_>>()?.0),
                "diffs" => envelope.diffs = Some(object.next_value::<Json<_>>()?.0),
                "head" => envelope.head = Some(object.next_value::<Json<_>>()?.0),
                "limit" => envelope.limit = Some(object.next_value::<Json<_>>()?.0),
                "report" => envelope.report = Some(object.next_value::<Json<_>>()?.0),
                "schema" => envelope.schema = Some(object.next_value::<Json<_>>()?.0),
                "owner" => envelope.owner = Some(object.next_value::<Json<_>>()?.0),
                "check" => envelope.check = Some(object.next_value::<Json<_>>()?.0),
                "syncs" => envelope.syncs = object.next_value::<Json<_>>()?.0,
                "space" => envelope.space = Some(object.next_value::<Json<_>>()?.0),
                _ => drop(object.next_value::<Json<Value<'_>>>()?),
            }
        }
        Ok(envelope)
    }
}

/// The diffs of a request.
enum Diffs {
    Missing,
    Other,
    /// All of them, or what is wrong with the first invalid one; and their number.
    Array {
        read: Result<Vec<Diff>, Error>,
        count: usize,
    },
}

impl<'a> FromJson<'a> for Diffs {
    fn of_value(value: Value<'a>) -> Self {
        if matches!(value, Value::Null) { Self::Missing } else { Self::Other }
    }

    fn of_array<A: SeqAccess<'a>>(mut array: A) -> Result<Self, A::Error> {
        let (mut read, mut count) = (Ok(Vec::new()), 0);
        while let Some(Json(members)) = array.next_element::<Json<Members<'_>>>()? {
            if let Ok(diffs) = &mut read {
                match members.into_diff(count) {
                    Ok(diff) => diffs.push(diff),
                    Err(error) => read = Err(error),
                }
            }
            count += 1;
        }
        Ok(Self::Array { read, count })
    }
}

/// Where only one request is taken.
pub(crate) fn not_several() -> Error {
    Error::InvalidRequest("several requests in one (syncs) are not taken here".to_owned())
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

/// # Errors
/// [`Error::InvalidRequest`] if the member is neither missing nor a string.
fn read_text(name: &str, member: Option<Value<'_>>) -> Result<Option<String>, Error> {
    match member {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.into_owned())),
        Some(_) => Err(Error::InvalidRequest(format!("{name} must be a string"))),
    }
}

/// # Errors
/// [`Error::InvalidRequest`] if the member is neither missing nor a positive integer.
fn read_positive(name: &str, member: Option<&Value<'_>>) -> Result<Option<u64>, Error> {
    match member {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Integer(number @ 1..)) => Ok(Some(number.unsigned_abs())),
        Some(_) => {
            Err(Error::InvalidRequest(format!("{name} must be an integer from 1 to 2^63 − 1")))
        }
    }
}

/// # Errors
/// [`Error::InvalidRequest`] if the member is neither missing nor a boolean.
fn read_flag(name: &str, member: Option<&Value<'_>>) -> Result<bool, Error> {
    match member {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(Error::InvalidRequest(format!("{name} must be true or false"))),
    }
}

/// An integer, or a string of decimal digits, which the Python server also accepts.
fn read_clock(clock: &Value<'_>) -> Option<i64> {
    match clock {
        Value::Integer(clock @ 0..) => Some(*clock),
        Value::Text(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().ok()
        }
        _ => None,
    }
}
