#![doc = include_str!("../README.md")]

mod auth;
mod extract;
mod extractor;
mod live;
mod owner;
mod payload;
mod response;
mod service;

pub use self::{
    auth::{Auth, Credentials, SharedAuth},
    extract::{Authenticated, SyncBody},
    extractor::from_extractor,
    live::{LiveService, live},
    owner::{AuthenticatedOwner, BearerToken},
    response::{Answer, SyncError},
    service::{SyncService, service},
};
