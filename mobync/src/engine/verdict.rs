//! Whether a diff may be applied; if not, the reason.

use crate::error::{DatabaseError, Error};

/// Whether a diff may be applied; if not, the reason.
pub(super) type Verdict = Result<(), Reason>;

/// Why a diff is refused.
#[derive(Clone, Debug)]
pub(super) struct Reason {
    pub(super) code: &'static str,
    pub(super) message: String,
    /// Whether it never fails the whole request, because no other request could do better.
    pub(super) is_lasting: bool,
}

impl Reason {
    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self { code: "forbidden", message: message.into(), is_lasting: false }
    }

    /// The reason for all changes of a person who may only read. A writer who has become a reader gets the old
    /// values back, also where requests are all or nothing.
    pub(super) fn read_only() -> Self {
        Self { is_lasting: true, ..Self::forbidden("You may only read here.") }
    }

    /// The reason when a database rejects a change.
    pub(super) fn rejected(error: &DatabaseError) -> Self {
        let code = match error {
            DatabaseError::InvalidValue { .. } => "invalid_value",
            _ => "constraint",
        };
        Self { code, message: error.to_string(), is_lasting: false }
    }

    /// The error of a request that fails because of this diff.
    pub(super) fn into_error(self, diff_id: String) -> Error {
        let (diff_id, reason) = (Some(diff_id), self.message);
        match self.code {
            "invalid_value" => Error::InvalidValue { diff_id, reason },
            "constraint" => Error::Constraint { diff_id, reason },
            _ => Error::Forbidden { diff_id, reason: reason.into() },
        }
    }
}
