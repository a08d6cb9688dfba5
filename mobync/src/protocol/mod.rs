//! The wire format: the request, the answer, and the rules for them.

mod batch;
mod check;
mod request;
mod response;

pub(crate) use self::{
    batch::Member,
    check::check_diff,
    request::{Envelope, Requests, check_count, not_several},
    response::{Failure, OneOfSeveral},
};
pub use self::{
    request::SyncRequest,
    response::{Checksum, Overridden, OverriddenField, Refused, SyncResponse},
};

#[doc = include_str!("../../PROTOCOL.md")]
pub mod document {}
