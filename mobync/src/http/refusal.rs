//! Why a request has no owner.

use std::borrow::Cow;

use crate::{
    error::{BoxError, DatabaseError, Error},
    owner::{InvalidOwner, NOBODY},
};

/// Why an auth closure does not name an owner.
///
/// In a closure, `?` makes it from an [`InvalidOwner`], and from what a look into the database fails
/// with: a [`DatabaseError`] or an [`Error`]. A database that is busy stays busy.
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
    /// Who is asking is not known: 401.
    Unauthenticated(Cow<'static, str>),
    /// Who is asking may not sync here: 403.
    Forbidden(Cow<'static, str>),
    /// It cannot be found out now, but in a moment: 503. The cause is logged, and not told.
    Busy(Box<dyn std::error::Error + Send + Sync>),
    /// It could not be found out: 500. The cause is logged, and not told.
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

impl AuthError {
    /// Who is asking is not known; `sentence` is what the person reads.
    pub fn unauthenticated(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::Unauthenticated(sentence.into())
    }

    /// Who is asking may not sync here; `sentence` is what the person reads.
    pub fn forbidden(sentence: impl Into<Cow<'static, str>>) -> Self {
        Self::Forbidden(sentence.into())
    }

    /// It cannot be found out now, for this cause.
    pub fn busy(cause: impl Into<BoxError>) -> Self {
        Self::Busy(cause.into())
    }

    /// It could not be found out, for this cause.
    pub fn failed(cause: impl Into<BoxError>) -> Self {
        Self::Failed(cause.into())
    }

    /// What it means that an extractor or a guard of the application rejects a request with that HTTP
    /// status: 403 forbids; 429 and 503 are busy; any other of 500 and above has failed; and everything
    /// else, such as 401 or a redirection to a page to sign in at, does not know who is asking.
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
            AuthError::Busy(cause) => Self::busy(cause),
            AuthError::Failed(cause) => Self::Internal(cause),
        }
    }
}
