//! Whether a diff may be done; if not, why.

use crate::error::DatabaseError;

/// Whether a diff may be done; if not, why.
pub(super) type Verdict = Result<(), Reason>;

/// Why a diff is refused.
#[derive(Clone, Debug)]
pub(super) struct Reason {
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Reason {
    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self { code: "forbidden", message: message.into() }
    }

    /// The reason of a database that does not take a change.
    pub(super) fn rejected(error: &DatabaseError) -> Self {
        let code = match error {
            DatabaseError::InvalidValue { .. } => "invalid_value",
            _ => "constraint",
        };
        Self { code, message: error.to_string() }
    }
}
