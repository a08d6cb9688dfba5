//! The wire format: the request, the answer, and the rules for them.

mod check;
mod request;
mod response;

pub(crate) use self::{
    check::check_diff,
    request::{Envelope, check_count},
    response::Failure,
};
pub use self::{
    request::SyncRequest,
    response::{Checksum, Overridden, OverriddenField, Refused, SyncResponse},
};

#[doc = include_str!("../../PROTOCOL.md")]
pub mod document {}
