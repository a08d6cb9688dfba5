#![doc = include_str!("../README.md")]

mod auth;
mod data;
mod fairing;
mod guard;
mod live;
mod response;
mod route;

pub use self::{
    auth::{Credentials, SharedAuth},
    fairing::fairing,
    guard::{Authenticated, SyncBody},
    live::{LiveFairing, live},
    response::{Answer, SyncError},
    route::routes,
};
