#![doc = include_str!("../README.md")]

mod auth;
mod data;
mod fairing;
mod guard;
mod response;
mod route;

pub use self::{
    auth::{Credentials, SharedAuth},
    fairing::fairing,
    guard::{Authenticated, SyncBody},
    response::{Answer, SyncError},
    route::routes,
};
