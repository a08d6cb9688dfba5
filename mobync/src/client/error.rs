//! Why a step on the device failed. Nothing of the step was kept.

use crate::error::BoxError;

/// Why a step on the device failed. Nothing of the step was kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// A create of an object that the device has: update it instead.
    #[error("the model {model} has an object {id} already")]
    AlreadyThere {
        /// The object's model.
        model: String,
        /// The object's id.
        id: String,
    },
    /// An update or a delete of an object that the device does not have.
    #[error("the model {model} has no object {id}")]
    NotThere {
        /// The object's model.
        model: String,
        /// The object's id.
        id: String,
    },
    /// A change that no server would take: an empty name, an integer beyond 64 bits.
    #[error("the change is not valid: {0}")]
    InvalidChange(String),
    /// The diff is neither pending nor refused.
    #[error("there is no diff {0}")]
    NoSuchDiff(String),
    /// The answer is not one of this protocol. Take it as no answer, and send the request again.
    #[error("the answer is not valid: {0}")]
    InvalidAnswer(String),
    /// The local store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The local store failed, and kept nothing of its unit of work.
#[derive(Debug, thiserror::Error)]
#[error("the device's store failed")]
pub struct StoreError(#[source] BoxError);

impl StoreError {
    /// The store failed, for this cause.
    pub fn new(cause: impl Into<BoxError>) -> Self {
        Self(cause.into())
    }
}
