#![doc = include_str!("../README.md")]

mod auth;
mod data;
mod fairing;
mod from_guard;
mod guard;
mod live;
mod owner;
mod response;
mod route;

pub use self::{
    auth::{Auth, Credentials, SharedAuth},
    fairing::fairing,
    from_guard::from_guard,
    guard::{Authenticated, SyncBody},
    live::{LiveFairing, live},
    owner::{AuthenticatedOwner, BearerToken},
    response::{Answer, SyncError},
    route::routes,
};
