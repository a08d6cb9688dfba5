#![doc = include_str!("../README.md")]

mod auth;
mod extract;
mod live;
mod payload;
mod response;
mod service;

pub use self::{
    auth::{Credentials, SharedAuth},
    extract::{Authenticated, SyncBody},
    live::{LiveService, live},
    response::{Answer, SyncError},
    service::{SyncService, service},
};
