//! The sync endpoint over plain `http` types, which every framework's adapter calls.
//!
//! Statuses, codes and headers are made here and nowhere else, so that all frameworks answer alike.
//! An [`Endpoint`] is the whole route; who writes a handler by hand uses its parts: [`authenticate`] or
//! [`receive`], [`Mobync::apply`](crate::Mobync::apply), [`respond`]; and [`identify`] where there is no
//! body. A [`LiveEndpoint`] is a second
//! route, which tells devices when to sync. [`Limits`] say what requests and answers may take.
//!
//! A route needs a tokio runtime with its time enabled, unless bodies and databases are ready at once.

mod auth;
mod body;
mod budget;
mod endpoint;
mod events;
mod head;
mod limits;
mod live;
mod panic;
mod read;
mod receive;
mod refusal;
mod respond;
#[cfg(feature = "tower")]
mod service;
mod token;

pub use self::{
    auth::{Auth, Credentials, SharedAuth},
    body::{AnswerBody, Unread},
    endpoint::Endpoint,
    events::Events,
    head::Head,
    limits::{DEFAULT_MAX_BODY_BYTES, Limits},
    live::{LiveBody, LiveEndpoint},
    read::OverLimit,
    receive::{authenticate, identify, receive},
    refusal::AuthError,
    respond::respond,
    token::Token,
};
