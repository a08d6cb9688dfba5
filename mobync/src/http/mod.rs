//! The sync endpoint over plain `http` types, which every framework's adapter calls.
//!
//! Statuses, codes and headers are made here and nowhere else, so that all frameworks answer alike.
//! An [`Endpoint`] is the whole route; who writes a handler by hand uses its parts:
//! [`receive`], [`Received::authenticate`], [`Mobync::apply`](crate::Mobync::apply), [`respond`].
//! A [`LiveEndpoint`] is a second route, which tells devices when to sync.

mod auth;
mod endpoint;
mod events;
mod live;
mod receive;
mod respond;
#[cfg(feature = "tower")]
mod service;

pub use self::{
    auth::{Auth, AuthError, Credentials, SharedAuth},
    endpoint::{DEFAULT_MAX_BODY_BYTES, Endpoint},
    events::Events,
    live::{LiveBody, LiveEndpoint},
    receive::{Received, receive},
    respond::respond,
};
