//! Why a request has no owner.

use std::borrow::Cow;

use crate::{
    error::{BoxError, DatabaseError, Error},
    owner::{InvalidOwner, NOBODY},
};

/// Why an auth closure does not name an owner.
///
/// In a closure, `?` makes it from an [`InvalidOwner`], and from the errors of a database query: a
/// [`DatabaseError`] or an [`Error`]. A busy database stays busy.
///
/// ```
/// use mobync::{DatabaseError, Error, http::AuthError};
///
/// let error = AuthError::from(DatabaseError::busy("all connections are in use"));
/// assert!(matches!(error, AuthError::Busy(_)));
/// assert_eq!(Error::from(error).status(), 503);
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum AuthError {
    /// The user is not authenticated: 401.
    Unauthenticated(Cow<'static, str>),
    /// The user is not allowed to sync here: 403.
    Forbidden(Cow<'static, str>),
    /// The user is no member of the space, or there is no such space: 403. A client drops what it has of that
    /// space. Without a space: the user has no data of their own, but can be a member of spaces.
    NoMember(Cow<'static, str>),
    /// The owner cannot be determined now, but in a moment: 503. The cause is logged, and not sent.
    Busy(Box<dyn std::error::Error + Send + Sync>),
    /// The owner could not be determined: 500. The cause is logged, and not sent.
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

impl AuthError {
    /// The user is not authenticated. `sentence` is for the user.
    pub fn unauthenticated(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::Unauthenticated(sentence.into())
    }

    /// The user is not allowed to sync here. `sentence` is for the user.
    pub fn forbidden(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::Forbidden(sentence.into())
    }

    /// The user is no member of the [space](super::Credentials::space) that the request names. Say the same of a
    /// space that does not exist. `sentence` is for the user.
    pub fn no_member(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::NoMember(sentence.into())
    }

    /// The owner cannot be determined now, for this cause.
    pub fn busy(cause: impl Into<BoxError>) -> Self {
        Self::Busy(cause.into())
    }

    /// The owner could not be determined, for this cause.
    pub fn failed(cause: impl Into<BoxError>) -> Self {
        Self::Failed(cause.into())
    }

    /// The meaning of the HTTP status with which an extractor or a guard of the application rejects a
    /// request: 403 is forbidden, 429 and 503 are busy, any other status of 500 and above is a failure.
    /// Everything else, such as 401 or a redirect to a login page, is unauthenticated.
    ///
    /// ```
    /// use mobync::http::AuthError;
    ///
    /// assert!(matches!(AuthError::of_status(302), AuthError::Unauthenticated(_)));
    /// assert!(matches!(AuthError::of_status(403), AuthError::Forbidden(_)));
    /// ```
    pub fn of_status(status: u16) -> Self {
        let cause = || format!("the application's extractor or guard answered with {status}");
        match status {
            403 => Self::forbidden("You may not sync here."),
            429 | 503 => Self::busy(cause()),
            500.. => Self::failed(cause()),
            _ => Self::unauthenticated("Sign in first."),
        }
    }
}

impl From<InvalidOwner> for AuthError {
    fn from(_: InvalidOwner) -> Self {
        Self::unauthenticated(NOBODY)
    }
}

impl From<DatabaseError> for AuthError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Busy(_) | DatabaseError::Conflict(_) => Self::busy(error),
            error => Self::failed(error),
        }
    }
}

impl From<Error> for AuthError {
    fn from(error: Error) -> Self {
        match error {
            Error::Unauthenticated(sentence) => Self::Unauthenticated(sentence),
            Error::Forbidden { reason, .. } => Self::Forbidden(reason),
            Error::NoMember(sentence) => Self::NoMember(sentence),
            Error::Busy { source, .. } => Self::Busy(source),
            Error::Internal(source) => Self::Failed(source),
            error => Self::failed(error),
        }
    }
}

impl From<AuthError> for Error {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unauthenticated(sentence) => Self::Unauthenticated(sentence),
            AuthError::Forbidden(reason) => Self::Forbidden { diff_id: None, reason },
            AuthError::NoMember(sentence) => Self::NoMember(sentence),
            AuthError::Busy(cause) => Self::busy(cause),
            AuthError::Failed(cause) => Self::Internal(cause),
        }
    }
}
