//! The sync endpoint over plain `http` types, which every framework's adapter calls.
//!
//! Statuses, codes and headers are made here and nowhere else, so that all frameworks answer alike.
//! An [`Endpoint`] is the whole route. [`receive`] and [`answer`] are its halves, for frameworks with
//! requests and auth closures of other types; who writes a handler by hand uses their parts:
//! [`Received::authenticate`], [`Mobync::apply`](crate::Mobync::apply), [`respond`].
//! A [`LiveEndpoint`] is a second route, which tells devices when to sync.

mod auth;
mod endpoint;
mod events;
mod head;
mod live;
mod receive;
mod respond;
#[cfg(feature = "tower")]
mod service;

pub use self::{
    auth::{Auth, AuthError, Credentials, SharedAuth, Token},
    endpoint::{DEFAULT_MAX_BODY_BYTES, Endpoint, answer},
    events::Events,
    head::Head,
    live::{LiveBody, LiveEndpoint},
    receive::{OverLimit, Received, receive},
    respond::respond,
};
