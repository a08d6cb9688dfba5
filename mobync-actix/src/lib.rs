#![doc = include_str!("../README.md")]

mod auth;
mod extract;
mod payload;
mod response;
mod service;

pub use self::{
    auth::{Credentials, SharedAuth},
    extract::{Authenticated, SyncBody},
    response::{Answer, SyncError},
    service::{SyncService, service},
};
