//! How a database reports a failure, or the rejection of a change.

use std::fmt;

use crate::error::{shorten, with_causes};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a database did not execute a request of a sync.
///
/// The first three say that the *database failed*: the whole sync fails, and the device tries again.
/// The others say that it *works, and rejects this change*. An unknown model or field fails the sync
/// with 422. A value or a constraint refuses only this diff.
///
/// ```
/// use mobync::DatabaseError;
///
/// let error = DatabaseError::invalid_value("done", "must be true or false");
/// assert_eq!(error.to_string(), "The value of \"done\" must be true or false.");
/// assert!(error.is_rejection());
/// ```
///
/// `Debug` shows the message and its causes.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// The database failed. Becomes 500 `internal`.
    #[error("the database failed")]
    Failed(#[source] BoxError),
    /// It is locked, its pool is empty, or a time limit ran out. Becomes 503 `busy`.
    #[error("the database is busy")]
    Busy(#[source] BoxError),
    /// The unit of work collided with another one: a deadlock, or a serialization failure. It is
    /// retried a few times, and then becomes 503 `busy`.
    #[error("the unit of work collided with another one")]
    Conflict(#[source] BoxError),
    /// There is no such model. Becomes 422 `unknown_model`.
    #[error("there is no model \"{}\"", shorten(model))]
    UnknownModel {
        /// The model.
        model: String,
    },
    /// The model has no such field. Becomes 422 `unknown_field`.
    #[error("the model {model} has no field \"{}\"", shorten(field))]
    UnknownField {
        /// The model.
        model: String,
        /// The field.
        field: String,
        /// The fields that the model has, to be shown with the error; may be empty.
        known: Vec<String>,
    },
    /// A value that its field cannot hold: a word for a number. The diff is refused.
    #[error("The value of \"{}\" {reason}.", shorten(field))]
    InvalidValue {
        /// The field.
        field: String,
        /// What the value should be, as the end of a sentence: "must be a number".
        reason: String,
    },
    /// The change violates a constraint: a parent is missing, a name is taken. The diff is refused.
    #[error("The change breaks the constraint {name}.")]
    Constraint {
        /// The constraint, by its name in the database or in words.
        name: String,
    },
    /// The database reported no error, but did not make the change: a trigger has skipped it, or the
    /// row does not exist. The diff is refused, like for a constraint.
    #[error("The database did not make the change in {model}.")]
    LeftOut {
        /// The model.
        model: String,
    },
}

impl DatabaseError {
    /// The database failed, for this cause.
    pub fn failed(cause: impl Into<BoxError>) -> Self {
        Self::Failed(cause.into())
    }

    /// The database is busy, for this cause.
    pub fn busy(cause: impl Into<BoxError>) -> Self {
        Self::Busy(cause.into())
    }

    /// The unit of work collided with another one, for this cause.
    pub fn conflict(cause: impl Into<BoxError>) -> Self {
        Self::Conflict(cause.into())
    }

    /// There is no such model.
    pub fn unknown_model(model: impl Into<String>) -> Self {
        Self::UnknownModel { model: model.into() }
    }

    /// The model has no such field; `known` lists the fields that it has, and may be empty.
    pub fn unknown_field<K: Into<String>>(
        model: impl Into<String>,
        field: impl Into<String>,
        known: impl IntoIterator<Item = K>,
    ) -> Self {
        let known = known.into_iter().map(Into::into).collect();
        Self::UnknownField { model: model.into(), field: field.into(), known }
    }

    /// The field cannot hold the value; the reason ends the sentence "The value of … ".
    pub fn invalid_value(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::InvalidValue { field: field.into(), reason: reason.into() }
    }

    /// The change violates this constraint.
    pub fn constraint(name: impl Into<String>) -> Self {
        Self::Constraint { name: name.into() }
    }

    /// The change was not made, although there was no error.
    pub fn left_out(model: impl Into<String>) -> Self {
        Self::LeftOut { model: model.into() }
    }

    /// Whether the database works and rejects this one change because of its contents.
    pub fn is_rejection(&self) -> bool {
        matches!(self, Self::InvalidValue { .. } | Self::Constraint { .. } | Self::LeftOut { .. })
    }
}

impl fmt::Debug for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        with_causes(self, f)
    }
}
