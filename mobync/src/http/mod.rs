//! The sync endpoint over plain `http` types, which every framework's adapter calls.
//!
//! Statuses, codes and headers are made only here, so that all frameworks give the same answers. An
//! [`Endpoint`] is the whole route. A handler of your own uses its parts: [`authenticate`] or
//! [`receive`], [`Mobync::apply`](crate::Mobync::apply), [`respond`]; and [`identify`] where there is
//! no body. Several requests in one, for [data that people share](crate::sharing), are answered by the
//! [`Endpoint`] only. A [`LiveEndpoint`] is a second route, which tells devices when to sync. [`Limits`] limit
//! the time and memory of requests and answers.
//!
//! A route needs a tokio runtime with its time driver enabled, unless bodies and databases are always
//! ready immediately.

mod auth;
mod batch;
mod body;
mod budget;
mod claim;
mod endpoint;
mod events;
mod head;
mod limits;
mod live;
mod panic;
mod query;
mod question;
mod read;
mod receive;
mod refusal;
mod respond;
mod room;
#[cfg(feature = "tower")]
mod service;
mod side_by_side;
mod spaces;
mod token;
mod watched;

pub(crate) use self::budget::Held;
pub use self::{
    auth::{Auth, Credentials, SharedAuth},
    body::{AnswerBody, Unread},
    claim::Claim,
    endpoint::Endpoint,
    events::Events,
    head::Head,
    limits::{DEFAULT_MAX_BODY_BYTES, Limits},
    live::{LiveBody, LiveEndpoint},
    read::OverLimit,
    receive::{authenticate, identify, receive},
    refusal::AuthError,
    respond::{failed, respond},
    token::Token,
};
