//! Everything that can fail: one error for a sync, one for a database.

mod database;

use std::{borrow::Cow, error::Error as StdError, fmt, time::Duration};

use ::http::StatusCode;

pub(crate) use self::database::BoxError;
pub use self::database::DatabaseError;

/// Why a sync failed. Nothing of it was applied, unless the sentence of an [`Internal`](Self::Internal)
/// or [`Busy`](Self::Busy) says otherwise: for example because the connection to the database was lost
/// during the commit. Send the same request again. It is idempotent.
///
/// Every error has a [`code`](Self::code) for programs, a [`status`](Self::status) for HTTP and one
/// sentence for people ([`Display`](std::fmt::Display)):
///
/// | status | code | when |
/// | --- | --- | --- |
/// | 400 | `invalid_json` | the body is not JSON, or JSON that two readers could take differently |
/// | 400 | `invalid_request` | JSON that is no object, or a missing or mistyped member |
/// | 400 | `invalid_diff` | a diff that breaks a rule of the wire format |
/// | 401 | `unauthenticated` | no token, an empty one, or one that the auth closure does not take |
/// | 403 | `forbidden` | the auth closure forbids; or a rule does, where requests are all or nothing |
/// | 403 | `no_member` | the person is no member of the space, or there is no such space; or they have no data of their own |
/// | 403 | `other_owner` | the device's database belongs to another owner |
/// | 405 | `method_not_allowed` | the method is not POST |
/// | 409 | `clock_ahead` | the device's clock is greater than the server's |
/// | 409 | `other_history` | the log does not have the device's head |
/// | 410 | `too_old` | the device has not synced for longer than the log goes back |
/// | 413 | `payload_too_large` | the body is over the limit, has too many diffs or spaces, or the diffs take too long together |
/// | 415 | `unsupported_media_type` | the body is not `application/json`, or is compressed |
/// | 426 | `upgrade_required` | the device's schema is too old |
/// | 422 | `unknown_model`, `unknown_field` | device and server disagree about the schema |
/// | 422 | `invalid_value`, `constraint` | the database refuses a diff, where requests are all or nothing |
/// | 429 | `too_many_listeners` | the owner has as many live streams as one may have |
/// | 500 | `internal` | the database failed; the cause is in [`source`](std::error::Error::source) |
/// | 503 | `busy` | the database is locked, its pool is empty, a time limit ran out; try again |
///
/// ```
/// let error = mobync::Error::ClockAhead { device: 9, server: 4 };
/// assert_eq!((error.status().as_u16(), error.code()), (409, "clock_ahead"));
/// ```
///
/// `Debug` shows the sentence and its causes, so that a `main` that returns the error prints them. Do not
/// send it to clients.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The body is not JSON, or JSON that two readers could take differently.
    #[error("The body is not valid JSON: {0}.")]
    InvalidJson(String),
    /// JSON that is no object, or a missing or mistyped member.
    #[error("The request is not valid: {0}.")]
    InvalidRequest(String),
    /// A diff that breaks a rule of the wire format.
    #[error("{} is not valid: {reason}.", name(diff_id.as_deref()))]
    InvalidDiff {
        /// The diff's id, if it has a usable one.
        diff_id: Option<String>,
        /// What is wrong and where.
        reason: String,
    },
    /// There is no token, an empty one, or one that the auth closure rejects.
    #[error("{0}")]
    Unauthenticated(Cow<'static, str>),
    /// The auth closure forbids the request; or a rule forbids a diff, where requests are all or
    /// nothing.
    #[error("{reason}")]
    Forbidden {
        /// The diff that causes the error, if there is one.
        diff_id: Option<String>,
        /// The sentence that the person reads.
        reason: Cow<'static, str>,
    },
    /// The person is no member of the space that the request names, or there is no such space; or, without a
    /// space, they have no data of their own.
    #[error("{0}")]
    NoMember(Cow<'static, str>),
    /// The device's database belongs to another owner than the one who is signed in.
    #[error("The data on this device belongs to another account: sign in to that one.")]
    OtherOwner,
    /// The method is not POST.
    #[error("Only POST is allowed here, with a sync request as its body.")]
    MethodNotAllowed,
    /// The body is not `application/json`, or has a content encoding that nothing in front decoded.
    #[error("{0}")]
    UnsupportedMediaType(&'static str),
    /// The body is over the limit, or has too many diffs or spaces.
    #[error("{0}")]
    PayloadTooLarge(String),
    /// The device's clock is greater than the owner's on this server: the server lost history, or
    /// the device talks to the wrong one.
    #[error(
        "The device's clock is {device}, but the server's is only {server}: the server lost \
         history, or it is not the one that the device synced with before."
    )]
    ClockAhead {
        /// The clock of the request, in ticks.
        device: i64,
        /// The owner's clock on this server, in ticks.
        server: i64,
    },
    /// The log does not have the device's head at its clock: the server was restored from a backup, or
    /// the device talks to the wrong one.
    #[error(
        "The device has seen changes that this server does not have: the server lost history, or it is \
         not the one that the device synced with before."
    )]
    OtherHistory,
    /// The device's clock is below the horizon: what it has missed is not in the log any more.
    #[error(
        "The device has not synced for too long: what it has missed is not kept any more. It has to \
         fetch everything again."
    )]
    TooOld {
        /// Whether ids of diffs that the device may have sent are not known any more, either.
        forgotten: bool,
    },
    /// The device's version of the schema is older than the server accepts.
    #[error(
        "The app is too old: it has the schema version {schema}, and this server needs at least \
         {min_schema}. Update the app."
    )]
    UpgradeRequired {
        /// The version that the device has.
        schema: u64,
        /// The least version that the server accepts.
        min_schema: u64,
    },
    /// The database has no such model.
    #[error(
        "{}",
        blame(diff_id.as_deref(), &format!("there is no model \"{}\" on this server{}.", shorten(model), newer(*newer_app)))
    )]
    UnknownModel {
        /// The diff that names it, if there is one.
        diff_id: Option<String>,
        /// The model.
        model: String,
        /// The schema version of the device, if it is newer than the server's: the server is to be updated.
        newer_app: Option<u64>,
    },
    /// The model has no such field.
    #[error(
        "{}",
        blame(
            diff_id.as_deref(),
            &format!("the model {model} has no field \"{}\"{}{}.", shorten(field), list(known), newer(*newer_app))
        )
    )]
    UnknownField {
        /// The diff that names it, if there is one.
        diff_id: Option<String>,
        /// The model.
        model: String,
        /// The field.
        field: String,
        /// The fields that the model has, if the database lists them.
        known: Vec<String>,
        /// The schema version of the device, if it is newer than the server's: the server is to be updated.
        newer_app: Option<u64>,
    },
    /// A value that its field cannot hold, where requests are all or nothing.
    #[error("{}", blame(diff_id.as_deref(), reason))]
    InvalidValue {
        /// The diff that has it, if there is one.
        diff_id: Option<String>,
        /// The sentence that the person reads.
        reason: String,
    },
    /// A violated constraint of the database, where requests are all or nothing.
    #[error("{}", blame(diff_id.as_deref(), reason))]
    Constraint {
        /// The diff that violates it, if there is one.
        diff_id: Option<String>,
        /// The sentence that the person reads.
        reason: String,
    },
    /// The owner already has the greatest number of live streams.
    #[error("There are {most} live connections already: close one, or try again later.")]
    TooManyListeners {
        /// The greatest number of them.
        most: usize,
    },
    /// The database or the auth closure failed. The cause is not sent to the client.
    #[error("The server failed; {}. Try again later.", outcome(.0))]
    Internal(#[source] BoxError),
    /// The database is locked, its pool is empty, the server already holds as many bytes of requests or
    /// responses as it may, or a time limit ran out.
    #[error("The server is busy; {}. Try again in a moment.", outcome(source))]
    Busy {
        /// After how long to try again.
        retry_after: Duration,
        /// What was waited for.
        source: BoxError,
    },
    /// No byte of the request's body arrived for too long.
    #[error(
        "Nothing of the body came for {} seconds, so the request was given up. Send the same again.",
        after.as_secs_f64()
    )]
    Silent {
        /// For how long nothing arrived.
        after: Duration,
    },
}

impl Error {
    /// The stable code for programs, in snake_case.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidJson(_) => "invalid_json",
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidDiff { .. } => "invalid_diff",
            Self::Unauthenticated(_) => "unauthenticated",
            Self::Forbidden { .. } => "forbidden",
            Self::NoMember(_) => "no_member",
            Self::OtherOwner => "other_owner",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::UnsupportedMediaType(_) => "unsupported_media_type",
            Self::PayloadTooLarge(_) => "payload_too_large",
            Self::ClockAhead { .. } => "clock_ahead",
            Self::OtherHistory => "other_history",
            Self::TooOld { .. } => "too_old",
            Self::UpgradeRequired { .. } => "upgrade_required",
            Self::UnknownModel { .. } => "unknown_model",
            Self::UnknownField { .. } => "unknown_field",
            Self::InvalidValue { .. } => "invalid_value",
            Self::Constraint { .. } => "constraint",
            Self::TooManyListeners { .. } => "too_many_listeners",
            Self::Internal(_) => "internal",
            Self::Busy { .. } | Self::Silent { .. } => "busy",
        }
    }

    /// The HTTP status.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::InvalidJson(_) | Self::InvalidRequest(_) | Self::InvalidDiff { .. } => {
                StatusCode::BAD_REQUEST
            }
            Self::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } | Self::NoMember(_) | Self::OtherOwner => StatusCode::FORBIDDEN,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::ClockAhead { .. } | Self::OtherHistory => StatusCode::CONFLICT,
            Self::TooOld { .. } => StatusCode::GONE,
            Self::UpgradeRequired { .. } => StatusCode::UPGRADE_REQUIRED,
            Self::PayloadTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::UnknownModel { .. }
            | Self::UnknownField { .. }
            | Self::InvalidValue { .. }
            | Self::Constraint { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooManyListeners { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Busy { .. } | Self::Silent { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The id of the diff that causes the error, if there is one.
    pub fn diff_id(&self) -> Option<&str> {
        match self {
            Self::InvalidDiff { diff_id, .. }
            | Self::Forbidden { diff_id, .. }
            | Self::UnknownModel { diff_id, .. }
            | Self::UnknownField { diff_id, .. }
            | Self::InvalidValue { diff_id, .. }
            | Self::Constraint { diff_id, .. } => diff_id.as_deref(),
            _ => None,
        }
    }

    pub(crate) fn invalid_diff(diff_id: &str, reason: impl Into<String>) -> Self {
        Self::InvalidDiff { diff_id: Some(diff_id.to_owned()), reason: reason.into() }
    }

    /// The meaning of a database's error at a commit: the changes may have been made nevertheless.
    pub(crate) fn of_commit(error: DatabaseError) -> Self {
        match Self::of_database(error) {
            conflict if conflict.is_conflict() => conflict,
            error => error.in_doubt(),
        }
    }

    /// The same failure, for a sync that may have made its changes nevertheless.
    pub(crate) fn in_doubt(self) -> Self {
        match self {
            Self::Internal(source) => Self::Internal(InDoubt(source).into()),
            Self::Busy { retry_after, source } => {
                Self::Busy { retry_after, source: InDoubt(source).into() }
            }
            other => other,
        }
    }

    /// The changes of the request together take too long.
    pub(crate) fn too_slow(limit: Duration) -> Self {
        Self::PayloadTooLarge(format!(
            "The changes take longer than the {} seconds that a sync may take: send fewer at once.",
            limit.as_secs_f32()
        ))
    }

    /// The same request may succeed in a moment.
    pub(crate) fn busy(cause: impl Into<BoxError>) -> Self {
        Self::Busy { retry_after: Duration::from_secs(1), source: cause.into() }
    }

    /// The server is stopping, and another one will replace it.
    pub(crate) fn closing() -> Self {
        Self::Busy { retry_after: Duration::from_secs(1), source: "the server is stopping".into() }
    }

    /// The meaning of a database's error for a sync, if no diff causes it.
    pub(crate) fn of_database(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Busy(source) => {
                Self::Busy { retry_after: Duration::from_secs(1), source }
            }
            DatabaseError::Conflict(_) => {
                Self::Busy { retry_after: Duration::from_secs(1), source: error.into() }
            }
            DatabaseError::Failed(source) => Self::Internal(source),
            other => Self::Internal(other.into()),
        }
    }

    /// Whether the same may succeed immediately in a new unit of work.
    pub(crate) fn is_conflict(&self) -> bool {
        let Self::Busy { source, .. } = self else { return false };
        matches!(source.downcast_ref(), Some(DatabaseError::Conflict(_)))
    }

    /// The meaning of a database's error that one diff causes.
    pub(crate) fn of_diff(diff_id: &str, error: DatabaseError) -> Self {
        Self::blaming(Some(diff_id.to_owned()), error)
    }

    /// The same, for an app with this version of the schema on a server with that one.
    pub(crate) fn of_newer_app(mut self, app: u64, server: u64) -> Self {
        if let Self::UnknownModel { newer_app, .. } | Self::UnknownField { newer_app, .. } =
            &mut self
            && app > server
        {
            *newer_app = Some(app);
        }
        self
    }

    fn blaming(diff_id: Option<String>, error: DatabaseError) -> Self {
        match error {
            DatabaseError::UnknownModel { model } => {
                Self::UnknownModel { diff_id, model, newer_app: None }
            }
            DatabaseError::UnknownField { model, field, known } => {
                Self::UnknownField { diff_id, model, field, known, newer_app: None }
            }
            DatabaseError::InvalidValue { .. } => {
                Self::InvalidValue { diff_id, reason: error.to_string() }
            }
            DatabaseError::Constraint { .. } | DatabaseError::LeftOut { .. } => {
                Self::Constraint { diff_id, reason: error.to_string() }
            }
            other => Self::of_database(other),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_causes(self, f)
    }
}

/// The message of an error, and those of its causes, one per line.
pub(crate) fn with_causes(error: &dyn StdError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{error}")?;
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(f, "\nCaused by: {error}")?;
        cause = error.source();
    }
    Ok(())
}

/// An error of the database outside of a sync, in a handler of your own. A busy database stays busy, and
/// an unknown model stays an unknown model.
impl From<DatabaseError> for Error {
    fn from(error: DatabaseError) -> Self {
        Self::blaming(None, error)
    }
}

/// The cause of a failure that leaves it unknown whether the changes were made.
#[derive(Debug, thiserror::Error)]
#[error("it is not known whether the changes were made: {0}")]
struct InDoubt(#[source] BoxError);

fn outcome(cause: &BoxError) -> &'static str {
    if cause.is::<InDoubt>() {
        "the changes may have been applied nevertheless, and never count twice"
    } else {
        "nothing was changed"
    }
}

/// A client's text, shortened for an error message.
pub(crate) fn shorten(text: &str) -> Cow<'_, str> {
    const MOST: usize = 64;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    }
}

/// A sentence of its own, or one about the diff that causes the error.
fn blame(diff_id: Option<&str>, sentence: &str) -> String {
    let mut rest = sentence.chars();
    let first = rest.next().into_iter();
    match diff_id {
        Some(id) => {
            let sentence: String = first.flat_map(char::to_lowercase).chain(rest).collect();
            format!("{}: {sentence}", name(Some(id)))
        }
        None => first.flat_map(char::to_uppercase).chain(rest).collect(),
    }
}

fn name(diff_id: Option<&str>) -> String {
    diff_id.map_or_else(|| "A diff".to_owned(), |id| format!("Diff {}", shorten(id)))
}

fn newer(app: Option<u64>) -> String {
    app.map(|app| {
        format!(", because the app is newer: its schema version {app} is not known here yet")
    })
    .unwrap_or_default()
}

fn list(fields: &[String]) -> String {
    if fields.is_empty() { String::new() } else { format!(" (it has {})", fields.join(", ")) }
}
